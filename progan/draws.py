"""Every random draw of training, as a pure function of (seed, purpose, images shown, attempt).

No generator's hidden state lives from one step to the next, so a run that continues anywhere draws
what an undisturbed run would have drawn. A whole minibatch is drawn at once and then divided among
the processes: a sample's draw depends on its place in the minibatch, not on who computes it.
"""

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor


class Purpose(IntEnum):
    """What a draw is for: each purpose has its own stream of numbers."""

    CRITIC_LATENTS = 1
    GENERATOR_LATENTS = 2
    CRITIC_LABELS = 3
    GENERATOR_LABELS = 4
    MIRROR = 5
    MIXING = 6
    SAMPLES = 7
    SAMPLE_LABELS = 8
    TRUNCATION = 9
    AUGMENTED_REALS = 10
    AUGMENTED_FAKES = 11
    AUGMENTED_GENERATED = 12


def random_numbers(seed: int, purpose: Purpose, nimg: int, attempt: int = 0) -> np.random.Generator:
    """Give the generator of one draw, in a state that depends on the arguments alone.

    Args:
        seed: the run's.
        purpose: what the draw is for.
        nimg: images shown before it.
        attempt: how often the run has gone back to try again with other noise.
    """
    # A counter-based generator: its counter's upper words are free to say where it is used.
    counter = [0, 0, nimg, attempt]
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=counter))


def normal(
    seed: int, purpose: Purpose, nimg: int, shape: tuple[int, ...], *, attempt: int = 0
) -> Tensor:
    """Draw standard normal numbers, float32."""
    numbers = random_numbers(seed, purpose, nimg, attempt)
    return torch.from_numpy(numbers.standard_normal(shape, dtype=np.float32))


def uniform(seed: int, purpose: Purpose, nimg: int, count: int, *, attempt: int = 0) -> Tensor:
    """Draw `count` numbers from [0, 1), float32."""
    numbers = random_numbers(seed, purpose, nimg, attempt)
    return torch.from_numpy(numbers.random(count, dtype=np.float32))


def whole(
    seed: int, purpose: Purpose, nimg: int, count: int, below: int, *, attempt: int = 0
) -> Tensor:
    """Draw `count` whole numbers from 0 to `below` - 1, int64."""
    numbers = random_numbers(seed, purpose, nimg, attempt)
    return torch.from_numpy(numbers.integers(0, below, count))
