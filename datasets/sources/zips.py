"""Pictures in zip archives, read in place: nothing is ever unpacked to a disk."""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from datasets.errors import DatasetError, UnusableError
from datasets.sources.source import MOST_BYTES, MOST_PICTURES, Source, is_picture, no_pictures


@dataclass(frozen=True)
class Zip(Source):
    """Image files in a zip archive.

    Names from the archive are labels and nothing else: no path is ever made of them. Sizes from it
    are not believed: a member is read no further than is allowed, whatever it claims.
    """

    path: Path
    """The archive."""
    names: tuple[str, ...]
    """Names of the members that are pictures, unique."""
    most_bytes: int = MOST_BYTES
    """What a picture may have at most."""
    labels: Sequence[str | None] | None = None
    """Classes from the dataset.json in the archive."""

    def load(self, item: int) -> bytes:
        """Read an image file.

        Raises:
            UnusableError: the member is encrypted, damaged, too large or packed in a way that is
                not known.
        """
        return read_member(self.path, self.names[item], self.most_bytes)


def open_zip(path: Path, *, most_bytes: int = MOST_BYTES) -> Zip:
    """Find the pictures in a zip archive.

    Args:
        path: the archive.
        most_bytes: what a picture may have at most.

    Raises:
        DatasetError: the file is no zip archive, is damaged, or holds no picture.
    """
    members = member_names(path)
    if len(members) > MOST_PICTURES:
        raise DatasetError(f"{path} has more than {MOST_PICTURES} members.")
    names = sorted(name for name in members if is_picture(name))
    if not names:
        raise DatasetError(no_pictures(path))
    return Zip(path, tuple(names), most_bytes)


def member_names(path: Path) -> set[str]:
    """List a zip archive.

    Raises:
        DatasetError: the file is no zip archive, or is damaged.
    """
    try:
        return set(_opened(path).namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise DatasetError(f"{path} is not a zip archive, or is damaged.") from None


def read_member(path: Path, name: str, most_bytes: int) -> bytes:
    """Read a file of a zip archive.

    Raises:
        UnusableError: it is encrypted, damaged, has more than `most_bytes`, or is packed in a way
            that is not known.
    """
    try:
        with _opened(path).open(name) as member:
            data = member.read(most_bytes + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError):
        raise UnusableError("damaged in the archive") from None
    except (RuntimeError, NotImplementedError):
        raise UnusableError("encrypted, or packed in an unknown way") from None
    if len(data) > most_bytes:
        raise UnusableError(f"larger than {most_bytes / 2**30:g} GiB")
    return data


@lru_cache(maxsize=4)
def _opened(path: Path) -> zipfile.ZipFile:
    # Kept open: to read the directory of a large archive again for every picture would take longer
    # than the picture. Outside of Zip, so that this can go to another process.
    return zipfile.ZipFile(path)
