"""Watching for copies while a generator learns: a quick look at a few images, again and again."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from datasets.pyramid import Dataset
from tools.memorization.evidence import LEVEL
from tools.memorization.features import open_space, resized
from tools.memorization.finding import Finder, Photographs
from tools.memorization.verdict import judge
from tools.memorization.yardstick import Yardstick

Pixels = NDArray[np.uint8]

# So many training photographs, each left out in turn, are yardstick enough for a curve.
_LEFT_OUT = 2000


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look saw.

    Attributes:
        flagged_share: share of images nearer to a training photograph than new ones are, 0 to 1.
        expected_share: the share of new images that would be, at most.
        near_duplicates: share of images as near as only duplicates are, 0 to 1.
        sign: whether so many are flagged as happens to new images with a chance below 1 %, or any
            is a near duplicate. Nothing else counts: images that are closer as a whole are what a
            generator makes for a while that is merely smooth, and no ground to end its training.
        c_t: z-score of the three-sample test of data-copying, by space; far below zero (under -3)
            for copies. None where there are too few images.
    """

    flagged_share: float
    expected_share: float
    near_duplicates: float
    sign: bool
    c_t: dict[str, float | None]


class Watch:
    """Compares images with a dataset's training photographs.

    The yardstick is made once, here; a look then takes some milliseconds an image.

    Args:
        dataset: its training photographs are what may be copied.
        resolution: pixels at which images are compared, one of the dataset's sizes; images come
            at this size or larger.
        features: spaces, as of `tools.memorization.features.open_space`.
        false_alarm: share of new images that may be flagged.
        seed: what photographs are drawn from, if there are very many.

    Raises:
        DatasetError: the dataset has no two training photographs, or a space cannot be had.
    """

    def __init__(
        self,
        dataset: Dataset,
        resolution: int,
        *,
        features: tuple[str, ...] = ("pixels", "structure"),
        false_alarm: float = 0.01,
        seed: int = 0,
    ) -> None:
        self.resolution = resolution
        spaces = [
            open_space(
                text,
                side=resolution,
                resolution=None,
                inner_face=False,
                device=torch.device("cpu"),
            )
            for text in features
        ]
        training = Photographs(dataset, dataset.rows("train"), resolution)
        finder = Finder(training, spaces, wanted=2, seed=seed)
        self._yardstick = Yardstick(finder, false_alarm=false_alarm, seed=seed, most=_LEFT_OUT)

    def look(self, images: Pixels) -> Look:
        """Judge images, uint8 [N, H, H, C] with H at least the watch's resolution and N above 0.

        Raises:
            ValueError: there are none, or they are smaller.
        """
        if len(images) == 0 or images.shape[1] < self.resolution:
            raise ValueError(f"images of the shape {images.shape} for {self.resolution} pixels")
        found = self._yardstick.finder.find([resized(images, self.resolution)])
        judged = judge(self._yardstick, found)
        return Look(
            flagged_share=judged.share,
            expected_share=self._yardstick.rate,
            near_duplicates=float(judged.near_duplicate.mean()),
            sign=judged.chance < LEVEL or bool(judged.near_duplicate.any()),
            c_t={
                name: None if seen.copying is None else seen.copying.z
                for name, seen in judged.spaces.items()
            },
        )
