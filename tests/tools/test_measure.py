"""REALS against FAKES from the command line, the history of a run, and the cache of features."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from datasets.errors import DatasetError
from datasets.pyramid import Dataset
from progan.checkpoint import Checkpoints, read_model
from progan.latents import latents_of_seeds
from progan.training import Trainer, train
from tests.progan.making import Patterns, small_config
from tests.tools.conftest import Tool
from tests.tools.making import Pixels, write_model, write_pixels
from tools import feature_cache
from tools import images as opening
from tools.detectors import Detector, open_detector
from tools.drawing import draw
from tools.images import ArrayImages, DatasetImages, Images
from tools.measure import measure, photographs
from tools.metrics.fid import fid
from tools.metrics.ms_ssim import ms_ssim
from tools.metrics.swd import swd


class Means(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean(dim=[2, 3])


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "progan" / "features"


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    path = tmp_path / "means.pt"
    torch.jit.script(Means()).save(str(path))  # type: ignore[no-untyped-call]
    return path


def noise(count: int, seed: int, size: int = 16) -> Pixels:
    shape = (count, size, size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def first(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(np.moveaxis(pixels, 3, 1))


def write_arrays(folder: Path, reals: Pixels, fakes: Pixels) -> None:
    np.save(folder / "reals.npy", reals)
    np.save(folder / "fakes.npy", fakes)


def test_the_figures_are_those_of_the_metrics(tool: Tool, tmp_path: Path, detector: Path) -> None:
    reals, fakes = noise(40, 1), noise(40, 2) // 2
    write_arrays(tmp_path, reals, fakes)
    words = [
        "--metric",
        "swd,fid",
        "--detector",
        detector,
        "--trust",
        "--seed",
        3,
        "--json",
        "out.json",
    ]
    ended = tool("metrics", "reals.npy", "fakes.npy", *words)
    assert ended.status == 0, ended.err
    found = json.loads((tmp_path / "out.json").read_text())
    order = ArrayImages("", reals).sample(40, seed=3)
    expected = swd(first(reals[order]), first(fakes[order]), seed=3)
    assert found["metrics"]["swd"] == pytest.approx(expected)
    means = [p.mean(axis=(1, 2)).astype(np.float32) for p in (reals, fakes)]
    assert found["metrics"]["fid"] == pytest.approx(fid(*means).value, rel=1e-3)
    assert found["images"] == 40
    assert found["resolution"] == 16
    assert found["seed"] == 3
    assert len(found["detector"]["sha256"]) == 64
    assert found["reals"]["name"] == "reals.npy"
    # Noise against noise, half against half: its colours are far nearer than those of darker noise.
    baseline = found["baseline"]
    assert baseline["images"] == 20
    assert baseline["metrics"]["fid"] < found["metrics"]["fid"] / 100
    assert "images:      40 of each side" in ended.out


def test_ms_ssim_is_the_mean_over_pairs(tool: Tool, tmp_path: Path) -> None:
    same = np.repeat(noise(1, 1), 12, axis=0)
    write_arrays(tmp_path, noise(12, 2), same)
    ended = tool("metrics", "reals.npy", "fakes.npy", "--metric", "ms-ssim", "--json", "o.json")
    assert ended.status == 0, ended.err
    value = json.loads((tmp_path / "o.json").read_text())["metrics"]["ms-ssim"]
    assert value == pytest.approx(float(ms_ssim(first(same[:1]), first(same[1:2]))[0])) == 1
    assert ended.out.splitlines()[1].endswith("as the photographs'")


def test_parts_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: Path
) -> None:
    from tools.detectors import open_detector

    reals, fakes = ArrayImages("reals", noise(30, 1)), ArrayImages("fakes", noise(30, 2))
    judge = open_detector(str(detector), torch.device("cpu"), trust=True)
    reports = []
    for pixels in (2**22, 5 * 256):
        monkeypatch.setattr(opening, "_PIXELS_AT_ONCE", pixels)
        names = ["swd", "ms-ssim", "kid", "precision", "coverage"]
        reports.append(measure(reals, fakes, names=names, count=30, detector=judge).to_json())
    assert reports[0] == reports[1]


def test_a_model_is_measured_against_its_dataset(
    tool: Tool, faces: Dataset, tmp_path: Path
) -> None:
    write_model(tmp_path / "m.safetensors")
    ended = tool("metrics", faces.path, "m.safetensors", "--json", "o.json")
    assert ended.status == 0, ended.err
    found = json.loads((tmp_path / "o.json").read_text())
    assert found["images"] == len(faces.rows("train"))
    assert found["reals"]["fingerprint"] == faces.fingerprint
    assert found["fakes"]["kind"] == "model"
    again = tool("metrics", faces.path, "m.safetensors", "--json", "p.json")
    assert again.status == 0
    assert (tmp_path / "p.json").read_text() == (tmp_path / "o.json").read_text()


def test_a_dataset_is_measured_at_the_level_that_fits(
    tool: Tool, faces: Dataset, tmp_path: Path
) -> None:
    write_model(tmp_path / "m.safetensors", resolution=8)
    rows = faces.rows("train")
    np.save(tmp_path / "level.npy", np.asarray(faces.level(3))[rows])
    fakes = read_model(tmp_path / "m.safetensors")
    made = draw(fakes.generator, latents_of_seeds(range(len(rows)), fakes.generator.latent_size))
    np.save(tmp_path / "made.npy", made)

    def figures(reals: object, fakes: str) -> dict[str, Any]:
        words = ("--metric", "fid,ms-ssim", "--detector", tmp_path / "means.pt", "--trust",
                 "--json", "o.json", "--overwrite")  # fmt: skip
        ended = tool("metrics", reals, fakes, *words)
        assert ended.status == 0, ended.err
        assert "resolution:  8×8" in ended.out
        found: dict[str, Any] = json.loads((tmp_path / "o.json").read_text())
        assert found["resolution"] == 8 and "resized_from" not in found["reals"] | found["fakes"]
        return found

    torch.jit.script(Means()).save(str(tmp_path / "means.pt"))  # type: ignore[no-untyped-call]
    found = figures(faces.path, "m.safetensors")
    # The features are means, so that the order of the images does not matter to fid.
    assert found["metrics"]["fid"] == pytest.approx(
        figures("level.npy", "made.npy")["metrics"]["fid"], rel=1e-3
    )
    turned = figures("made.npy", str(faces.path))["metrics"]
    assert turned["fid"] == pytest.approx(found["metrics"]["fid"], rel=1e-3)
    # What no level fits is not resized unless asked for.
    np.save(tmp_path / "odd.npy", noise(40, 1, size=12))
    ended = tool("metrics", faces.path, "odd.npy", "--metric", "ms-ssim")
    assert (ended.status, "give --resize 12" in ended.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--metric", "density", "--images", 5], 2, "--metric density needs --images 6 or more"),
        (["--metric", "swd,density"], 1, "Measuring density needs at least 6 real images"),
        (["--json", "reals.npy", "--metric", "swd"], 1, "reals.npy exists already"),
        (["--json", "no/where.json", "--metric", "swd"], 1, "is not a folder; make it first"),
        (["--metric", "swd", "--resize", 24], 1, "24×24 pixels cannot be divided into levels"),
        (["--metric", "fid", "--detector", "none.pt"], 1, "there is no detector none.pt"),
        (["--metric", "fid", "--detector", "odd.pt", "--trust"], 1,
         "odd.pt cannot be used as a detector"),
    ],
)  # fmt: skip
def test_what_is_known_at_once_is_said_before_any_picture_is_read(
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[object],
    status: int,
    sentence: str,
) -> None:
    write_arrays(tmp_path, noise(5, 1), noise(5, 2))
    torch.jit.script(nn.Linear(7, 2)).save(str(tmp_path / "odd.pt"))  # type: ignore[no-untyped-call]
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(ArrayImages, "read", lambda *_: pytest.fail("a picture was read"))
    given = () if "--detector" in words else ("--detector", "odd.pt", "--trust")
    ended = tool("metrics", "reals.npy", "fakes.npy", *words, *given)
    assert (ended.status, sentence in ended.err) == (status, True), ended.err
    assert sorted(tmp_path.iterdir()) == before


def test_pictures_that_cannot_be_read_are_counted(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for number, picture in enumerate(noise(9, 1)):
        Image.fromarray(picture).save(tmp_path / "folder" / f"{number}.png")
    (tmp_path / "folder" / "x.png").write_bytes(b"no picture")
    np.save(tmp_path / "fakes.npy", noise(10, 2))
    ended = tool("metrics", "folder", "fakes.npy", "--metric", "swd")
    assert ended.status == 0, ended.err
    assert "skipped:     1" in ended.out


def test_features_of_a_dataset_are_kept_and_a_broken_entry_is_made_anew(
    tool: Tool, faces: Dataset, tmp_path: Path, detector: Path, cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from tools.detectors import ScriptDetector

    np.save(tmp_path / "fakes.npy", noise(40, 2))
    seen: list[int] = []
    usual = ScriptDetector.features

    def counted(self: ScriptDetector, images: Pixels) -> np.ndarray:
        seen.append(len(images))
        return usual(self, images)

    monkeypatch.setattr(ScriptDetector, "features", counted)
    count = len(faces.rows("train"))

    def run(name: str) -> dict[str, Any]:
        seen.clear()
        words = ("--metric", "fid", "--detector", detector, "--trust", "--json", f"{name}.json")
        ended = tool("metrics", faces.path, "fakes.npy", *words)
        assert ended.status == 0, ended.err
        found: dict[str, Any] = json.loads((tmp_path / f"{name}.json").read_text())
        return found

    one = run("one")
    assert sum(seen) == 2 * count
    assert run("two") == one
    assert sum(seen) == count  # the fakes alone
    (entry,) = cache.iterdir()
    data = bytearray(entry.read_bytes())
    data[-5] ^= 1
    entry.write_bytes(data)
    assert run("three") == one
    assert sum(seen) == 2 * count
    entry.write_bytes(b"rubbish")
    assert run("four") == one
    assert sum(seen) == 2 * count


class Corner(nn.Module):
    """The colour of the first pixel, times a factor: another feature at every size."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 0, 0].float() * self.factor


def test_kept_features_are_only_those_of_the_same_images_and_the_same_detector(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_pixels(tmp_path / "data", noise(40, 4))
    reals = DatasetImages("data", data, "train", 16)
    fakes = ArrayImages("fakes", noise(40, 2))

    def written(factor: float) -> Detector:
        path = tmp_path / "d.pt"  # always of one name
        torch.jit.script(Corner(factor)).save(str(path))  # type: ignore[no-untyped-call]
        return open_detector(str(path), torch.device("cpu"), trust=True)

    asked: list[tuple[Images, int, Detector, bool]] = [
        (reals, 20, written(1), False),
        (reals, 20, written(2), False),
        (reals.at(8), 20, written(1), False),
        (reals, 10, written(1), False),
        (DatasetImages("data", data, "held-out", 16), 10, written(1), False),
        (reals, 20, written(1), True),
    ]

    def figures(first: Images, count: int, judge: Detector, mirror: bool) -> Any:
        second = fakes.at(first.resolution)
        report = measure(first, second, names=["fid"], count=count, detector=judge, mirror=mirror)
        return report.fakes.values["fid"]

    fresh = []
    for number, each in enumerate(asked):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"empty{number}"))
        fresh.append(figures(*each))
    assert len(set(fresh)) == len(asked)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    for _ in range(2):
        assert [figures(*each) for each in asked] == fresh
    assert len(list((tmp_path / "shared/progan/features").iterdir())) == len(asked)


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = feature_cache.entry(["x"])
    feature_cache.write(path, np.zeros((2, 3), np.float32))
    assert feature_cache.read(path, 2) is None


def test_a_cache_entry_of_another_count_is_not_taken(cache: Path) -> None:
    path = feature_cache.entry(["x"])
    features = np.arange(6, dtype=np.float32).reshape(2, 3)
    feature_cache.write(path, features)
    np.testing.assert_array_equal(feature_cache.read(path, 2), features)
    assert feature_cache.read(path, 3) is None
    assert feature_cache.entry(["x", "y"]) != path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with a checkpoint at every level."""
    write_pixels(tmp_path / "data", noise(24, 4))
    run = tmp_path / "run"
    config = small_config()
    checkpoints = Checkpoints(run / "checkpoints", keep=100)

    def save(trainer: Trainer, before: int, finished: bool) -> None:
        checkpoints.save(trainer.state(), trainer.nimg)

    assert train(Trainer(config, Patterns()), [save])
    saved = {"config": config.to_json(), "dataset": {"path": str(tmp_path / "data")}}
    (run / "config.json").write_text(json.dumps(saved))
    return run


def test_the_history_of_a_run(tool: Tool, run: Path, tmp_path: Path) -> None:
    ended = tool("metrics", "--history", run, "--metric", "swd,ms-ssim", "--json", "h.json")
    assert ended.status == 0, ended.err
    entries = json.loads((tmp_path / "h.json").read_text())["history"]
    assert len(entries) == 18
    assert [entry["kimg"] for entry in entries] == pytest.approx(np.arange(1, 19) * 0.016)
    assert [("swd" in entry["metrics"]) for entry in entries] == [e["level"] == 4 for e in entries]
    assert all("ms-ssim" in entry["metrics"] for entry in entries)
    with Image.open(run / "metrics.png") as picture:
        assert picture.size[0] > 500
    # Each figure has its uncertainty, and beside it what the photographs have at that level.
    data = Dataset.open(tmp_path / "data")
    reals = DatasetImages("data", data, "train", 16)
    for level, names in ((2, ["ms-ssim"]), (4, ["swd", "ms-ssim"])):
        entry = next(entry for entry in entries if entry["level"] == level)
        own = photographs(reals.at(2**level), names=names, count=18, mirror=True)
        assert own is not None and entry["baseline"] == {
            "metrics": own.values, "uncertainties": own.uncertainties, "images": 9,
        }  # fmt: skip
    last, lines = entries[-1], ended.out.splitlines()
    value, error = last["metrics"]["ms-ssim"], last["uncertainties"]["ms-ssim"]
    (line,) = [line for line in lines if line.split()[:2] == ["0.3", "4"] and "–" not in line][-1:]
    assert line.endswith(f"{value:.4g} ± {error:.2g}")
    (row,) = [line for line in lines if line.split()[:2] == ["photographs", "4"]]
    own_value, own_error = (
        last["baseline"][kind]["ms-ssim"] for kind in ("metrics", "uncertainties")
    )
    assert row.endswith(f"{own_value:.4g} ± {own_error:.2g}")
    assert "better:       swd lower, ms-ssim as the photographs'" in lines
    # A heading, a line a checkpoint and one a level; then what makes the figures comparable.
    assert ended.out.count("\n") == 1 + 18 + 3 + 6
    damaged = tmp_path / "damaged"
    shutil.copytree(run, damaged)
    for path in Checkpoints(damaged / "checkpoints").all()[1:]:
        path.write_bytes(path.read_bytes()[:-1])
    words = ("--plot", "curve.png", "--metric", "ms-ssim")
    other = tool("metrics", "--history", damaged, *words)
    assert other.status == 0, other.err
    assert (other.out.count("\n"), other.err.count("It is left out.")) == (9, 17)
    assert (tmp_path / "curve.png").is_file()


def test_a_program_is_run_only_for_those_who_trust_it(
    tool: Tool, tmp_path: Path, detector: Path, faces: Dataset
) -> None:
    write_arrays(tmp_path, noise(6, 1), noise(6, 2))
    for words in (
        ("metrics", "reals.npy", "fakes.npy", "--metric", "kid", "--detector", detector),
        ("neighbours", "fakes.npy", faces.path, "report", "--features", detector),
    ):
        refused = tool(*words)
        assert (refused.status, "give --trust" in refused.err) == (1, True), refused.err
        assert not (tmp_path / "report").exists()
        assert tool(*words, "--trust").status == 0


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["reals.npy"], 2, "Give REALS and FAKES, or --history RUN"),
        ([], 2, "Give REALS and FAKES, or --history RUN"),
        (["reals.npy", "fakes.npy", "--history", "run"], 2, "Give REALS and FAKES"),
        (["reals.npy", "fakes.npy", "--metric", "fid"], 2, "give a --detector"),
        (["reals.npy", "fakes.npy", "--metric", "fdi"], 1, "There is no metric 'fdi'"),
        (["reals.npy", "small.npy"], 1, "give --resize 8"),
        (["reals.npy", "grey.npy"], 1, "channels"),
        (["reals.npy", "none.npy"], 1, "there is no none.npy"),
        (["reals.npy", "fakes.npy", "--detector", "none.pt"], 1, "there is no detector"),
        (["reals.npy", "fakes.npy", "--plot", "x.png"], 2, "--plot goes with --history"),
        (["small.npy", "small.npy", "--metric", "swd"], 1, "16"),
        (["--history", "none"], 1, "not a run directory"),
        (["reals.npy", "fakes.npy", "--json", "reals.npy"], 1, "exists already"),
    ],
)
def test_misuse_is_a_sentence(
    tool: Tool, tmp_path: Path, words: list[str], status: int, sentence: str
) -> None:
    write_arrays(tmp_path, noise(6, 1), noise(6, 2))
    np.save(tmp_path / "small.npy", noise(6, 1, size=8))
    np.save(tmp_path / "grey.npy", noise(6, 1)[..., :1])
    before = sorted(tmp_path.iterdir())
    ended = tool("metrics", *words)
    assert ended.status == status, ended.err
    assert sentence in ended.err
    assert "Traceback" not in ended.err
    assert sorted(tmp_path.iterdir()) == before


def test_features_without_a_detector_are_refused() -> None:
    images = ArrayImages("x", noise(4, 1))
    with pytest.raises(DatasetError, match="features are needed"):
        measure(images, images, names=["fid"], count=4)
