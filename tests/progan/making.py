"""Images without files, and small runs, for the tests of training."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from progan.config import Config


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small would spend their time on waking threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Patterns:
    """Endless images that are a function of their position; every one is different."""

    def __init__(self, *, classes: int = 0, channels: int = 3) -> None:
        self.labels = np.arange(30) % classes if classes else None
        self.channels = channels

    def minibatch(
        self, level: int, position: int, count: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
        size = 2**level
        y, x = np.mgrid[:size, :size] / size
        images = []
        for number in range(position, position + count):
            phase = np.modf(number * 0.6180339887)[0]
            wave = np.sin(6.28 * (x * (1 + number % 3) + phase)) * np.cos(6.28 * y - phase)
            colours = [127.5 + 100 * wave * np.cos(c + number) for c in range(self.channels)]
            images.append(np.stack(colours, axis=-1).astype(np.uint8))
        labels = None
        if self.labels is not None:
            labels = self.labels[np.arange(position, position + count) % len(self.labels)]
        return np.stack(images), labels


def small_config(**changes: Any) -> Config:
    """A run that goes through all its phases, from 4 to 16 pixels, in 18 rounds of 16 images."""
    settings: dict[str, Any] = {
        "resolution": 16,
        "fmap_base": 32,
        "fmap_max": 8,
        "minibatch": "8",
        "minibatch_repeats": 2,
        "fade_kimg": "0.064",
        "hold_kimg": "0.048",
        "kimg": 0.288,
        "learning_rate": "0.01",
        "seed": 5,
    }
    return Config(**(settings | changes))
