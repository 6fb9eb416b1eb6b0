"""Draws are functions of what they are for, and of nothing else."""

import itertools

import numpy as np
import torch

from progan import draws
from progan.draws import Purpose


def test_a_draw_does_not_depend_on_those_before_it() -> None:
    first = draws.normal(1, Purpose.CRITIC_LATENTS, 640, (4, 8))
    draws.normal(1, Purpose.GENERATOR_LATENTS, 0, (100, 8))
    torch.randn(3)
    again = draws.normal(1, Purpose.CRITIC_LATENTS, 640, (4, 8))
    assert torch.equal(first, again)


def test_seed_purpose_and_position_each_give_other_numbers() -> None:
    places = [
        (0, Purpose.CRITIC_LATENTS, 0),
        (1, Purpose.CRITIC_LATENTS, 0),
        (0, Purpose.GENERATOR_LATENTS, 0),
        (0, Purpose.CRITIC_LATENTS, 1),
        (0, Purpose.CRITIC_LATENTS, 16),
        (2**63 - 1, Purpose.CRITIC_LATENTS, 10**9),
    ]
    drawn = [draws.normal(*place, (512,)) for place in places]
    for one, other in itertools.combinations(drawn, 2):
        assert not np.isin(one.numpy(), other.numpy()).any()


def test_neighbouring_positions_do_not_share_a_stretch_of_numbers() -> None:
    # A stream that was merely moved on would give long draws whose parts are the same.
    long = draws.normal(0, Purpose.MIXING, 0, (100_000,)).numpy()
    following = draws.normal(0, Purpose.MIXING, 16, (64,)).numpy()
    assert np.isin(following, long).sum() <= 2


def test_draws_have_their_distributions() -> None:
    normal = draws.normal(5, Purpose.CRITIC_LATENTS, 0, (200_000,))
    assert normal.dtype == torch.float32
    assert abs(normal.mean().item()) < 0.01
    assert abs(normal.std().item() - 1) < 0.01
    uniform = draws.uniform(5, Purpose.MIXING, 0, 200_000)
    assert 0 <= uniform.min().item() < 1e-4
    assert 0.9999 < uniform.max().item() < 1
    whole = draws.whole(5, Purpose.CRITIC_LABELS, 0, 30_000, 3)
    assert (torch.bincount(whole).double() / 10_000 - 1).abs().max() < 0.05
