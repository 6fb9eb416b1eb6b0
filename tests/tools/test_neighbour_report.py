import base64
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.pyramid import Dataset
from progan.checkpoint import ModelFile, save_model
from tests.datasets.making import noise
from tests.tools.conftest import Tool
from tests.tools.making import (
    Recalling,
    names,
    recalling,
    small_generator,
    write_model,
    write_pixels,
)
from tools import neighbour_report, neighbours
from tools.neighbour_report import write_report


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "link", "img", "br", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def images(self) -> list[str]:
        return [value for name, value in self.attributes if name == "src"]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report_on(
    model: ModelFile, dataset: Dataset, out: Path, *, count: int, wanted: int = 3, level: int = 3
) -> tuple[dict[str, Any], Page]:
    sentence = write_report(
        model, dataset, out, count=count, wanted=wanted, level=level, seed=0, overwrite=False
    )
    assert names(out) == ["report.html", "report.json", "sheet.png"]
    report = json.loads((out / "report.json").read_text())
    assert report["summary"]["sentence"] == sentence
    page = Page((out / "report.html").read_text())
    assert page.open == []  # Every tag was closed.
    assert sentence in page.text
    return report, page


def test_the_report_of_a_model_and_a_dataset(tool: Tool, tmp_path: Path, faces: Dataset) -> None:
    generator = small_generator()
    trained = {"nimg": 5, "dataset": {"fingerprint": faces.fingerprint}}
    save_model(tmp_path / "m", generator, trained=trained)
    ended = tool("neighbours", "m", faces.path, "out", "--images", 12, "--nearest", 4)
    assert (ended.status, ended.err) == (0, "")
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert ended.out.splitlines() == [
        report["summary"]["sentence"],
        f"The report: {Path('out/report.html')}",
    ]
    assert report["dataset"] == {"fingerprint": faces.fingerprint, "images": 32}
    assert report["model"] == trained
    assert [entry["name"] for entry in report["images"]] == [f"seed {n}" for n in range(12)]
    held_out = faces.rows("held-out").tolist()
    assert [entry["name"] for entry in report["held_out"]] == [faces.names[r] for r in held_out]
    train = set(faces.rows("train").tolist())
    for entry in report["images"] + report["held_out"]:
        assert set(entry) == {"name", "place", "nearest"}
        assert 0 <= entry["place"] <= 1
        assert len(entry["nearest"]) == 4
        for near in entry["nearest"]:
            assert set(near) == {"row", "source", "mirrored", "distance"}
            assert near["row"] in train
            assert near["source"] == faces.names[near["row"]]
    # A generator that was never trained makes noise, which is near to no face.
    summary = report["summary"]
    assert summary["resolution"] == 16
    assert (summary["images"], summary["training_images"], summary["held_out_images"]) == (
        12,
        32,
        8,
    )
    assert summary["model_names_this_dataset"] is True
    assert summary["nearer_than_every_held_out"] == 0
    assert summary["expected_by_chance"] == pytest.approx(12 / 9)
    found = [entry["nearest"][0]["distance"] for entry in report["images"]]
    assert summary["generated"]["minimum"] == min(found)
    assert summary["generated"]["median"] == pytest.approx(np.median(found))
    assert summary["generated"]["maximum"] == max(found)
    with Image.open(tmp_path / "out/sheet.png") as sheet:
        sheet.load()
        assert sheet.height > 20 * 96
    assert names(tmp_path) == ["m", "out"]


def test_a_model_that_copies_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(80, 16, 16, 3), held_out=0.5)
    full = np.array(dataset.level(4))
    copies = full[:20].copy()
    copies[::2] = copies[::2, :, ::-1]
    report, page = report_on(recalling(copies), dataset, tmp_path / "copies", count=20)
    summary = report["summary"]
    assert summary["nearer_than_every_held_out"] == 20
    assert summary["expected_by_chance"] == pytest.approx(20 / 41)
    assert summary["generated"]["maximum"] == 0
    assert summary["training_images_that_are_nearest"] == 20
    assert "Of 20 generated images, 20 are nearer" in page.text
    assert "nearer than 100% of held-out photographs" in page.text
    assert "rough yardstick" not in page.text
    for number, entry in enumerate(report["images"]):
        assert entry["place"] == 0
        assert entry["nearest"][0] == {
            "row": number,
            "source": f"{number}.png",
            "mirrored": number % 2 == 0,
            "distance": 0.0,
        }
    new = noise(400, 16, 16, 3, seed=9)
    report, _ = report_on(recalling(new), dataset, tmp_path / "new", count=400)
    summary = report["summary"]
    # As new as held-out ones: about 10 of 400 are nearer than every one of 40.
    assert summary["nearer_than_every_held_out"] < 50
    assert summary["generated"]["median"] == pytest.approx(summary["held_out"]["median"], rel=0.02)


def test_rows_are_those_of_the_dataset_whatever_is_held_out(tmp_path: Path) -> None:
    # The last two are duplicates, which are never held out: between the training rows is a gap.
    dataset = write_pixels(
        tmp_path / "d", noise(8, 8, 8, 3), hashes=[0, 1, 2, 3, 4, 5, 7, 7], held_out=0.25
    )
    assert dataset.rows("held-out").tolist() == [4, 5]
    made = np.array(dataset.level(3)[[7, 3, 6]])
    report, page = report_on(recalling(made), dataset, tmp_path / "out", count=3, wanted=1)
    near = [entry["nearest"][0] for entry in report["images"]]
    assert [n["row"] for n in near] == [7, 3, 6]
    assert [n["source"] for n in near] == ["7.png", "3.png", "6.png"]
    assert [entry["name"] for entry in report["held_out"]] == ["4.png", "5.png"]
    # Each with a picture like its own.
    assert page.images[:6:2] == page.images[1:6:2]


def test_an_image_that_is_just_as_near_as_a_held_out_one_is_not_nearer(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(12, 8, 8, 3))
    held_out = np.array(dataset.level(3)[dataset.rows("held-out")])
    report, _ = report_on(recalling(held_out), dataset, tmp_path / "out", count=3)
    assert report["summary"]["nearer_than_every_held_out"] == 0
    assert report["summary"]["generated"] == report["summary"]["held_out"]
    assert min(entry["place"] for entry in report["images"]) == pytest.approx(1 / 3)


def test_images_are_shown_beside_their_neighbours_as_they_were_near(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(20, 16, 16, 3))
    full = np.array(dataset.level(4))
    made = np.concatenate([noise(3, 16, 16, 3, seed=5), full[[4], :, ::-1]])
    _, page = report_on(recalling(made), dataset, tmp_path / "out", count=4, wanted=2, level=2)
    assert len(page.images) == (4 + 5) * 3
    shown = []
    for source in page.images:
        head, data = source.split(",")
        assert head == "data:image/png;base64"
        with Image.open(BytesIO(base64.b64decode(data))) as image:
            shown.append(np.asarray(image))
    # The nearest comes first: the mirrored copy, and what it copies, mirrored like it.
    assert np.array_equal(shown[0], full[4, :, ::-1])
    assert np.array_equal(shown[1], full[4, :, ::-1])
    assert "0.0 4.png (mirrored)" in page.text
    with Image.open(tmp_path / "out/sheet.png") as sheet:
        pixels = np.asarray(sheet)
    left = np.flatnonzero((pixels[20] == full[4, 2, 15]).all(axis=-1))  # Its first column …
    assert len(left) >= 2 * 6  # … twice, each pixel enlarged to 96 / 16.


def test_only_some_images_are_drawn_again_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour_report, "_ROWS_ON_PAGE", 15)
    dataset = write_pixels(tmp_path / "d", noise(20, 16, 16, 3), held_out=0.1)
    model = recalling(noise(40, 16, 16, 3, seed=2))
    assert isinstance(model.generator, Recalling)
    report, page = report_on(model, dataset, tmp_path / "out", count=40, wanted=1)
    assert sum(model.generator.asked) == 40 + 15
    assert len(report["images"]) == 40
    assert len(page.images) == 2 * (15 + 2)
    assert "15 of 40" in page.text
    assert page.tags.count("details") == 1
    assert "5 more" in page.text
    order = sorted(entry["nearest"][0]["distance"] for entry in report["images"])
    told = re.findall(r"(\d+\.\d) \d+\.png", page.text)
    assert told[:15] == [f"{distance:.1f}" for distance in order[:15]]


def test_the_page_needs_nothing_else_and_runs_nothing(tmp_path: Path) -> None:
    bad = '"><script>alert(1)</script>'
    sources = ["<b>x&y.png", f"{bad}.png", "caf\udce9.png", "' onerror='x.png", "&lt;.png", "é.png"]
    dataset = write_pixels(
        tmp_path / "d", noise(6, 8, 8, 3), names=[s.replace("/", "∕") for s in sources]
    )
    report, page = report_on(recalling(noise(2, 8, 8, 3)), dataset, tmp_path / "out", count=2)
    text = (tmp_path / "out/report.html").read_text()
    assert "script" not in page.tags
    assert "b" not in page.tags or page.tags.count("b") == 3 * (2 + 2)  # Distances are bold.
    assert not re.search(r"https?://|//[a-z]|@import|url\(", text)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:")
    assert "default-src 'none'" in text
    for source in ("<b>x&y.png", "' onerror='x.png", "&lt;.png", "caf\\udce9.png"):
        assert source in page.text
    told = {near["source"] for entry in report["images"] for near in entry["nearest"]}
    assert told <= set(dataset.names)


def test_large_pictures_are_shown_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_report, "_SHOWN_LEVEL", 3)
    dataset = write_pixels(tmp_path / "d", noise(8, 32, 32, 3))
    _, page = report_on(
        recalling(noise(2, 32, 32, 3)), dataset, tmp_path / "out", count=2, wanted=1
    )
    for source in page.images:
        with Image.open(BytesIO(base64.b64decode(source.split(",")[1]))) as image:
            assert image.size == (8, 8)


def test_pictures_that_are_not_small_are_jpegs(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", np.full((4, 128, 128, 1), 90, np.uint8))
    model = recalling(np.full((1, 128, 128, 1), 90, np.uint8))
    _, page = report_on(model, dataset, tmp_path / "out", count=1, wanted=1, level=2)
    assert {source.split(",")[0] for source in page.images} == {"data:image/jpeg;base64"}


def test_without_held_out_photographs_the_report_says_so(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(6, 8, 8, 3), held_out=0)
    report, page = report_on(recalling(noise(2, 8, 8, 3)), dataset, tmp_path / "out", count=2)
    assert report["held_out"] == []
    assert report["summary"]["held_out"] is None
    assert report["summary"]["nearer_than_every_held_out"] is None
    assert all(entry["place"] is None for entry in report["images"])
    assert "there is no yardstick" in page.text
    assert "nearer than" not in page.text
    assert len(page.images) == 2 * 4


def test_doubts_are_told(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(12, 8, 8, 3))
    generator = recalling(noise(2, 8, 8, 3)).generator
    trained = {"dataset": {"fingerprint": "0" * 64}, "loss": float("nan")}
    model = ModelFile(generator=generator, trained=trained)
    report, page = report_on(model, dataset, tmp_path / "out", count=2)
    assert "rough yardstick" in page.text
    assert "the model file names another dataset" in page.text
    assert report["summary"]["model_names_this_dataset"] is False
    assert report["model"]["loss"] == "NaN"


@pytest.mark.parametrize(
    ("model_size", "words", "resolution"),
    [
        (16, [], 16),
        (16, ["--resolution", 8], 8),
        (64, [], 16),
        (64, ["--resolution", 16], 16),
        (4, [], 4),
        (8, ["--resolution", 4], 4),
    ],
)
def test_resolutions(
    tool: Tool,
    tmp_path: Path,
    faces: Dataset,
    model_size: int,
    words: list[object],
    resolution: int,
) -> None:
    write_model(tmp_path / "m", resolution=model_size)
    ended = tool("neighbours", "m", faces.path, "out", "--images", 3, "--seed", 7, *words)
    assert (ended.status, ended.err) == (0, "")
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["summary"]["resolution"] == resolution
    assert report["images"][0]["name"] == "seed 7"


def test_by_default_32_pixels_are_compared(tool: Tool, tmp_path: Path) -> None:
    write_pixels(tmp_path / "d", noise(4, 64, 64, 3))
    write_model(tmp_path / "m", resolution=64)
    assert tool("neighbours", "m", "d", "out", "--images", 1).status == 0
    assert json.loads((tmp_path / "out/report.json").read_text())["summary"]["resolution"] == 32


def test_an_older_report_gives_way_when_told_and_nothing_else(
    tool: Tool, tmp_path: Path, faces: Dataset
) -> None:
    write_model(tmp_path / "m")
    words = ["neighbours", "m", faces.path, "out", "--images", 1]
    assert tool(*words).status == 0
    ended = tool(*words)
    assert (ended.status, ended.out) == (1, "")
    assert "out exists already" in ended.err
    assert tool(*words, "--seed", 5, "--overwrite").status == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["images"][0]["name"] == "seed 5"
    (tmp_path / "out" / "notes.txt").write_text("years of work")
    ended = tool(*words, "--overwrite")
    assert ended.status == 1
    assert "out holds notes.txt" in ended.err
    assert names(tmp_path / "out") == ["notes.txt", "report.html", "report.json", "sheet.png"]


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["m", "d", "no/out"], 1, "no is not a folder"),
        (["m", "d", "file"], 1, "file exists already"),
        (["m", "d", "file", "--overwrite"], 1, "file is a file, and a folder is to be written"),
        (["m", "d", "d", "--overwrite"], 1, "d holds"),
        (["m", "d", "out", "--resolution", 32], 2, "have 16 pixels in common, not 32"),
        (["m", "d", "out", "--resolution", 100], 2, "power of two"),
        (["m", "d", "out", "--images", 0], 2, "--images"),
        (["m", "d", "out", "--nearest", 0], 2, "--nearest"),
        (["m", "d", "out", "--seed", -1], 2, "--seed"),
        (["m", "nowhere", "out"], 1, "nowhere is not a dataset"),
        (["m", "file", "out"], 1, "file is not a dataset"),
        (["nowhere", "d", "out"], 1, "no model file or run directory nowhere"),
        (["grey", "d", "out"], 1, "grey makes images of 1 channels, and d has 3"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[object],
    status: int,
    sentence: str,
) -> None:
    def draw(*_: object) -> Iterator[object]:
        raise AssertionError("No minutes of work before the refusal.")

    monkeypatch.setattr(neighbours, "images", draw)
    write_pixels(tmp_path / "d", noise(4, 16, 16, 3))
    write_model(tmp_path / "m")
    write_model(tmp_path / "grey", channels=1)
    (tmp_path / "file").write_text("years of work")
    before = names(tmp_path)
    ended = tool("neighbours", *words)
    assert ended.status == status
    assert sentence in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert status == 2 or len(ended.err.splitlines()) == 1
    assert ended.out == ""
    assert names(tmp_path) == before
    assert (tmp_path / "file").read_text() == "years of work"


@pytest.mark.parametrize("where", ["images", "nearest"])
def test_what_is_interrupted_leaves_nothing(
    tool: Tool, tmp_path: Path, faces: Dataset, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def stop(*_: object, **__: object) -> Iterator[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(neighbours, where, stop)
    write_model(tmp_path / "m")
    ended = tool("neighbours", "m", faces.path, "out", "--images", 2)
    assert (ended.status, ended.out, ended.err.strip()) == (1, "", "Stopped.")
    assert names(tmp_path) == ["m"]
