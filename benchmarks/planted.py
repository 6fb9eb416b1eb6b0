"""Planted truth: which copies of training photographs does the memorization report find?

    python benchmarks/planted.py DATASET [DATASET …]

Every training photograph is copied in several ways, and every kind of copy is judged as if a
generator had made it. Prints a table in Markdown: the share flagged at a false-alarm rate of one
per cent, by each feature space alone and by both together. Held-out photographs are new images:
of these no more than that rate should be flagged.
"""

import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

# A benchmark is run from the checkout, whose rooms are not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from datasets.pyramid import Dataset
from tools.memorization.features import open_space
from tools.memorization.finding import Finder, Photographs
from tools.memorization.verdict import judge
from tools.memorization.yardstick import Yardstick

Pixels = NDArray[np.uint8]
Damage = Callable[[Pixels, Pixels, np.random.Generator], Pixels]
_AT_ONCE = 256


def _exact(picture: Pixels, other: Pixels, chance: np.random.Generator) -> Pixels:
    return picture


def _mirrored(picture: Pixels, other: Pixels, chance: np.random.Generator) -> Pixels:
    return picture[:, ::-1]


def _jpeg(picture: Pixels, other: Pixels, chance: np.random.Generator) -> Pixels:
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


def _light(picture: Pixels, other: Pixels, chance: np.random.Generator) -> Pixels:
    contrast, brightness = 1 + chance.choice([-0.15, 0.15], 2)
    middle = picture.mean()
    changed = (picture - middle) * contrast + middle * brightness
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def _window(picture: Pixels, left: float, top: float, size: float) -> Pixels:
    side = len(picture)
    # Beyond the edge, its pixels go on.
    pad = side // 8
    wide = Image.fromarray(np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), "edge"))
    box = (pad + left, pad + top, pad + left + size, pad + top + size)
    return np.asarray(wide.resize((side, side), Image.Resampling.LANCZOS, box=box))


def _cropped(picture: Pixels, other: Pixels, chance: np.random.Generator) -> Pixels:
    side = len(picture)
    left, top = chance.choice([0.0, 0.05 * side], 2)
    return _window(picture, left, top, 0.95 * side)


def _shifted_and_cropped(picture: Pixels, other: Pixels, chance: np.random.Generator) -> Pixels:
    side = len(picture)
    left, top = 0.025 * side + chance.choice([-0.05 * side, 0.05 * side], 2)
    return _window(picture, left, top, 0.95 * side)


def _average(picture: Pixels, other: Pixels, chance: np.random.Generator) -> Pixels:
    return np.rint((picture.astype(np.float32) + other) / 2).astype(np.uint8)


KINDS: dict[str, Damage] = {
    "(a) exact copies": _exact,
    "(b) mirrored": _mirrored,
    "(c) JPEG, quality 40": _jpeg,
    "(d) brightness and contrast ±15 %": _light,
    "(e) cropped to 95 % in a corner": _cropped,
    "(e′) shifted by 5 % both ways, then cropped to 95 %": _shifted_and_cropped,
    "(f) half-half average of two": _average,
}
SPACES = (("pixels",), ("structure",), ("pixels", "structure"))


def damaged(photographs: Photographs, damage: Damage, seed: int) -> Iterator[Pixels]:
    """Give all photographs, copied in some way, in parts."""
    chance = np.random.default_rng(seed)
    others = chance.permutation(len(photographs))
    for start in range(0, len(photographs), _AT_ONCE):
        numbers = np.arange(start, min(start + _AT_ONCE, len(photographs)))
        both = (photographs.read(which, photographs.side) for which in (numbers, others[numbers]))
        yield np.stack(
            [damage(picture, other, chance) for picture, other in zip(*both, strict=True)]
        )


def table(path: Path, false_alarm: float, seed: int, crop: str) -> str:
    """Judge every kind of copy of a dataset's training photographs."""
    dataset = Dataset.open(path)
    side = dataset.resolution
    training = Photographs(dataset, dataset.rows("train"), side)
    held = Photographs(dataset, dataset.rows("held-out"), side)
    yardsticks = []
    for names in SPACES:
        spaces = [
            open_space(
                name,
                side=side,
                resolution=None,
                inner_face=crop == "face",
                device=torch.device("cpu"),
            )
            for name in names
        ]
        finder = Finder(training, spaces, wanted=5, seed=seed)
        yardsticks.append(Yardstick(finder, false_alarm=false_alarm, seed=seed))
    heads = ["pixels", "structure", "both", "median distance to its nearest: pixels", "structure"]
    lines = [
        f"{len(training)} training photographs of {side}×{side} pixels, {len(held)} held out; "
        f"flagged at {false_alarm:.0%} (calibration: {yardsticks[0].kind}).",
        "",
        f"| kind | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(heads)}",
    ]
    plans = [(kind, len(training), damage, training) for kind, damage in KINDS.items()]
    plans.append(("(g) held-out photographs", len(held), _exact, held))
    for kind, _, damage, photographs in plans:
        shares, medians = [], []
        for yardstick in yardsticks:
            found = yardstick.finder.find(damaged(photographs, damage, seed))
            shares.append(f"{judge(yardstick, found).share:.1%}")
            medians += [f"{np.median(part.distances):.2f}" for part in found.values()]
        lines.append(f"| {kind} | {' | '.join([*shares, *medians[:2]])} |")
    return "\n".join(lines)


@click.command()
@click.argument("paths", metavar="DATASET…", nargs=-1, required=True, type=Path)
@click.option("--false-alarm", default=0.01, show_default=True)
@click.option("--crop", type=click.Choice(["none", "face"]), default="none", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(paths: tuple[Path, ...], false_alarm: float, crop: str, seed: int) -> None:
    """Print a table for each DATASET."""
    for path in paths:
        click.echo(table(path, false_alarm, seed, crop) + "\n")


if __name__ == "__main__":
    main()
