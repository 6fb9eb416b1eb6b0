"""From IMAGES and a dataset to a judgement: everything but writing it down."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import click
import numpy as np
import torch
from numpy.typing import NDArray

from datasets.errors import DatasetError
from datasets.progress import progress
from datasets.pyramid import Dataset
from tools.images import Images, ModelImages
from tools.memorization import approximate
from tools.memorization.approximate import Recall
from tools.memorization.features import Space, open_space, resized
from tools.memorization.finding import Finder, Found, Photographs
from tools.memorization.search import product_seconds
from tools.memorization.statistics import cells_for
from tools.memorization.verdict import Judged, doubts, judge, sentence
from tools.memorization.yardstick import Yardstick, compared

# Pixels that are read at once.
_PIXELS_AT_ONCE = 2**22
# Pairs of two images that are compared exactly unless told otherwise: 10,000 images beside a
# yardstick of 14,000 photographs, against 70,000 training photographs.
MOST_EXACT = 24_000 * 70_000
# Neighbours that are found of each image, if only to compare them: the nearest, and the next that
# is no duplicate of it.
_COMPARED = 5
# Images that are searched for in both ways, to see what the approximate one misses.
_RECALLED = 200


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to examine.

    Attributes:
        features: spaces, as on the command line.
        resolution: pixels at which `pixels` and `structure` compare; None for the usual.
        inner_face: compare the middle of the images only.
        nearest: training photographs to list for each image.
        false_alarm: share of new images that may be flagged, above 0 and below 1.
        seed: what is drawn by chance is drawn from this.
        device: where networks compute.
        search: exact, approximate (with FAISS), or auto: approximate if there are more than
            `MOST_EXACT` pairs to compare and FAISS is installed.
        trust: run a TorchScript file that is not a known one.
    """

    features: tuple[str, ...] = ("pixels", "structure")
    resolution: int | None = None
    inner_face: bool = False
    nearest: int = 5
    false_alarm: float = 0.01
    seed: int = 0
    device: str = "cpu"
    search: Literal["auto", "exact", "approximate"] = "auto"
    trust: bool = False


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What was found.

    Attributes:
        images: what was examined.
        numbers: which of the images, [N].
        unreadable: how many more there are that could not be read.
        dataset: what they were compared with.
        side: the size that both have in common, in pixels.
        yardstick: made of the dataset.
        found: the images' neighbours, by space.
        recall: what the approximate search found of what the exact one finds, by space; empty if
            all searches were exact.
        judged: what follows.
        sentence: the verdict in one sentence.
        doubts: what weakens it, in a sentence each.
        settings: how it was done.
    """

    images: Images
    numbers: NDArray[np.int64]
    unreadable: int
    dataset: Dataset
    side: int
    yardstick: Yardstick
    found: dict[str, Found]
    recall: dict[str, Recall]
    judged: Judged
    sentence: str
    doubts: list[str]
    settings: Settings


def common_side(images: Images, dataset: Dataset) -> int:
    """Give the largest size of the dataset's that is no larger than the images, in pixels.

    Raises:
        DatasetError: the images are too small, or one side is grey and the other coloured.
    """
    if images.channels != dataset.channels:
        raise DatasetError(
            f"{images.name} has images of {images.channels} channels, and {dataset.path} has "
            f"{dataset.channels}: they cannot be compared."
        )
    sides = [2**level for level in dataset.levels if 2**level <= images.resolution]
    if not sides:
        raise DatasetError(f"{images.name} has images of {images.resolution} pixels: too small.")
    return int(max(sides))


def names_dataset(images: Images, dataset: Dataset) -> bool | None:
    """Say whether a model names this dataset as what it was trained on; None if it names none."""
    named = images.trained.get("dataset") if isinstance(images, ModelImages) else None
    fingerprint = named.get("fingerprint") if isinstance(named, dict) else None
    return None if fingerprint is None else bool(fingerprint == dataset.fingerprint)


def examine(images: Images, dataset: Dataset, *, count: int, settings: Settings) -> Examined:
    """Find the nearest training photographs of images, and judge.

    Args:
        images: any pictures of as many channels as the dataset's.
        dataset: its training photographs are what may have been copied.
        count: images to examine; where there are more, they are drawn by chance.
        settings: how to.

    Raises:
        DatasetError: images and dataset cannot be compared, no image can be read, or the
            approximate search is asked for and FAISS is not installed.
    """
    side = common_side(images, dataset)
    numbers = _choose(images, count, settings.seed)
    yardstick = _yardstick(dataset, side, len(numbers), settings)
    kept: list[NDArray[np.int64]] = []

    def parts() -> Iterator[NDArray[np.uint8]]:
        size = max(1, _PIXELS_AT_ONCE // images.resolution**2)
        for start in range(0, len(numbers), size):
            batch = images.read(numbers[start : start + size].tolist())
            if len(batch.numbers):
                kept.append(batch.numbers)
                yield resized(batch.pixels, side)

    with progress("Comparing images", total=len(numbers), unit="images") as bar:
        found = yardstick.finder.find(parts(), advance=bar.advance)
    if not kept:
        raise DatasetError(f"{images.name} holds no picture that can be read.")
    read = np.concatenate(kept)
    recall = _recall(yardstick.finder, images, read, settings.seed)
    judged = judge(yardstick, found)
    return Examined(
        images=images,
        numbers=read,
        unreadable=len(numbers) - len(read),
        dataset=dataset,
        side=side,
        yardstick=yardstick,
        found=found,
        recall=recall,
        judged=judged,
        sentence=sentence(judged, yardstick, of_a_model=images.kind == "model"),
        doubts=doubts(
            yardstick,
            names_dataset=names_dataset(images, dataset),
            false_alarm=settings.false_alarm,
            recall=recall,
            together=judged.together,
        ),
        settings=settings,
    )


def _yardstick(dataset: Dataset, side: int, count: int, settings: Settings) -> Yardstick:
    """Make the yardstick for so many images of a side."""
    spaces = [
        open_space(
            text,
            side=side,
            resolution=settings.resolution,
            inner_face=settings.inner_face,
            device=torch.device(settings.device),
            trust=settings.trust,
        )
        for text in dict.fromkeys(settings.features)
    ]
    training = Photographs(dataset, dataset.rows("train"), side)
    photographs = compared(dataset)
    finder = Finder(
        training,
        spaces,
        wanted=max(settings.nearest, _COMPARED),
        cells=cells_for(min(dataset.count, count)),
        seed=settings.seed,
        approximate=_approximate(settings.search, spaces, training, photographs + count),
    )
    with progress("Comparing photographs", total=photographs, unit="photographs") as bar:
        return Yardstick(
            finder, false_alarm=settings.false_alarm, seed=settings.seed, advance=bar.advance
        )


def _approximate(search: str, spaces: list[Space], training: Photographs, searches: int) -> bool:
    """Decide how to search, and say so where it may take long."""
    if search == "approximate":
        approximate.need()
    if search != "auto" or searches * len(training) <= MOST_EXACT:
        return search == "approximate"
    if approximate.installed():
        click.echo(
            f"{searches:,} images and photographs against {len(training):,}: the search is "
            "approximate, and its recall is measured (--search exact: all of them).",
            err=True,
        )
        return True
    one = training.read(slice(0, 1), training.side)
    lengths = [s.vectors(resized(one, s.side)).shape[1] for s in spaces]
    hours = sum(product_seconds(searches, 2 * len(training), size) for size in lengths) / 3600
    minutes = max(1, round(60 * hours))
    told = f"{hours:.1f} hours" if hours >= 1 else f"{minutes} min"
    click.echo(
        f"{searches:,} images and photographs are compared with all {len(training):,}, which "
        f"takes about {told}. An approximate search is faster: {approximate.INSTALL}.",
        err=True,
    )
    return False


def _recall(
    finder: Finder, images: Images, numbers: NDArray[np.int64], seed: int
) -> dict[str, Recall]:
    """Measure the recall on some of the images, by space."""
    if not finder.approximate:
        return {}
    some = np.sort(np.random.default_rng(seed).permutation(numbers)[:_RECALLED])
    size = max(1, _PIXELS_AT_ONCE // images.resolution**2)
    parts = [
        resized(images.read(some[start : start + size].tolist()).pixels, finder.training.side)
        for start in range(0, len(some), size)
    ]
    with progress("Measuring the search", total=len(some), unit="images") as bar:
        found = finder.recall(np.concatenate(parts))
        bar.advance(len(some))
    return found


def _choose(images: Images, count: int, seed: int) -> NDArray[np.int64]:
    """Choose images by chance, in ascending order; a model's are chances already."""
    if images.kind == "model" or count >= images.count:
        return np.arange(min(count, images.count))
    return np.sort(np.random.default_rng(seed).permutation(images.count)[:count])
