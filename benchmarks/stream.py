"""How many pictures the stream hands out, beside what a large GPU takes while it trains.

    python -m benchmarks.stream --photographs FOLDER

Processor time counts, so that other programs do not: what one processor hands out in a second, from
files in the system's memory ("warm"). Reading files that are not ("cold") is timed by the clock.

What a GPU of the H200's class takes is assumed: 770 pictures a second at 128 pixels and 100 at 1024
are the project's aims; between, the same factor from level to level; below, by the number of
operations, but a step of 16 takes 10 ms at least, in which its kernels are started.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from benchmarks.codecs import load
from datasets import door
from datasets.codecs import CODECS, Choice, codecs_of_levels
from datasets.processors import available_processors
from datasets.pyramid import Dataset, Writer, shrink
from datasets.stream import Stream

_MINIBATCH = 16
_MOST = _MINIBATCH / 0.010
# Billions of operations of one image through both networks at 4, 8 … 128 pixels, as
# progan.estimate.operations counts them for the paper's networks.
_OPERATIONS = (0.168, 1.04, 4.53, 18.5, 36.8, 55.0)
_AT_128, _AT_1024 = 770.0, 100.0


@click.command()
@click.option(
    "--photographs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Pictures to read, enlarged where they are smaller.  [default: clouds with grain]",
)
@click.option("--resolution", type=door.Resolution(), default=1024, show_default=True)
@click.option("--pictures", default=96, show_default=True, help="How many different ones.")
@click.option("--repeats", default=5, show_default=True, help="The median counts.")
def main(photographs: Path | None, resolution: int, pictures: int, repeats: int) -> None:
    """Time the stream."""
    choices: tuple[Choice, ...] = ("raw", *CODECS)
    with tempfile.TemporaryDirectory() as place:
        datasets = {
            choice: write(Path(place) / choice, choice, photographs, resolution, pictures)
            for choice in choices
        }
        head = ["pixels", "GPU takes", *choices, "raw / GPU", "webp / GPU", "for ten times"]
        click.echo(" ".join(f"{word:>13}" for word in head))
        for level in datasets["raw"].levels:
            streams = {choice: Stream(datasets[choice], seed=0) for choice in choices}
            rates = warm(streams, level, repeats)
            demand = taken(level)
            words = [f"{2**level}", f"{demand:.0f}", *(f"{rates[c]:.0f}" for c in choices)]
            words += [f"{rates['raw'] / demand:.1f}", f"{rates['webp'] / demand:.1f}"]
            words.append(f"{10 * demand / rates['raw']:.1f} raw")
            click.echo(" ".join(f"{word:>13}" for word in words))
        for choice, dataset in datasets.items():
            seconds, megabytes = cold(dataset)
            click.echo(
                f"{choice}, cold, {resolution} pixels: {dataset.count / seconds:.0f} pictures/s, "
                f"{megabytes / seconds:.0f} MB/s, by the clock, {available_processors()} processors"
            )
        for choice, dataset in datasets.items():
            alone, ahead = waiting(dataset, repeats)
            click.echo(
                f"{choice}, {resolution} pixels: a minibatch of {_MINIBATCH} is waited for "
                f"{1000 * alone:.0f} ms, {1000 * ahead:.0f} ms when it was read ahead"
            )


def taken(level: int) -> float:
    """Estimate how many pictures a second a GPU takes at a level."""
    if level <= 7:
        return min(_MOST, _AT_128 * _OPERATIONS[-1] / _OPERATIONS[level - 2])
    return float(_AT_128 * (_AT_1024 / _AT_128) ** ((level - 7) / 3))


def write(
    path: Path, choice: Choice, photographs: Path | None, resolution: int, count: int
) -> Dataset:
    """Write a dataset of some codec."""
    path.mkdir()
    codecs = codecs_of_levels(choice, resolution)
    different = load(photographs, resolution, min(count, 24))
    with Writer(path, resolution=resolution, channels=3, codecs=codecs) as writer:
        for number in range(count):
            levels = shrink(np.ascontiguousarray(np.roll(different[number % 24], number, axis=1)))
            writer.append(levels, name=f"{number}", sha256=f"{number:064x}")
        writer.checkpoint()
        writer.finish(held_out=0, framing={}, source="", seed=0, versions={})
    return Dataset.open(path)


def warm(streams: dict[Choice, Stream], level: int, repeats: int) -> dict[Choice, float]:
    """Measure pictures a second of processor time, by turns, from files in memory."""
    rounds = max(1, min(200, 2**24 // (_MINIBATCH * 4**level)))
    seconds: dict[Choice, list[float]] = {choice: [] for choice in streams}
    for repeat in range(repeats + 1):
        for choice, stream in streams.items():
            start = time.process_time()
            for number in range(rounds):
                # Every other place, so that nothing is read ahead that nobody takes.
                stream.minibatch(level, 2 * number * _MINIBATCH, _MINIBATCH)
            if repeat:  # The first brings the files into memory.
                seconds[choice].append(time.process_time() - start)
    return {c: rounds * _MINIBATCH / statistics.median(each) for c, each in seconds.items()}


def cold(dataset: Dataset) -> tuple[float, float]:
    """Read the largest level once from the disk; seconds by the clock, and millions of bytes."""
    side = dataset.resolution
    files = [path for path in dataset.path.iterdir() if path.name.startswith(f"{side:04d}")]
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    stream = Stream(dataset, seed=0)
    start = time.perf_counter()
    for place in range(0, dataset.count, _MINIBATCH):
        stream.minibatch(dataset.levels[-1], place, min(_MINIBATCH, dataset.count - place))
    return time.perf_counter() - start, sum(path.stat().st_size for path in files) / 1e6


def waiting(dataset: Dataset, repeats: int) -> tuple[float, float]:
    """Wait for minibatches as a trainer does that works between; seconds, alone and read ahead."""
    level = dataset.levels[-1]
    work = _MINIBATCH / taken(level)
    medians = []
    for step in (2, 1):
        stream, seconds = Stream(dataset, seed=0), []
        for number in range(2 * repeats + 2):
            start = time.perf_counter()
            stream.minibatch(level, step * number * _MINIBATCH, _MINIBATCH)
            seconds.append(time.perf_counter() - start)
            time.sleep(work)
        medians.append(statistics.median(seconds[2:]))
    return medians[0], medians[1]


if __name__ == "__main__":
    main()
