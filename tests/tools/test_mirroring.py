"""Reals are mirrored where the generator's training mirrored them, and everything says so."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datasets.errors import DatasetError
from progan.checkpoint import Checkpoints, save_model
from progan.training import Trainer
from tests.progan.making import Patterns, small_config
from tests.tools.conftest import Tool
from tests.tools.making import Pixels, Recalling, small_generator, write_pixels
from tools.detectors import open_detector
from tools.images import ArrayImages, DatasetImages, Images, Split
from tools.measure import measure, photographs
from tools.measuring import Measuring, refuse_too_few
from tools.metrics.swd import swd
from tools.mirroring import Mirrored, flipped

BRIGHT, DARK = 200, 40


class Sides(nn.Module):
    """Features: how bright the left half is, and how bright the right half."""

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[3] // 2
        left, right = x[:, :, :, :half].float(), x[:, :, :, half:].float()
        return torch.stack([left.mean(dim=[1, 2, 3]), right.mean(dim=[1, 2, 3])], dim=1)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "progan" / "features"


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    path = tmp_path / "sides.pt"
    torch.jit.script(Sides()).save(str(path))  # type: ignore[no-untyped-call]
    return path


def lopsided(count: int, seed: int | None = None, size: int = 16) -> Pixels:
    """Pictures lit from the left; all the same, or with noise of a seed."""
    pictures = np.empty((count, size, size, 3), np.uint8)
    pictures[:, :, : size // 2], pictures[:, :, size // 2 :] = BRIGHT, DARK
    if seed is not None:
        noise = np.random.default_rng(seed).integers(-30, 31, pictures.shape)
        pictures = (pictures + noise).astype(np.uint8)
    return pictures


def coins(count: int, seed: int) -> np.ndarray:
    """Whether each image is flipped: the first bits of NumPy's own Philox under (seed, 106)."""
    words = np.random.Philox(key=np.array([seed, 106], np.uint64)).random_raw(count)
    return np.array([int(word) >= 2**63 for word in words])


def turned(pictures: Pixels, which: np.ndarray) -> Pixels:
    return np.stack([p[:, ::-1] if w else p for p, w in zip(pictures, which, strict=True)])


def first(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(np.moveaxis(pixels, 3, 1))


def frechet_of_flips(real_flips: np.ndarray, fake_flips: np.ndarray) -> float:
    """FID of `Sides` between lopsided pictures of which these are flipped, by hand.

    The features are (BRIGHT, DARK), or the other way round: they lie on a line along (1, -1), where
    a flip is a step of √2·(BRIGHT - DARK); and on a line the distance is one of two normal
    distributions of one number each.
    """
    step = 2**0.5 * (BRIGHT - DARK)
    shift = step * (real_flips.mean() - fake_flips.mean())
    spread = step * (real_flips.std(ddof=1) - fake_flips.std(ddof=1))
    return float(shift**2 + spread**2)


def test_each_image_is_flipped_by_a_coin_of_its_own() -> None:
    np.testing.assert_array_equal(flipped(1000, 7), coins(1000, 7))
    np.testing.assert_array_equal(flipped(10, 7), flipped(1000, 7)[:10])
    counts = [flipped(10_000, seed).sum() for seed in range(5)]
    assert all(4800 < count < 5200 for count in counts)  # four standard deviations
    # Seeds are independent of one another: two agree in half of the images.
    assert 4800 < (flipped(10_000, 0) == flipped(10_000, 1)).sum() < 5200
    # And so are neighbours.
    one = flipped(10_000, 0)
    assert 4800 < (one[1:] == one[:-1]).sum() < 5200


def test_mirrored_pictures_are_the_others_turned_at_any_size_and_in_any_part() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    images = ArrayImages("x", pixels)
    mirrored, which = Mirrored(images, 3), coins(20, 3)
    np.testing.assert_array_equal(mirrored.read(range(20)).pixels, turned(pixels, which))
    some = [17, 2, 9]
    np.testing.assert_array_equal(mirrored.read(some).pixels, turned(pixels[some], which[some]))
    small = images.at(4).read(range(20)).pixels
    np.testing.assert_array_equal(mirrored.at(4).read(range(20)).pixels, turned(small, which))
    np.testing.assert_array_equal(images.read(range(20)).pixels, pixels)  # not changed


def test_figures_of_a_mirrored_collection(tmp_path: Path, sides: Path) -> None:
    count, seed = 64, 2
    reals = ArrayImages("reals", lopsided(count))
    fakes = ArrayImages("fakes", turned(lopsided(count), np.arange(count) % 2 == 0))
    judge = open_detector(str(sides), torch.device("cpu"), trust=True)

    def fid_of(mirror: bool) -> tuple[float, float]:
        report = measure(reals, fakes, names=["fid"], count=count, seed=seed, detector=judge,
                         mirror=mirror)  # fmt: skip
        assert report.conditions["mirrored"] is mirror and report.baseline is not None
        return report.fakes.values["fid"], report.baseline.values["fid"]

    none, half, alternate = np.zeros(count), coins(count, seed), np.arange(count) % 2 == 0
    plain, plain_halves = fid_of(mirror=False)
    assert plain == pytest.approx(frechet_of_flips(none, alternate), rel=1e-4)
    assert plain > 20_000
    assert plain_halves == pytest.approx(0, abs=1e-3)
    mirrored, halves = fid_of(mirror=True)
    assert mirrored == pytest.approx(frechet_of_flips(half, alternate), rel=1e-3)
    assert mirrored < 1000
    # Both halves of the photographs are mirrored: flips of one alone would tell them far apart.
    chosen = np.random.default_rng([seed, count]).permutation(reals.sample(count, seed))
    there, here = half[chosen[: count // 2]], half[chosen[count // 2 :]]
    assert halves == pytest.approx(frechet_of_flips(there, here), rel=1e-3)
    assert halves < 3000


def test_swd_of_a_generator_that_learned_the_mirrored_collection() -> None:
    count, seed = 48, 1
    pictures = lopsided(count, seed=0)
    reals = ArrayImages("reals", pictures)
    learned = turned(lopsided(count, seed=9), np.arange(count) % 2 == 0)
    fakes = ArrayImages("fakes", learned)
    found = {
        mirror: measure(reals, fakes, names=["swd"], count=count, seed=seed, mirror=mirror)
        for mirror in (False, True)
    }
    order, other = reals.sample(count, seed), fakes.sample(count, seed)
    seen = turned(pictures, coins(count, seed))[order]
    by_hand = swd(first(seen), first(learned[other]), seed=seed)
    assert found[True].fakes.values["swd"] == pytest.approx(by_hand)
    assert found[True].fakes.values["swd"]["mean"] < found[False].fakes.values["swd"]["mean"] / 3
    # Alone, the photographs' own figures are those beside the generator's.
    alone = photographs(reals, names=["swd"], count=count, seed=seed, mirror=True)
    assert alone == found[True].baseline != found[False].baseline
    assert photographs(reals, names=["density"], count=11) is None


def test_features_are_kept_for_each_way_of_mirroring(
    tool: Tool, tmp_path: Path, sides: Path, cache: Path
) -> None:
    write_pixels(tmp_path / "data", lopsided(40), held_out=0.1)
    np.save(tmp_path / "fakes.npy", lopsided(40))
    ways = (("--no-mirror", 0), ("--mirror", 0), ("--mirror", 1))

    def run(option: str, seed: int) -> dict[str, Any]:
        ended = tool("metrics", "data", "fakes.npy", "--metric", "fid", "--detector", sides,
                     "--trust", option, "--seed", seed, "--json", "o.json",
                     "--overwrite")  # fmt: skip
        assert ended.status == 0, ended.err
        found: dict[str, Any] = json.loads((tmp_path / "o.json").read_text())
        return found

    for _ in range(2):  # Made, and out of the cache.
        for option, seed in ways:
            found, none = run(option, seed), np.zeros(36)
            flips = coins(36, seed) if option == "--mirror" else none
            expected = frechet_of_flips(flips, none)
            assert found["metrics"]["fid"] == pytest.approx(expected, rel=1e-3, abs=1e-2)
            assert found["mirrored"] is (option == "--mirror")
        assert len(list(cache.iterdir())) == 3


def write_trained(path: Path, trained: dict[str, Any]) -> None:
    save_model(path, small_generator(), trained=trained)


@pytest.mark.parametrize(
    ("trained", "words", "mirrored", "said"),
    [
        ({"config": {"mirror": True}}, [], True, "the generator was trained with mirroring"),
        ({"config": {"mirror": False}}, [], False, "the generator was trained without mirroring"),
        ({}, [], False, "not known how the fakes' generator was trained; --mirror if"),
        ({"config": {"mirror": "yes"}}, [], False, "not known how the fakes' generator"),
        ({"config": [True]}, [], False, "not known how the fakes' generator"),
        ({"config": {"mirror": True}}, ["--resize", 16], True, "trained with mirroring"),
        ({"config": {"mirror": True}}, ["--resize", 32], True, "trained with mirroring"),
        ({"config": {"mirror": True}}, ["--no-mirror"], False,
         "--no-mirror, though the training was with mirroring"),
        ({"config": {"mirror": False}}, ["--mirror"], True,
         "--mirror, though the training was without mirroring"),
        ({}, ["--mirror"], True, "--mirror)"),
        (None, [], False, "not known how the fakes' generator was trained"),
        (None, ["--mirror"], True, "--mirror)"),
    ],
)  # fmt: skip
def test_a_models_training_decides_unless_one_asks_for_something_else(
    tool: Tool,
    tmp_path: Path,
    trained: dict[str, Any] | None,
    words: list[object],
    mirrored: bool,
    said: str,
) -> None:
    write_pixels(tmp_path / "data", lopsided(16, seed=1))
    if trained is None:
        np.save(tmp_path / "fakes.npy", lopsided(12))
    else:
        write_trained(tmp_path / "m.safetensors", trained)
    fakes = "fakes.npy" if trained is None else "m.safetensors"
    ended = tool("metrics", "data", fakes, "--metric", "ms-ssim", "--json", "o.json", *words)
    assert ended.status == 0, ended.err
    line = next(line for line in ended.out.splitlines() if line.startswith("mirrored:"))
    assert ("half of the reals" in line) is mirrored and said in line
    assert json.loads((tmp_path / "o.json").read_text())["mirrored"] is mirrored


@pytest.mark.parametrize("mirror", [True, False])
def test_measuring_in_training_is_of_the_average_and_mirrors_as_training_does(
    tmp_path: Path, mirror: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pixels(tmp_path / "data", lopsided(16, seed=1), held_out=0.25)
    learned = turned(lopsided(12, seed=5), np.arange(12) % 2 == 0)
    trainer = SimpleNamespace(
        nimg=1000,
        config=SimpleNamespace(nimg=1000, mirror=mirror),
        average=Recalling(learned),
        generator=Recalling(255 - learned),
        class_counts=(),
    )
    written: dict[str, float] = {}
    writer = SimpleNamespace(
        add_scalar=lambda name, value, step: written.update({name: value}), flush=lambda: None
    )
    reals = DatasetImages("data", data, "train", 16)
    observer = Measuring(tmp_path, {"train": reals}, names=["swd"], every_kimg=1, count=12,
                         writer=cast(Any, writer))  # fmt: skip
    observer(cast(Trainer, trainer), 0, finished=True)
    (line,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    seen = turned(reals.read(range(12)).pixels, coins(12, 0) & mirror)
    expected = swd(first(seen), first(learned))
    assert line["metrics/swd/train/mean"] == pytest.approx(expected["mean"])
    assert written["metrics/swd/train/16"] == pytest.approx(expected["16"])
    assert line["mirrored"] is mirror
    assert ("mirrored" in capsys.readouterr().out) is mirror


@pytest.mark.parametrize("mirror", [True, False])
def test_a_history_mirrors_as_its_run_did(
    tool: Tool, tmp_path: Path, sides: Path, mirror: bool
) -> None:
    write_pixels(tmp_path / "data", lopsided(24, seed=4))
    run, config = tmp_path / "run", small_config(mirror=mirror)
    trainer = Trainer(config, Patterns())
    Checkpoints(run / "checkpoints", keep=1).save(trainer.state(), trainer.nimg)
    saved = {"config": config.to_json(), "dataset": {"path": str(tmp_path / "data")}}
    (run / "config.json").write_text(json.dumps(saved))

    def history(*words: str) -> dict[str, Any]:
        ended = tool("metrics", "--history", run, "--metric", "fid", "--detector", sides, "--trust",
                     "--json", "h.json", "--overwrite", *words)  # fmt: skip
        assert ended.status == 0, ended.err
        (entry,) = json.loads((tmp_path / "h.json").read_text())["history"]
        found: dict[str, Any] = entry
        return found

    usual = history()
    assert usual["mirrored"] is mirror
    other = history("--no-mirror" if mirror else "--mirror")
    assert other["mirrored"] is not mirror
    assert usual["metrics"] == history("--mirror" if mirror else "--no-mirror")["metrics"]
    assert usual["metrics"] != other["metrics"]


def test_a_side_with_too_few_photographs_goes_without_the_metrics_that_need_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pixels(tmp_path / "data", lopsided(15, seed=1, size=8), held_out=0.2)
    splits: tuple[Split, ...] = ("train", "held-out")
    sides: dict[str, Images] = {split: DatasetImages("data", data, split, 8) for split in splits}

    class Corners:
        """Sees nothing below 8 pixels."""

        name, sha256 = "corners", "0" * 64

        def check(self, resolution: int, channels: int) -> None:
            if resolution < 8:
                raise DatasetError("too small")

        def features(self, images: Pixels) -> np.ndarray:
            return images[:, 0, :4, 0].astype(np.float32)

    writer = SimpleNamespace(add_scalar=lambda *_: None, flush=lambda: None)
    observer = Measuring(tmp_path, sides, names=["precision", "fid"], every_kimg=1, count=50,
                         writer=cast(Any, writer), detector=Corners())  # fmt: skip
    assert "precision: not measured against the 3 held-out photographs" in capsys.readouterr().out
    for size in (4, 8):
        trainer = SimpleNamespace(
            nimg=1000,
            config=SimpleNamespace(nimg=1000, mirror=False),
            average=Recalling(noise_of(12, size)),
            class_counts=(),
        )
        observer(cast(Trainer, trainer), 0, finished=True)
    (line,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert {name for name in line if "/" in name} == {
        "metrics/precision/train", "metrics/fid/train", "metrics/fid/held-out"
    }  # fmt: skip


def noise_of(count: int, size: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


@pytest.mark.parametrize(
    ("count", "sentence"),
    [(5, "--metric-images is 5: give more"), (50, "has 5 training pictures: leave it out of")],
)
def test_a_metric_that_a_run_cannot_measure_is_refused(
    tmp_path: Path, count: int, sentence: str
) -> None:
    images = ArrayImages("data", noise_of(5 if count == 50 else 20, 8))
    refuse_too_few(images, ["swd", "precision"], count)
    with pytest.raises(DatasetError, match=f"density needs at least 6 images, and .*{sentence}"):
        refuse_too_few(images, ["precision", "density", "fid"], count)
