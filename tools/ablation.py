"""One run of an ablation: a variant trained with a seed under a budget, and measured.

The budget is thousand images, or time of the processor: what this process itself has computed, so
that a machine that others use as well bends no result. (On a GPU the time is that of the clock.)
What measures is not counted. A run that was broken off goes on from its last measurement, with the
same bits.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets import pictures
from datasets.landing import landing
from datasets.pyramid import Dataset
from datasets.stream import Stream
from progan.checkpoint import MODEL_NAME, Checkpoints, ModelFile, read_model, save_model
from progan.config import Config
from progan.devices import wait_for
from progan.errors import ProganError
from progan.latents import latents_of_seeds
from progan.training import Trainer
from tools.detectors import Detector
from tools.drawing import draw
from tools.images import DatasetImages, ModelImages
from tools.measure import measure
from tools.memorization.features import LEAST_STRUCTURE
from tools.memorization.watch import Watch
from tools.metrics.laplacian import COARSEST

RESULT = "result.json"
# Among a run's conditions: photographs are mirrored, as in training, to be compared with. Missing
# from what earlier versions measured.
_MIRRORED = "mirrored"
_COLUMNS, _ROWS = 12, 6


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a run may cost: one of the two.

    Attributes:
        kimg: thousand images.
        seconds: of the processor, or of the clock on a GPU.
    """

    kimg: float | None = None
    seconds: float | None = None

    @property
    def whole(self) -> float:
        """Give the budget in its own unit: images, or seconds."""
        return 1000 * self.kimg if self.kimg is not None else self.seconds or 0.0

    @property
    def unit(self) -> str:
        """Name that unit."""
        return "images" if self.kimg is not None else "seconds"


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What is measured of every run.

    Attributes:
        images: generated, and real ones to compare them with.
        points: measurements of swd on the way, the last of them at the end.
        detector: sees the features of precision and recall; None for neither.
    """

    images: int
    points: int
    detector: Detector | None

    def to_json(self) -> dict[str, Any]:
        """Give what makes figures comparable."""
        judge = self.detector
        seen = None if judge is None else {"name": judge.name, "sha256": judge.sha256}
        return {"images": self.images, "points": self.points, "detector": seen}


class Run:
    """A variant with a seed, in a folder of its own.

    Args:
        folder: where everything of the run is kept.
        config: the variant, with the seed; under a budget of time its kimg is not looked at.
        data: trained on, and compared with.
        budget: when to end.
        measuring: what to measure.
        device: where to compute.
    """

    def __init__(
        self,
        folder: Path,
        config: Config,
        data: Dataset,
        *,
        budget: Budget,
        measuring: Measuring,
        device: torch.device,
    ) -> None:
        # Growth and ramp-ups do not look at the end, so a budget of time needs none.
        kimg = budget.kimg if budget.kimg is not None else 1e9
        self.config = replace(config, kimg=kimg)
        self.folder, self.data, self.budget = folder, data, budget
        self.measuring, self.device = measuring, device
        self._reals = DatasetImages(data.path.name, data, "train", config.resolution)

    @property
    def conditions(self) -> dict[str, Any]:
        """Give all that decides the run's figures, JSON values."""
        return {
            "config": self.config.to_json(),
            "dataset": self.data.fingerprint,
            "budget": {"kimg": self.budget.kimg, "seconds": self.budget.seconds},
            "device": self.device.type,
            "measuring": self.measuring.to_json(),
            **({_MIRRORED: True} if self.config.mirror else {}),
        }

    def result(self) -> dict[str, Any] | None:
        """Return the finished run's figures; None until it has ended, and where they are outdated.

        Raises:
            ProganError: the folder holds a run of other settings.
        """
        found = self._read(self.folder / RESULT)
        return None if found is None or found.get("outdated") else found

    def finish(self, advance: Callable[[int], None]) -> dict[str, Any]:
        """Train to the end of the budget, measure, and keep the figures.

        Args:
            advance: told of the budget that is spent, in its unit.

        Raises:
            ProganError: the folder holds a run of other settings.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        known = self._read(self.folder / RESULT)
        if known is not None and (self.folder / MODEL_NAME).is_file():
            advance(round(self.budget.whole))
            return self._measure_again(known)
        trainer = Trainer(self.config, Stream(self.data, seed=self.config.seed), device=self.device)
        # A state lands before the note of it: until that has landed too, the one before counts.
        checkpoints = Checkpoints(self.folder / "checkpoints", keep=2)
        curve, spent = self._take_up(trainer, checkpoints)
        advance(round(spent))
        told = round(spent)
        broken = None
        points = self.measuring.points
        while spent < self.budget.whole:
            began, before = self._clock(), trainer.nimg
            try:
                trainer.round()
                if trainer.nimg // 1000 > before // 1000:
                    trainer.check()
            except ProganError as error:
                broken = str(error)
                break
            cost = trainer.nimg - before if self.budget.kimg else self._clock() - began
            reached = int((spent + cost) * points / self.budget.whole)
            due = reached > int(spent * points / self.budget.whole)
            spent += cost
            advance(min(round(spent), round(self.budget.whole)) - told)
            told = min(round(spent), round(self.budget.whole))
            if due and spent < self.budget.whole:
                curve.append(self._point(trainer, spent))
                checkpoints.save(trainer.state(), trainer.nimg)
                self._write("progress.json", {"curve": curve, "spent": spent})
        advance(round(self.budget.whole) - told)
        figures = {} if broken else self._figures(self._average(trainer))
        if not broken:
            curve.append(self._point(trainer, spent, figures))
        result = {
            "broken": broken,
            "nimg": trainer.nimg,
            "spent": spent,
            "figures": figures,
            "curve": curve,
        }
        self._keep_generator(trainer)
        self._write(RESULT, result)
        return result

    def _measure_again(self, known: dict[str, Any]) -> dict[str, Any]:
        """Measure the kept generator of a finished run whose figures are outdated."""
        result = {name: value for name, value in known.items() if name != "outdated"}
        if not known["broken"]:
            figures = self._figures(read_model(self.folder))
            result["figures"] = figures
            result["curve"][-1]["swd"] = figures.get("swd", {}).get("mean")
        self._write(RESULT, result)
        return result

    def _take_up(
        self, trainer: Trainer, checkpoints: Checkpoints
    ) -> tuple[list[dict[str, Any]], float]:
        """Go on where an earlier start of the run was broken off; gives its curve and its cost."""
        known = self._read(self.folder / "progress.json")
        noted = -1 if known is None else known["curve"][-1]["nimg"]
        found = [path for path in checkpoints.all() if int(path.stem) == noted]
        # Later states, of which no cost is known, would be taken for newer than those to come.
        for path in checkpoints.all():
            if path not in found:
                path.unlink()
        if known is None or not found:
            return [], 0.0
        trainer.restore(*checkpoints.read(found[0]))
        return list(known["curve"]), float(known["spent"])

    def _clock(self) -> float:
        if self.device.type == "cpu":
            return time.process_time()
        wait_for(self.device)
        return time.perf_counter()

    def _average(self, trainer: Trainer) -> ModelFile:
        return ModelFile(generator=trainer.average, class_counts=trainer.class_counts)

    def _fakes(self, model: ModelFile) -> ModelImages:
        return ModelImages("average", model, self.measuring.images, seed=0)

    def _point(
        self, trainer: Trainer, spent: float, figures: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Give a point of the curve: where the run stands, and the mean swd at its size."""
        size = 2**trainer.average.level
        mean = None
        if figures is not None:
            mean = figures.get("swd", {}).get("mean")
        elif size >= COARSEST:
            report = measure(
                self._reals.at(size),
                self._fakes(self._average(trainer)),
                names=["swd"],
                count=self.measuring.images,
                mirror=self.config.mirror,
                baseline=False,
            )
            mean = report.fakes.values["swd"]["mean"]
        return {"nimg": trainer.nimg, "spent": spent, "size": size, "swd": mean}

    def _figures(self, model: ModelFile) -> dict[str, Any]:
        """Measure everything, at the level where the run ended."""
        fakes = self._fakes(model)
        size = fakes.resolution
        names = ["ms-ssim"]
        if size >= COARSEST:
            names.insert(0, "swd")
        if self.measuring.detector is not None and size == self.config.resolution:
            names += ["precision", "recall"]
        report = measure(
            self._reals.at(size),
            fakes,
            names=names,
            count=self.measuring.images,
            detector=self.measuring.detector,
            mirror=self.config.mirror,
            baseline=False,
        )
        figures = report.fakes.values | {"size": size}
        if size >= LEAST_STRUCTURE:  # smaller ones are too much alike to tell a copy
            look = Watch(self.data, size).look(fakes.read(range(self.measuring.images)).pixels)
            figures |= {
                "flagged": look.flagged_share,
                "flagged of new ones": look.expected_share,
            }
        return figures

    def _keep_generator(self, trainer: Trainer) -> None:
        save_model(
            self.folder / MODEL_NAME,
            trainer.average,
            classes=self.data.classes or (),
            class_counts=trainer.class_counts,
            trained={"config": self.config.to_json(), "nimg": trainer.nimg},
        )
        points = latents_of_seeds(range(_COLUMNS * _ROWS), trainer.average.latent_size)
        labels = None
        if trainer.average.label_size:
            labels = np.arange(len(points)) % trainer.average.label_size
        images = draw(trainer.average, points, labels)
        with landing(self.folder / "samples.png", overwrite=True) as part:
            pictures.save(part, pictures.grid(images, _COLUMNS))

    def _write(self, name: str, values: dict[str, Any]) -> None:
        with landing(self.folder / name, overwrite=True) as part:
            part.write_text(
                json.dumps({"conditions": self.conditions} | values, indent=1) + "\n",
                encoding="utf-8",
            )

    def _read(self, path: Path) -> dict[str, Any] | None:
        """Read what an earlier start has written of this very run.

        Figures of a mirrored training that were measured against photographs as they are, which
        earlier versions did, are taken out, and the values are marked as outdated.
        """
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            conditions = values.pop("conditions")
            expected = json.loads(json.dumps(self.conditions))
            if _MIRRORED in expected and _MIRRORED not in conditions:
                conditions[_MIRRORED] = True
                curve = [point | {"swd": None} for point in values["curve"]]
                values |= {"outdated": True, "curve": curve}
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ProganError(
                f"{path} is damaged: remove {self.folder} to train it again"
            ) from None
        if conditions != expected:
            raise ProganError(
                f"{self.folder} holds a run of other settings "
                f"({_difference(conditions, expected)}): give the variant another name, or remove "
                "the folder"
            )
        return dict(values)


def _difference(one: Any, other: Any, path: str = "") -> str:
    """Name the first setting in which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *other]:
            if one.get(name) != other.get(name):
                return _difference(one.get(name), other.get(name), f"{path} {name}".strip())
    return f"{path}: {one}, not {other}"
