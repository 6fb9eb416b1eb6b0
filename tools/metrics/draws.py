"""Every random draw of the metrics, as a pure function of (seed, purpose, place).

What is drawn for an image depends on its number and not on the batch that it came in, so a result
does not depend on how the images were divided.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError

# A Philox counter step gives so many words of 64 bits.
WORDS_A_STEP = 4


class Purpose(IntEnum):
    """What a draw is for: each purpose has its own stream of numbers."""

    PATCHES = 101
    DIRECTIONS = 102
    GROUPS = 103
    PAIRS = 104
    SUBSETS = 105
    MIRROR = 106


def checked(seed: int) -> int:
    """Give the seed back.

    Raises:
        DatasetError: it does not lie from 0 to 2**64 - 1.
    """
    if not 0 <= seed < 2**64:
        raise DatasetError(f"The seed {seed} does not lie from 0 to 2**64 - 1.")
    return seed


def bits(
    seed: int, purpose: Purpose, count: int, *, step: int = 0, place: tuple[int, int] = (0, 0)
) -> NDArray[np.uint64]:
    """Draw random words.

    Args:
        seed: 0 to 2**64 - 1.
        purpose: what they are for.
        count: how many.
        step: where to start in the stream, in steps of `WORDS_A_STEP` words.
        place: which of the purpose's streams; all are independent of one another.

    Returns:
        uint64 [count], each uniform over all values.
    """
    return _philox(seed, purpose, step, place).random_raw(count)


def order(
    seed: int, purpose: Purpose, count: int, *, place: tuple[int, int] = (0, 0)
) -> NDArray[np.int64]:
    """Shuffle the numbers 0 … count - 1."""
    return np.argsort(bits(seed, purpose, count, place=place), kind="stable")


def normal(
    seed: int, purpose: Purpose, shape: tuple[int, ...], *, place: tuple[int, int] = (0, 0)
) -> NDArray[np.float64]:
    """Draw standard normal numbers."""
    return np.random.Generator(_philox(seed, purpose, 0, place)).standard_normal(shape)


def below(words: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """Turn words of 32 random bits into whole numbers from 0 to limit - 1; limit <= 2**31.

    By the high half of a product: no division, and no value is favoured by more than
    limit / 2**32.
    """
    return ((words * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)


def _philox(seed: int, purpose: Purpose, step: int, place: tuple[int, int]) -> np.random.Philox:
    key = np.array([checked(seed), purpose], np.uint64)
    # Counter-based: the counter's upper words are free to say where the draw is used.
    return np.random.Philox(key=key, counter=np.array([step, 0, *place], np.uint64))
