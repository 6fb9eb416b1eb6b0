"""Yardsticks and copies for the tests of this room."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from datasets.pyramid import Dataset
from tools.memorization.features import open_space
from tools.memorization.finding import Finder, Photographs
from tools.memorization.yardstick import Yardstick

Pixels = NDArray[np.uint8]


def finder(
    dataset: Dataset, *features: str, side: int | None = None, wanted: int = 3, cells: int = 1
) -> Finder:
    side = side or dataset.resolution
    spaces = [
        open_space(
            text, side=side, resolution=None, inner_face=False, device=torch.device("cpu")
        )
        for text in features or ("pixels", "structure")
    ]  # fmt: skip
    training = Photographs(dataset, dataset.rows("train"), side)
    return Finder(training, spaces, wanted=wanted, cells=cells)


def yardstick(dataset: Dataset, *features: str, false_alarm: float = 0.01) -> Yardstick:
    return Yardstick(finder(dataset, *features), false_alarm=false_alarm)


def training(dataset: Dataset) -> Pixels:
    return np.array(dataset.level(dataset.levels[-1])[dataset.rows("train")])


def held_out(dataset: Dataset) -> Pixels:
    return np.array(dataset.level(dataset.levels[-1])[dataset.rows("held-out")])


def compressed(picture: Pixels) -> Pixels:
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file), np.uint8)


def relit(picture: Pixels) -> Pixels:
    middle = picture.mean()
    changed = (picture - middle) * 1.15 + middle * 0.85
    return np.asarray(np.clip(np.rint(changed), 0, 255), np.uint8)


def cropped(picture: Pixels) -> Pixels:
    """Without a strip of five per cent at the left and at the bottom."""
    side = len(picture)
    box = (0.05 * side, 0.0, float(side), 0.95 * side)
    resized = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS, box=box)
    return np.asarray(resized, np.uint8)


def every(change: Callable[[Pixels], Pixels], pictures: Pixels) -> Pixels:
    return np.stack([change(picture) for picture in pictures])
