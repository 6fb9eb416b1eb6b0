"""Where pictures come from: each kind of source yields named pictures, as bytes or as pixels."""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from datasets.archives import open_zip
from datasets.errors import DatasetError, UnusableError

Classes = Literal["folders"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
# A photograph of this size is something else that was named like one.
_MOST_BYTES = 2**30
_DRAWN = re.compile(r"drawn:([1-9][0-9]{0,8})", re.ASCII)


class Source(Protocol):
    """Pictures with names and, perhaps, classes.

    A source goes to worker processes: it can be pickled, and holds no open files.
    """

    @property
    def names(self) -> Sequence[str]:
        """The name of every picture, unique, in an order that is the same every time."""

    def load(self, item: int) -> bytes | NDArray[np.uint8]:
        """Give a picture as the bytes of an image file, or as pixels [H, W, C].

        Raises:
            UnusableError: the picture cannot be used.
            OSError: it cannot be read.
        """

    def class_of(self, item: int) -> str | None:
        """Give the name of the picture's class; None in a source without classes.

        Raises:
            UnusableError: the source has classes, but the picture has none.
        """


def open_source(
    text: str, *, resolution: int, channels: int, seed: int, classes: Classes | None = None
) -> Source:
    """Find the pictures that a SOURCE on the command line means.

    Args:
        text: a folder, searched with all folders in it; a zip archive, which is read in place; or
            `drawn:N` for N drawn faces.
        resolution: pixels wanted; only drawn faces look at it.
        channels: 3 or 1; only drawn faces look at it.
        seed: 0 to 2**64 - 1; which faces are drawn.
        classes: "folders" makes each first-level folder a class.

    Raises:
        DatasetError: there is nothing of that name, or no picture in it.
    """
    if text.startswith("drawn:"):
        return _open_drawn(text, resolution, channels, seed, classes)
    root = Path(text)
    if root.is_file():
        return open_zip(
            root, _SUFFIXES, most_bytes=_MOST_BYTES, folders_are_classes=classes == "folders"
        )
    if not text or not root.is_dir():  # Path("") would be the current folder.
        raise DatasetError(
            f"{text} is not a folder; SOURCE is a folder or zip archive of pictures, or drawn:N "
            "for N drawn faces."
        )
    names = _find_pictures(root)
    if not names:
        raise DatasetError(
            f"{text} holds no pictures: no file in it ends in {', '.join(sorted(_SUFFIXES))}."
        )
    return Folder(root, tuple(names), classes)


@dataclass(frozen=True)
class Folder:
    """Image files in a folder and the folders in it."""

    root: Path
    """The folder."""
    names: tuple[str, ...]
    """Paths below it, with forward slashes."""
    classes: Classes | None
    """Whether first-level folders are classes."""

    def load(self, item: int) -> bytes:
        """Read an image file."""
        path = self.root / self.names[item]
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnusableError("a folder that cannot be read")
        # To open a pipe would wait for ever.
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError("not a regular file")
        if status.st_size > _MOST_BYTES:
            raise UnusableError("larger than 1 GiB")
        return path.read_bytes()

    def class_of(self, item: int) -> str | None:
        """Give the first-level folder of a picture, where these are classes."""
        if self.classes is None:
            return None
        folder, slash, _ = self.names[item].partition("/")
        if not slash:
            raise UnusableError("not in the folder of a class")
        return folder


def _find_pictures(root: Path) -> list[str]:
    names: list[str] = []

    def unlisted(error: OSError) -> None:
        # Listed as if it were a picture, it is skipped and recorded like one.
        if error.filename is not None and Path(error.filename) != root:
            names.append(Path(error.filename).relative_to(root).as_posix())
        else:
            raise error

    visited: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=unlisted, followlinks=True):
        status = Path(folder).stat()
        # Symbolic links may lead in a circle.
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        # Sorted, because of two ways into the same folder the first is taken.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(folder).relative_to(root)
        names += [
            (inside / name).as_posix()
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES
        ]
    return sorted(names)


@dataclass(frozen=True)
class Drawn:
    """Faces that a program draws."""

    names: tuple[str, ...]
    """A number for each."""
    resolution: int
    """Pixels to draw them at."""
    channels: int
    """3 (colour) or 1 (grey)."""
    seed: int
    """Which faces."""

    def load(self, item: int) -> NDArray[np.uint8]:
        """Draw a face: [resolution, resolution, channels]."""
        from datasets import drawn

        return drawn.draw(item, self.resolution, seed=self.seed, channels=self.channels)

    def class_of(self, item: int) -> None:
        """Drawn faces have no classes."""


def _open_drawn(
    text: str, resolution: int, channels: int, seed: int, classes: Classes | None
) -> Drawn:
    from datasets import drawn

    match = _DRAWN.fullmatch(text)
    if match is None:
        raise DatasetError(f"{text}: write drawn:N with the number of faces, such as drawn:4096.")
    if resolution > drawn.MAX_RESOLUTION:
        raise DatasetError(
            f"{text}: faces are drawn up to {drawn.MAX_RESOLUTION} × {drawn.MAX_RESOLUTION} "
            f"pixels; give a smaller --resolution than {resolution}."
        )
    if classes is not None:
        raise DatasetError(f"{text}: drawn faces have no classes; leave out --classes.")
    names = tuple(f"drawn-{number:06d}" for number in range(int(match[1])))
    return Drawn(names, resolution, channels, seed)
