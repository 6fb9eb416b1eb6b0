"""What every metric says of photographs that were spoiled in a known way.

    python -m benchmarks.metric_table DATASET OUT.md --detector critic:RUN

Real photographs are divided into two halves. One stands for the reals; the other, spoiled in
several ways, for what a generator makes. Every metric has to get worse where it claims to see.
"""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from datasets import door
from datasets.progress import progress
from datasets.pyramid import Dataset
from progan.errors import ProganError
from tools.detectors import open_detector
from tools.images import ArrayImages, DatasetImages
from tools.measure import measure
from tools.measure_command import flat
from tools.metrics.registry import METRICS

Pixels = NDArray[np.uint8]


def blurred(pictures: Pixels, sigma: float) -> Pixels:
    """Blur pictures [N, H, W, 3] by a Gaussian of `sigma` pixels."""
    kernel = ImageFilter.GaussianBlur(sigma)
    return np.stack([np.asarray(Image.fromarray(p).filter(kernel)) for p in pictures])


def noisy(pictures: Pixels, sigma: float) -> Pixels:
    """Add Gaussian noise of `sigma` grey levels."""
    noise = np.random.default_rng(0).normal(0, sigma, pictures.shape)
    return np.clip(np.rint(pictures + noise), 0, 255).astype(np.uint8)


def few(pictures: Pixels) -> Pixels:
    """Repeat a tenth of the pictures ten times."""
    tenth = pictures[: max(1, len(pictures) // 10)]
    return np.resize(tenth, pictures.shape)


def wrongly_coloured(pictures: Pixels) -> Pixels:
    """Exchange red and blue."""
    return np.ascontiguousarray(pictures[..., ::-1])


KINDS: dict[str, Callable[[Pixels], Pixels]] = {
    "unspoiled": lambda pictures: pictures,
    "blurred, σ 1": lambda pictures: blurred(pictures, 1),
    "blurred, σ 2": lambda pictures: blurred(pictures, 2),
    "noisy, σ 10": lambda pictures: noisy(pictures, 10),
    "a tenth of the people, ten times": few,
    "red and blue exchanged": wrongly_coloured,
}


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--detector", required=True, help="inception, critic:RUN or a TorchScript file.")
@click.option("--trust", is_flag=True, help="Run a TorchScript file that is not a known one.")
@click.option("--resolution", type=int, default=64, show_default=True)
def main(dataset: Path, out: Path, detector: str, trust: bool, resolution: int) -> None:
    """Measure spoiled photographs of DATASET, and write the table to OUT.md."""
    data = Dataset.open(dataset)
    judge = open_detector(detector, torch.device("cpu"), trust=trust)
    every = DatasetImages(str(dataset), data, "train", data.resolution).at(resolution)
    pictures = every.read(range(every.count)).pixels
    half = len(pictures) // 2
    reals, others = ArrayImages("reals", pictures[:half]), pictures[half : 2 * half]
    sides = {name: (reals, ArrayImages(name, spoil(others))) for name, spoil in KINDS.items()}
    held_out = DatasetImages(str(dataset), data, "held-out", data.resolution).at(resolution)
    few_reals = ArrayImages("reals", pictures[: held_out.count])
    new = ArrayImages("held-out", held_out.read(range(held_out.count)).pixels)
    sides[f"held-out ({new.count} against {new.count})"] = (few_reals, new)
    rows = {}
    with progress("Measuring", total=len(sides), unit="kinds") as bar:
        for name, (first, second) in sides.items():
            report = measure(
                first,
                second,
                names=list(METRICS),
                count=first.count,
                detector=judge,
                baseline=False,
            )
            rows[name] = flat(report.fakes.values), flat(report.fakes.uncertainties)
            bar.advance()
    out.write_text(_table(rows), encoding="utf-8")
    click.echo(out.read_text(encoding="utf-8"))


def _table(rows: dict[str, tuple[dict[str, float], dict[str, float]]]) -> str:
    names = list(next(iter(rows.values()))[0])
    lines = ["| photographs | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for kind, (values, errors) in rows.items():
        cells = [f"{values[name]:.3g} ± {errors.get(name) or 0:.1g}" for name in names]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    door.run(main, ProganError)
