"""From a source to a dataset."""

import shutil
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from datasets import description, index
from datasets.description import RESOLUTIONS, level_files
from datasets.errors import DatasetError
from datasets.framing import Framing
from datasets.landing import landing
from datasets.progress import progress
from datasets.pyramid import SKIPPED_NAME, Dataset, Writer, size_on_disk
from datasets.sources import Source
from datasets.stream import permutation
from datasets.workers import Framed, frame_all


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of a source."""

    dataset: Dataset
    """What was made."""
    skipped: Counter[str]
    """How many pictures were left out, by reason."""
    seconds: float
    """How long it took."""


def prepare(
    source: Source,
    path: Path,
    *,
    framing: Framing,
    source_name: str,
    held_out: float,
    seed: int,
    workers: int,
    overwrite: bool = False,
) -> Summary:
    """Make a dataset out of a source, with a progress report on stderr.

    The result depends on neither the number of workers nor the time.

    Args:
        source: the pictures.
        path: the folder to make.
        framing: how they become squares.
        source_name: how the source is called in the description.
        held_out: fraction to hold out of training, 0 to less than 1.
        seed: what the order of the rows is drawn from, 0 to 2**64 - 1.
        workers: number of processes.
        overwrite: whether a dataset of that name is replaced.

    Raises:
        DatasetError: no picture can be used, the place is taken or has no room.
    """
    start = time.monotonic()
    _refuse_to_destroy(path, overwrite=overwrite)
    _require_room(path, len(source.names), framing)
    skipped: list[tuple[str, str]] = []
    # The rows are shuffled once here, so that any stretch of them is a fair sample.
    items = permutation(len(source.names), seed=seed, epoch=0).tolist()
    with landing(path, overwrite=overwrite) as folder:
        folder.mkdir()
        with (
            Writer(folder, resolution=framing.resolution, channels=framing.channels) as writer,
            closing(frame_all(source, items, framing, workers)) as results,
            progress("Reading pictures", total=len(items), unit="pictures") as bar,
        ):
            for item, result in zip(items, results, strict=True):
                name = source.names[item]
                if isinstance(result, Framed):
                    writer.append(
                        result.levels,
                        name=name,
                        sha256=result.sha256,
                        class_name=result.class_name,
                    )
                else:
                    skipped.append((name, result.reason))
                bar.advance()
            skipped.sort()
            if len(skipped) == len(items):
                raise DatasetError(
                    f"No picture in {source_name} can be used; "
                    f"the first, {skipped[0][0]}: {skipped[0][1]}."
                )
            writer.finish(
                held_out=held_out,
                framing={
                    "crop": str(framing.crop),
                    "upscale": framing.upscale,
                    "resample": "lanczos",
                    "levels": "box",
                },
                source=source_name,
                seed=seed,
                versions={"pillow": PIL.__version__, "numpy": np.__version__},
                skipped=skipped,
            )
    return Summary(
        dataset=Dataset.open(path),
        skipped=Counter(reason for _, reason in skipped),
        seconds=time.monotonic() - start,
    )


def _refuse_to_destroy(path: Path, *, overwrite: bool) -> None:
    # Before hours of work, not after; and --overwrite with a mistyped name must not cost anyone
    # the photographs of a lifetime.
    if not path.exists():
        return
    if not overwrite:
        raise DatasetError(f"{path} exists already; choose another name, or give --overwrite.")
    own = {description.FILE_NAME, index.FILE_NAME, SKIPPED_NAME, *level_files(RESOLUTIONS[-1])}
    if not path.is_dir() or not {inner.name for inner in path.iterdir()} <= own:
        raise DatasetError(
            f"{path} holds other things than a dataset, so it is not overwritten; "
            "choose another name, or remove it yourself."
        )


def _require_room(path: Path, count: int, framing: Framing) -> None:
    needed = size_on_disk(count, framing.resolution, framing.channels)
    folder = path.resolve().parent
    free = shutil.disk_usage(folder).free if folder.is_dir() else needed
    if free < needed:
        raise DatasetError(
            f"{path} needs up to {needed / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free; "
            "choose another disk, or a smaller --resolution."
        )
