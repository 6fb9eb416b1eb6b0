import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from datasets.errors import DatasetError
from tests.tools.metrics.making import Images, parts_of, varied_images
from tools.metrics import ms_ssim as module
from tools.metrics.ms_ssim import Variation, ms_ssim

WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def by_definition(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Compare two images [C, H, W], window by window."""
    result = 1.0
    for scale, weight in enumerate(WEIGHTS):
        last = scale == len(WEIGHTS) - 1
        side = min(11, *first.shape[1:])
        places = np.arange(side) - (side - 1) / 2
        bell = np.exp(-(places**2) / (2 * (side * 1.5 / 11) ** 2))
        window = np.outer(bell, bell) / bell.sum() ** 2
        found = []
        for x, y in zip(first, second, strict=True):
            for row in range(x.shape[0] - side + 1):
                for column in range(x.shape[1] - side + 1):
                    a = x[row : row + side, column : column + side]
                    b = y[row : row + side, column : column + side]
                    mean_a, mean_b = (window * a).sum(), (window * b).sum()
                    variance_a = (window * (a - mean_a) ** 2).sum()
                    variance_b = (window * (b - mean_b) ** 2).sum()
                    covariance = (window * (a - mean_a) * (b - mean_b)).sum()
                    brightness = (2 * mean_a * mean_b + 2.55**2) / (mean_a**2 + mean_b**2 + 2.55**2)
                    contrast = (2 * covariance + 7.65**2) / (variance_a + variance_b + 7.65**2)
                    found.append(contrast * brightness if last else contrast)
        result *= max(0.0, float(np.mean(found))) ** weight
        first, second = halved(first), halved(second)
    return result


def halved(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average 2×2 pixels as the release of the paper does, with SciPy."""
    kernel = np.ones((1, 2, 2)) / 4
    smooth: NDArray[np.float64] = ndimage.convolve(image, kernel, mode="reflect")
    return smooth[:, ::2, ::2]


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(3, 32, 32), (1, 8, 8), (1, 36, 21), (3, 4, 4), (1, 50, 64)]
)
def test_it_follows_the_definition(channels: int, height: int, width: int) -> None:
    numbers = np.random.default_rng(0)
    first = varied_images(numbers, 2, 64, channels=channels)[:, :, :height, :width]
    noise = numbers.normal(0, 15, first.shape)
    second = np.clip(first[::-1] * 0.4 + first * 0.6 + noise, 0, 255).astype(np.uint8)
    expected = [
        by_definition(a.astype(np.float64), b.astype(np.float64))
        for a, b in zip(first, second, strict=True)
    ]
    assert min(expected) > 0.05
    np.testing.assert_allclose(ms_ssim(first, second), expected, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([4, 16, 64]), st.sampled_from([1, 3]))
def test_an_image_resembles_itself_most(seed: int, side: int, channels: int) -> None:
    numbers = np.random.default_rng(seed)
    first, second = (varied_images(numbers, 3, side, channels=channels) for _ in range(2))
    assert ms_ssim(first, first) == pytest.approx(np.ones(3), abs=1e-12)
    between = ms_ssim(first, second)
    assert ((between >= 0) & (between < 1)).all()
    # It does not matter which is the first, nor how both are turned.
    np.testing.assert_allclose(ms_ssim(second, first), between, rtol=1e-9, atol=1e-12)
    turned = [images[:, :, ::-1].swapaxes(2, 3) for images in (first, second)]
    np.testing.assert_allclose(ms_ssim(*turned), between, rtol=1e-9, atol=1e-12)


def test_a_negative_resembles_nothing() -> None:
    image = varied_images(np.random.default_rng(1), 1, 64)
    assert ms_ssim(image, 255 - image).tolist() == [0]


def test_pairs_do_not_influence_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(2)
    first, second = varied_images(numbers, 7, 32), varied_images(numbers, 7, 32)
    together = ms_ssim(first, second)
    monkeypatch.setattr(module, "_PIXELS_AT_ONCE", 3 * 3 * 32 * 32)
    assert (ms_ssim(first, second) == together).all()
    alone = [ms_ssim(first[[i]], second[[i]])[0] for i in range(7)]
    assert alone == together.tolist()
    assert (ms_ssim(torch.from_numpy(first), torch.from_numpy(second)) == together).all()
    assert ms_ssim(first[:0], second[:0]).shape == (0,)


def test_images_that_cannot_be_paired_are_refused() -> None:
    images = varied_images(np.random.default_rng(3), 3, 16)
    with pytest.raises(DatasetError, match="bring all to one size"):
        ms_ssim(images, images[:, :, :8, :8])
    with pytest.raises(ValueError, match="3 images cannot be paired with 2"):
        ms_ssim(images, images[:2])


def measured(images: Images, sizes: list[int], **options: int) -> Variation:
    variation = Variation(**options)
    for part in parts_of(images, sizes):
        variation.add(part)
    return variation


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(0, 20))
def test_parts_do_not_matter(sizes: list[int], waiting: int) -> None:
    images = varied_images(np.random.default_rng(4), 21, 8)
    memory = waiting * images[0].nbytes
    result = measured(images, sizes, memory=memory).result()
    assert result == measured(images, [21], memory=memory).result()


@pytest.mark.parametrize("waiting", [0, 3, 100])
@pytest.mark.parametrize("count", [2, 3, 20, 21])
def test_every_image_has_one_partner(
    count: int, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, axis=1)
    pairs: list[tuple[int, int]] = []

    def note(first: Images, second: Images) -> NDArray[np.float64]:
        pairs.extend(zip(first[:, 0, 0, 0].tolist(), second[:, 0, 0, 0].tolist(), strict=True))
        return np.ones(len(first))

    monkeypatch.setattr(module, "ms_ssim", note)
    variation = measured(images, [4], memory=3 * waiting)
    variation.result()
    assert variation.pairs == len(pairs) == count // 2
    assert len({image for pair in pairs for image in pair}) == 2 * len(pairs)


def test_partners_depend_on_the_seed_and_not_on_the_order_of_a_few() -> None:
    images = varied_images(np.random.default_rng(5), 40, 8)
    found = {measured(images, [40], seed=seed).result().value for seed in range(5)}
    assert len(found) == 5


def test_the_uncertainty_is_the_scatter_between_seeds_and_samples() -> None:
    numbers = np.random.default_rng(6)
    results = [measured(varied_images(numbers, 60, 8), [60]).result() for _ in range(40)]
    spread = np.std([result.value for result in results], ddof=1)
    told = np.mean([result.uncertainty or math.nan for result in results])
    assert told == pytest.approx(spread, rel=0.4)


def test_images_beyond_twice_the_pairs_are_left_out() -> None:
    images = varied_images(np.random.default_rng(7), 20, 8)
    variation = measured(images, [7], pairs=6)
    assert variation.pairs == 6
    assert variation.result() == measured(images[:12], [12], pairs=6).result()


def test_variation_needs_two_images() -> None:
    images = varied_images(np.random.default_rng(8), 3, 16)
    for few in (Variation(), measured(images[:1], [1])):
        with pytest.raises(DatasetError, match="at least 2 generated images"):
            few.result()
    assert measured(images[:2], [1]).result().uncertainty is None
    with pytest.raises(DatasetError, match="bring all to one size"):
        measured(images, [3]).add(images[:, :, :8, :8])
