"""Pictures in tar archives, read in place: nothing is ever unpacked to a disk."""

import tarfile
from dataclasses import dataclass

import numpy as np

from datasets.errors import DatasetError, UnusableError
from datasets.progress import progress
from datasets.sources.files import File, Reader, Stretches
from datasets.sources.source import MOST_BYTES, MOST_PICTURES, Source, is_picture, no_pictures

# Of a member's long name or the like, which is read at once.
_MOST_HEADER_BYTES = 2**20
# Of settings that hold for all members that follow.
_MOST_SETTINGS = 1000


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
            SourceLostError: the archive cannot be read.
        """
        if self.stretches.sizes[item] > MOST_BYTES:
            raise UnusableError("larger than 1 GiB")
        return self.stretches.read(item)


def open_tar(file: File) -> Tar:
    """Find the pictures in a tar archive.

    Only plain files count: links, devices and files with holes are passed over. Of two with the
    same name the later counts, as for whoever unpacks the archive.

    Raises:
        DatasetError: the file is no tar archive, is damaged, or holds no picture.
    """
    found: dict[str, tuple[int, int]] = {}
    reader = Reader(file, most=_MOST_HEADER_BYTES)
    try:
        # Not "r:*": a compressed archive has no places that one could jump to.
        with (
            progress(f"Listing {file.name}", total=file.size // 10**6, unit="MB") as bar,
            tarfile.open(fileobj=reader, mode="r:") as archive,
        ):
            end = 0
            for member in archive:
                # The library believes a size below zero, and would go round and round.
                if member.size < 0 or archive.offset <= end:
                    raise tarfile.HeaderError
                if len(archive.pax_headers) > _MOST_SETTINGS:
                    raise tarfile.HeaderError
                bar.advance(archive.offset // 10**6 - end // 10**6)
                end = archive.offset
                if member.isreg() and not member.issparse() and is_picture(member.name):
                    found[member.name] = member.offset_data, member.size
                if len(found) > MOST_PICTURES:
                    raise DatasetError(f"{file.name} has more than {MOST_PICTURES} members.")
                # Else the archive keeps a record of each, for ever.
                archive.members.clear()  # type: ignore[attr-defined]
            end = archive.offset
    except (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError):
        raise DatasetError(f"{file.name} is not a tar archive, or is damaged.") from None
    _refuse_rest(file, end)
    if not found:
        raise DatasetError(no_pictures(file.name))
    names = tuple(sorted(found))
    places = np.array([found[name] for name in names], np.int64)
    return Tar(names, Stretches(file, places[:, 0], places[:, 1]))


def _refuse_rest(file: File, end: int) -> None:
    # The library takes a damaged header for the end of the archive; to leave out what comes after
    # it would lose pictures in silence.
    if any(file.read(end, tarfile.BLOCKSIZE)):
        raise DatasetError(
            f"{file.name} is damaged at byte {end}; fetch or make it again, or unpack what is "
            "whole and give that folder."
        )
