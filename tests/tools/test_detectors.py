"""Detectors: TorchScript files of several kinds, a run's critic, and the download."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from datasets.errors import DatasetError
from progan.checkpoint import Checkpoints
from progan.errors import ProganError
from progan.runs import read_critic
from progan.training import Trainer
from tests.progan.making import Patterns, small_config
from tests.tools.making import Pixels
from tools import detectors
from tools.detectors import CriticDetector, open_detector
from tools.memorization.features import open_space


class Means(nn.Module):
    """Means of colours, for floats or bytes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean(dim=[2, 3])


class FieldStyle(nn.Module):
    """As the field's networks: probabilities, or features on request; bytes only."""

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        assert x.dtype == torch.uint8
        found = x.to(torch.float32).mean(dim=[2, 3])
        if return_features:
            return found
        return found.sum(dim=1)


class FloatsOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.conv2d(x, self.weight).mean(dim=[2, 3])


class Useless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean()


CPU = torch.device("cpu")


def written(path: Path, network: nn.Module) -> str:
    torch.jit.script(network).save(str(path))  # type: ignore[no-untyped-call]
    return str(path)


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("network", [Means(), FieldStyle()])
def test_a_file_gives_its_features(tmp_path: Path, network: nn.Module) -> None:
    detector = open_detector(written(tmp_path / "d.pt", network), CPU, trust=True)
    images = noise(130, 8, 8, 3)  # more than are looked at together
    found = detector.features(images)
    assert found.dtype == np.float32
    assert found.shape == (130, 3)
    np.testing.assert_allclose(found, images.mean(axis=(1, 2)), rtol=1e-5)
    assert detector.sha256 == hashlib.sha256((tmp_path / "d.pt").read_bytes()).hexdigest()


def test_a_file_that_wants_floats_gets_them_in_grey_levels(tmp_path: Path) -> None:
    detector = open_detector(written(tmp_path / "d.pt", FloatsOnly()), CPU, trust=True)
    images = noise(3, 8, 8, 3)
    expected = images.mean(axis=(1, 2)).sum(axis=1)
    np.testing.assert_allclose(detector.features(images)[:, 1], expected, rtol=1e-5)


def test_grey_images_are_shown_as_colour(tmp_path: Path) -> None:
    detector = open_detector(written(tmp_path / "d.pt", Means()), CPU, trust=True)
    assert detector.features(noise(2, 8, 8, 1)).shape == (2, 3)


def test_files_that_are_no_detectors_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("words")
    torch.save({"x": torch.zeros(1)}, tmp_path / "weights.pt")
    for name in ("text.pt", "weights.pt"):
        with pytest.raises(DatasetError, match="not a TorchScript file"):
            open_detector(str(tmp_path / name), CPU)
    with pytest.raises(DatasetError, match="there is no detector"):
        open_detector(str(tmp_path / "none.pt"), CPU)
    useless = open_detector(written(tmp_path / "useless.pt", Useless()), CPU, trust=True)
    with pytest.raises(DatasetError, match="cannot be used as a detector"):
        useless.features(noise(2, 8, 8, 3))


@pytest.mark.parametrize("opened", ["detector", "space"])
def test_a_program_that_is_not_known_is_not_even_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: str
) -> None:
    path = written(tmp_path / "d.pt", Means())

    def loaded(*args: object, **options: object) -> None:
        raise AssertionError("it was opened")

    def find(**options: bool) -> object:
        if opened == "detector":
            return open_detector(path, CPU, **options)
        return open_space(path, side=8, resolution=None, inner_face=False, device=CPU, **options)

    with monkeypatch.context() as patches:
        patches.setattr("torch.jit.load", loaded)
        for options in ({}, {"trust": False}):
            with pytest.raises(DatasetError, match=r"is a program, .* give --trust"):
                find(**options)
    assert find(trust=True)
    # A well-known name makes no file well known.
    for name in detectors.KNOWN_SHA256.values():
        disguised = tmp_path / name
        disguised.write_bytes(Path(path).read_bytes())
        with monkeypatch.context() as patches:
            patches.setattr("torch.jit.load", loaded)
            with pytest.raises(DatasetError, match=r"is a program, .* give --trust"):
                open_detector(str(disguised), CPU)
    # Those that everybody knows are opened.
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    monkeypatch.setitem(detectors.KNOWN_SHA256, digest, "d.pt")
    assert find()


def test_what_runs_is_what_was_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.pt"
    known = written(path, Means())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(detectors.KNOWN_SHA256, digest, "d.pt")
    usual = detectors._bytes_of

    def changed_meanwhile(place: Path) -> bytes:
        data = usual(place)
        written(path, FloatsOnly())
        return data

    monkeypatch.setattr(detectors, "_bytes_of", changed_meanwhile)
    detector = open_detector(known, CPU)
    assert detector.features(noise(2, 8, 8, 3)).shape == (2, 3)


def test_a_program_of_torch_export_is_no_detector(tmp_path: Path) -> None:
    program = torch.export.export(Means(), (torch.zeros(1, 3, 8, 8, dtype=torch.uint8),))
    torch.export.save(program, tmp_path / "d.pt2")
    with pytest.raises(DatasetError, match="not a TorchScript file"):
        open_detector(str(tmp_path / "d.pt2"), CPU, trust=True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory in mid-fade at 8 pixels."""
    config = small_config()
    trainer = Trainer(config, Patterns())
    for _ in range(5):
        trainer.round()
    run = tmp_path / "run"
    Checkpoints(run / "checkpoints").save(trainer.state(), trainer.nimg)
    (run / "config.json").write_text(json.dumps({"config": config.to_json()}))
    return run


def test_a_runs_critic_sees_each_image_by_itself(run: Path) -> None:
    detector = open_detector(f"critic:{run}", CPU)
    images = noise(70, 16, 16, 3)
    found = detector.features(images)
    np.testing.assert_allclose(detector.features(images[66:67]), found[66:67], rtol=1e-4, atol=1e-6)
    # At level 3: maps of from-RGB and of the block, 8 each.
    assert found.shape == (70, 16)
    assert found.std(axis=0).max() > 0
    small = images.reshape(70, 8, 2, 8, 2, 3).mean(axis=(2, 4)).round().astype(np.uint8)
    np.testing.assert_allclose(detector.features(small), found, rtol=1e-4, atol=1e-6)


def test_a_runs_critic_sees_grey_levels_as_its_training_did(run: Path) -> None:
    detector, critic = open_detector(f"critic:{run}", CPU), read_critic(run)
    pixels = noise(3, 8, 8, 3)
    pixels[0], pixels[1] = 0, 255
    # Training's images go from -1, black, to 1, white.
    images = np.interp(np.moveaxis(pixels, 3, 1), [0, 255], [-1, 1]).astype(np.float32)
    with torch.no_grad():
        maps = critic.activations(torch.from_numpy(images))
    expected = np.concatenate([m.numpy().astype(float).mean(axis=(2, 3)) for m in maps], axis=1)
    found = detector.features(pixels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    # The first of them by hand: of an even picture, a leaky sum of weights.
    layer = critic.from_rgb[str(critic.level)]
    tensors, _ = Checkpoints(run / "checkpoints").newest() or ({}, 0)
    weight = tensors[f"critic.from_rgb.{critic.level}.weight"].double().numpy()[:, :, 0, 0]
    bias = tensors[f"critic.from_rgb.{critic.level}.bias"].double().numpy()
    for row, value in ((0, -1.0), (1, 1.0)):
        sums = layer.scale * weight.sum(axis=1) * value + bias
        by_hand = np.where(sums > 0, sums, 0.2 * sums)
        np.testing.assert_allclose(found[row, : len(by_hand)], by_hand, rtol=1e-4, atol=1e-5)


def test_another_state_of_the_critic_is_another_detector(run: Path) -> None:
    first = CriticDetector("c", run, CPU)
    again = CriticDetector("c", run, CPU)
    tensors, nimg = Checkpoints(run / "checkpoints").newest() or ({}, 0)
    tensors["critic.from_rgb.2.bias"] += 1
    Checkpoints(run / "checkpoints").save(tensors, nimg)
    assert first.sha256 == again.sha256 != CriticDetector("c", run, CPU).sha256


def test_a_damaged_newest_critic_gives_way_with_a_warning(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = CriticDetector("c", run, CPU).sha256
    newest = Checkpoints(run / "checkpoints").newest()
    assert newest is not None
    later = Checkpoints(run / "checkpoints").save(newest[0], newest[1] + 16)
    later.write_bytes(later.read_bytes()[:-1])
    assert CriticDetector("c", run, CPU).sha256 == expected
    assert capsys.readouterr().err.count(f"Warning: {later} is damaged") == 1
    assert later.exists()


def test_a_critic_refuses_what_it_cannot_judge(run: Path, tmp_path: Path) -> None:
    detector = open_detector(f"critic:{run}", CPU)
    for shape in ((2, 4, 4, 3), (2, 16, 16, 1)):
        with pytest.raises(DatasetError, match="judges images of 8×8 pixels and 3 channels"):
            detector.features(noise(*shape))
    for name in ("none", "run/checkpoints"):
        with pytest.raises(ProganError, match="has no checkpoint yet"):
            open_detector(f"critic:{tmp_path / name}", CPU)
    (run / "config.json").unlink()
    with pytest.raises(ProganError, match="not a run directory"):
        open_detector(f"critic:{run}", CPU)


class Answer(io.BytesIO):
    def __enter__(self) -> "Answer":
        return self


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "progan" / "detectors"


def test_inception_is_downloaded_once_and_checked(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "d.pt", Means())
    data = (tmp_path / "d.pt").read_bytes()
    asked = []

    def answer(address: str, timeout: float) -> Answer:
        asked.append(address)
        return Answer(data)

    monkeypatch.setattr("urllib.request.urlopen", answer)
    with pytest.raises(DatasetError, match="is not what it should be"):
        detectors.fetch_inception()
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(detectors, "INCEPTION_SHA256", hashlib.sha256(data).hexdigest())
    path = detectors.fetch_inception()
    assert path.read_bytes() == data
    assert open_detector("inception", CPU).features(noise(2, 8, 8, 3)).shape == (2, 3)
    assert len(asked) == 2
    path.write_bytes(b"damaged")
    assert detectors.fetch_inception().read_bytes() == data
    assert len(asked) == 3


def test_an_endless_download_is_cut_off(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(Answer):
        given = 0

        def read(self, size: int | None = -1) -> bytes:
            assert size is not None and size >= 0
            self.given += size
            assert self.given < 10**6
            return bytes(size)

    monkeypatch.setattr(detectors, "INCEPTION_BYTES", 500_000)
    monkeypatch.setattr("urllib.request.urlopen", lambda address, timeout: Endless())
    with pytest.raises(DatasetError, match="is not what it should be"):
        detectors.fetch_inception()


def test_without_a_network_the_user_learns_what_to_put_where(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(address: str, timeout: float) -> Answer:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    with pytest.raises(DatasetError) as refused:
        open_detector("inception", CPU)
    for part in ("unreachable", detectors.INCEPTION_ADDRESS, str(cache), "inception-2015-12-05.pt"):
        assert part in str(refused.value)
