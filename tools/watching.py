"""What looks on while a network learns: status lines, log.jsonl, TensorBoard, sample grids."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from datasets import door, pictures
from datasets.landing import landing, sync
from datasets.progress import duration
from progan import latents
from progan.checkpoint import MODEL_NAME, Checkpoints, read_model, save_model
from progan.errors import ProganError
from progan.labels import classes_for_rows
from progan.run_record import for_checkpoints
from progan.time_left import TimeLeft
from progan.training import Trainer, crossed
from tools.class_rows import ClassRows
from tools.classes import readable
from tools.drawing import draw

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SAMPLE_SEED = 0
# A sample grid is to fit a screen.
_SAMPLE_PIXELS = 2048
# More rows than these nobody compares.
_MOST_CLASS_ROWS = 16


def memory_bytes(device: torch.device) -> int:
    """Give the memory in use: of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # not on Linux
        import resource

        # In bytes on macOS, where this branch is taken.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Ticks:
    """Every few seconds: one status line, and all scalars to log.jsonl and TensorBoard.

    Args:
        run: the run directory.
        seconds: time between two ticks.
        left: estimates the time to the end, and is told what each round has taken.
        writer: TensorBoard's.
        judge: is shown the scalars of every tick; what it raises ends training.
        clock: gives seconds since some moment.

    For `left`, `arrive` must be the first observer of all and `leave` the last one: what lies
    between them is no training.
    """

    def __init__(
        self,
        run: Path,
        *,
        seconds: float,
        left: TimeLeft,
        writer: "SummaryWriter",
        judge: Callable[[Trainer, Mapping[str, float]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = run / "log.jsonl"
        self.judge = judge
        self.seconds = seconds
        self.left = left
        self.writer = writer
        self._clock = clock
        self._last = self._arrived = self._left = clock()
        self._images = 0

    def arrive(self, trainer: Trainer, before: int, finished: bool) -> None:
        """Note that a round has ended, and that observers begin."""
        self._arrived = self._clock()

    def leave(self, trainer: Trainer, before: int, finished: bool) -> None:
        """Note that all observers have looked, and that the next round begins."""
        now = self._clock()
        self.left.note(
            trainer.config.schedule.at(before).level,
            trainer.nimg - before,
            self._arrived - self._left,
            now - self._arrived,
        )
        self._left = now

    def __call__(self, trainer: Trainer, before: int, finished: bool) -> None:
        """Look at the trainer after a round."""
        self._images += trainer.nimg - before
        elapsed = self._clock() - self._last
        if elapsed < self.seconds and not finished:
            return
        skipped_before = trainer.skipped
        trainer.check()
        scalars = trainer.scalars() | self._progress(trainer, self._images / elapsed)
        self._write(scalars, trainer.nimg)
        self._tell(trainer, scalars)
        if trainer.skipped > skipped_before:
            door.tell(
                f"  {trainer.skipped - skipped_before} steps were skipped, since losses or "
                f"gradients were not finite ({trainer.skipped} in all)"
            )
        self._images = 0
        self._last = self._clock()
        if self.judge is not None:
            self.judge(trainer, scalars)

    def _progress(self, trainer: Trainer, images_per_second: float) -> dict[str, float]:
        stage = trainer.stage
        return {
            "progress/kimg": trainer.nimg / 1000,
            "progress/level": stage.level,
            "progress/fade": stage.fade,
            "progress/minibatch": stage.minibatch,
            "progress/learning_rate": stage.learning_rate,
            "progress/skipped_steps": trainer.skipped,
            "speed/images_per_second": images_per_second,
            "speed/memory_gib": memory_bytes(trainer.device) / 2**30,
        }

    def _write(self, scalars: dict[str, float], nimg: int) -> None:
        # JSON has no NaN.
        line = {name: value if np.isfinite(value) else None for name, value in scalars.items()}
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"nimg": nimg} | line) + "\n")
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, nimg)
        self.writer.flush()

    def _tell(self, trainer: Trainer, scalars: dict[str, float]) -> None:
        rate = scalars["speed/images_per_second"]
        stage = trainer.stage
        size = 2**stage.level
        whole = trainer.config.nimg
        door.tell(
            f"kimg {course(trainer.nimg, whole):<{len(course(whole, whole))}}  "
            f"level {stage.level} ({size}×{size})  "
            f"fade {stage.fade:.2f}  {1000 / rate if rate else 0:.1f} s/kimg  "
            f"{duration(self.left.seconds(trainer.nimg))} left  "
            f"memory {scalars['speed/memory_gib']:.1f} GiB"
        )


def course(nimg: int, whole: int) -> str:
    """Write how far a run has come: `12.3 / 120 (10 %)`, in thousand images."""
    return f"{nimg / 1000:.1f} / {whole / 1000:g} ({100 * nimg // whole} %)"


def sample_layout(resolution: int) -> tuple[int, int]:
    """Give columns and rows of a sample grid that fits a screen."""
    columns = int(np.clip(_SAMPLE_PIXELS // resolution, 2, 8))
    return columns, columns


def sample_classes(resolution: int, label_size: int) -> list[int]:
    """Give the classes that a sample grid shows, one a row; the most that fit a screen."""
    rows = int(np.clip(_SAMPLE_PIXELS // resolution, 2, _MOST_CLASS_ROWS))
    return classes_for_rows(label_size, rows)


class Samples:
    """Every so many kimg: a grid of the same latents, drawn by the average generator.

    With classes, each row is a class and each column a latent vector, so that what changes down a
    column is the class alone. The file `classes.txt` beside the grids names the rows.

    Args:
        run: the run directory.
        every_kimg: thousand images between two grids.
        writer: TensorBoard's.
        classes: names of the classes.
    """

    def __init__(
        self,
        run: Path,
        *,
        every_kimg: float,
        writer: "SummaryWriter",
        classes: tuple[str, ...] = (),
    ) -> None:
        self.folder = run / "samples"
        self.every_kimg = every_kimg
        self.writer = writer
        self.classes = classes

    def __call__(self, trainer: Trainer, before: int, finished: bool) -> None:
        """Look at the trainer after a round."""
        if not finished and not crossed(before, trainer.nimg, self.every_kimg):
            return
        self.folder.mkdir(exist_ok=True)
        resolution = trainer.config.resolution
        columns, rows = sample_layout(resolution)
        shown = sample_classes(resolution, trainer.average.label_size)
        count = columns if shown else columns * rows
        seeds = range(SAMPLE_SEED, SAMPLE_SEED + count)
        points = latents.latents_of_seeds(seeds, trainer.average.latent_size)
        labels = None
        if shown:
            self._name_rows(shown)
            points, labels = ClassRows(shown, columns).lay_out(points)
        images = draw(trainer.average, points, labels)
        # All grids of a run have one size, so that they can be laid over one another.
        sheet = pictures.zoom(pictures.grid(images, columns), resolution // images.shape[1])
        pictures.save(self.folder / f"{trainer.nimg:012d}.png", sheet)
        self.writer.add_image("samples", sheet, trainer.nimg, dataformats="HWC")
        self.writer.flush()

    def _name_rows(self, shown: list[int]) -> None:
        """Say beside the grids which class each row shows, from the top."""
        names = self.classes or [str(number) for number in range(shown[-1] + 1)]
        lines = [readable(names[number]) + "\n" for number in shown]
        with landing(self.folder / "classes.txt", overwrite=True) as part:
            part.write_text("".join(lines), encoding="utf-8")


def versions() -> dict[str, str]:
    """Name the versions of what computes the weights."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


class Saving:
    """Every so many kimg, and every so many minutes: a checkpoint and the newest model file.

    Args:
        run: the run directory.
        checkpoints: where the states go.
        every_kimg: thousand images between two checkpoints.
        every_minutes: time between two checkpoints at most.
        classes: names of the classes.
        dataset: what the model file is to say of its data.
        origin: the official file that the run began with; None for a run that began by itself.
        earlier: what it is to say of datasets that the run has learned from before.
        record: what config.json says, which every checkpoint is to hold too.
    """

    def __init__(
        self,
        run: Path,
        checkpoints: Checkpoints,
        *,
        every_kimg: float,
        every_minutes: float,
        classes: tuple[str, ...],
        dataset: dict[str, object],
        origin: dict[str, object] | None = None,
        earlier: Sequence[dict[str, object]] = (),
        record: Mapping[str, Any] | None = None,
    ) -> None:
        self.run = run
        self.checkpoints = checkpoints
        self.every_kimg = every_kimg
        self.every_seconds = 60 * every_minutes
        self.classes = classes
        self.dataset = dataset
        self.history: dict[str, object] = {} if origin is None else {"official": origin}
        if earlier:
            self.history["earlier_datasets"] = list(earlier)
        self._record: dict[str, Any] | None = None
        if record is not None:
            self.tell_in_checkpoints(record)
        self._last = time.monotonic()

    def tell_in_checkpoints(self, record: Mapping[str, Any]) -> None:
        """Let the checkpoints from now on hold what config.json says."""
        self._record = for_checkpoints(record)

    def __call__(self, trainer: Trainer, before: int, finished: bool) -> None:
        """Look at the trainer after a round."""
        late = time.monotonic() - self._last >= self.every_seconds
        if not (finished or late or crossed(before, trainer.nimg, self.every_kimg)):
            return
        # Whoever finds the checkpoint after a loss of power is to find what was told up to it.
        for path in (self.run / "log.jsonl", *self.run.glob("events.out.tfevents.*"), self.run):
            if path.exists():
                sync(path)
        self.checkpoints.save(trainer.state(), trainer.nimg, self._record)
        self.write_model(trainer)
        self._last = time.monotonic()

    def mend_model(self, trainer: Trainer) -> bool:
        """Write the model file again where it is missing, damaged, or not of the trainer's state.

        So it is after a kill between checkpoint and model file. Says whether it was so.
        """
        with suppress(ProganError):
            # Networks that were imported and not trained yet do not say.
            if read_model(self.run).trained.get("nimg", trainer.nimg) == trainer.nimg:
                return False
        self.write_model(trainer)
        return True

    def write_model(self, trainer: Trainer, path: Path | None = None) -> None:
        """Write the average generator as the run's model file, or as another one."""
        save_model(
            path or self.run / MODEL_NAME,
            trainer.average,
            classes=self.classes,
            class_counts=trainer.class_counts,
            trained={
                "config": trainer.config.to_json(),
                "nimg": trainer.nimg,
                "dataset": self.dataset,
                "versions": versions(),
                **self.history,
            },
        )
