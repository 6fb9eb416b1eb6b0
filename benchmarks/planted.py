"""Planted truth: which copies of training photographs does the memorization report find?

    python -m benchmarks.planted DATASET [DATASET …]

Every training photograph is copied in several ways, and every kind of copy is judged as if a
generator had made it. Prints a table in Markdown: the share flagged at a false-alarm rate of one
per cent, by each feature space alone and by both together. Held-out photographs are new images:
of these no more than that rate should be flagged. As they are few, the last row divides all
photographs anew, again and again, into two thirds to copy from and a third of new ones.
"""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

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
    return np.asarray(Image.open(file), np.uint8)


def _light(picture: Pixels, other: Pixels, chance: np.random.Generator) -> Pixels:
    contrast, brightness = 1 + chance.choice([-0.15, 0.15], 2)
    middle = picture.mean()
    changed = (picture - middle) * contrast + middle * brightness
    return np.asarray(np.clip(np.rint(changed), 0, 255), np.uint8)


def window(picture: Pixels, left: float, top: float, size: float) -> Pixels:
    """Return a square cut out of a picture, at its size; beyond the edge, its pixels go on."""
    side = len(picture)
    pad = side // 8
    wide = Image.fromarray(np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), "edge"))
    box = (pad + left, pad + top, pad + left + size, pad + top + size)
    resized = wide.resize((side, side), Image.Resampling.LANCZOS, box=box)
    return np.asarray(resized, np.uint8)


def _cropped(picture: Pixels, other: Pixels, chance: np.random.Generator) -> Pixels:
    side = len(picture)
    left, top = chance.choice([0.0, 0.05 * side], 2)
    return window(picture, left, top, 0.95 * side)


def _shifted_and_cropped(picture: Pixels, other: Pixels, chance: np.random.Generator) -> Pixels:
    side = len(picture)
    left, top = 0.025 * side + chance.choice([-0.05 * side, 0.05 * side], 2)
    return window(picture, left, top, 0.95 * side)


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


def yardsticks(training: Photographs, false_alarm: float, seed: int, crop: str) -> list[Yardstick]:
    """Make a yardstick for each choice of spaces, of training photographs alone."""
    made = []
    for names in SPACES:
        spaces = [
            open_space(
                name,
                side=training.side,
                resolution=None,
                inner_face=crop == "face",
                device=torch.device("cpu"),
            )
            for name in names
        ]
        finder = Finder(training, spaces, wanted=5, seed=seed)
        # Without the held-out photographs, as these are judged themselves.
        made.append(Yardstick(finder, false_alarm=false_alarm, seed=seed, with_held_out=False))
    return made


def new_photographs(dataset: Dataset, false_alarm: float, splits: int, crop: str) -> str:
    """Give the row of photographs that are new to the others, over many divisions."""
    shares: list[list[float]] = []
    third = dataset.count // 3
    for split in range(splits):
        rows = np.random.default_rng(split).permutation(dataset.count)
        training, new = (
            Photographs(dataset, np.sort(part), dataset.resolution)
            for part in (rows[third:], rows[:third])
        )
        shares.append(
            [
                judge(one, one.finder.find(damaged(new, _exact, split))).share
                for one in yardsticks(training, false_alarm, split, crop)
            ]
        )
    means = (f"{share:.1%}" for share in np.mean(shares, axis=0))
    return f"| (g′) new photographs, {splits} divisions | {' | '.join(means)} | | |"


def table(path: Path, false_alarm: float, seed: int, crop: str, splits: int) -> str:
    """Judge every kind of copy of a dataset's training photographs."""
    dataset = Dataset.open(path)
    side = dataset.resolution
    training = Photographs(dataset, dataset.rows("train"), side)
    held = Photographs(dataset, dataset.rows("held-out"), side)
    heads = ["pixels", "structure", "both", "median distance: pixels", "structure"]
    lines = [
        f"{len(training)} training photographs of {side}×{side} pixels, {len(held)} held out; "
        f"flagged at {false_alarm:.0%}.",
        "",
        f"| kind | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(heads)}",
    ]
    made = yardsticks(training, false_alarm, seed, crop)
    plans = [(kind, damage, training) for kind, damage in KINDS.items()]
    plans.append(("(g) held-out photographs", _exact, held))
    for kind, damage, photographs in plans:
        shares, medians = [], []
        for yardstick in made:
            found = yardstick.finder.find(damaged(photographs, damage, seed))
            shares.append(f"{judge(yardstick, found).share:.1%}")
            medians += [f"{np.median(part.distances):.2f}" for part in found.values()]
        lines.append(f"| {kind} | {' | '.join([*shares, *medians[:2]])} |")
    if splits:
        lines.append(new_photographs(dataset, false_alarm, splits, crop))
    return "\n".join(lines)


@click.command()
@click.argument("paths", metavar="DATASET…", nargs=-1, required=True, type=Path)
@click.option("--false-alarm", default=0.01, show_default=True)
@click.option("--crop", type=click.Choice(["none", "face"]), default="none", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--splits", default=10, show_default=True, help="Divisions for the last row.")
def main(paths: tuple[Path, ...], false_alarm: float, crop: str, seed: int, splits: int) -> None:
    """Print a table for each DATASET."""
    for path in paths:
        click.echo(table(path, false_alarm, seed, crop, splits) + "\n")


if __name__ == "__main__":
    main()
