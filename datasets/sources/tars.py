"""Pictures in tar archives, read in place: nothing is ever unpacked to a disk."""

import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datasets.errors import DatasetError, UnusableError
from datasets.sources.source import MOST_BYTES, MOST_PICTURES, Source, is_picture, no_pictures
from datasets.sources.stretches import Stretches


@dataclass(frozen=True)
class Tar(Source):
    """Image files in a tar archive that is not compressed.

    Names from the archive are labels and nothing else: no path is ever made of them.
    """

    names: tuple[str, ...]
    """Names of the members that are pictures, unique."""
    stretches: Stretches
    """Where they lie."""

    def load(self, item: int) -> bytes:
        """Read an image file.

        Raises:
            UnusableError: it is too large, or the archive is cut short.
        """
        if self.stretches.sizes[item] > MOST_BYTES:
            raise UnusableError("larger than 1 GiB")
        return self.stretches.read(item)


def open_tar(path: Path) -> Tar:
    """Find the pictures in a tar archive.

    Only plain files count: links, devices and files with holes are passed over. Of two with the
    same name the later counts, as for whoever unpacks the archive.

    Raises:
        DatasetError: the file is no tar archive, is damaged, or holds no picture.
    """
    found: dict[str, tuple[int, int]] = {}
    with path.open("rb") as file:
        try:
            # Not "r:*": a compressed archive has no places that one could jump to.
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if member.isreg() and not member.issparse() and is_picture(member.name):
                        found[member.name] = member.offset_data, member.size
                    if len(found) > MOST_PICTURES:
                        raise DatasetError(f"{path} has more than {MOST_PICTURES} members.")
                    # Else the archive keeps a record of each, for ever.
                    archive.members.clear()  # type: ignore[attr-defined]
                end = archive.offset
        except (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError):
            raise DatasetError(f"{path} is not a tar archive, or is damaged.") from None
        _refuse_rest(path, file, end)
    if not found:
        raise DatasetError(no_pictures(path))
    names = tuple(sorted(found))
    places = np.array([found[name] for name in names], np.int64)
    return Tar(names, Stretches(path, places[:, 0], places[:, 1]))


def _refuse_rest(path: Path, file: BinaryIO, end: int) -> None:
    # The library takes a damaged header for the end of the archive; to leave out what comes after
    # it would lose pictures in silence.
    file.seek(end)
    if any(file.read(tarfile.BLOCKSIZE)):
        raise DatasetError(
            f"{path} is damaged at byte {end}; fetch or make it again, or unpack what is whole and "
            "give that folder."
        )
