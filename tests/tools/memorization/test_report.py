import base64
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.pyramid import Dataset
from progan.checkpoint import save_model
from tests.datasets.making import noise
from tests.tools.conftest import Tool
from tests.tools.making import Pixels, names, small_generator, write_model, write_pixels
from tests.tools.memorization.making import held_out, training
from tools.images import open_images
from tools.memorization import examine, page, report
from tools.memorization.examine import Settings
from tools.memorization.report import write_report

_EMPTY = {"meta", "link", "img", "br", "path", "line"}


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
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def images(self) -> list[str]:
        return [value for name, value in self.attributes if name == "src"]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


class Elements(HTMLParser):
    """The elements of a page, each with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, {name: value or "" for name, value in attrs}))


def report_on(
    pictures: Pixels, dataset: Dataset, folder: Path, *, nearest: int = 2
) -> tuple[dict[str, Any], Page]:
    """The report on pictures, of which the names are their rows."""
    np.save(folder / "pictures.npy", pictures)
    out = folder / "out"
    images = open_images(str(folder / "pictures.npy"), channels=dataset.channels)
    settings = Settings(features=("pixels",), nearest=nearest)
    sentence = write_report(
        images, dataset, out, count=len(pictures), settings=settings, overwrite=True
    )
    assert names(out) == ["report.html", "report.json", "sheet.png"]
    found = json.loads((out / "report.json").read_text())
    assert found["summary"]["sentence"] == sentence
    seen = Page((out / "report.html").read_text())
    assert seen.open == []  # Every tag was closed.
    assert sentence in seen.text
    return found, seen


def decoded(source: str) -> Pixels:
    with Image.open(BytesIO(base64.b64decode(source.split(",")[1]))) as image:
        return np.asarray(image)


def test_the_report_of_a_model(tool: Tool, tmp_path: Path, faces: Dataset) -> None:
    trained = {"nimg": 5, "dataset": {"fingerprint": faces.fingerprint}, "loss": float("nan")}
    save_model(tmp_path / "m", small_generator(), trained=trained)
    (tmp_path / "m").rename(tmp_path / "m.safetensors")
    ended = tool(
        "neighbours", "m.safetensors", faces.path, "out", "--images", 12, "--nearest", 4,
        "--seed", 3,
    )  # fmt: skip
    assert (ended.status, ended.err) == (0, "")
    found = json.loads((tmp_path / "out/report.json").read_text())
    summary = found["summary"]
    assert ended.out.splitlines() == [
        summary["sentence"],
        f"The report: {Path('out/report.html')}",
    ]
    assert summary["model_names_this_dataset"] is True
    assert found["model"] == trained | {"loss": "NaN"}
    assert found["images_of"]["details"] == {"seed": 3, "nimg": 5}
    assert [entry["name"] for entry in found["images"]] == [f"seed {n}" for n in range(3, 15)]
    assert (summary["images"], summary["training_images"], summary["held_out_images"]) == (
        12,
        32,
        8,
    )
    # A generator that was never trained makes noise, which is near to no face.
    assert summary["verdict"] == "no sign of copying"
    assert set(summary["spaces"]) == {"pixels", "structure"}
    held = faces.rows("held-out").tolist()
    assert [(entry["row"], entry["name"]) for entry in found["held_out"]] == [
        (row, faces.names[row]) for row in held
    ]
    train = set(faces.rows("train").tolist())
    for entry in found["images"] + found["held_out"]:
        assert len(entry["nearest"]) == 4
        for near in entry["nearest"]:
            assert set(near) == {"row", "source", "mirrored", "distance"}
            assert near["row"] in train
            assert near["source"] == faces.names[near["row"]]
    with Image.open(tmp_path / "out/sheet.png") as sheet:
        sheet.load()
        assert sheet.height > 12 * 96


def test_copies_and_new_images_are_told_apart(tmp_path: Path, portraits: Dataset) -> None:
    copies = training(portraits)[:20].copy()
    copies[::2] = copies[::2, :, ::-1]
    found, seen = report_on(copies, portraits, tmp_path)
    summary = found["summary"]
    assert (summary["verdict"], summary["flagged_fraction"]) == ("memorized", 1)
    assert summary["near_duplicates"] == 20
    assert "20 are near duplicates of some: memorized." in seen.text
    rows = portraits.rows("train").tolist()
    for number, entry in enumerate(found["images"]):
        assert entry["flagged"] is True
        assert entry["nearest"][0] == {
            "row": rows[number],
            "source": portraits.names[rows[number]],
            "mirrored": number % 2 == 0,
            "distance": 0.0,
        }
    found, seen = report_on(held_out(portraits), portraits, tmp_path)
    summary = found["summary"]
    assert (summary["verdict"], summary["near_duplicates"]) == ("no sign of copying", 0)
    assert summary["flagged"] == sum(entry["flagged"] for entry in found["images"])
    distances = [entry["nearest"][0]["distance"] for entry in found["images"]]
    told = summary["spaces"]["pixels"]["distances"]
    assert told["images"]["median"] == pytest.approx(np.median(distances))
    assert told["images"] == told["held_out"]


def test_the_evidence_is_told_wherever_the_verdict_is(
    tool: Tool, tmp_path: Path, portraits: Dataset
) -> None:
    # Cropped so far that none is flagged.
    chance = np.random.default_rng(0)
    for number, picture in enumerate(training(portraits)):
        left, top = chance.uniform(0, 0.15 * 32, 2)
        box = (left, top, left + 0.85 * 32, top + 0.85 * 32)
        resized = Image.fromarray(picture).resize((32, 32), Image.Resampling.LANCZOS, box=box)
        (tmp_path / "moved").mkdir(exist_ok=True)
        resized.save(tmp_path / f"moved/{number:03}.png")
    ended = tool("neighbours", "moved", portraits.path, "out", "--nearest", 1)
    assert (ended.status, ended.err) == (0, "")
    found = json.loads((tmp_path / "out/report.json").read_text())
    summary = found["summary"]
    assert summary["verdict"] == "closer than chance"
    evidence = {one["kind"]: one for one in summary["evidence"]}
    assert list(evidence) == [
        "near duplicates", "flagged", "discoveries", "single photographs", "C_T", "authenticity",
    ]  # fmt: skip
    assert [kind for kind, one in evidence.items() if one["decides"] and one["speaks"]] == [
        "single photographs"
    ]
    together = evidence["single photographs"]
    assert together["chance"] < together["level"] == summary["chance_of_a_false_verdict"] / 3
    structure = summary["spaces"]["structure"]
    assert evidence["C_T"]["value"] == structure["data_copying"]["z"]
    assert evidence["single photographs"]["value"] == structure["single_photographs_z"] < -5
    assert evidence["authenticity"]["value"] == structure["authenticity"]
    assert evidence["authenticity"]["usual"] == structure["authenticity_of_photographs"]
    assert structure["effective_images"] == 136
    assert together["chance"] == pytest.approx(2 * structure["chances"]["single_photographs"])
    assert evidence["C_T"]["chance"] == pytest.approx(4 * structure["chances"]["data_copying"])
    assert evidence["flagged"]["chance"] == summary["chance_of_so_many"]
    # In the terminal, on the page, and in JSON.
    seen = Page((tmp_path / "out/report.html").read_text())
    for kind in ("C_T", "single photographs"):
        assert evidence[kind]["says"] in ended.out.splitlines()[0] == summary["sentence"]
    for one in evidence.values():
        assert one["says"] in seen.text
    text = (tmp_path / "out/report.html").read_text()
    speaking = sum(one["speaks"] for one in evidence.values())
    assert text.count("<td>speaks for copying</td>") == speaking > 1
    assert text.count("<td>no sign</td>") == len(evidence) - speaking
    assert 'class="verdict closer-than-chance"' in text
    # As many neighbours as were asked for, though more were compared.
    assert all(len(entry["nearest"]) == 1 for entry in found["images"] + found["held_out"])


def test_images_are_shown_beside_their_neighbours_as_they_were_near(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(40, 16, 16, 3))
    full = np.array(dataset.level(4))
    made = np.concatenate([noise(3, 16, 16, 3, seed=5), full[[4], :, ::-1] // 2 + 30])
    _, seen = report_on(made, dataset, tmp_path)
    # Of each the image, the difference, and two neighbours.
    assert len(seen.images) == (4 + 6) * 4
    first = [decoded(source) for source in seen.images[:4]]
    assert np.array_equal(first[0], made[3])
    assert np.array_equal(first[2], full[4, :, ::-1])
    difference = np.abs(first[0].astype(int) - first[2]) * 4
    assert np.array_equal(first[1], np.minimum(difference, 255))
    assert re.search(r"0\.\d\d 4\.png \(mirrored\)", seen.text)
    assert seen.text.index("row 3") < seen.text.index("row 0")
    with Image.open(tmp_path / "out/sheet.png") as sheet:
        assert sheet.height > 8 * 96


def test_only_some_images_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_ON_PAGE", 14)
    dataset = write_pixels(tmp_path / "d", noise(30, 16, 16, 3), held_out=0)
    found, seen = report_on(noise(40, 16, 16, 3, seed=2), dataset, tmp_path, nearest=1)
    assert len(found["images"]) == 40
    assert len(seen.images) == 14 * 3
    assert "14 of 40" in seen.text
    assert seen.tags.count("details") == 1
    assert "2 more" in seen.text
    shown = re.findall(r"\d+\. row (\d+)", seen.text)
    order = sorted(range(40), key=lambda n: found["images"][n]["nearest"][0]["distance"])
    assert [int(number) for number in shown] == order[:14]


def test_the_page_needs_nothing_else_and_runs_nothing(tmp_path: Path) -> None:
    bad = '"><script>alert(1)</script>'
    sources = ["<b>x&y.png", f"{bad}.png", "caf\udce9.png", "' onerror='x.png", "&lt;.png", "é.png"]
    pictures = noise(6, 8, 8, 3)
    pictures[5] = pictures[0]  # A pair of duplicates has names too.
    dataset = write_pixels(
        tmp_path / "d",
        pictures,
        names=[source.replace("/", "∕") for source in sources],
        held_out=0.2,
    )
    found, seen = report_on(noise(2, 8, 8, 3, seed=3), dataset, tmp_path, nearest=4)
    text = (tmp_path / "out/report.html").read_text()
    assert "script" not in seen.tags
    plain = re.sub(r"data:image/\w+;base64,[\w+/=]+", "data:", text)
    assert not re.search(r"https?://|//[a-z]|@import|url\(", plain)
    for name, value in seen.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:")
    assert "default-src 'none'" in text
    told = {near["source"] for entry in found["images"] for near in entry["nearest"]}
    assert told <= set(dataset.names)
    for source in told:
        assert source.encode("utf-8", "backslashreplace").decode() in seen.text
    assert len(found["duplicates"]) == 1
    assert "same pixels" in seen.text


def test_the_page_can_be_read_by_everyone(tmp_path: Path, portraits: Dataset) -> None:
    _, seen = report_on(held_out(portraits), portraits, tmp_path)
    headings = [int(tag[1]) for tag in seen.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings.count(1) == 1
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert [seen.tags.count(tag) for tag in ("header", "main", "footer", "title")] == [1] * 4
    assert ("lang", "en") in seen.attributes
    alternatives = [value for name, value in seen.attributes if name == "alt"]
    assert len(alternatives) == seen.tags.count("img")
    assert all(alternatives)
    ids = [value for name, value in seen.attributes if name == "id"]
    labels = [value for name, value in seen.attributes if name == "aria-labelledby"]
    assert len(ids) == len(set(ids))
    assert set(labels) <= set(ids)
    assert seen.tags.count("svg") == [name for name, _ in seen.attributes].count("viewbox")


def test_the_page_is_labelled_and_loads_nothing(tmp_path: Path, portraits: Dataset) -> None:
    report_on(held_out(portraits), portraits, tmp_path)
    text = (tmp_path / "out/report.html").read_text()
    seen = Elements(text)
    assert [found for tag, found in seen.all if tag == "html"] == [{"lang": "en"}]
    assert re.search(r"<title>[^<]+</title>", text)
    assert all(found.get("alt") for tag, found in seen.all if tag == "img")
    assert all(found.get("scope") in ("col", "row") for tag, found in seen.all if tag == "th")
    assert any(tag == "th" for tag, _ in seen.all)
    ids = [found["id"] for _, found in seen.all if "id" in found]
    assert len(ids) == len(set(ids))
    for tag, found in seen.all:
        if tag == "svg":
            assert (found["role"], bool(found["aria-label"])) == ("img", True)
        if tag == "section":
            assert found["aria-labelledby"] in ids
        if found.get("tabindex"):
            assert found["role"] == "region"
            assert found["aria-label"]
        for name in ("src", "srcset", "href", "action", "data", "poster", "xlink:href"):
            assert found.get(name, "data:").startswith("data:")
        assert "url(" not in found.get("style", "")
    figures = re.findall(r"<figure>.*?</figure>", text)
    assert len(figures) == sum(tag == "figure" for tag, _ in seen.all) > 0
    assert all(re.search(r"<figcaption>.*?\w.*?</figcaption>", figure) for figure in figures)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import|//", style[1])
    # A check of contrast needs to know what the text stands on, in the dark and on paper too.
    assert style[1].count("--paper:") == style[1].count("--ink:") == 3


def test_large_pictures_are_shown_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_SHOWN", 8)
    monkeypatch.setattr(page, "_LARGEST_LOSSLESS", 4)
    dataset = write_pixels(tmp_path / "d", noise(8, 32, 32, 1))
    _, seen = report_on(noise(2, 50, 50, 1), dataset, tmp_path)
    assert {source.split(",")[0] for source in seen.images} == {"data:image/jpeg;base64"}
    assert {decoded(source).shape for source in seen.images} == {(8, 8)}


def test_without_held_out_photographs_the_report_says_so(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(30, 8, 8, 3), held_out=0)
    found, seen = report_on(noise(2, 8, 8, 3, seed=1), dataset, tmp_path)
    assert found["held_out"] == []
    assert found["summary"]["calibration"]["kind"] == "leave-one-out"
    assert "held_out" not in found["summary"]["spaces"]["pixels"]["distances"]
    assert "This is weaker" in seen.text
    assert len(seen.images) == 2 * 4


def test_folders_are_examined_too_and_what_cannot_be_read_is_counted(
    tool: Tool, tmp_path: Path, portraits: Dataset
) -> None:
    (tmp_path / "faces").mkdir()
    for number, picture in enumerate(training(portraits)[:6]):
        large = picture.repeat(2, axis=0).repeat(2, axis=1)
        Image.fromarray(large).save(tmp_path / f"faces/{number}.png")
    (tmp_path / "faces/9.png").write_bytes(b"no picture")
    ended = tool("neighbours", "faces", portraits.path, "out", "--features", "pixels")
    assert (ended.status, ended.err) == (0, "")
    found = json.loads((tmp_path / "out/report.json").read_text())
    assert [entry["name"] for entry in found["images"]] == [f"{number}.png" for number in range(6)]
    assert found["summary"]["unreadable_images"] == 1
    assert found["summary"]["verdict"] == "memorized"
    assert "Of 6 images, 6 are closer" in ended.out
    ended = tool(
        "neighbours", "faces", portraits.path, "out", "--images", 3, "--features", "structure",
        "--crop", "face", "--resolution", 16, "--overwrite",
    )  # fmt: skip
    assert ended.status == 0
    found = json.loads((tmp_path / "out/report.json").read_text())
    # Chosen by chance.
    assert len(found["images"]) + found["summary"]["unreadable_images"] == 3
    assert found["settings"]["crop"] == "face"
    assert "16×16" in found["summary"]["spaces"]["structure"]["compares"]
    assert found["summary"]["flagged_fraction"] == 1


def test_images_are_chosen_by_chance_and_the_same_ones_again(
    tmp_path: Path, portraits: Dataset
) -> None:
    np.save(tmp_path / "pictures.npy", held_out(portraits))
    images = open_images(str(tmp_path / "pictures.npy"), channels=3)

    def numbers(seed: int, count: int = 8) -> list[int]:
        settings = Settings(features=("pixels",), resolution=8, seed=seed)
        seen = examine.examine(images, portraits, count=count, settings=settings)
        return [int(number) for number in seen.numbers]

    chosen = [numbers(seed) for seed in range(12)]
    assert chosen[3] == numbers(3)
    for some in chosen:
        assert len(some) == 8
        assert some == sorted(set(some))
    assert len({tuple(some) for some in chosen}) == 12
    # Each of the 24 may be among them: one is in none of them with a chance of 0.8 %.
    assert len({number for some in chosen for number in some}) > 18
    assert numbers(0, count=24) == list(range(24))
    # A model's images are those of its first seeds, which are chances already.
    write_model(tmp_path / "m.safetensors", resolution=32)
    model = open_images(str(tmp_path / "m.safetensors"), count=9, seed=5, channels=3)
    settings = Settings(features=("pixels",), seed=5)
    seen = examine.examine(model, portraits, count=4, settings=settings)
    assert seen.numbers.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["m", "d", "no/out"], 1, "no is not a folder"),
        (["m", "d", "file"], 1, "file exists already"),
        (["m", "d", "file", "--overwrite"], 1, "file is a file, and a folder is to be written"),
        (["m", "d", "d", "--overwrite"], 2, "d is read from"),
        (["m", "d", "out", "--resolution", 32], 2, "have 16 pixels in common, not 32"),
        (["m", "d", "out", "--resolution", 100], 2, "power of two"),
        (["m", "d", "out", "--images", 0], 2, "--images"),
        (["m", "d", "out", "--nearest", 0], 2, "--nearest"),
        (["m", "d", "out", "--seed", -1], 2, "--seed"),
        (["m", "d", "out", "--false-alarm", 0], 2, "--false-alarm"),
        (["m", "d", "out", "--features", "colour"], 1, "there are no features colour"),
        (["m", "nowhere", "out"], 1, "nowhere is not a dataset"),
        (["m", "file", "out"], 1, "file is not a dataset"),
        (["nowhere", "d", "out"], 1, "there is no nowhere"),
        (["grey", "d", "out"], 1, "has images of 1 channels, and d has 3"),
        (["tiny.npy", "d", "out"], 1, "has images of 2 pixels: too small"),
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
    def draw(*_: object, **__: object) -> Iterator[object]:
        raise AssertionError("No minutes of work before the refusal.")

    monkeypatch.setattr(examine, "Yardstick", draw)
    write_pixels(tmp_path / "d", noise(4, 16, 16, 3))
    write_model(tmp_path / "m.safetensors")
    write_model(tmp_path / "grey.safetensors", channels=1)
    np.save(tmp_path / "tiny.npy", noise(2, 2, 2, 3))
    (tmp_path / "file").write_text("years of work")
    before = names(tmp_path)
    models = {"m": "m.safetensors", "grey": "grey.safetensors"}
    ended = tool("neighbours", *(models.get(str(word), word) for word in words))
    assert ended.status == status
    assert sentence in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert status == 2 or len(ended.err.splitlines()) == 1
    assert ended.out == ""
    assert names(tmp_path) == before
    assert (tmp_path / "file").read_text() == "years of work"


def test_an_older_report_gives_way_when_told_and_nothing_else(
    tool: Tool, tmp_path: Path, faces: Dataset
) -> None:
    write_model(tmp_path / "m.safetensors")
    words = ["neighbours", "m.safetensors", faces.path, "out", "--images", 1]
    assert tool(*words).status == 0
    ended = tool(*words)
    assert (ended.status, ended.out) == (1, "")
    assert "out exists already" in ended.err
    assert tool(*words, "--seed", 5, "--overwrite").status == 0
    found = json.loads((tmp_path / "out/report.json").read_text())
    assert found["images"][0]["name"] == "seed 5"
    (tmp_path / "out" / "notes.txt").write_text("years of work")
    ended = tool(*words, "--overwrite")
    assert ended.status == 1
    assert "out holds notes.txt" in ended.err
    assert names(tmp_path / "out") == ["notes.txt", "report.html", "report.json", "sheet.png"]


@pytest.mark.parametrize("where", ["judge", "Yardstick"])
def test_what_is_interrupted_leaves_nothing(
    tool: Tool, tmp_path: Path, faces: Dataset, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def stop(*_: object, **__: object) -> Iterator[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(examine, where, stop)
    write_model(tmp_path / "m.safetensors")
    ended = tool("neighbours", "m.safetensors", faces.path, "out", "--images", 2)
    assert (ended.status, ended.out, ended.err.strip()) == (1, "", "Stopped.")
    assert names(tmp_path) == ["m.safetensors"]
