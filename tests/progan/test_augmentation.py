"""Augmentations: what each does to an image, that they pass derivatives, and that p follows r."""

import numpy as np
import pytest
import torch
from torch import Tensor

from progan import config
from progan.adaptation import MOST_PROBABLE, Adaptation
from progan.augmentation import DRAWS, KINDS, augment, colour, cutout, translation


def images(count: int = 6, side: int = 8, channels: int = 3) -> Tensor:
    random = torch.Generator().manual_seed(2)
    return torch.randn(count, channels, side, side, generator=random, dtype=torch.float64)


def chances(count: int = 6, columns: int = DRAWS, seed: int = 3) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, columns, generator=random)


@pytest.mark.parametrize("side", [4, 8, 32])
def test_translation_moves_whole_pixels_and_brings_in_grey(side: int) -> None:
    most = max(1, side // 8)
    given = images(1, side)
    seen = set()
    for down in range(2 * most + 1):
        for right in range(2 * most + 1):
            where = torch.tensor([[down + 0.5, right + 0.5]]) / (2 * most + 1)
            moved = translation(given, where)[0]
            y, x = down - most, right - most
            padded = np.pad(given[0].numpy(), ((0, 0), (most, most), (most, most)))
            expected = padded[:, most + y : most + y + side, most + x : most + x + side]
            np.testing.assert_array_equal(moved.numpy(), expected)
            seen.add((y, x))
    assert len(seen) == (2 * most + 1) ** 2


def test_cutout_removes_a_square_of_half_the_side() -> None:
    given = torch.ones(2, 3, 8, 8)
    cut = cutout(given, torch.tensor([[4.5 / 9, 4.5 / 9], [0.0, 0.999]]))
    middle = torch.ones(8, 8)
    middle[2:6, 2:6] = 0
    corner = torch.ones(8, 8)
    corner[:2, 6:] = 0
    for image, expected in zip(cut, (middle, corner), strict=True):
        assert all(torch.equal(channel, expected) for channel in image)


def test_colour_changes_brightness_saturation_and_contrast() -> None:
    given = images(1)
    same = torch.tensor([[0.5, 0.5, 0.5]])
    torch.testing.assert_close(colour(given, same), given)
    brighter = colour(given, torch.tensor([[0.75, 0.5, 0.5]]))
    torch.testing.assert_close(brighter, given + 0.25)
    grey = colour(given, torch.tensor([[0.5, 0.0, 0.5]]))
    torch.testing.assert_close(grey, given.mean(dim=1, keepdim=True).expand_as(given))
    flat = colour(given, torch.tensor([[0.5, 0.5, 0.0]]))
    torch.testing.assert_close(flat.std() / given.std(), torch.tensor(0.5).double())
    torch.testing.assert_close(flat.mean(), given.mean())


@pytest.mark.parametrize("kinds", [(kind,) for kind in KINDS] + [KINDS])
def test_derivatives_of_both_orders_pass_through(kinds: tuple[str, ...]) -> None:
    given = images(2, 4).requires_grad_()
    draws = chances(2).double()

    def changed(x: Tensor) -> Tensor:
        return augment(x, draws, kinds, 1.0)

    assert torch.autograd.gradcheck(changed, given)
    # Of a square, so that there is a second derivative.
    assert torch.autograd.gradgradcheck(lambda x: changed(x).square(), given)


def test_images_that_no_kind_meets_are_the_same_to_the_bit() -> None:
    given, draws = images(), chances()
    assert torch.equal(augment(given, draws, KINDS, 0.0), given)
    assert torch.equal(augment(given, draws, (), 1.0), given)
    all_changed = augment(given, draws, KINDS, 1.0)
    some_changed = augment(given, draws, ("cutout",), torch.tensor(0.5))
    for image, expected, always in zip(some_changed, given, all_changed, strict=True):
        assert not torch.equal(always, expected)
        assert torch.equal(image, expected) or (image == 0).any()
    met = [not torch.equal(one, other) for one, other in zip(some_changed, given, strict=True)]
    assert met == (draws[:, 7] < 0.5).tolist() and any(met) and not all(met)


def test_a_kind_is_applied_with_its_probability_and_apart_from_the_others() -> None:
    given = torch.ones(4000, 1, 4, 4)
    draws = chances(4000)
    shifted = (augment(given, draws, ("translation",), 0.3) != given).flatten(1).any(1)
    # One of nine shifts moves nothing.
    assert abs(shifted.double().mean().item() - 0.3 * 8 / 9) < 0.03
    cut = (augment(given, draws, ("cutout",), 0.3) != given).flatten(1).any(1)
    both = (shifted & cut).double().mean().item()
    assert abs(both - 0.3 * 0.3 * 8 / 9) < 0.03


def test_grey_images_and_half_precision_are_augmented_too() -> None:
    given = images(4, 8, channels=1).to(torch.bfloat16)
    changed = augment(given, chances(4), KINDS, 1.0)
    assert changed.dtype == torch.bfloat16 and changed.shape == given.shape
    assert bool(torch.isfinite(changed).all())


def test_the_kinds_are_those_that_the_configuration_names() -> None:
    assert KINDS == config.AUGMENTATIONS


def test_the_probability_follows_how_sure_the_critic_is() -> None:
    adaptation = Adaptation(0.6, kimg=1.0, device=torch.device("cpu"))

    def after(sign: float, images: int, times: int = 1) -> float:
        for _ in range(times):
            adaptation.note(torch.tensor(sign - 0.05))
            adaptation.note(torch.tensor(sign + 0.05))
            adaptation.follow(images)
        return adaptation.probability.item()

    assert after(0.62, 32, times=10) == pytest.approx(0.32)
    assert after(0.58, 100) == pytest.approx(0.22)
    assert after(float("nan"), 100) == pytest.approx(0.22)
    assert after(1.0, 100, times=20) == pytest.approx(MOST_PROBABLE)
    assert after(-1.0, 100, times=20) == 0
