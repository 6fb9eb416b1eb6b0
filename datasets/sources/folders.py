"""Pictures in a folder and the folders in it."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import DatasetError, UnusableError
from datasets.sources.source import MOST_BYTES, Source, is_picture, no_pictures


@dataclass(frozen=True)
class Folder(Source):
    """Image files in a folder and the folders in it."""

    root: Path
    """The folder."""
    names: tuple[str, ...]
    """Paths below it, with forward slashes."""
    labels: Sequence[str | None] | None = None
    """Classes that lie beside the pictures in a dataset.json."""

    def load(self, item: int) -> bytes:
        """Read an image file."""
        path = self.root / self.names[item]
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnusableError("a folder that cannot be read")
        # To open a pipe would wait for ever.
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError("not a regular file")
        if status.st_size > MOST_BYTES:
            raise UnusableError("larger than 1 GiB")
        return path.read_bytes()


def open_folder(root: Path) -> Folder:
    """Find the pictures in a folder.

    Raises:
        DatasetError: there are none.
        OSError: the folder cannot be read. (One in it that cannot is listed like a picture, and
            unusable.)
    """
    names = _find_pictures(root)
    if not names:
        raise DatasetError(no_pictures(root))
    return Folder(root, tuple(names))


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
        names += [(inside / name).as_posix() for name in files if is_picture(name)]
    return sorted(names)
