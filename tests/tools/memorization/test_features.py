from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.errors import DatasetError
from tests.datasets.making import noise
from tests.tools.memorization.making import Pixels
from tools.memorization import moves
from tools.memorization.features import (
    InnerFace,
    PixelSpace,
    ScriptSpace,
    Space,
    StructureSpace,
    open_space,
    resized,
    sketch,
)

CPU = torch.device("cpu")


def smooth(*shape: int, seed: int = 0) -> Pixels:
    """Pictures whose neighbouring pixels are alike, as photographs' are."""
    count, side, _, channels = shape
    coarse = noise(count, side // 4, side // 4, channels, seed=seed)
    return resized(coarse.repeat(8, axis=1).repeat(8, axis=2), side)


def test_pixels_are_compared_without_brightness_and_contrast() -> None:
    images = noise(4, 16, 16, 3) // 2 + 20
    space = PixelSpace(16)
    vectors = space.vectors(images)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    assert space.vectors(images + 40) == pytest.approx(vectors, abs=1e-6)
    assert space.vectors(images // 2 * 2) == pytest.approx(space.vectors(images // 2), abs=1e-6)
    squared = np.square(vectors[0] - vectors[1]).sum()
    correlation = np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1]
    assert squared == pytest.approx(2 - 2 * correlation, abs=1e-5)


@pytest.mark.parametrize("space", [PixelSpace(16), StructureSpace(16)])
def test_each_image_is_seen_by_itself(space: Space) -> None:
    images = noise(300, 16, 16, 3)
    images[5] = 77  # One colour has no direction.
    together = space.vectors(images)
    assert np.isfinite(together).all()
    for some in ([0], [5, 6], range(250, 300)):
        assert space.vectors(images[some]) == pytest.approx(together[some], abs=2e-6)
    assert np.array_equal(PixelSpace(16).vectors(images[[3]]), PixelSpace(16).vectors(images)[[3]])


def test_structure_does_not_mind_light() -> None:
    images = smooth(6, 32, 32, 3) // 2
    space = StructureSpace(32)
    plain = space.vectors(images)
    assert plain.shape == (6, 640)
    assert np.linalg.norm(plain, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    brighter = np.linalg.norm(space.vectors(images + 100) - plain, axis=1)
    between = np.linalg.norm(plain[1:] - plain[:-1], axis=1)
    assert brighter.max() < 1e-5
    assert np.linalg.norm(space.vectors(images * 2) - plain, axis=1).max() < between.min() / 4


@pytest.mark.parametrize(("turns", "direction"), [(0, 0), (1, 6), (2, 4), (3, 2)])
def test_edges_have_one_of_eight_directions_from_dark_to_light(turns: int, direction: int) -> None:
    # A ramp that rises to the right; turned, it rises upwards, to the left, and downwards.
    ramp = np.broadcast_to(np.arange(32)[None, :, None] * 7 + 4, (32, 32, 3)).astype(np.uint8)
    [vector] = StructureSpace(32).vectors(np.ascontiguousarray(np.rot90(ramp, turns))[None])
    for part, grid in ((vector[:512], 8), (vector[512:], 4)):
        cells = part.reshape(8, grid * grid)
        # Each direction has the square of its cosine, and then the square root is taken.
        expected = np.sqrt([1, 0.5, 0, 0, 0, 0, 0, 0.5])
        for step in range(8):
            along = cells[(direction + step) % 8] / cells[direction]
            assert along == pytest.approx(np.full(grid * grid, expected[step]), abs=1e-4)


def test_moves_find_shifted_and_scaled_images() -> None:
    images = moves.luminance(smooth(5, 64, 64, 3))
    still = images[:, 16:48, 16:48]
    assert moves.distances(still, still[:, None]).max() < 1e-6
    shifted = images[:, 18:50, 13:45]
    found = moves.distances(shifted, np.stack([still, still[[1, 2, 3, 4, 0]]], axis=1))
    assert found[:, 0].max() < 0.1
    assert found[:, 1].min() > 0.8
    # As bright as it may be.
    assert (moves.distances(still * 3 + 1, still[:, None]) < 1e-3).all()
    # Nothing to see is far from everything.
    assert moves.distances(np.zeros_like(still), still[:, None]).min() == pytest.approx(1)


def test_the_inner_face_is_all_that_counts() -> None:
    images = noise(3, 64, 64, 3)
    space = open_space("pixels", side=64, resolution=None, inner_face=True, device=CPU)
    assert isinstance(space, InnerFace)
    assert (space.side, space.crop(images).shape) == (64, (3, 32, 32, 3))
    around = noise(3, 64, 64, 3, seed=1)
    around[:, 19:51, 16:48] = images[:, 19:51, 16:48]
    assert np.array_equal(space.vectors(around), space.vectors(images))
    mirrored = space.crop(np.ascontiguousarray(images[:, :, ::-1]))
    assert np.array_equal(mirrored, space.crop(images)[:, :, ::-1])
    assert "inner face" in space.says


def test_long_vectors_are_shortened_and_stay_as_far_apart() -> None:
    chance = np.random.default_rng(0)
    long = chance.normal(size=(6, 2**17)).astype(np.float32)
    long *= np.arange(1, 7, dtype=np.float32)[:, None]
    long[5] = long[0]
    short = sketch(long)
    assert short.shape == (6, 8192)
    assert np.array_equal(short[0], short[5])
    for other in range(1, 5):
        expected = np.square(long[other] - long[0]).sum()
        assert np.square(short[other] - short[0]).sum() == pytest.approx(expected, rel=0.08)
    assert np.array_equal(sketch(long[:, : 2**14]), long[:, : 2**14])


class Layers(torch.nn.Module):
    """As the field's perceptual network: long features, asked for by name."""

    def forward(
        self, images: torch.Tensor, resize_images: bool = True, return_lpips: bool = False
    ) -> torch.Tensor:
        flat = images.float().flatten(1)
        return flat.repeat(1, 8) if return_lpips else flat[:, :1]


def test_a_torchscript_network_gives_its_perceptual_layers(tmp_path: Path) -> None:
    torch.jit.script(Layers()).save(str(tmp_path / "vgg.pt"))  # type: ignore[no-untyped-call]
    space = open_space(
        str(tmp_path / "vgg.pt"),
        side=32,
        resolution=None,
        inner_face=False,
        device=CPU,
        trust=True,
    )
    assert isinstance(space, ScriptSpace)
    images = noise(70, 32, 32, 3)
    expected = np.moveaxis(images, 3, 1).reshape(70, -1).astype(np.float32)
    # 8 · 3072 numbers are shortened.
    assert np.array_equal(space.vectors(images), sketch(np.tile(expected, 8)))


@pytest.mark.parametrize(("text", "resolution", "sentence"), [
    ("colours", None, "there are no features colours"),
    ("structure", 4, "structure needs images of 8 pixels or more, not 4"),
    ("pixels", 64, "pixels compares 64 pixels, and the images have 32"),
])  # fmt: skip
def test_what_cannot_be_had_is_said(text: str, resolution: int | None, sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        open_space(text, side=32, resolution=resolution, inner_face=False, device=CPU)
