"""How long the sliced Wasserstein distance takes, and what takes it.

    python -m benchmarks.swd --images 16384 --resolution 128

Images are made up beforehand, so that reading them does not count. Everything else does, the
uncertainty included.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import ParamSpec, TypeVar
from unittest import mock

import click
import numpy as np
from numpy.typing import NDArray

from datasets import door
from datasets.workers import available_processors
from tools.metrics import descriptors, laplacian, swd

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")

# Images that are made up, and those that come at once.
_DIFFERENT = 2048
_BATCH = 256
# What is timed: where it is looked up, under which name, and what it does.
_STAGES = (
    (laplacian, "pyramid", "pyramids"),
    (descriptors.Gatherer, "_cut", "patches"),
    (swd, "project", "projection"),
    (swd, "transport", "sorting"),
)
# Products use NumPy's own threads, so their time is that of the clock already.
_IN_POOL = ("pyramids", "patches", "sorting")


@click.command()
@click.option("--images", default=16_384, show_default=True, help="On each side.")
@click.option("--resolution", type=door.Resolution(), default=128, show_default=True)
@click.option("--repeats", default=3, show_default=True, help="The median counts.")
def main(images: int, resolution: int, repeats: int) -> None:
    """Time the sliced Wasserstein distance."""
    numbers = np.random.default_rng(0)
    pictures = made_up(numbers, min(images, _DIFFERENT), resolution)
    runs = []
    for repeat in range(repeats):
        seconds = time_once(pictures, images)
        runs.append(seconds)
        click.echo(f"run {repeat + 1}: {seconds['total']:.1f} s")
    total = statistics.median(run["total"] for run in runs)
    click.echo(
        f"{images} images of {resolution}×{resolution} a side, {available_processors()} "
        f"processors: {total:.1f} s, the median of {repeats}"
    )
    stages = [name for _, _, name in _STAGES]
    for name in stages:
        share = statistics.median(run[name] / run["total"] for run in runs)
        click.echo(f"  {name:<11} {100 * share:3.0f} %")
    rest = statistics.median(1 - sum(run[s] for s in stages) / run["total"] for run in runs)
    click.echo(f"  {'the rest':<11} {100 * rest:3.0f} %  (moving patches, waiting)")


def made_up(numbers: np.random.Generator, count: int, resolution: int) -> NDArray[np.uint8]:
    """Draw coarse patches of colour with fine noise, uint8 [count, 3, resolution, resolution]."""
    coarse = numbers.integers(40, 216, (count, 3, 4, 4), dtype=np.uint8)
    smooth = coarse.repeat(resolution // 4, axis=2).repeat(resolution // 4, axis=3)
    return smooth + numbers.integers(0, 40, smooth.shape, dtype=np.uint8)


def time_once(pictures: NDArray[np.uint8], images: int) -> dict[str, float]:
    """Measure once, and give the seconds of each stage and the "total"."""
    seconds: dict[str, float] = dict.fromkeys((s for _, _, s in _STAGES), 0.0)
    with ExitStack() as stack:
        for owner, name, stage in _STAGES:
            timed = _timed(getattr(owner, name), stage, seconds)
            stack.enter_context(mock.patch.object(owner, name, timed))
        start = time.perf_counter()
        with swd.SlicedWasserstein() as distance:
            for batch in _batches(pictures, images):
                distance.add_reals(batch)
            for batch in _batches(pictures[::-1], images):
                distance.add_fakes(batch)
            distance.result()
        total = time.perf_counter() - start
    for stage in _IN_POOL:
        seconds[stage] /= available_processors()
    seconds["total"] = total
    return seconds


def _batches(pictures: NDArray[np.uint8], images: int) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, images, _BATCH):
        first = start % len(pictures)
        yield pictures[first : first + min(_BATCH, images - start)]


def _timed(
    function: Callable[Arguments, Returned], stage: str, seconds: dict[str, float]
) -> Callable[Arguments, Returned]:
    lock = threading.Lock()

    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            with lock:
                seconds[stage] += time.perf_counter() - start

    return call


if __name__ == "__main__":
    main()
