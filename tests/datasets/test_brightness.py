"""What numbers without a declared range mean: read as they are meant, or refused."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from datasets.brightness import find_range, from_bits
from datasets.errors import UnusableError
from datasets.framing import upright
from tests.datasets.making import file_bytes

Numbers = NDArray[Any]


def photograph(*shape: int) -> Numbers:
    """Numbers from 0 to 1 as a picture has them."""
    return np.random.default_rng(0).beta(2, 2, shape or (20, 20))


def shown(numbers: Numbers) -> Numbers:
    data = file_bytes(Image.fromarray(numbers), "TIFF")
    return upright(data, 1)[..., 0].astype(np.float64)


@pytest.mark.parametrize("white", [1, 255, 65535])
@pytest.mark.parametrize("above", [0.0, 0.004, 0.05, 0.1])
@pytest.mark.parametrize("below", [0.0, 0.004, 0.1])
def test_what_resampling_overshoots_is_clipped(white: float, above: float, below: float) -> None:
    numbers = photograph() * white
    numbers[0, 0], numbers[7, 3] = -below * white, (1 + above) * white
    expected = np.clip(255 * numbers / white, 0, 255)
    assert np.abs(shown(numbers.astype(np.float32)) - expected).max() <= 0.51


def test_a_pixel_above_1_changes_no_other() -> None:
    numbers = np.full((8, 8), 0.5, np.float32)
    plain = shown(numbers)
    for most in (1.0, 1.0001, 1.004, 1.02, 1.1):
        numbers[0, 0] = most
        result = shown(numbers)
        assert result[0, 0] == 255
        assert np.array_equal(result[1:], plain[1:])
    assert plain[0, 0] == 128


@pytest.mark.parametrize("most", [1.5, 2.0, 10.0, 100.0, 300.0, 1023.0, 4095.0, 16383.0, 200_000.0])
def test_ranges_that_are_unclear_are_refused(most: float) -> None:
    numbers = photograph() * most
    numbers[0, 0] = most
    with pytest.raises(UnusableError, match="brightness"):
        shown(numbers.astype(np.float32))


@pytest.mark.parametrize("spot", [5.0, 200.0, 255.0, 60_000.0])
def test_a_bright_spot_does_not_tell_what_white_is(spot: float) -> None:
    numbers = photograph()
    numbers[3, 3] = spot
    with pytest.raises(UnusableError, match="unclear range"):
        shown(numbers.astype(np.float32))
    numbers = 200 * photograph()
    numbers[3, 3] = 60_000
    with pytest.raises(UnusableError, match="unclear range"):
        shown(numbers.astype(np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("white", [1, 255])
def test_what_is_no_number_is_refused(value: float, white: int) -> None:
    numbers = photograph(700, 900) * white
    numbers[-1, -1] = value
    with pytest.raises(UnusableError, match="brightness that is infinite or not a number"):
        shown(numbers.astype(np.float32))


@pytest.mark.parametrize("least", [-0.2, -1.0, -1e30])
def test_far_below_black_is_refused(least: float) -> None:
    numbers = photograph()
    numbers[0, 0] = least
    with pytest.raises(UnusableError, match="brightness outside 0 to 65535"):
        shown(numbers.astype(np.float32))


@pytest.mark.parametrize(
    ("most", "white"), [(0, 255), (2, 255), (100, 255), (255, 255), (20_000, 65535), (65535, 65535)]
)
def test_whole_numbers(most: int, white: int) -> None:
    numbers = np.random.default_rng(1).integers(0, most, (20, 20), endpoint=True)
    numbers[0, 0] = most
    for kind in (np.int32, np.float32):
        result = shown(numbers.astype(kind))
        assert np.abs(result - 255 * numbers / white).max() <= 0.51


@pytest.mark.parametrize("most", [1, 256, 300, 1023, 4095, 16383, 65536, 2**31 - 1])
def test_whole_numbers_of_an_unclear_range_are_refused(most: int) -> None:
    numbers = np.random.default_rng(1).integers(0, most, (20, 20), dtype=np.int32, endpoint=True)
    numbers[0, 0] = most
    with pytest.raises(UnusableError, match="brightness"):
        shown(numbers)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
@pytest.mark.parametrize("most", [1, 30, 63])
def test_8_bits_made_16_are_told_by_their_numbers(most: int, kind: type) -> None:
    bytes_ = np.random.default_rng(1).integers(0, most, (20, 20), endpoint=True)
    bytes_[0, 0] = most
    assert np.array_equal(shown((257 * bytes_).astype(kind)), bytes_)


def test_black_and_white_in_floating_point() -> None:
    numbers = (photograph() > 0.5).astype(np.float32)
    assert np.array_equal(shown(numbers), 255 * numbers)
    assert (shown(np.ones((8, 8), np.float32)) == 255).all()
    assert (shown(np.zeros((8, 8), np.float32)) == 0).all()


def test_negative_whole_numbers_are_refused() -> None:
    numbers = np.full((8, 8), 100, np.int32)
    numbers[0, 0] = -1
    with pytest.raises(UnusableError, match="brightness outside"):
        shown(numbers)


@given(st.integers(1, 16), st.booleans())
def test_every_sample_of_every_depth_is_rounded(bits: int, inverted: bool) -> None:
    table = from_bits(bits, inverted=inverted)
    exact = 255 * np.arange(2**bits) / (2**bits - 1)
    assert np.abs(table - (255 - exact if inverted else exact)).max() <= 0.5
    assert set(table[[0, -1]].tolist()) == {0, 255}


def test_the_pieces_of_a_picture_are_judged_together() -> None:
    dark, light = 0.3 * photograph(), 254.0 * photograph()
    with pytest.raises(UnusableError, match="unclear"):
        find_range(lambda: iter([dark * 30]))
    found = find_range(lambda: iter([dark, light + 1, dark]))
    assert found.white == 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found.to_8_bits(np.array([-1.0, 0.0, 254.6, 300.0])).tolist() == [0, 0, 255, 255]
