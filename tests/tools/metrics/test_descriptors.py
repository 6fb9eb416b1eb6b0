import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.tools.metrics.making import varied_images
from tools.metrics.descriptors import PATCH, PATCHES, Side, corners, cut


@given(
    st.integers(0, 2**64 - 1), st.integers(0, 3000), st.integers(1, 5), st.sampled_from([16, 128])
)
def test_places_depend_on_the_image_alone(seed: int, first: int, count: int, side: int) -> None:
    together = corners(seed, Side.FAKES, side, first, count)
    for image in range(count):
        alone = corners(seed, Side.FAKES, side, first + image, 1)
        assert (alone[0][0] == together[0][image]).all()
        assert (alone[1][0] == together[1][image]).all()


def test_places_differ_between_seeds_sides_levels_and_images() -> None:
    drawn = [
        corners(seed, side, level, first, 1)[0] / (level - PATCH)
        for seed in (0, 1)
        for side in Side
        for level in (16, 32)
        for first in (0, 1)
    ]
    for number, some in enumerate(drawn):
        for others in drawn[:number]:
            assert np.abs(some - others).mean() > 0.2  # 1/3 for independent ones.


@pytest.mark.parametrize("side", [16, 64])
def test_all_places_within_an_image_are_equally_likely(side: int) -> None:
    rows, columns = corners(7, Side.REALS, side, 0, 500)
    places = side - PATCH + 1
    counts = np.bincount((rows * places + columns).ravel(), minlength=places**2)
    assert counts.shape == (places**2,)
    # Fails for one seed in a million.
    assert stats.chisquare(counts).pvalue > 1e-6


def test_patches_are_what_stands_there() -> None:
    images = varied_images(np.random.default_rng(0), 3, 16).astype(np.float32)
    rows, columns = corners(0, Side.REALS, 16, 0, 3)
    found = cut(images, rows, columns)
    assert found.shape == (3, PATCHES, 3, PATCH, PATCH)
    for image, patch in [(0, 0), (1, 17), (2, PATCHES - 1)]:
        top, left = rows[image, patch], columns[image, patch]
        expected = images[image, :, top : top + PATCH, left : left + PATCH]
        assert (found[image, patch] == expected).all()
