"""From a source to a dataset."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import click
import numpy as np
import PIL
from PIL import features

from datasets import description, index, near_duplicates
from datasets.changes import hash_of_files, hash_of_names
from datasets.codecs import CODECS, Choice, Codec, codecs_of_levels
from datasets.description import (
    LANDMARKS_NAME,
    NEAR_DUPLICATES_NAME,
    RESOLUTIONS,
    SKIPPED_NAME,
    level_files,
)
from datasets.errors import DatasetError, SourceLostError
from datasets.faces import Detector
from datasets.finding import found_faces
from datasets.framing import Framing
from datasets.progress import progress
from datasets.pyramid import Dataset, Writer, size_on_disk
from datasets.room import require_room
from datasets.sources import FacePoints, Faces, Source
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
    detector: Detector | None = None,
    all_faces: bool = False,
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
        detector: what finds the faces, for the crop "face"; None where the source knows them. What
            it found is written to landmarks.csv.
        all_faces: whether each face is a picture, not only the largest of each photograph.
        seconds_between_checkpoints: how often to make certain what was done.

    Raises:
        DatasetError: no picture can be used, the place is taken or has no room, no name matches
            `group_by`, or a worker died.
    """
    start = time.monotonic()
    refuse_to_destroy(path, overwrite=overwrite)
    wanted = _Wanted(
        framing=framing,
        codecs=codecs_of_levels(codec, framing.resolution),
        source_name=source_name,
        held_out=held_out,
        seed=seed,
        group_by=group_by,
        drop_duplicates=drop_duplicates,
        choices=choices or {},
        detector=detector,
        all_faces=all_faces,
    )
    if group_by is not None:
        _refuse_groups_of_nothing(source, group_by)
    versions = _versions(detector)
    command = wanted.command(source, versions)
    with unfinished(path, command=command, overwrite=overwrite) as work:
        if detector is not None:
            # Before a search that may take hours. How many further faces there are, only it tells.
            _require_room(path, len(source.names) - len(work.outcomes), wanted)
            faces = found_faces(
                source,
                detector,
                work,
                workers=workers,
                seconds_between_checkpoints=seconds_between_checkpoints,
            )
            source = Faces(source, faces if all_faces else [found[:1] for found in faces])
        # The rows are shuffled once here, so that any stretch of them is a fair sample.
        items = permutation(len(source.names), seed=seed, epoch=0).tolist()
        with _writer(work, source, items, wanted) as writer:
            # What was done before has its room already.
            _require_room(path, len(items) - len(work.outcomes), wanted)
            making = _Making(source, items, wanted, work, writer)
            making.frame(workers, seconds=seconds_between_checkpoints)
            skipped = making.skipped()
            making.finish(skipped, versions)
            # Again: in the hours since, somebody may have put something there.
            refuse_to_destroy(path, overwrite=overwrite)
    return Summary(
        dataset=Dataset.open(path),
        skipped=Counter(reason for _, reason in skipped),
        seconds=time.monotonic() - start,
    )


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What a dataset is to be like, as the arguments of `prepare` say."""

    framing: Framing
    codecs: Mapping[int, Codec]
    source_name: str
    held_out: float
    seed: int
    group_by: re.Pattern[str] | None
    drop_duplicates: bool
    choices: Mapping[str, str | bool]
    detector: Detector | None
    all_faces: bool

    def command(self, source: Source, versions: Mapping[str, str]) -> dict[str, object]:
        """Give all that the result depends on, by what the user can change."""
        return {
            "SOURCE": self.source_name,
            "pictures in SOURCE": hash_of_names(source),
            "versions of their files": hash_of_files(self.source_name),
            "--resolution, --channels, --crop, --upscale or --decoding": str(self.framing),
            "--codec": {str(side): codec for side, codec in self.codecs.items()},
            "--held-out": self.held_out,
            "--seed": self.seed,
            "options for classes, landmarks, groups or duplicates": self._chosen(),
            "--all-faces": self.all_faces,
            "detector of faces": None if self.detector is None else self.detector.name,
            "versions of Pillow, NumPy or the detector": versions,
        }

    def described_choices(self) -> dict[str, str | bool]:
        """Give what the description tells of the choices."""
        chosen = self._chosen()
        if self.detector is not None:
            chosen["detector"] = self.detector.name
        if self.all_faces:
            chosen["all_faces"] = True
        return chosen

    def described_framing(self) -> dict[str, str | bool]:
        """Give what the description tells of the framing."""
        return {
            "crop": str(self.framing.crop),
            "upscale": self.framing.upscale,
            "decoding": self.framing.decoding,
            "resample": "lanczos",
            "levels": "box",
        }

    def _chosen(self) -> dict[str, str | bool]:
        chosen = dict(self.choices)
        if self.drop_duplicates:
            chosen["drop_duplicates"] = True
        if self.group_by is not None:
            chosen["group_by"] = self.group_by.pattern
        return chosen


@dataclass(frozen=True)
class _Making:
    """From the pictures of a source, in the order `items`, to the files of a dataset."""

    source: Source
    items: Sequence[int]
    wanted: _Wanted
    work: Work
    writer: Writer

    def frame(self, workers: int, *, seconds: float) -> None:
        """Frame what is not done yet, write what can be used, and note what became of each.

        Args:
            workers: number of processes.
            seconds: how often to make certain what was done.
        """
        done = len(self.work.outcomes)
        if done:
            click.echo(f"Going on after {done} of {len(self.items)} pictures.", err=True)
        left = self.items[done:]
        seen = {entry.sha256 for entry in self.writer.entries}
        saved = False
        next_checkpoint = time.monotonic() + seconds
        with (
            self._kept_when_lost(),
            closing(
                frame_all(self.source, left, self.wanted.framing, workers, self.wanted.codecs)
            ) as results,
            progress("Reading pictures", total=len(left), unit="pictures") as bar,
        ):
            for item, result in zip(left, results, strict=True):
                if not isinstance(result, Framed):
                    self.work.note(Left(result.reason))
                elif self.wanted.drop_duplicates and result.sha256 in seen:
                    self.work.note(Left("the same as another picture"))
                else:
                    self._append(item, result)
                    seen.add(result.sha256)
                bar.advance()
                if time.monotonic() >= next_checkpoint and self.writer.entries:
                    self.work.checkpoint(self.writer.checkpoint())
                    next_checkpoint = time.monotonic() + seconds
                    saved = True
        # What comes now may take minutes too.
        if saved:
            self.work.checkpoint(self.writer.checkpoint())

    def skipped(self) -> list[tuple[str, str]]:
        """Give the names of the pictures that were left out, sorted, and why."""
        left = [
            (self.source.names[item], outcome.reason)
            for item, outcome in zip(self.items, self.work.outcomes, strict=True)
            if isinstance(outcome, Left)
        ]
        return sorted([*left, *self.source.passed_over])

    def finish(self, skipped: Sequence[tuple[str, str]], versions: Mapping[str, str]) -> None:
        """Hold some out, look for near duplicates, and write the tables and the description.

        Raises:
            DatasetError: all pictures were left out.
        """
        wanted = self.wanted
        if not self.writer.entries:
            tried = set(self.source.names)
            name, reason = next(entry for entry in skipped if entry[0] in tried)
            raise DatasetError(
                f"No picture in {wanted.source_name} can be used; the first, {name}: {reason}."
            )
        self.writer.finish(
            held_out=wanted.held_out,
            framing=wanted.described_framing(),
            source=wanted.source_name,
            seed=wanted.seed,
            versions=versions,
            skipped=skipped,
            groups=_groups(self.source, self.writer.entries, wanted.group_by),
            choices=wanted.described_choices(),
            near_duplicates=_near_duplicates(self.writer, wanted.framing.resolution),
            landmarks=None if wanted.detector is None else _landmarks(self.source),
        )

    @contextmanager
    def _kept_when_lost(self) -> Iterator[None]:
        """Keep what is done when the source cannot be read any more."""
        try:
            yield
        except SourceLostError:
            if self.writer.entries:
                self.work.checkpoint(self.writer.checkpoint())
            raise

    def _append(self, item: int, picture: Framed) -> None:
        self.writer.append(
            picture.levels,
            name=self.source.names[item],
            sha256=picture.sha256,
            class_name=picture.class_name,
        )
        self.work.note(Kept(picture.sha256, picture.class_name))


def _writer(work: Work, source: Source, items: Sequence[int], wanted: _Wanted) -> Writer:
    """Begin to write, or go on where another process was interrupted."""
    framing, codecs = wanted.framing, wanted.codecs
    entries = [
        index.Entry(source.names[item], outcome.sha256, outcome.class_name)
        for item, outcome in zip(items, work.outcomes, strict=False)
        if isinstance(outcome, Kept)
    ]

    def writer_after(
        entries: Sequence[index.Entry], advance: Callable[[int], object] = lambda read: None
    ) -> Writer:
        return Writer(
            work.folder,
            resolution=framing.resolution,
            channels=framing.channels,
            codecs=codecs,
            entries=entries,
            advance=advance,
        )

    if entries:
        with suppress(FileNotFoundError), _checking(work.folder, framing, codecs) as advance:
            writer = writer_after(entries, advance)
            if writer.digests() == work.digests:
                return writer
            writer.close()
        # The disk lost them, or somebody touched them.
        click.echo("The unfinished files are not as they were left; beginning anew.", err=True)
    work.restart()
    return writer_after([])


@contextmanager
def _checking(
    folder: Path, framing: Framing, codecs: Mapping[int, Codec]
) -> Iterator[Callable[[int], None]]:
    """Report how much of the files was read while the block runs, by what it gives."""
    size = sum((folder / name).stat().st_size for name in level_files(framing.resolution, codecs))
    # In MB, so that the numbers can be read.
    with progress("Checking what is there", total=size // 10**6, unit="MB") as bar:
        read = 0

        def advance(piece: int) -> None:
            nonlocal read
            bar.advance((read + piece) // 10**6 - read // 10**6)
            read += piece

        yield advance


def _require_room(path: Path, pictures: int, wanted: _Wanted) -> None:
    framing, codecs = wanted.framing, wanted.codecs
    smaller = codecs_of_levels("webp", framing.resolution) and not codecs
    require_room(
        path,
        size_on_disk(pictures, framing.resolution, framing.channels, codecs),
        f"choose another disk, {'--codec webp, ' if smaller else ''}or a smaller --resolution",
    )


def _near_duplicates(writer: Writer, resolution: int) -> dict[int, int] | None:
    if resolution < near_duplicates.SMALLEST_RESOLUTION:
        return None
    marked = index.mark_duplicates(writer.entries)
    rows = [row for row, entry in enumerate(marked) if entry.duplicate_of is None]
    levels = {side: writer.level(side) for side in (8, 16, 32)}
    with progress("Looking for near duplicates", total=len(rows), unit="pictures") as bar:
        return near_duplicates.find(levels.__getitem__, rows, bar.advance)


def _groups(
    source: Source, entries: Sequence[index.Entry], group_by: re.Pattern[str] | None
) -> list[str | None] | None:
    """Tell which rows must stay on one side: those of a group, and the faces of a photograph."""
    photographs = {name: source.photograph_of(item) for item, name in enumerate(source.names)}
    names = [photographs[entry.name] for entry in entries]
    if group_by is None:
        return list(names) if len(set(photographs.values())) < len(photographs) else None
    # A group may have the name of a photograph; then both stay on one side.
    groups = index.group_names(names, group_by)
    return [name if group is None else group for name, group in zip(names, groups, strict=True)]


def _landmarks(source: Source) -> list[tuple[str, FacePoints]]:
    faces = ((name, source.face_of(item)) for item, name in enumerate(source.names))
    return [(name, face) for name, face in faces if face is not None]


def _versions(detector: Detector | None) -> dict[str, str]:
    """Versions of all that decodes, converts and resamples, and finds faces."""
    versions = {"pillow": PIL.__version__, "numpy": np.__version__}
    for name in ("libjpeg_turbo", "webp", "avif", "libtiff", "littlecms2"):
        version = features.version(name)
        if version is not None:
            versions[name] = version
    with suppress(metadata.PackageNotFoundError):
        versions["pillow-heif"] = metadata.version("pillow-heif")
    if detector is not None:
        versions |= detector.versions
    return versions


def _refuse_groups_of_nothing(source: Source, group_by: re.Pattern[str]) -> None:
    photographs = [source.photograph_of(item) for item in range(len(source.names))]
    if not any(index.group_names(photographs, group_by)):
        raise DatasetError(
            f"--group-by {group_by.pattern} matches no name; one of them is {source.names[0]}."
        )


def refuse_to_destroy(path: Path, *, overwrite: bool) -> None:
    """Refuse to write where something is that is not to be replaced, or is no dataset.

    Raises:
        DatasetError: it is there.
    """
    # Before hours of work, not after; and --overwrite with a mistyped name must not cost anyone
    # the photographs of a lifetime.
    if not path.exists():
        return
    if not overwrite:
        raise DatasetError(f"{path} exists already; choose another name, or give --overwrite.")
    tables = {index.FILE_NAME, SKIPPED_NAME, NEAR_DUPLICATES_NAME, LANDMARKS_NAME}
    plain = level_files(RESOLUTIONS[-1], {})
    coded = level_files(RESOLUTIONS[-1], dict.fromkeys(RESOLUTIONS, CODECS[0]))
    own = {description.FILE_NAME, *tables, *plain, *coded}
    if not path.is_dir() or not {inner.name for inner in path.iterdir()} <= own:
        raise DatasetError(
            f"{path} holds other things than a dataset, so it is not overwritten; "
            "choose another name, or remove it yourself."
        )
