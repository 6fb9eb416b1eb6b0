"""Verdicts on planted truth: changed copies of training photographs, and new photographs.

    python -m benchmarks.verdicts PHOTOGRAPHS [--model MODEL]

PHOTOGRAPHS is a folder of pictures. Prints two tables in Markdown. The first has copies of 200
training photographs, changed in known ways, and honest images: held-out photographs that were
blurred or sharpened or are shown again and again, and those of MODEL, if one is given, which was
trained on these photographs. The second divides the photographs anew for each seed: 200 play the
generated images, and of the others a dataset is prepared as ever, with one in twenty held out. All
of them are judged as `python -m tools neighbours` does.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.planted import window
from datasets.framing import Framing
from datasets.prepare import prepare
from datasets.pyramid import Dataset
from datasets.sources import Folder
from tools.images import open_images
from tools.memorization.evidence import LEVEL
from tools.memorization.features import open_space, resized
from tools.memorization.finding import Finder, Photographs
from tools.memorization.statistics import cells_for
from tools.memorization.verdict import Judged, judge
from tools.memorization.yardstick import Yardstick

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, Pixels, np.random.Generator], object]

_IMAGES = 200
_HELD_OUT = 0.05
_NO_SIGN = "no sign of copying"


def _jpeg(picture: Pixels) -> object:
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def _turned(picture: Pixels, degrees: float) -> object:
    pad = len(picture) // 4
    wide = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), "edge")
    turned = Image.fromarray(wide).rotate(degrees, Image.Resampling.BICUBIC)
    return np.asarray(turned)[pad:-pad, pad:-pad]


def _cropped(picture: Pixels, across: float, down: float) -> Pixels:
    """Without 15 % of the side; `across` and `down`, 0 to 1, say where the rest lies."""
    side = len(picture)
    return window(picture, 0.15 * side * across, 0.15 * side * down, 0.85 * side)


def _noisy(picture: Pixels, chance: np.random.Generator) -> object:
    return np.clip(np.rint(picture + chance.normal(0, 51, picture.shape)), 0, 255)


COPIES: dict[str, Change] = {
    "identical": lambda picture, other, chance: picture,
    "re-encoded (JPEG, quality 40)": lambda picture, other, chance: _jpeg(picture),
    "mirrored": lambda picture, other, chance: picture[:, ::-1],
    "half-half blend of two": lambda picture, other, chance: (picture / 2 + other / 2).round(),
    "20 % noise": lambda picture, other, chance: _noisy(picture, chance),
    "rotated by 5°": lambda picture, other, chance: _turned(picture, chance.choice([-5, 5])),
    "15 % cropped off, centre": lambda picture, other, chance: _cropped(picture, 0.5, 0.5),
    "15 % cropped off, anywhere": lambda picture, other, chance: _cropped(
        picture, *chance.uniform(size=2)
    ),
    "negative": lambda picture, other, chance: 255 - picture,
    "upside down": lambda picture, other, chance: picture[::-1],
}


def _filtered(kind: ImageFilter.Filter) -> Callable[[Pixels], Pixels]:
    return lambda pictures: np.stack(
        [np.asarray(Image.fromarray(picture).filter(kind)) for picture in pictures]
    )


HONEST: dict[str, Callable[[Pixels], Pixels]] = {
    "held out": lambda held: held,
    "held out, blurred": _filtered(ImageFilter.GaussianBlur(2)),
    "held out, sharpened": _filtered(ImageFilter.UnsharpMask(2, 200, 0)),
    "five held out, 40 times each": lambda held: np.repeat(held[:5], 40, axis=0),
}


class Judge:
    """Judges images of a dataset's size, as `examine` does; a yardstick is made once."""

    def __init__(self, dataset: Dataset, seed: int = 0) -> None:
        self._dataset, self._seed = dataset, seed
        self._yardsticks: dict[int, Yardstick] = {}

    def __call__(self, images: Pixels) -> Judged:
        """Judge images, uint8 [N, side, side, C]."""
        cells = cells_for(min(self._dataset.count, len(images)))
        if cells not in self._yardsticks:
            side = self._dataset.resolution
            spaces = [
                open_space(
                    name, side=side, resolution=None, inner_face=False, device=torch.device("cpu")
                )
                for name in ("pixels", "structure")
            ]
            training = Photographs(self._dataset, self._dataset.rows("train"), side)
            finder = Finder(training, spaces, wanted=5, cells=cells, seed=self._seed)
            self._yardsticks[cells] = Yardstick(finder, seed=self._seed)
        yardstick = self._yardsticks[cells]
        return judge(yardstick, yardstick.finder.find([images]))


def _by_flags_alone(judged: Judged) -> str:
    """Return the verdict of flagged images and near duplicates, without the other evidence."""
    if 2 * judged.flagged.sum() > len(judged.p) and judged.chance < LEVEL:
        return "memorized"
    few = judged.chance >= LEVEL and not judged.near_duplicate.any()
    return _NO_SIGN if few else "some copies"


def _line(kind: str, judged: Judged) -> str:
    cells = [kind, str(len(judged.p)), f"{judged.share:.1%}", f"{judged.near_duplicate.sum()}"]
    for one in judged.together.values():
        z = "–" if one.c_t is None else f"{one.c_t.z:+.1f}"
        authentic = "–" if one.authentic is None else f"{one.authentic:.0%}"
        single = "–" if one.single is None else f"{one.single:+.1f}"
        cells.append(f"{z} / {authentic} / {single}".replace("-", "−"))
    cells += [_by_flags_alone(judged), judged.verdict]
    return f"| {' | '.join(cells)} |"


def planted(dataset: Dataset, model: Path | None) -> Iterator[str]:
    """Judge changed copies of training photographs, and honest images."""
    top = dataset.level(dataset.levels[-1])
    training, held = (np.array(top[dataset.rows(split)]) for split in ("train", "held-out"))
    chance = np.random.default_rng(0)
    copied = training[np.sort(chance.permutation(len(training))[:_IMAGES])]
    others = training[chance.permutation(len(training))[:_IMAGES]]
    yield f"{len(training)} training photographs, {len(held)} held out.\n"
    parts = "C_T / authentic / nearest against next"
    heads = ("images", "number", "flagged", "near duplicates", f"pixels: {parts}",
             "structure: the same", "flagged ones alone", "verdict")  # fmt: skip
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * 3}{'---|' * 4}"
    judge_them = Judge(dataset)
    for kind, change in COPIES.items():
        pictures = [change(*pair, chance) for pair in zip(copied, others, strict=True)]
        images = np.stack([np.asarray(picture) for picture in pictures]).astype(np.uint8)
        yield _line(kind, judge_them(images))
    for kind, made in HONEST.items():
        yield _line(kind, judge_them(made(held)))
    if model is not None:
        opened = open_images(str(model), count=1000, channels=dataset.channels)
        drawn = opened.read(range(1000)).pixels
        yield _line(f"model {model.name}", judge_them(resized(drawn, dataset.resolution)))


def new_photographs(
    photographs: Path, whole: Dataset, framing: Framing, splits: int
) -> Iterator[str]:
    """Judge photographs that were never trained on, once for each seed."""
    doubled = whole.near_duplicates() or {}
    names = sorted(name for row, name in enumerate(whole.names) if row not in doubled)
    verdicts: Counter[str] = Counter()
    scores: dict[str, list[float]] = {}
    flagged = near = 0
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(names))
        new, others = (
            tuple(names[number] for number in sorted(part.tolist()))
            for part in (order[:_IMAGES], order[_IMAGES:])
        )
        with TemporaryDirectory() as folder:
            made = [
                _prepared(
                    Folder(photographs, chosen, None), Path(folder) / name, framing, seed, part
                )
                for name, chosen, part in (("new", new, 0.0), ("others", others, _HELD_OUT))
            ]
            images = np.array(made[0].level(made[0].levels[-1])[:])
            judged = Judge(made[1], seed)(images)
        verdicts[judged.verdict] += 1
        flagged += int(judged.flagged.sum())
        near += int(judged.near_duplicate.sum())
        for name, one in judged.together.items():
            if one.c_t is not None and one.c_t_held_out is not None and one.single is not None:
                scores.setdefault(f"C_T in {name}", []).append(one.c_t.z / one.c_t.spread)
                scores.setdefault(f"held-out C_T in {name}", []).append(one.c_t_held_out.z)
                scores.setdefault(f"next in {name}", []).append(one.single)
    total = splits * _IMAGES
    said = ", ".join(f"{count} × {verdict}" for verdict, count in sorted(verdicts.items()))
    yield f"{splits} divisions: {said}; {flagged / total:.2%} of {total} flagged, {near} near"
    for name, values in scores.items():
        yield (
            f"{name}: mean {np.mean(values):+.2f}, standard deviation {np.std(values):.2f}, "
            f"smallest {min(values):+.2f}"
        )


def _prepared(source: Folder, path: Path, framing: Framing, seed: int, held_out: float) -> Dataset:
    return prepare(
        source, path, framing=framing, source_name=str(source.root), held_out=held_out, seed=seed,
        workers=1, drop_duplicates=True,
    ).dataset  # fmt: skip


@click.command()
@click.argument("photographs", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--resolution", default=64, show_default=True)
@click.option("--crop", type=click.Choice(["centre", "top"]), default="top", show_default=True)
@click.option("--splits", default=10, show_default=True, help="Divisions for new photographs.")
@click.option("--model", type=click.Path(path_type=Path, exists=True))
def main(
    photographs: Path,
    resolution: int,
    crop: Literal["centre", "top"],
    splits: int,
    model: Path | None,
) -> None:
    """Print both tables for PHOTOGRAPHS."""
    framing = Framing(resolution=resolution, crop=crop)
    names = tuple(sorted(path.name for path in photographs.iterdir() if path.is_file()))
    with TemporaryDirectory() as folder:
        source = Folder(photographs, names)
        whole = _prepared(source, Path(folder) / "whole", framing, 0, _HELD_OUT)
        for line in planted(whole, model):
            click.echo(line)
        click.echo()
        for line in new_photographs(photographs, whole, framing, splits):
            click.echo(line)


if __name__ == "__main__":
    main()
