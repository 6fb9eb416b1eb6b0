"""From a source to a dataset."""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import PIL
from PIL import features

from datasets import description, index
from datasets.codecs import CODECS, Choice, Codec, codecs_of_levels
from datasets.description import RESOLUTIONS, level_files
from datasets.errors import DatasetError, UnusableError
from datasets.framing import Framing
from datasets.progress import progress
from datasets.pyramid import SKIPPED_NAME, Dataset, Writer, size_on_disk
from datasets.room import require_room
from datasets.sources import Source
from datasets.stream import permutation
from datasets.unfinished import Kept, Left, Work, unfinished
from datasets.workers import Framed, frame_all

# What an interruption may cost. Shorter work is not kept at all.
_SECONDS_BETWEEN_CHECKPOINTS = 10.0


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
    codec: Choice = "raw",
    source_name: str,
    held_out: float,
    seed: int,
    workers: int,
    overwrite: bool = False,
    group_by: re.Pattern[str] | None = None,
    drop_duplicates: bool = False,
    choices: Mapping[str, str | bool] | None = None,
    seconds_between_checkpoints: float = _SECONDS_BETWEEN_CHECKPOINTS,
) -> Summary:
    """Make a dataset out of a source, with a progress report on stderr.

    The result depends on neither the number of workers nor the time, nor on whether the work was
    interrupted: what was done until the last checkpoint is taken over by the next call with the
    same arguments.

    Args:
        source: the pictures.
        path: the folder to make.
        framing: how they become squares.
        codec: how the large levels are coded: see `codecs.codecs_of_levels`.
        source_name: how the source is called in the description.
        held_out: fraction to hold out of training, 0 to less than 1.
        seed: what the order of the rows is drawn from, 0 to 2**64 - 1.
        workers: number of processes.
        overwrite: whether a dataset of that name is replaced.
        group_by: what in their names makes pictures a group, which is held out as a whole or not
            at all: see `index.group_names`.
        drop_duplicates: whether of pictures with the same bytes only one is taken.
        choices: where classes and faces come from, to be recorded in the description.
        seconds_between_checkpoints: how often to make certain what was done.

    Raises:
        DatasetError: no picture can be used, the place is taken or has no room, no name matches
            `group_by`, or a worker died.
    """
    start = time.monotonic()
    _refuse_to_destroy(path, overwrite=overwrite)
    codecs = codecs_of_levels(codec, framing.resolution)
    require_room(
        path,
        size_on_disk(len(source.names), framing.resolution, framing.channels, codecs),
        "choose another disk, --codec webp, or a smaller --resolution",
    )
    choices = dict(choices or {})
    if drop_duplicates:
        choices["drop_duplicates"] = True
    if group_by is not None:
        choices["group_by"] = group_by.pattern
        if not any(index.group_names(source.names, group_by)):
            raise DatasetError(
                f"--group-by {group_by.pattern} matches no name; one of them is {source.names[0]}."
            )
    versions = _versions()
    # All that the result depends on, besides what is in the pictures.
    command = {
        "framing": str(framing),
        "codecs": {str(side): codec for side, codec in codecs.items()},
        "source": source_name,
        "pictures": _hash(source),
        "held_out": held_out,
        "seed": seed,
        "choices": choices,
        "versions": versions,
    }
    # The rows are shuffled once here, so that any stretch of them is a fair sample.
    items = permutation(len(source.names), seed=seed, epoch=0).tolist()
    with (
        unfinished(path, command=command, overwrite=overwrite) as work,
        _writer(work, source, items, framing, codecs) as writer,
    ):
        _Making(source, items, framing, codecs, work, writer).run(
            workers, drop_duplicates=drop_duplicates, seconds=seconds_between_checkpoints
        )
        skipped = sorted(
            (source.names[item], outcome.reason)
            for item, outcome in zip(items, work.outcomes, strict=True)
            if isinstance(outcome, Left)
        )
        if not writer.entries:
            raise DatasetError(
                f"No picture in {source_name} can be used; "
                f"the first, {skipped[0][0]}: {skipped[0][1]}."
            )
        writer.finish(
            held_out=held_out,
            framing={
                "crop": str(framing.crop),
                "upscale": framing.upscale,
                "decoding": framing.decoding,
                "resample": "lanczos",
                "levels": "box",
            },
            source=source_name,
            seed=seed,
            versions=versions,
            skipped=skipped,
            groups=None
            if group_by is None
            else index.group_names([entry.name for entry in writer.entries], group_by),
            choices=choices,
        )
    return Summary(
        dataset=Dataset.open(path),
        skipped=Counter(reason for _, reason in skipped),
        seconds=time.monotonic() - start,
    )


@dataclass(frozen=True)
class _Making:
    """One pass through the pictures that are not done yet."""

    source: Source
    items: Sequence[int]
    framing: Framing
    codecs: Mapping[int, Codec]
    work: Work
    writer: Writer

    def run(self, workers: int, *, drop_duplicates: bool, seconds: float) -> None:
        """Frame the pictures, write what can be used, and note what became of each."""
        done = len(self.work.outcomes)
        if done:
            click.echo(f"Going on after {done} of {len(self.items)} pictures.", err=True)
        left = self.items[done:]
        seen = {entry.sha256 for entry in self.writer.entries}
        next_checkpoint = time.monotonic() + seconds
        with (
            closing(frame_all(self.source, left, self.framing, workers, self.codecs)) as results,
            progress("Reading pictures", total=len(left), unit="pictures") as bar,
        ):
            for item, result in zip(left, results, strict=True):
                if not isinstance(result, Framed):
                    self.work.note(Left(result.reason))
                elif drop_duplicates and result.sha256 in seen:
                    self.work.note(Left("the same as another picture"))
                else:
                    self._append(item, result)
                    seen.add(result.sha256)
                bar.advance()
                if time.monotonic() >= next_checkpoint and self.writer.entries:
                    self.work.checkpoint(self.writer.checkpoint())
                    next_checkpoint = time.monotonic() + seconds

    def _append(self, item: int, picture: Framed) -> None:
        self.writer.append(
            picture.levels,
            name=self.source.names[item],
            sha256=picture.sha256,
            class_name=picture.class_name,
        )
        self.work.note(Kept(picture.sha256, picture.class_name))


def _writer(
    work: Work,
    source: Source,
    items: Sequence[int],
    framing: Framing,
    codecs: Mapping[int, Codec],
) -> Writer:
    """Begin to write, or go on where another process was interrupted."""
    entries = [
        index.Entry(source.names[item], outcome.sha256, outcome.class_name)
        for item, outcome in zip(items, work.outcomes, strict=False)
        if isinstance(outcome, Kept)
    ]

    def writer_after(entries: Sequence[index.Entry]) -> Writer:
        return Writer(
            work.folder,
            resolution=framing.resolution,
            channels=framing.channels,
            codecs=codecs,
            entries=entries,
        )

    if entries:
        with suppress(FileNotFoundError):
            writer = writer_after(entries)
            if writer.digests() == work.digests:
                return writer
            writer.close()
        # The files are not what the journal says: the disk lost them, or somebody touched them.
    work.restart()
    return writer_after([])


def _hash(source: Source) -> str:
    """Hash what a source says of its pictures, to know it again."""
    digest = hashlib.sha256()
    for item, name in enumerate(source.names):
        try:
            class_name = source.class_of(item)
        except UnusableError:
            class_name = None
        digest.update(repr((name, class_name)).encode("ascii", "backslashreplace"))
        face = source.face_of(item)
        if face is not None:
            digest.update(face.tobytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    """Versions of all that decodes, converts and resamples."""
    versions = {"pillow": PIL.__version__, "numpy": np.__version__}
    for name in ("libjpeg_turbo", "webp", "libtiff", "littlecms2"):
        version = features.version(name)
        if version is not None:
            versions[name] = version
    return versions


def _refuse_to_destroy(path: Path, *, overwrite: bool) -> None:
    # Before hours of work, not after; and --overwrite with a mistyped name must not cost anyone
    # the photographs of a lifetime.
    if not path.exists():
        return
    if not overwrite:
        raise DatasetError(f"{path} exists already; choose another name, or give --overwrite.")
    own = {description.FILE_NAME, index.FILE_NAME, SKIPPED_NAME, *level_files(RESOLUTIONS[-1], {})}
    own.update(level_files(RESOLUTIONS[-1], dict.fromkeys(RESOLUTIONS, CODECS[0])))
    if not path.is_dir() or not {inner.name for inner in path.iterdir()} <= own:
        raise DatasetError(
            f"{path} holds other things than a dataset, so it is not overwritten; "
            "choose another name, or remove it yourself."
        )
