"""A dataset in the making, which outlives the program that makes it.

Beside its final place, a hidden folder holds the files so far, a journal of what became of each
picture and, where faces are looked for, a record of them. Checkpoints in the journal carry hashes
of the files and of the journal itself, so that whoever goes on knows that everything up to there is
as it was written; what came later is done again. Once whole, the dataset moves to its final place
in one step, as all outputs do.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import click

from datasets.errors import DatasetError
from datasets.landing import landing_place, settle
from datasets.locking import Occupied, let_go, occupy

_FORMAT = 1
_JOURNAL, _LOCK, _DATASET, _FACES = "journal", "lock", "dataset", "faces"


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture became the next row."""

    sha256: str
    """Hash of its bytes in the source."""
    class_name: str | None
    """Its class."""


@dataclass(frozen=True, slots=True)
class Left:
    """A picture was left out."""

    reason: str
    """Why."""


Outcome = Kept | Left


@dataclass
class Work:
    """What is done so far. Get one from `unfinished`."""

    folder: Path
    """Where to make the dataset; it exists."""
    outcomes: list[Outcome] = field(default_factory=list)
    """What became of the first pictures, in order, up to the last checkpoint; empty at first."""
    digests: list[str] = field(default_factory=list)
    """Hashes of the files at that point, as they were given to `checkpoint`."""
    searched: int = 0
    """In how many of the first pictures faces were looked for, as was given to `note_faces`."""
    _command: Mapping[str, object] = field(default_factory=dict)
    _journal: BinaryIO | None = None
    _hash: Any = field(default_factory=hashlib.sha256)
    _saved: int = 0

    @property
    def faces(self) -> Path:
        """Where to write down the faces that were found, with `key`, so as to know them again."""
        return self.folder.parent / _FACES

    @property
    def key(self) -> str:
        """A hash that is another one for every other command."""
        command = json.dumps(self._command, sort_keys=True)
        return hashlib.sha256(command.encode("ascii")).hexdigest()

    def note(self, outcome: Outcome) -> None:
        """Note what became of the next picture."""
        if isinstance(outcome, Kept):
            self._write("kept", outcome.sha256, outcome.class_name)
        else:
            self._write("left", outcome.reason)
        self.outcomes.append(outcome)

    def note_faces(self, count: int) -> None:
        """Note that the faces of the first `count` pictures are certain: all is kept from now on.

        Nothing may have been noted since the last checkpoint.
        """
        self.searched = count
        self._write("faces", count)
        self.checkpoint(self.digests)

    def checkpoint(self, digests: list[str]) -> None:
        """Make all that was noted so far certain. The files must be on the disk already."""
        self._write("checkpoint", len(self.outcomes), digests, self._hash.hexdigest())
        if self._journal is not None:
            self._journal.flush()
            os.fsync(self._journal.fileno())
        self.digests, self._saved = digests, len(self.outcomes)

    def restart(self) -> None:
        """Throw everything away but the faces that were found, and begin anew."""
        self._close()
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
        self.folder.mkdir()
        self.outcomes.clear()
        self.digests, self._saved = [], 0
        self._journal = (self.folder.parent / _JOURNAL).open("wb")
        self._hash = hashlib.sha256()
        self._write("command", _FORMAT, self._command)
        if self.searched:
            self.note_faces(self.searched)

    def _write(self, *line: object) -> None:
        assert self._journal is not None
        data = json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"
        self._journal.write(data)
        self._hash.update(data)

    def _close(self) -> None:
        if self._journal is not None:
            # What is not written yet is after the last checkpoint, and a full disk has been
            # complained about already.
            with suppress(OSError):
                self._journal.close()
            self._journal = None


@contextmanager
def unfinished(
    path: Path, *, command: Mapping[str, object], overwrite: bool = False
) -> Iterator[Work]:
    """Make a dataset, or go on making it, and move it to its final place when the block ends well.

    When the block fails, all up to the last checkpoint is kept for the same command, which is told
    on stderr; without a checkpoint, nothing stays behind.

    Args:
        path: the final place. A symbolic link is followed.
        command: all that the result depends on, as JSON values by the names of what the user can
            change; these names appear in the sentence for a command that differs.
        overwrite: whether a dataset that is already there, or the unfinished work of another
            command, gives way.

    Raises:
        DatasetError: the place is taken or its folder is missing; or unfinished work of another
            command lies there, or work that holds symbolic links, or another process is at work.
        OSError: the files cannot be written, with the name of the final place.
    """
    final = landing_place(path, overwrite=overwrite)
    name = hashlib.sha256(os.fsencode(final.name)).hexdigest()[:8]
    place = final.parent / f".{final.name[:40]}.{name}.unfinished"
    with _named_after(final):
        lock = _lock(place, final)
    work = Work(place / _DATASET, _command=json.loads(json.dumps(command)))
    begun = False
    try:
        with _named_after(final):
            _continue(work, place, final, overwrite=overwrite)
            begun = True
            yield work
            settle(work.folder, final, overwrite=overwrite)
        work._saved = work.searched = 0
    except BaseException:
        # Ctrl-C may come when it has just arrived.
        if not work.folder.is_dir():
            work._saved = work.searched = 0
        if begun and (work._saved or work.searched):
            faces, count = ("", work._saved) if work._saved else ("faces of the ", work.searched)
            click.echo(
                f"Kept the {faces}first {count} pictures in {place}; "
                "the same command goes on from there.",
                err=True,
            )
        raise
    finally:
        work._close()
        if work._saved or work.searched:
            lock.close()
        else:
            _clear_away(place, lock)


@contextmanager
def _named_after(final: Path) -> Iterator[None]:
    """Let errors of the system name the place that the user knows, and not one of ours."""
    try:
        yield
    except OSError as error:
        ours = isinstance(error.filename, str | bytes | os.PathLike) and os.fsdecode(
            error.filename
        ).startswith(str(final.parent / "."))
        if error.errno is not None and (error.filename is None or ours):
            error.filename, error.filename2 = str(final), None
        raise


def _continue(work: Work, place: Path, final: Path, *, overwrite: bool) -> None:
    journal = place / _JOURNAL
    command, end = _read(journal, work) if journal.is_file() else (None, 0)
    if not end or not work.folder.is_dir():
        work.restart()
    elif command == work._command:
        work._journal = journal.open("r+b")
        work._journal.truncate(end)
        work._journal.seek(end)
    elif overwrite:
        work.searched = 0
        work.restart()
    else:
        raise DatasetError(
            f"There is unfinished work towards {final} that was begun with "
            f"{_difference(command, work._command)}; repeat that command as it was, or give "
            "--overwrite to begin anew."
        )


def _difference(begun: object, now: Mapping[str, object]) -> str:
    if not isinstance(begun, dict):
        return "another command"
    names = [name for name in now if begun.get(name) != now[name]]
    return f"other {' and '.join(names)}" if names else "another version of this program"


def _read(journal: Path, work: Work) -> tuple[object, int]:
    """Take over what a journal tells up to its last sound checkpoint.

    Returns:
        The command that it belongs to, and where that checkpoint ends.
    """
    command: object = None
    outcomes: list[Outcome] = []
    digest = hashlib.sha256()
    position = end = saved = searched = 0
    with journal.open("rb") as file:
        for line in file:
            # The last line may be half written, and yet look whole.
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                break
            match entry:
                case ["command", int(version), found] if version == _FORMAT and position == 0:
                    command = found
                case ["kept", str(sha256), str() | None as class_name]:
                    outcomes.append(Kept(sha256, class_name))
                case ["left", str(reason)]:
                    outcomes.append(Left(reason))
                case ["faces", int(count)]:
                    searched = count
                case ["checkpoint", int(count), list(digests), str(before)] if (
                    count == len(outcomes) and before == digest.hexdigest()
                ):
                    saved, work.digests = count, digests
                    work.searched = searched
                case _:
                    break
            digest.update(line)
            position += len(line)
            if entry[0] == "checkpoint":
                end = position
                work._hash = digest.copy()
    work.outcomes, work._saved = outcomes[:saved], saved
    return command, end


def _lock(place: Path, final: Path) -> BinaryIO:
    """Make the folder and keep other processes out of it, until the file is closed."""
    _refuse_links(place)
    while True:
        place.mkdir(exist_ok=True)
        try:
            return occupy(place / _LOCK)
        except FileNotFoundError:
            continue  # Whoever had it was just done with it.
        except Occupied:
            raise DatasetError(
                f"Another process is making {final}; wait until it is done."
            ) from None


def _refuse_links(place: Path) -> None:
    """Refuse unfinished work, which may be a stranger's, that would be written somewhere else."""
    paths = [place]
    for folder in (place, place / _DATASET):
        if folder.is_dir():
            paths += sorted(folder.iterdir())
    for path in paths:
        if path.is_symlink():
            raise DatasetError(
                f"{path} is a symbolic link, and the dataset in the making would be written where "
                "it leads: remove the link."
            )


def _clear_away(place: Path, lock: BinaryIO) -> None:
    """Remove the folder and let go of its lock.

    The lock goes last: whoever takes it next must not have the files removed from under its hands.
    """
    with suppress(OSError):
        shutil.rmtree(place / _DATASET, ignore_errors=True)
        for name in (_JOURNAL, _FACES):
            (place / name).unlink(missing_ok=True)
    let_go(place / _LOCK, lock)
    # Whoever has come in the meantime keeps it: it is not empty then.
    with suppress(OSError):
        place.rmdir()
