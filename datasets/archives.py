"""Pictures in zip archives, read in place: nothing is ever unpacked to a disk."""

import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from datasets.errors import DatasetError, UnusableError

# More entries than any dataset has; a hostile directory of them would fill the memory.
_MOST_ENTRIES = 20_000_000


@dataclass(frozen=True)
class Zip:
    """Image files in a zip archive.

    Names from the archive are labels and nothing else: no path is ever made of them. Sizes from it
    are not believed: a member is read no further than is allowed, whatever it claims.
    """

    path: Path
    """The archive."""
    names: tuple[str, ...]
    """Names of the members that are pictures, unique."""
    most_bytes: int
    """What a picture may have at most."""
    folders_are_classes: bool = False
    """Whether first-level folders are classes."""

    def load(self, item: int) -> bytes:
        """Read an image file.

        Raises:
            UnusableError: the member is encrypted, damaged, too large or packed in a way that is
                not known.
        """
        try:
            with _opened(self.path).open(self.names[item]) as member:
                data = member.read(self.most_bytes + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError):
            raise UnusableError("damaged in the archive") from None
        except (RuntimeError, NotImplementedError):
            raise UnusableError("encrypted, or packed in an unknown way") from None
        if len(data) > self.most_bytes:
            raise UnusableError(f"larger than {self.most_bytes / 2**30:g} GiB")
        return data

    def class_of(self, item: int) -> str | None:
        """Give the first-level folder of a picture, where these are classes."""
        if not self.folders_are_classes:
            return None
        folder, slash, _ = self.names[item].partition("/")
        if not slash:
            raise UnusableError("not in the folder of a class")
        return folder


def open_zip(
    path: Path, suffixes: frozenset[str], *, most_bytes: int, folders_are_classes: bool = False
) -> Zip:
    """Find the pictures in a zip archive.

    Args:
        path: the archive.
        suffixes: what names of pictures end in, in lower case, such as ".png".
        most_bytes: what a picture may have at most.
        folders_are_classes: whether first-level folders are classes.

    Raises:
        DatasetError: the file is no zip archive, is damaged, or holds no picture.
    """
    try:
        members = _opened(path).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise DatasetError(f"{path} is not a zip archive, or is damaged.") from None
    if len(members) > _MOST_ENTRIES:
        raise DatasetError(f"{path} has more than {_MOST_ENTRIES} members.")
    names = sorted(
        name
        for name in set(members)
        if Path(name).suffix.lower() in suffixes
        and not any(_hidden(part) for part in name.split("/"))
    )
    if not names:
        raise DatasetError(
            f"{path} holds no pictures: no name in it ends in {', '.join(sorted(suffixes))}."
        )
    return Zip(path, tuple(names), most_bytes, folders_are_classes)


def _hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))


@lru_cache(maxsize=4)
def _opened(path: Path) -> zipfile.ZipFile:
    # Kept open: to read the directory of a large archive again for every picture would take longer
    # than the picture. Outside of Zip, so that this can go to another process.
    return zipfile.ZipFile(path)
