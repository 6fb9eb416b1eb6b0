import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from tests.tools.metrics.making import varied_images
from tools.metrics import laplacian

BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16


def mirrored(place: int, side: int) -> int:
    """Where a pixel outside of an image is found: …2 1 | 0 1 2 … n-2 n-1 | n-2 …"""
    place = abs(place)
    return place if place < side else 2 * (side - 1) - place


def filtered(image: NDArray[np.float64], row: int, column: int) -> float:
    """Filter an image [H, W] at one pixel, by the definition."""
    height, width = image.shape
    return float(
        sum(
            BINOMIAL[i] * BINOMIAL[j]
            * image[mirrored(row + i - 2, height), mirrored(column + j - 2, width)]
            for i in range(5)
            for j in range(5)
        )
    )  # fmt: skip


def down_by_definition(image: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = image.shape
    return np.array(
        [[filtered(image, r, c) for c in range(0, width, 2)] for r in range(0, height, 2)]
    )


def up_by_definition(image: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = image.shape
    spread = np.zeros((2 * height, 2 * width))
    spread[::2, ::2] = image
    return np.array(
        [[4 * filtered(spread, r, c) for c in range(2 * width)] for r in range(2 * height)]
    )


@given(st.integers(0, 10**6), st.sampled_from([(4, 4), (4, 8), (8, 6)]))
def test_halving_and_doubling_follow_the_definition(seed: int, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(seed).integers(0, 256, shape).astype(np.float64)
    single = image.astype(np.float32)[None, None]
    # Sums of so few bits are exact.
    assert (laplacian.down(single)[0, 0] == down_by_definition(image)).all()
    assert (laplacian.up(single)[0, 0] == up_by_definition(image)).all()


def test_a_pyramid_follows_the_definition_at_every_level() -> None:
    images = varied_images(np.random.default_rng(0), 2, 128)
    kernel = np.outer(BINOMIAL, BINOMIAL)[None, None]
    expected, image = [], images.astype(np.float64)
    for _ in range(3):
        # SciPy's "mirror" is OpenCV's BORDER_REFLECT_101.
        smaller = ndimage.convolve(image, kernel, mode="mirror")[:, :, ::2, ::2]
        spread = np.zeros_like(image)
        spread[:, :, ::2, ::2] = smaller
        expected.append(image - ndimage.convolve(spread, 4 * kernel, mode="mirror"))
        image = smaller
    found = laplacian.pyramid(images.astype(np.float32))
    assert [level.shape[-1] for level in found] == laplacian.sides(128) == [128, 64, 32, 16]
    for level, right in zip(found, [*expected, image], strict=True):
        np.testing.assert_allclose(level, right, rtol=0, atol=1e-4)
        assert level.flags.c_contiguous
    assert (found[0] == expected[0]).all()


def test_a_pyramid_holds_the_whole_image() -> None:
    images = varied_images(np.random.default_rng(1), 3, 64).astype(np.float32)
    *fine, image = laplacian.pyramid(images)
    for level in reversed(fine):
        image = level + laplacian.up(image)
    np.testing.assert_allclose(image, images, rtol=0, atol=1e-4)


def test_an_even_surface_has_no_fine_levels() -> None:
    *fine, coarse = laplacian.pyramid(np.full((1, 1, 64, 64), 77, np.float32))
    assert all((level == 0).all() for level in fine)
    assert (coarse == 77).all()


def test_the_coarsest_image_is_its_own_pyramid() -> None:
    image = varied_images(np.random.default_rng(2), 1, 16).astype(np.float32)
    (level,) = laplacian.pyramid(image)
    assert (level == image).all()


def test_rows_and_columns_are_treated_alike() -> None:
    image = varied_images(np.random.default_rng(3), 1, 32).astype(np.float32)
    turned = laplacian.pyramid(np.ascontiguousarray(image.swapaxes(2, 3)))
    for level, other in zip(laplacian.pyramid(image), turned, strict=True):
        np.testing.assert_allclose(level.swapaxes(2, 3), other, rtol=0, atol=1e-4)
