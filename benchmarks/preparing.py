"""How much memory a dataset takes in the making, and how long near duplicates are looked for.

    python -m benchmarks.preparing --pictures 1000 --pictures 20000

Pictures are smooth random fields, made as they are asked for: nothing is read or decoded. Each
number has a process of its own, so that peaks do not mix.
"""

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from datasets import near_duplicates
from datasets.framing import Framing
from datasets.prepare import prepare
from datasets.pyramid import Dataset
from datasets.sources import Source

_SIDE = 32


class Fields(Source):
    """Pictures of 32 pixels that are as different from each other as faces are."""

    def __init__(self, count: int) -> None:
        self.names = [f"folder/picture-{number:07d}.jpg" for number in range(count)]

    def load(self, item: int) -> NDArray[np.uint8]:
        """Make up a picture: [32, 32, 3]."""
        numbers = np.random.default_rng(item)
        fields = [
            np.kron(numbers.standard_normal((side, side, 3)), np.ones((_SIDE // side,) * 2 + (1,)))
            * side**-0.75
            for side in (2, 4, 8, 16, 32)
        ]
        return np.clip(128 + 60 * sum(fields), 0, 255).astype(np.uint8)


@click.command()
@click.option("--pictures", type=int, multiple=True, default=[1000, 20_000], show_default=True)
def main(pictures: tuple[int, ...]) -> None:
    """Make datasets of several sizes."""
    context = multiprocessing.get_context("spawn")
    for count in pictures:
        process = context.Process(target=_make, args=(count,))
        process.start()
        process.join()


def _make(count: int) -> None:
    source = Fields(count)
    with tempfile.TemporaryDirectory() as place:
        begun = _peak()
        summary = prepare(
            source,
            Path(place, "dataset"),
            framing=Framing(resolution=_SIDE),
            source_name="benchmark",
            held_out=0.05,
            seed=0,
            workers=1,
        )
        made = _peak()
        seconds, found = _look(summary.dataset)
    click.echo(
        f"{count} pictures: peak {made:.0f} MB, {begun:.0f} MB of it before the first; "
        f"near duplicates: {found} in {seconds:.1f} s of processor time"
    )


def _look(dataset: Dataset) -> tuple[float, int]:
    start = time.process_time()
    levels = {2**level: dataset.level(level) for level in (3, 4, 5)}
    found = near_duplicates.find(levels.__getitem__, range(dataset.count))
    return time.process_time() - start, len(found)


def _peak() -> float:
    """Give the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
