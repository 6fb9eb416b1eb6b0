"""Pictures in a folder and the folders in it."""

import heapq
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from datasets.errors import DatasetError, UnusableError
from datasets.sources.files import LocalFile
from datasets.sources.persistence import is_loss, lost, persistently
from datasets.sources.selection import Selection
from datasets.sources.signatures import HEAD_BYTES, without_raw_files
from datasets.sources.source import MOST_BYTES, Label, Source, no_pictures


@dataclass(frozen=True)
class Folder(Source):
    """Image files in a folder and the folders in it."""

    root: Path
    """The folder."""
    names: tuple[str, ...]
    """Paths below it, with forward slashes."""
    labels: Sequence[Label] | None = None
    """Classes that lie beside the pictures in a dataset.json."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """Pictures that are hidden, or of a kind that is never read."""
    identity: tuple[int, int] | None = None
    """What the system knows the folder by; another one, or none, means that its disk is gone."""
    folder_classes: Mapping[str, str] = field(default_factory=dict)
    """Classes of folders that are called otherwise, from the same place."""

    @without_raw_files
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
    selection = Selection()
    names = sorted(_find_pictures(root, selection))
    passed_over = selection.listed()
    if not names:
        raise DatasetError(no_pictures(root, passed_over))
    return Folder(root, tuple(names), passed_over=passed_over, identity=_identity(root))


def folders_below(
    root: Path, onerror: Callable[[OSError], object] = lambda error: None
) -> Iterator[tuple[Path, list[str]]]:
    """Go through a folder and the folders in it, each once, however many ways lead to it.

    A folder is known by its own name. Only where it lies elsewhere or is hidden, and a symbolic
    link leads to it, it has that of the link; of several links the one that comes first in order.
    Links in a circle end, and those in hidden folders are not followed.

    Args:
        root: where to begin.
        onerror: is called for each folder that cannot be listed, which is then left out; not for
            hidden ones.

    Yields:
        A folder, by the way that led to it, and the names of the files in it, sorted.
    """
    visited: set[tuple[int, int]] = set()
    # What lies within comes first, then what links lead to, in the order of their paths, and what
    # is hidden last.
    waiting: list[tuple[bool, tuple[str, ...]]] = [(False, ())]
    while waiting:
        hidden, parts = heapq.heappop(waiting)
        note = (lambda error: None) if hidden else onerror
        for place, folders, files in os.walk(root.joinpath(*parts), onerror=note):
            folder = Path(place)
            try:
                status = folder.stat()
            except OSError as error:
                note(error)
                folders.clear()
                continue
            if (status.st_dev, status.st_ino) in visited:
                folders.clear()
                continue
            visited.add((status.st_dev, status.st_ino))
            inside = folder.relative_to(root).parts
            for name in sorted(folders):
                is_hidden, is_link = name.startswith("."), (folder / name).is_symlink()
                if is_link and not is_hidden and not hidden:
                    heapq.heappush(waiting, (False, (*inside, name)))
                elif is_hidden and not is_link and not hidden:
                    heapq.heappush(waiting, (True, (*inside, name)))
                    folders.remove(name)
            yield folder, sorted(files)


def read_head(path: Path) -> bytes:
    """Read the first bytes of a file; none of what is no file, and would perhaps never answer.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        status = root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _find_pictures(root: Path, selection: Selection) -> Iterator[str]:
    unlisted: list[str] = []

    def note(error: OSError) -> None:
        # Listed as if it were a picture, it is skipped and recorded like one.
        if error.filename is None or Path(error.filename) == root:
            raise error
        unlisted.append(Path(error.filename).relative_to(root).as_posix())

    for folder, files in folders_below(root, note):
        inside = folder.relative_to(root)
        for file in files:
            name = (inside / file).as_posix()
            if selection.takes(name, partial(read_head, folder / file)):
                yield name
    yield from unlisted
