"""What training says before its first step: what cannot be meant, what was chosen, how long."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datasets import door
from datasets.progress import duration
from progan.automatic import AUTO, Choice, choose
from progan.config import Config
from progan.errors import ProganError

if TYPE_CHECKING:
    import torch

    from datasets.pyramid import Dataset

# With fewer photographs than this, training looks for copies unless told otherwise.
WATCHED_BELOW = 2000
# So often each image is to be shown before, and between, looks that nobody has asked for.
_PASSES_BETWEEN_LOOKS = 5
# With fewer, a generator learns little but these.
_FEW_IMAGES = 200
_LONG_SECONDS = 30 * 86400


def refuse_confused(dataset: Path, run: Path) -> None:
    """Refuse DATASET and RUN where they have changed places, or are one.

    Raises:
        click.UsageError: they have.
    """
    told = "DATASET comes first, then the folder for the run: python train.py"
    if (run / "dataset.json").is_file():
        if _is_run(dataset):
            raise click.UsageError(
                f"{dataset} is a run and {run} a dataset. {told} {run} {dataset}"
            )
        raise click.UsageError(f"{run} is a dataset, and no place for a run. {told} {dataset} RUN")
    if _is_run(dataset) and not (dataset / "dataset.json").exists():
        raise click.UsageError(f"{dataset} is a run, and no dataset. {told} DATASET {dataset}")


def _is_run(path: Path) -> bool:
    return (path / "config.json").is_file() and any(
        (path / name).exists() for name in ("checkpoints", "log.jsonl", "generator.safetensors")
    )


def chosen(data: "Dataset", device: "torch.device", given: Mapping[str, Any]) -> Choice:
    """Choose what preset `auto` stands for, for a dataset on a device and what the user gave."""
    return choose(
        device.type,
        resolution=data.resolution,
        photographs=len(data.rows("train")),
        lopsided=getattr(data, "lopsided", None),
        asked_resolution=given.get("resolution"),
        asked_kimg=given.get("kimg"),
    )


def sentence(choice: Choice, config: Config, given: Mapping[str, Any], *, watched: bool) -> str:
    """Return the sentence that tells what `auto` has chosen, of what the user has not given."""

    def because(name: str) -> str:
        return f" ({choice.reasons[name]})" if name in choice.reasons else ""

    parts = [choice.preset]
    if "resolution" not in given:
        parts.append(f"{config.resolution}×{config.resolution} pixels{because('resolution')}")
    if "kimg" not in given:
        parts.append(f"{config.kimg:g} kimg{because('kimg')}")
    if "mirror" not in given and not config.mirror:
        parts.append(f"--no-mirror{because('mirror')}")
    if watched:
        parts.append(f"--watch-memorization (fewer than {WATCHED_BELOW} images)")
    return f"Preset {AUTO} chose {', '.join(parts)}"


def watch_kimg(config: Config, data: "Dataset", *, asked: bool) -> float:
    """Return the thousand images between two looks for copies, where the user does not say.

    A twentieth of the run. Looks that were not asked for are to take no time from a short run, in
    which nothing is learned by heart yet.
    """
    least = 0.0 if asked else _PASSES_BETWEEN_LOOKS * len(data.rows("train")) / 1000
    return max(config.kimg / 20, least)


def refuse_too_few(data: "Dataset") -> None:
    """Refuse a dataset of a single training image.

    Raises:
        ProganError: it has but one.
    """
    if len(data.rows("train")) < 2:
        raise ProganError(
            f"{data.path} has 1 training image, and a generator that has seen but one can only "
            f"repeat it: prepare a dataset of some hundreds at least, better thousands"
        )


def warn_of_data(config: Config, data: "Dataset", *, mirror_was_given: bool) -> None:
    """Warn of data that a new run will learn little from, or wrongly."""
    count = len(data.rows("train"))
    if count < _FEW_IMAGES:
        door.warn(
            f"{data.path} has {count} training images: a generator will learn these by heart and "
            "invent little. Some hundreds are the least, thousands are better"
        )
    large = {
        2**phase.level: minibatch
        for phase in config.schedule.phases()
        if (minibatch := int(config.schedule.minibatch[phase.level])) > count
    }
    if large:
        side, minibatch = max(large.items(), key=lambda item: item[1])
        door.warn(
            f"a minibatch of {minibatch} at {side}×{side} holds images twice, since there are but "
            f"{count}: --minibatch takes smaller ones"
        )
    if config.mirror and getattr(data, "lopsided", None) and not mirror_was_given:
        door.warn(
            "left and right of these images differ, and half of them will be shown mirrored: "
            "--no-mirror shows them as they are"
        )


def warn_of_growth(config: Config) -> None:
    """Warn where a run ends before it has grown to its resolution."""
    last = config.schedule.at(max(0, config.nimg - 1))
    reached, whole = 2**last.level, config.resolution
    if reached < whole:
        full = next(phase for phase in config.schedule.phases() if 2**phase.level == whole)
        door.warn(
            f"{config.kimg:g} kimg end at {reached}×{reached} of {whole}×{whole} pixels, which "
            f"begin to fade in after {full.start / 1000:g}: give a larger --kimg, or a smaller "
            "--fade-kimg and --hold-kimg"
        )


def warn_of_length(seconds: float) -> None:
    """Warn of a run that will take longer than a month."""
    if seconds > _LONG_SECONDS:
        door.warn(
            f"at the speed of this machine, training will take {duration(seconds)}: --dry-run "
            "shows which levels do. A smaller --resolution, a smaller --kimg, or --preset auto, in "
            "another folder, take less"
        )
