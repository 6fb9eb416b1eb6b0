"""How near does the exact search come to the matrix product that it is?

    python -m benchmarks.neighbours [--images 10000] [--training 70000]

Searches the nearest of as many training images (pixels at 32×32, and their mirror images) for as
many images, and times the plain product of such float32 vectors in between. Prints both rates,
their ratio, and the memory that the process took at most.
"""

import resource
import time

import click
import numpy as np
import torch
from numpy.typing import NDArray

from tools.memorization.features import PixelSpace
from tools.memorization.search import Both, at_once, nearest

Pixels = NDArray[np.uint8]
_SIDE = 32
_FACTORS = 64


def pictures(count: int, seed: int) -> Pixels:
    """Make pictures that are mixtures of a few, as faces are, uint8 [count, 32, 32, 3]."""
    parts = np.random.default_rng(0).normal(0, 1, (_FACTORS, _SIDE * _SIDE * 3)).astype(np.float32)
    chance = np.random.default_rng(seed)
    found = np.empty((count, _SIDE, _SIDE, 3), np.uint8)
    for start in range(0, count, 4096):
        size = min(4096, count - start)
        mixed = chance.normal(0, 1, (size, _FACTORS)).astype(np.float32) @ parts
        mixed += chance.normal(0, 2, mixed.shape).astype(np.float32)
        found[start : start + size] = np.clip(128 + 5 * mixed, 0, 255).reshape(
            size, *found.shape[1:]
        )
    return found


class Training:
    """Training pictures as vectors."""

    def __init__(self, pixels: Pixels, space: PixelSpace) -> None:
        self._pixels, self._space = pixels, space
        self.count, self.length = len(pixels), pixels[0].size

    def read(self, start: int, stop: int) -> Both:
        """Give a stretch and its mirror images."""
        part = self._pixels[start:stop]
        return self._space.vectors(part), self._space.vectors(part[:, :, ::-1])


class Product:
    """The plain product of some queries and training vectors, timed again and again.

    Between the stretches of the search, so that whatever else the machine does slows down both.
    """

    def __init__(self, queries: NDArray[np.float32], training: NDArray[np.float32]) -> None:
        self._queries, self._training = torch.from_numpy(queries), torch.from_numpy(training)
        self._out = torch.empty(len(queries), len(training))
        self._work = 2 * self._queries.numel() * len(training)
        self.seconds, self.times = 0.0, 0

    def __call__(self, pairs: int) -> None:
        """Time it once."""
        began = time.perf_counter()
        torch.mm(self._queries, self._training.T, out=self._out)
        self.seconds += time.perf_counter() - began
        self.times += 1

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self._work * self.times / self.seconds


@click.command()
@click.option("--images", default=10_000, show_default=True)
@click.option("--training", default=70_000, show_default=True)
@click.option("--nearest", "wanted", default=5, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
def main(images: int, training: int, wanted: int, threads: int) -> None:
    """Time the search and the product."""
    torch.set_num_threads(threads)
    space = PixelSpace(_SIDE)
    searched = Training(pictures(training, 1), space)
    queries = space.vectors(pictures(images, 2))
    size = at_once(searched.length)
    product = Product(queries[:size], searched.read(0, min(size, training))[0])
    began = time.perf_counter()
    nearest(queries, searched, wanted, advance=product)
    took = time.perf_counter() - began - product.seconds
    plain = product.rate
    rate = 2 * queries.size * 2 * training / took
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    click.echo(
        f"{images:,} images, {training:,} training images and their mirror images, "
        f"{searched.length} numbers each, {threads} threads\n"
        f"plain product: {plain / 1e9:7.1f} GFLOP/s\n"
        f"search:        {rate / 1e9:7.1f} GFLOP/s ({took:.0f} s) = {rate / plain:.0%} of it\n"
        f"memory:        {memory:.2f} GiB at most"
    )


if __name__ == "__main__":
    main()
