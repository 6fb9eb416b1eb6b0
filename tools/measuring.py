"""Metrics of the average generator while it is trained."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datasets import door
from progan.checkpoint import ModelFile
from progan.training import Trainer, crossed
from tools.detectors import Detector
from tools.images import Images, ModelImages
from tools.measure import measure
from tools.measure_command import flat
from tools.metrics.laplacian import COARSEST

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Measuring:
    """Every so many kimg: metrics against training and held-out photographs.

    The generator's images are those of the same seeds every time. Nothing here draws from a random
    state that training uses.

    Args:
        run: the run directory.
        sides: real images by name, such as "train" and "held-out".
        names: metrics, of `registry.METRICS`.
        every_kimg: thousand images between two measurements.
        count: images to generate, and reals to compare them with, at most.
        writer: TensorBoard's.
        detector: sees the features, for metrics that look at those.
    """

    def __init__(
        self,
        run: Path,
        sides: dict[str, Images],
        *,
        names: Sequence[str],
        every_kimg: float,
        count: int,
        writer: "SummaryWriter",
        detector: Detector | None = None,
    ) -> None:
        self.log = run / "log.jsonl"
        self.sides = sides
        self.names = names
        self.every_kimg = every_kimg
        self.count = count
        self.writer = writer
        self.detector = detector

    def __call__(self, trainer: Trainer, before: int, finished: bool) -> None:
        """Look at the trainer after a round."""
        # Where it was asked to stop, it is to stop soon.
        ended = trainer.nimg >= trainer.config.nimg
        if not ended and not crossed(before, trainer.nimg, self.every_kimg):
            return
        size = 2**trainer.average.level
        names = [n for n in self.names if n != "swd" or size >= COARSEST]
        if not names:
            return
        figures = {}
        average = ModelFile(generator=trainer.average, class_counts=trainer.class_counts)
        for side, images in self.sides.items():
            count = min(images.count, self.count)
            fakes = ModelImages("average", average, count, seed=0)
            report = measure(
                images.at(size),
                fakes,
                names=names,
                count=count,
                detector=self.detector,
                baseline=False,
            )
            for name, value in flat(report.fakes.values).items():
                metric, _, part = name.partition(" ")
                figures["/".join(filter(None, ("metrics", metric, side, part)))] = value
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"nimg": trainer.nimg} | figures) + "\n")
        for name, value in figures.items():
            self.writer.add_scalar(name, value, trainer.nimg)
        self.writer.flush()
        door.tell("  " + ", ".join(_told(figures)))


def _told(figures: dict[str, float]) -> list[str]:
    """Choose what to print: one figure a metric and side."""
    return [
        f"{name.removeprefix('metrics/')} {value:.4g}"
        for name, value in figures.items()
        if name.endswith("/mean") or name.count("/") == 2
    ]
