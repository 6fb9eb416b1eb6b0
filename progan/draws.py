"""Every random draw of training, as a pure function of (seed, purpose, images shown).

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


def random_numbers(seed: int, purpose: Purpose, nimg: int) -> np.random.Generator:
    """Give the generator of one draw, in a state that depends on the arguments alone."""
    # A counter-based generator: its counter's upper words are free to say where it is used.
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=[0, 0, nimg, 0]))


def normal(seed: int, purpose: Purpose, nimg: int, shape: tuple[int, ...]) -> Tensor:
    """Draw standard normal numbers, float32."""
    numbers = random_numbers(seed, purpose, nimg).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(numbers)


def uniform(seed: int, purpose: Purpose, nimg: int, count: int) -> Tensor:
    """Draw `count` numbers from [0, 1), float32."""
    return torch.from_numpy(random_numbers(seed, purpose, nimg).random(count, dtype=np.float32))


def whole(seed: int, purpose: Purpose, nimg: int, count: int, below: int) -> Tensor:
    """Draw `count` whole numbers from 0 to `below` - 1, int64."""
    return torch.from_numpy(random_numbers(seed, purpose, nimg).integers(0, below, count))
