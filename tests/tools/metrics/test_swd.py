import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from datasets.errors import DatasetError
from tests.tools.metrics.making import Images, parts_of, varied_images
from tools.metrics import descriptors, laplacian
from tools.metrics import swd as swd_module
from tools.metrics.descriptors import PATCH, PATCHES, Descriptors, Side, corners
from tools.metrics.swd import SlicedWasserstein, directions, distances, swd


def by_definition(reals: Images, fakes: Images, seed: int) -> dict[str, float]:
    """The distance written down in the order of the paper, in float64, one image after another."""
    values = {}
    for resolution in laplacian.sides(reals.shape[-1]):
        clouds = []
        for side, images in ((Side.REALS, reals), (Side.FAKES, fakes)):
            patches = []
            for number, image in enumerate(images):
                level = next(
                    level[0]
                    for level in laplacian.pyramid(image[None].astype(np.float32))
                    if level.shape[-1] == resolution
                )
                places = corners(seed, side, resolution, number, 1)
                for top, left in zip(places[0][0], places[1][0], strict=True):
                    patches.append(level[:, top : top + PATCH, left : left + PATCH])
            cloud = np.array(patches, np.float64)
            cloud -= cloud.mean(axis=(0, 2, 3), keepdims=True)
            cloud /= cloud.std(axis=(0, 2, 3), keepdims=True)
            clouds.append(cloud.reshape(len(cloud), -1))
        unit = directions(seed, resolution, clouds[0].shape[1]).astype(np.float64)
        first, second = (np.sort(cloud @ unit.T, axis=0) for cloud in clouds)
        values[str(resolution)] = 1000 * np.abs(first - second).mean()
    return values | {"mean": np.mean(list(values.values()))}


def measured(
    reals: Images, fakes: Images, sizes: Sequence[int], **options: int
) -> tuple[dict[str, float], dict[str, float | None]]:
    with SlicedWasserstein(**options) as distance:
        for part in parts_of(fakes, sizes):
            distance.add_fakes(part)
        for part in parts_of(reals, sizes[::-1]):
            distance.add_reals(part)
        found = distance.result()
    values = {name: estimate.value for name, estimate in found.items()}
    return values, {name: estimate.uncertainty for name, estimate in found.items()}


@pytest.mark.parametrize("channels", [1, 3])
def test_it_follows_the_definition(channels: int) -> None:
    numbers = np.random.default_rng(0)
    reals = varied_images(numbers, 6, 64, channels=channels)
    fakes = varied_images(numbers, 6, 64, channels=channels, contrast=2)
    found = swd(reals, fakes, seed=5)
    assert list(found) == ["64", "32", "16", "mean"]
    assert found == pytest.approx(by_definition(reals, fakes, 5), rel=1e-5)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.sampled_from([0, 10**6, 2**30]))
def test_neither_parts_nor_memory_matter(sizes: list[int], memory: int) -> None:
    numbers = np.random.default_rng(1)
    reals, fakes = varied_images(numbers, 9), varied_images(numbers, 9)
    # Also where threads get one image each, or all of them.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descriptors, "_PIXELS_AT_ONCE", 32 * 32 * sizes[0])
        found = measured(reals, fakes, sizes, memory=memory)
    assert found == measured(reals, fakes, [9])
    assert found[0] == swd(reals, fakes)


def test_little_room_for_projections_changes_nothing_but_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = np.random.default_rng(2)
    reals, fakes = varied_images(numbers, 5, 16), varied_images(numbers, 5, 16, contrast=2)
    usual = swd(reals, fakes)
    monkeypatch.setattr(swd_module, "_MOST_PROJECTIONS", 5 * PATCHES * 100)
    monkeypatch.setattr(swd_module, "_PATCHES_AT_ONCE", 77)
    assert swd(reals, fakes) == pytest.approx(usual, rel=1e-6)


@pytest.mark.parametrize("length", [1, 49, 147])
def test_directions_are_unit_vectors_that_favour_no_side(length: int) -> None:
    found = directions(3, 16, length).astype(np.float64)
    assert found.shape == (512, length)
    np.testing.assert_allclose((found**2).sum(axis=1), 1, rtol=1e-6)
    # Of 512 on the sphere, each coordinate has the mean 0 ± 1/√(512·length), its square 1/length.
    assert np.abs(found.mean(axis=0)).max() < 5 / np.sqrt(512 * length)
    assert (found**2).mean() == pytest.approx(1 / length, rel=1e-6)
    if length > 1:
        assert not np.array_equal(found, directions(4, 16, length))
        assert not np.array_equal(found, directions(3, 32, length))


def test_tensors_do_as_well() -> None:
    numbers = np.random.default_rng(3)
    reals, fakes = varied_images(numbers, 3, 16), varied_images(numbers, 3, 16)
    assert swd(torch.from_numpy(reals), torch.from_numpy(fakes)) == swd(reals, fakes)


def cloud_of(patches: NDArray[np.float32]) -> Descriptors:
    """Descriptors of patches [images, PATCHES, C, PATCH, PATCH]."""
    wide = patches.astype(np.float64)
    return Descriptors(
        rows=patches.reshape(len(patches), -1),
        sums=wide.sum(axis=(1, 3, 4)),
        squares=(wide**2).sum(axis=(1, 3, 4)),
    )


def test_equal_patches_have_no_distance() -> None:
    numbers = np.random.default_rng(4)
    patches = numbers.normal(100, 20, (4, PATCHES, 3, PATCH, PATCH)).astype(np.float32)
    along = directions(0, 16, 3 * PATCH * PATCH)
    # In another order, and with other brightness and contrast of each channel.
    scale = np.array([1, 2, 0.5], np.float32)[:, None, None]
    changed = patches[::-1] * scale + 5
    with ThreadPoolExecutor(1) as pool:
        same = distances(cloud_of(patches), cloud_of(patches.copy()), along, pool)
        found = distances(cloud_of(patches), cloud_of(changed), along, pool)
    assert (same == 0).all()
    assert np.abs(found).max() < 1e-5


def test_known_distributions_have_their_known_distance() -> None:
    # One channel, of which every pixel of a patch is equal: its projections are all alike but for
    # a factor, and the distance is that of the pixels' distributions.
    count = 64
    middle = (np.arange(count * PATCHES) + 0.5) / (count * PATCHES)
    shapes = stats.uniform.ppf(middle), stats.norm.ppf(middle)
    along = directions(0, 16, PATCH * PATCH)
    clouds = []
    for shape in shapes:
        pixels = np.random.default_rng(0).permutation(shape).reshape(count, PATCHES, 1, 1, 1)
        clouds.append(cloud_of(pixels.repeat(PATCH, 3).repeat(PATCH, 4).astype(np.float32)))
    with ThreadPoolExecutor(1) as pool:
        found = distances(clouds[0], clouds[1], along, pool)
    # Of standardized uniform and normal numbers: ∫ |√12 (p - ½) - Φ⁻¹(p)| dp.
    fine = (np.arange(10**6) + 0.5) / 10**6
    known = np.abs(np.sqrt(12) * (fine - 0.5) - stats.norm.ppf(fine)).mean()
    factors = np.abs(along.astype(np.float64).sum(axis=1))
    np.testing.assert_allclose(found, known * factors, rtol=2e-3)


@pytest.fixture
def few_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make measuring many times affordable."""
    monkeypatch.setattr(swd_module, "DIRECTIONS", 64)


@pytest.mark.usefixtures("few_directions")
def test_between_equal_distributions_it_falls_with_the_root_of_the_number() -> None:
    numbers = np.random.default_rng(5)
    means = []
    for count in (12, 192):
        found = [
            swd(varied_images(numbers, count, 16), varied_images(numbers, count, 16), seed=seed)
            for seed in range(6)
        ]
        means.append(np.mean([values["mean"] for values in found]))
    # √16 times; measured with a standard error of about 15 %.
    assert means[0] / means[1] == pytest.approx(4, rel=0.5)


def test_worse_images_are_farther_away_at_the_level_where_they_are_worse() -> None:
    numbers = np.random.default_rng(6)
    reals, others = varied_images(numbers, 64), varied_images(numbers, 64)
    noise = numbers.normal(0, 40, others.shape)
    noisy = np.clip(others + noise, 0, 255).astype(np.uint8)
    good, bad = swd(reals, others), swd(reals, noisy)
    assert bad["32"] > 1.5 * good["32"]
    assert bad["32"] / good["32"] > bad["16"] / good["16"]


@pytest.mark.usefixtures("few_directions")
@pytest.mark.parametrize("contrast", [1.0, 1.6])
def test_seeds_scatter_no_more_than_the_uncertainty_says(contrast: float) -> None:
    numbers = np.random.default_rng(7)
    reals, fakes = varied_images(numbers, 64), varied_images(numbers, 64, contrast=contrast)
    found = [measured(reals, fakes, [64], seed=seed) for seed in range(8)]
    for name in ("32", "16", "mean"):
        spread = np.std([values[name] for values, _ in found], ddof=1)
        told = [errors[name] for _, errors in found]
        assert spread < 2 * np.mean(np.array(told, np.float64))


@pytest.mark.usefixtures("few_directions")
@pytest.mark.parametrize("contrast", [1.0, 1.6])
def test_samples_scatter_as_the_uncertainty_says(contrast: float) -> None:
    numbers = np.random.default_rng(8)
    found = []
    for seed in range(16):
        reals = varied_images(numbers, 96, 16)
        fakes = varied_images(numbers, 96, 16, contrast=contrast)
        found.append(measured(reals, fakes, [96], seed=seed))
    for name in ("16", "mean"):
        spread = np.std([values[name] for values, _ in found], ddof=1)
        told = float(np.mean(np.array([errors[name] for _, errors in found], np.float64)))
        # The spread of 16 is itself uncertain by a fifth.
        assert spread / 2 < told < 3 * spread


def test_the_larger_side_counts_only_as_far_as_the_smaller_one() -> None:
    numbers = np.random.default_rng(9)
    reals, fakes = varied_images(numbers, 7, 16), varied_images(numbers, 5, 16)
    assert swd(reals, fakes) == swd(reals[:5], fakes)
    with SlicedWasserstein() as distance:
        distance.add_reals(reals)
        assert distance.images == 0
        distance.add_fakes(fakes)
        assert distance.images == 5


def test_images_beyond_the_most_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(10)
    reals, fakes = varied_images(numbers, 9, 16), varied_images(numbers, 9, 16)
    expected = swd(reals[:6], fakes[:6])
    monkeypatch.setattr(descriptors, "MOST_IMAGES", 6)
    values, _ = measured(reals, fakes, [4])
    assert values == expected


def test_even_images_have_distances_too() -> None:
    black = np.zeros((4, 3, 16, 16), np.uint8)
    assert swd(black, black + np.uint8(200))["mean"] == 0
    assert swd(varied_images(np.random.default_rng(11), 4, 16), black)["mean"] > 100


def test_one_image_has_no_uncertainty() -> None:
    images = varied_images(np.random.default_rng(12), 1, 16)
    values, errors = measured(images, images, [1])
    assert values["mean"] > 0
    assert errors == {"16": None, "mean": None}


def test_temporary_files_are_gone_also_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    images = varied_images(np.random.default_rng(13), 3, 16)
    with (
        pytest.raises(DatasetError, match="at least 1 generated image"),
        SlicedWasserstein(memory=0) as distance,
    ):
        distance.add_reals(images)
        distance.result()
    assert list(tmp_path.iterdir()) == []


def blank(count: int, channels: int, height: int, width: int) -> Images:
    return np.zeros((count, channels, height, width), np.uint8)


@pytest.mark.parametrize(
    ("reals", "fakes", "message"),
    [
        (blank(2, 3, 32, 32), blank(2, 3, 16, 16), "16×16 pixels in colour .* 32×32 pixels"),
        (blank(2, 3, 32, 32), blank(2, 1, 32, 32), "in grey cannot be .* in colour"),
        (blank(2, 3, 8, 8), blank(2, 3, 8, 8), "8×8 pixels cannot be divided"),
        (blank(2, 3, 48, 48), blank(2, 3, 48, 48), "48×48 pixels cannot be divided"),
        (blank(2, 3, 32, 16), blank(2, 3, 32, 16), "16×32 pixels cannot be divided"),
        (blank(0, 3, 16, 16), blank(2, 3, 16, 16), "at least 1 real image, and there are none"),
    ],
)
def test_images_that_cannot_be_compared_are_refused(
    reals: Images, fakes: Images, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        swd(reals, fakes)


def test_a_seed_out_of_range_is_refused() -> None:
    with pytest.raises(DatasetError, match="seed -1"):
        SlicedWasserstein(seed=-1)
