import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets import resampling
from datasets.resampling import lanczos
from tests.datasets.making import Pixels, noise


def by_pillow(
    picture: Pixels, across: tuple[float, float], down: tuple[float, float], side: int
) -> Pixels:
    # Four are inks: of four others, Pillow would take the last for transparency.
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[picture.shape[-1]]
    image = Image.fromarray(picture[..., 0] if mode == "L" else picture, mode)
    box = (across[0], down[0], across[1], down[1])
    resized = image.resize((side, side), Image.Resampling.LANCZOS, box=box)
    return np.asarray(resized).reshape(side, side, -1)


def soft(height: int, width: int, channels: int, seed: int = 0) -> Pixels:
    """Noise that is soft enough not to overshoot, where orders of the two directions differ."""
    small = noise(height // 8 + 2, width // 8 + 2, 3, seed=seed) // 2 + 64
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image)[..., :channels])


@settings(deadline=None, max_examples=40)
@given(
    st.integers(12, 150),
    st.integers(12, 150),
    st.sampled_from([4, 16, 17, 33, 64, 100]),
    st.sampled_from([1, 3, 4]),
    st.data(),
)
def test_it_is_pillow_s_filter(
    height: int, width: int, side: int, channels: int, data: st.DataObject
) -> None:
    picture = soft(height, width, min(channels, 3))
    if channels == 4:
        picture = np.concatenate([picture, picture[..., :1]], axis=2)
    # Halves, as they come of fractions.
    left, top = data.draw(st.integers(0, width)) / 2, data.draw(st.integers(0, height)) / 2
    right = data.draw(st.integers(int(2 * left) + 8, 2 * width)) / 2 if 2 * left < width else width
    bottom = (
        data.draw(st.integers(int(2 * top) + 8, 2 * height)) / 2 if 2 * top < height else height
    )
    found = lanczos(picture, across=(left, right), down=(top, bottom), side=side)
    assert found.shape == (side, side, channels)
    expected = by_pillow(picture, (left, right), (top, bottom), side)
    # Both round twice, Pillow the other direction first.
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 2
    assert difference.mean() <= 0.5


@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
def test_what_is_even_stays_even(value: int) -> None:
    for length, side in ((7, 64), (100, 64), (675, 256), (64, 4)):
        picture = np.full((length, length, 3), value, np.uint8)
        found = lanczos(picture, across=(0, length), down=(0, length), side=side)
        assert (found == value).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(4, 3000), st.sampled_from([4, 16, 128, 256, 1024]), st.floats(0, 0.4))
def test_sums_are_exact_in_float32_whatever_the_pixels_are(
    length: int, side: int, margin: float
) -> None:
    for block in resampling._band(length, margin * length, (1 - margin) * length, side):
        weights = block.weights.astype(np.int64)
        assert (weights == block.weights).all()
        assert (weights.sum(axis=1) == 2**14).all()
        # Of the first direction, with pixels to 255; then of the second, with what overshot.
        first = 255 * np.abs(weights).sum(axis=1).max()
        assert first < 2**24
        assert (first // 2**14 + 1) * np.abs(weights).sum(axis=1).max() < 2**24


def test_strong_contrasts_are_computed_as_with_whole_numbers() -> None:
    picture = noise(90, 75, 3) // 128 * 255
    found = lanczos(picture, across=(0, 75), down=(0, 90), side=40)
    sums = picture.astype(np.int64)
    for axis, length in ((0, 90), (1, 75)):
        dense = np.zeros((40, length), np.int64)
        for block in resampling._band(length, 0, length, 40):
            dense[block.outputs, block.inputs] = block.weights
        sums = np.moveaxis(np.tensordot(dense, sums, (1, axis)), 0, axis)
        sums = np.rint(sums / 2**14).astype(np.int64)
    assert np.array_equal(found, np.clip(sums, 0, 255))


def test_nothing_beyond_the_picture_is_read() -> None:
    picture = soft(40, 40, 3)
    for edges in ((0.0, 4.0), (36.0, 40.0), (0.0, 40.0)):
        found = lanczos(picture, across=edges, down=edges, side=16)
        assert np.abs(found.astype(int) - by_pillow(picture, edges, edges, 16)).max() <= 2
