"""The members of a tar archive that is not compressed, in the order in which they lie there."""

import tarfile
from collections.abc import Generator

from datasets.errors import DatasetError
from datasets.progress import progress
from datasets.sources.files import File, Reader

# Of a member's long name or the like, which is read at once.
_MOST_HEADER_BYTES = 2**20
# Of settings that hold for all members that follow.
_MOST_SETTINGS = 1000


def members(file: File) -> Generator[tarfile.TarInfo]:
    """Read the headers of an archive, in memory that does not grow with their number.

    Yields:
        Every member; its content begins at `offset_data` of the file.

    Raises:
        DatasetError: the file is no tar archive, or is damaged.
        SourceLostError: it cannot be read.
    """
    reader = Reader(file, most=_MOST_HEADER_BYTES)
    try:
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
                yield member
                # Else the archive keeps a record of each, for ever.
                archive.members.clear()  # type: ignore[attr-defined]
            end = archive.offset
    except (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError):
        raise DatasetError(f"{file.name} is not a tar archive, or is damaged.") from None
    # The library takes a damaged header for the end of the archive; to leave out what comes after
    # it would lose pictures in silence.
    if any(file.read(end, tarfile.BLOCKSIZE)):
        raise DatasetError(
            f"{file.name} is damaged at byte {end}; fetch or make it again, or unpack what is "
            "whole and give that folder."
        )
