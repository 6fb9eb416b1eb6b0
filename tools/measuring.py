"""Metrics of the average generator while it is trained."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datasets import door
from datasets.errors import DatasetError
from progan.checkpoint import ModelFile
from progan.training import Trainer, crossed
from tools.detectors import Detector
from tools.images import Images, ModelImages
from tools.measure import measurable, measure
from tools.measure_command import flat
from tools.metrics import registry

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Measuring:
    """Every so many kimg: metrics against training and held-out photographs.

    The generator's images are those of the same seeds every time; photographs are mirrored where
    training mirrors them. Against a side with too few of them for a metric, and at a level that is
    too small for it, that metric is left out. Nothing here draws from a random
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
        self.names = {side: _enough(side, images, names, count) for side, images in sides.items()}
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
        mirror, channels = trainer.config.mirror, trainer.average.num_channels
        size = 2**trainer.average.level
        measured = {
            side: measurable(names, size, channels, self.detector)
            for side, names in self.names.items()
        }
        if not any(measured.values()):
            return
        figures = {}
        average = ModelFile(generator=trainer.average, class_counts=trainer.class_counts)
        for side, images in self.sides.items():
            count = min(images.count, self.count)
            fakes = ModelImages("average", average, count, seed=0)
            names = measured[side]
            if not names:
                continue
            report = measure(
                images.at(size),
                fakes,
                names=names,
                count=count,
                detector=self.detector,
                mirror=mirror,
                baseline=False,
            )
            for name, value in flat(report.fakes.values).items():
                metric, _, part = name.partition(" ")
                figures["/".join(filter(None, ("metrics", metric, side, part)))] = value
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"nimg": trainer.nimg, "mirrored": mirror} | figures) + "\n")
        for name, value in figures.items():
            self.writer.add_scalar(name, value, trainer.nimg)
        self.writer.flush()
        against = " (photographs mirrored at random)" if mirror else ""
        door.tell("  " + ", ".join(_told(figures)) + against)


def refuse_too_few(images: Images, names: Sequence[str], count: int) -> None:
    """Raise DatasetError if photographs, or the images that are wanted, are too few for a metric.

    Args:
        images: real images.
        names: metrics, of `registry.METRICS`.
        count: images to measure of each side, at most.
    """
    worst = max(registry.chosen(names), key=lambda metric: metric.least_images)
    if min(images.count, count) >= worst.least_images:
        return
    there = (
        f"--metric-images is {count}: give more"
        if count < images.count
        else f"{images.name} has {images.count} training pictures: leave it out of --metric"
    )
    raise DatasetError(f"{worst.name} needs at least {worst.least_images} images, and {there}.")


def _enough(side: str, images: Images, names: Sequence[str], count: int) -> list[str]:
    """Choose the metrics for which a side has enough images; tells of those that it has not."""
    there = min(images.count, count)
    short = [metric.name for metric in registry.chosen(names) if metric.least_images > there]
    if short:
        door.tell(
            f"  {', '.join(short)}: not measured against the {there} {side} photographs, which "
            "are too few"
        )
    return [name for name in names if name not in short]


def _told(figures: dict[str, float]) -> list[str]:
    """Choose what to print: one figure a metric and side."""
    return [
        f"{name.removeprefix('metrics/')} {value:.4g}"
        for name, value in figures.items()
        if name.endswith("/mean") or name.count("/") == 2
    ]
