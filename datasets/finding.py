"""Looking for the faces in all photographs of a source, in a way that outlives the program.

What was found is written down, photograph by photograph, in lines that tell whether they are whole.
"""

import json
import math
import os
import time
import zlib
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from datasets.errors import SourceLostError, UnusableError
from datasets.faces import Detector
from datasets.framing import upright
from datasets.progress import progress
from datasets.sources import Source
from datasets.unfinished import Work
from datasets.workers import work_through

_FORMAT = 1

FacesFound = NDArray[np.float32]
"""[F, 4, 2]: the faces of a photograph."""


def found_faces(
    source: Source,
    detector: Detector,
    work: Work,
    *,
    workers: int,
    seconds_between_checkpoints: float,
) -> list[FacesFound]:
    """Find the faces in every photograph, with a progress report on stderr.

    Args:
        source: the photographs.
        detector: what finds faces.
        work: where to write down what was found, and what keeps it when this or what comes after it
            fails, if it took long enough. What another process has written there for the same
            command is taken over.
        workers: number of processes.
        seconds_between_checkpoints: how often to make certain what was done.

    Returns:
        For each photograph its faces, [F, 4, 2], the largest first; none, where it has none or
        cannot be read.

    Raises:
        DatasetError: a worker died; `SourceLostError`: the source cannot be read any more.
    """
    found, end = _read(work.faces, work.key, len(source.names))
    if len(found) != work.searched:
        work.note_faces(len(found))
    with work.faces.open("r+b" if found else "w+b") as file:

        def make_certain() -> None:
            file.flush()
            os.fsync(file.fileno())
            work.note_faces(len(found))

        if found:
            click.echo(
                f"Going on after the faces of {len(found)} of {len(source.names)} pictures.",
                err=True,
            )
            file.truncate(end)
            file.seek(end)
        else:
            file.write(_line([_FORMAT, work.key]))
        left = range(len(found), len(source.names))
        next_checkpoint = time.monotonic() + seconds_between_checkpoints
        try:
            with closing(_find_rest(source, detector, left, workers)) as results:
                for faces in results:
                    file.write(_line([len(found), faces.tolist()]))
                    found.append(faces)
                    if time.monotonic() >= next_checkpoint:
                        make_certain()
                        next_checkpoint = time.monotonic() + seconds_between_checkpoints
        except SourceLostError:
            if found:
                make_certain()
            raise
        if work.searched and left:
            make_certain()
    return found


def _find_rest(
    source: Source, detector: Detector, items: Sequence[int], workers: int
) -> Generator[FacesFound, None, None]:
    with (
        closing(work_through(partial(_find, source, detector), items, workers)) as results,
        progress("Finding faces", total=len(items), unit="pictures") as bar,
    ):
        for faces in results:
            yield faces
            bar.advance()


def _find(source: Source, detector: Detector, item: int) -> FacesFound:
    nothing = np.empty((0, 4, 2), np.float32)
    try:
        picture = source.load(item)
        if isinstance(picture, bytes):
            picture = upright(picture, channels=3)
        elif picture.shape[-1] == 1:
            picture = np.repeat(picture, 3, axis=-1)
    except (UnusableError, OSError, MemoryError):
        return nothing  # Why it cannot be read is told when it is to be framed.
    return detector.find(picture)


def _line(entry: Sequence[object]) -> bytes:
    """Give a line that tells whether it is whole."""
    text = json.dumps(entry, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _read(path: Path, key: str, count: int) -> tuple[list[FacesFound], int]:
    """Read what was found up to the first line that is not whole, and where that line begins."""
    found: list[FacesFound] = []
    end = 0
    if not path.is_file():
        return found, end
    with path.open("rb") as file:
        header = _line([_FORMAT, key])
        if file.readline(len(header) + 1) != header:
            return found, end
        end = len(header)
        for line in file:
            if len(found) == count:
                break
            faces = _parse(line, len(found))
            if faces is None:
                break
            found.append(faces)
            end += len(line)
    return found, end


def _parse(line: bytes, item: int) -> FacesFound | None:
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        match json.loads(text):
            case [int(number), list(faces)] if number == item:
                points = np.array(faces, np.float32).reshape(-1, 4, 2)
                return points if math.isfinite(float(np.abs(points).sum())) else None
    except (ValueError, TypeError, RecursionError):
        pass
    return None
