"""Pictures in zip archives, read in place: nothing is ever unpacked to a disk."""

import bz2
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError, UnusableError
from datasets.sources.files import File, Reader
from datasets.sources.source import (
    MOST_BYTES,
    MOST_PICTURES,
    Label,
    Source,
    is_picture,
    no_pictures,
)

# The table of contents of twenty million pictures; it is read at once.
_MOST_TABLE_BYTES = 2**31
# Before each member: a mark, the version, flags, method, time, date, checksum, two sizes, and the
# lengths of two fields that follow, its name and whatever else somebody wanted to say.
_HEADER = struct.Struct("<4s5H3I2H")
_MARK = b"PK\x03\x04"
_ENCRYPTED = 1
# What follows the header is seldom longer, so that one read is enough.
_USUAL_EXTRA = 256
# A method that no archive has.
_UNKNOWN = 255


@dataclass(frozen=True)
class Members:
    """Where in an archive some members lie, as its table of contents has it."""

    starts: NDArray[np.int64]
    """First byte of the header of each, [N]."""
    packed: NDArray[np.int64]
    """Number of bytes of each as they are packed, [N]."""
    checksums: NDArray[np.uint32]
    """CRC-32 of each, unpacked, [N]."""
    methods: NDArray[np.uint8]
    """How each is packed, [N]; 255 for encrypted and unknown."""


@dataclass(frozen=True)
class Zip(Source):
    """Image files in a zip archive.

    Names from the archive are labels and nothing else: no path is ever made of them. Sizes from it
    are not believed: a member is unpacked no further than is allowed, whatever it claims.
    """

    file: File
    """The archive."""
    names: tuple[str, ...]
    """Names of the members that are pictures, unique."""
    members: Members
    """Where they lie."""
    most_bytes: int = MOST_BYTES
    """What a picture may have at most."""
    labels: Sequence[Label] | None = None
    """Classes from the dataset.json in the archive."""

    def load(self, item: int) -> bytes:
        """Read an image file.

        Raises:
            UnusableError: the member is encrypted, damaged, too large or packed in a way that is
                not known.
            SourceLostError: the archive cannot be read.
        """
        return read_member(self.file, self.members, item, self.most_bytes)


class Contents:
    """The table of contents of a zip archive."""

    def __init__(self, file: File) -> None:
        """Read it.

        Args:
            file: the archive.

        Raises:
            DatasetError: it is no zip archive, or is damaged.
        """
        self.file = file
        try:
            with zipfile.ZipFile(Reader(file, most=_MOST_TABLE_BYTES)) as archive:
                listed = archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
            raise DatasetError(f"{file.name} is not a zip archive, or is damaged.") from None
        if len(listed) > MOST_PICTURES:
            raise DatasetError(f"{file.name} has more than {MOST_PICTURES} members.")
        # Of two with the same name the later counts, as for whoever unpacks the archive.
        self._found = {info.filename: info for info in listed}

    @cached_property
    def pictures(self) -> tuple[str, ...]:
        """Names of the pictures, in order."""
        return tuple(sorted(name for name in self._found if is_picture(name)))

    def members(self, names: Sequence[str]) -> Members:
        """Tell where some members lie."""
        found = [self._found[name] for name in names]
        return Members(
            np.array([_bounded(info.header_offset) for info in found], np.int64),
            np.array([_bounded(info.compress_size) for info in found], np.int64),
            np.array([info.CRC & 0xFFFFFFFF for info in found], np.uint32),
            np.array([_method(info) for info in found], np.uint8),
        )

    def read(self, name: str, most_bytes: int) -> bytes | None:
        """Read a member, None where there is none of that name; `UnusableError` as above."""
        if name not in self._found:
            return None
        return read_member(self.file, self.members([name]), 0, most_bytes)


def open_zip(contents: Contents, *, most_bytes: int = MOST_BYTES) -> Zip:
    """Find the pictures in a zip archive.

    Args:
        contents: what is in it.
        most_bytes: what a picture may have at most.

    Raises:
        DatasetError: it holds no picture.
    """
    names = contents.pictures
    if not names:
        raise DatasetError(no_pictures(contents.file.name))
    return Zip(contents.file, names, contents.members(names), most_bytes)


def is_zip(file: File) -> bool:
    """Tell whether a file ends like a zip archive, if only a damaged one."""
    try:
        return zipfile.is_zipfile(Reader(file, most=_MOST_TABLE_BYTES))
    except (zipfile.BadZipFile, ValueError, struct.error):
        # Something that only such an archive ends with has been found, and is wrong.
        return True


def read_member(file: File, members: Members, item: int, most_bytes: int) -> bytes:
    """Read a file of a zip archive.

    Raises:
        UnusableError: it is encrypted, damaged, has more than `most_bytes`, or is packed in a way
            that is not known.
        SourceLostError: the archive cannot be read.
    """
    start, packed = int(members.starts[item]), int(members.packed[item])
    method = int(members.methods[item])
    if method == _UNKNOWN:
        raise UnusableError("encrypted, or packed in an unknown way")
    if packed > most_bytes:
        raise _too_large(most_bytes)
    if start < 0:
        raise UnusableError("damaged in the archive")
    data = file.read(start, _HEADER.size + _USUAL_EXTRA + packed)
    if len(data) < _HEADER.size:
        raise UnusableError("damaged in the archive")
    mark, _, flags, *_, name_bytes, extra_bytes = _HEADER.unpack_from(data)
    if mark != _MARK:
        raise UnusableError("damaged in the archive")
    if flags & _ENCRYPTED:
        raise UnusableError("encrypted, or packed in an unknown way")
    begin = _HEADER.size + name_bytes + extra_bytes
    if begin + packed > len(data):
        data += file.read(start + len(data), begin + packed - len(data))
    content = _unpack(data[begin : begin + packed], method, most_bytes)
    if len(data) < begin + packed or zlib.crc32(content) != members.checksums[item]:
        raise UnusableError("damaged in the archive")
    return content


def _unpack(data: bytes, method: int, most_bytes: int) -> bytes:
    if method == zipfile.ZIP_STORED:
        return data
    unpacker = zlib.decompressobj(-15) if method == zipfile.ZIP_DEFLATED else bz2.BZ2Decompressor()
    try:
        content = unpacker.decompress(data, most_bytes + 1)
    except (zlib.error, OSError, EOFError, ValueError):
        raise UnusableError("damaged in the archive") from None
    if len(content) > most_bytes:
        raise _too_large(most_bytes)
    if not unpacker.eof:
        raise UnusableError("damaged in the archive")
    return content


def _too_large(most_bytes: int) -> UnusableError:
    return UnusableError(f"larger than {most_bytes / 2**30:g} GiB")


def _bounded(number: int) -> int:
    # Larger than any file, and still a number for an array.
    return max(-1, min(number, 2**60))


def _method(info: zipfile.ZipInfo) -> int:
    known = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
    encrypted = info.flag_bits & _ENCRYPTED
    return info.compress_type if info.compress_type in known and not encrypted else _UNKNOWN
