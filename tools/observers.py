"""What `train.py` brings along to watch, measure and save a run."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tensorboard.summary.writer.event_file_writer import _AsyncWriterThread
from torch.utils.tensorboard import SummaryWriter

from datasets.progress import progress
from datasets.pyramid import Dataset
from progan.checkpoint import Checkpoints
from progan.config import Config
from progan.devices import forget_peak
from progan.estimate import measure
from progan.run_record import read_record
from progan.runs import earlier_datasets, imported_from
from progan.time_left import TimeLeft
from progan.training import Observer, Trainer
from tools.detectors import open_detector
from tools.divergence import Judge
from tools.event_files import EventWriter
from tools.going_back import go_back
from tools.images import DatasetImages, Images, Split
from tools.measuring import Measuring, refuse_too_few
from tools.memorization.observer import MemorizationWatch
from tools.watching import Samples, Saving, Ticks

# Images in which to look for copies: enough for a curve.
_MOST_LOOKED_AT = 200


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a run is watched and saved; changes no weight."""

    checkpoint_kimg: float
    checkpoint_minutes: float
    keep: int
    milestone_kimg: float | None
    sample_kimg: float
    tick_seconds: float
    metrics: tuple[str, ...]
    metric_kimg: float
    metric_images: int
    detector: str | None
    trust: bool
    watch_memorization: bool
    watch_kimg: float
    end_where_copying_begins: bool


def bring_observers(
    trainer: Trainer,
    data: Dataset,
    run: Path,
    checkpoints: Checkpoints,
    pace: Pace,
    left: TimeLeft,
    *,
    only_warn: bool = False,
    before: Sequence[Observer] = (),
) -> list[Observer]:
    """Bring along what watches and saves.

    Args:
        trainer: the run, where it stands.
        data: its dataset.
        run: the run directory, which forgets what lies after that.
        checkpoints: its states.
        pace: how often it is watched and saved.
        left: estimates the time to the end.
        only_warn: of a divergence, instead of ending there.
        before: those that it had before it went back.
    """
    for each in before:
        if isinstance(each, Ticks):
            each.writer.close()  # with its thread and its file, which is looked at next
    go_back(run, trainer.nimg)
    threading.excepthook = _leave_it_to_the_main_thread
    # For a TensorBoard that has read the events already which are gone now.
    writer = EventWriter(run, trainer.nimg + 1)
    saver = saving(data, run, checkpoints, pace)
    ticks = Ticks(
        run,
        seconds=pace.tick_seconds,
        left=left,
        writer=writer,
        judge=Judge(trainer, run / "log.jsonl", checkpoints, warn=only_warn),
    )
    return [
        ticks.arrive,
        *_measuring(data, run, trainer, writer, pace, saver),
        ticks,
        Samples(run, every_kimg=pace.sample_kimg, writer=writer, classes=data.classes or ()),
        saver,
        ticks.leave,
    ]


def measured_time_left(trainer: Trainer) -> TimeLeft:
    """Measure the seconds that training takes for an image, by level, and how long a run takes."""
    seconds = {}
    levels = trainer.average.top_level - 1
    with progress("Measuring the speed of each level", total=levels, unit="levels") as bar:
        for level, estimate, _ in measure(
            trainer.config, trainer.device, trainer.processes.count, trainer.splits
        ):
            seconds[level] = estimate
            bar.advance()
    # What that has taken is no part of what the run will be seen to take.
    forget_peak(trainer.device)
    return TimeLeft(trainer.config, seconds)


def copying_began(observers: Sequence[Observer]) -> bool:
    """Say whether one of a run's observers asks for its end, since the generator copies."""
    return any(isinstance(each, MemorizationWatch) and each.copying for each in observers)


def _leave_it_to_the_main_thread(args: threading.ExceptHookArgs) -> None:
    """Say nothing of a full disk in the thread that writes for TensorBoard.

    It fails in the main thread too, which says so in a sentence, at the next value or flush.
    """
    if not (isinstance(args.exc_value, OSError) and type(args.thread) is _AsyncWriterThread):
        threading.__excepthook__(args)


def saving(data: Dataset, run: Path, checkpoints: Checkpoints, pace: Pace) -> Saving:
    """Bring along what saves."""
    dataset: dict[str, object] = {
        "name": data.path.resolve().name,
        "fingerprint": data.fingerprint,
        "images": len(data.rows("train")),
        "resolution": data.resolution,
        "framing": dict(data.description.framing),
    }
    earlier: list[dict[str, object]] = [
        # The whole path is nobody's business who gets the model file.
        {
            "name": Path(each["path"]).name,
            "fingerprint": each["fingerprint"],
            "until_nimg": each["until_nimg"],
        }
        for each in earlier_datasets(run)
    ]
    return Saving(
        run,
        checkpoints,
        every_kimg=pace.checkpoint_kimg,
        every_minutes=pace.checkpoint_minutes,
        classes=data.classes or (),
        dataset=dataset,
        origin=imported_from(run),
        earlier=earlier,
        record=read_record(run),
    )


def refuse_unmeasurable(pace: Pace, data: Dataset, config: Config, device: torch.device) -> None:
    """Refuse metrics that a run could not measure, before anything of it is written.

    Raises:
        DatasetError: there are too few training photographs or images for a metric, the detector
            cannot be had, or cannot see images of the run's full size. (Levels may be too small.)
    """
    if not pace.metrics:
        return
    refuse_too_few(_sides(data)["train"], pace.metrics, pace.metric_images)
    if pace.detector is not None:
        detector = open_detector(pace.detector, device, trust=pace.trust)
        detector.check(config.resolution, data.channels)


def _sides(data: Dataset) -> dict[str, Images]:
    splits: tuple[Split, ...] = ("train", "held-out")
    return {
        split: DatasetImages(str(data.path), data, split, data.resolution)
        for split in splits
        if len(data.rows(split))
    }


def _measuring(
    data: Dataset,
    run: Path,
    trainer: Trainer,
    writer: SummaryWriter,
    pace: Pace,
    saver: Saving,
) -> list[Observer]:
    """Bring along what measures, and what looks for copies, as far as it is wanted."""
    observers: list[Observer] = []
    if pace.watch_memorization:
        observers.append(
            MemorizationWatch(
                run,
                data,
                every_kimg=pace.watch_kimg,
                count=min(pace.metric_images, _MOST_LOOKED_AT),
                writer=writer,
                keep=saver.write_model if pace.end_where_copying_begins else None,
            )
        )
    if not pace.metrics:
        return observers
    observers.append(
        Measuring(
            run,
            _sides(data),
            names=pace.metrics,
            every_kimg=pace.metric_kimg,
            count=pace.metric_images,
            writer=writer,
            detector=None
            if pace.detector is None
            else open_detector(pace.detector, trainer.device, trust=pace.trust),
        )
    )
    return observers
