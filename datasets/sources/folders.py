"""Pictures in a folder and the folders in it."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import DatasetError, UnusableError
from datasets.sources.files import LocalFile
from datasets.sources.persistence import is_loss, lost, persistently
from datasets.sources.source import MOST_BYTES, Label, Source, is_picture, no_pictures


@dataclass(frozen=True)
class Folder(Source):
    """Image files in a folder and the folders in it."""

    root: Path
    """The folder."""
    names: tuple[str, ...]
    """Paths below it, with forward slashes."""
    labels: Sequence[Label] | None = None
    """Classes that lie beside the pictures in a dataset.json."""
    identity: tuple[int, int] | None = None
    """What the system knows the folder by; another one, or none, means that its disk is gone."""

    def load(self, item: int) -> bytes:
        """Read an image file.

        Raises:
            UnusableError: it is no file, or too large.
            OSError: this one cannot be read.
            SourceLostError: the folder as a whole is gone.
        """
        path = self.root / self.names[item]
        try:
            return persistently(lambda: self._read(path), str(path), is_loss)
        except OSError as error:
            # One file that was removed is skipped; all files of an unmounted disk look like that.
            if not path.parent.is_dir() or _identity(self.root) != (
                self.identity or _identity(self.root)
            ):
                raise lost(str(self.root), error) from None
            raise

    def read_beside(self, name: str, most_bytes: int) -> bytes | None:
        """Read another file in the folder, at most one byte more than `most_bytes`, if it is there.

        Raises:
            SourceLostError: it cannot be read.
        """
        path = self.root / name
        return LocalFile(path).read(0, most_bytes + 1) if path.is_file() else None

    @staticmethod
    def _read(path: Path) -> bytes:
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
    return Folder(root, tuple(names), identity=_identity(root))


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        status = root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


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
