"""Pictures in zip archives, read in place: nothing is ever unpacked to a disk."""

import bz2
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError, UnusableError
from datasets.names import plain
from datasets.sources.files import File, Reader
from datasets.sources.links import LONGEST_LINK, NOWHERE, follow, parts_of
from datasets.sources.selection import Selection
from datasets.sources.signatures import HEAD_BYTES, without_raw_files
from datasets.sources.source import (
    MOST_BYTES,
    MOST_PICTURES,
    Label,
    Source,
    no_pictures,
)

# The table of contents of twenty million pictures; it is read at once.
_MOST_TABLE_BYTES = 2**31
# Before each member: a mark, the version, flags, method, time, date, checksum, two sizes, and the
# lengths of two fields that follow, its name and whatever else somebody wanted to say.
_HEADER = struct.Struct("<4s5H3I2H")
_MARK = b"PK\x03\x04"
_ENCRYPTED, _UTF_8 = 1, 0x800
# Fields behind a name: their number and size; and that which holds a name in UTF-8.
_EXTRA = struct.Struct("<HH")
_UNICODE_PATH = 0x7075
# Systems whose members may be symbolic links: Unix and macOS.
_UNIX = (3, 19)
_DAMAGED = (zlib.error, OSError, EOFError, ValueError)
# Of what bzip2 unpacks at once.
_BLOCK = 2**20
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
    folder_classes: Mapping[str, str] = field(default_factory=dict)
    """Classes of folders that are called otherwise, from the same place."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """Pictures that are hidden, of a kind that is never read, or links that lead nowhere."""

    @without_raw_files
    def load(self, item: int) -> bytes:
        """Read an image file.

        Raises:
            UnusableError: the member is encrypted, damaged, too large or packed in a way that is
                not known.
            SourceLostError: the archive cannot be read.
        """
        return read_member(self.file, self.members, item, self.most_bytes)


class Contents:
    """The table of contents of a zip archive.

    Attributes:
        file: the archive.
        selection: which of its members are pictures, as soon as `pictures` has looked.
    """

    def __init__(self, file: File) -> None:
        """Read it.

        Args:
            file: the archive.

        Raises:
            DatasetError: it is no zip archive, or is damaged.
        """
        self.file = file
        self.selection = Selection.within(file)
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
        """Names of the pictures as the library has them, in order; `shown` tells what to show."""
        names = []
        for name in sorted(self._found):
            info = self._found[name]
            if name.endswith(("/", "\\")):
                continue
            target = self._resolve(name) if _is_link(info) else info
            if self.selection.takes(self.shown[name], partial(self._head, target)):
                if isinstance(target, str):
                    self.selection.pass_over(self.shown[name], target)
                else:
                    self._found[name] = target
                    names.append(name)
        return tuple(names)

    @cached_property
    def shown(self) -> dict[str, str]:
        """What to call each member: the library knows fewer ways of writing names than there are.

        As long as all of them stay different.
        """
        shown = {name: name_of(info) for name, info in self._found.items()}
        return shown if len(set(shown.values())) == len(shown) else {name: name for name in shown}

    def members(self, names: Sequence[str]) -> Members:
        """Tell where some members lie, by their names as the library has them."""
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
            # As some programs write the names of what is in the current folder.
            name = next((other for other in self._found if plain(other) == name), name)
        if name not in self._found:
            return None
        return read_member(self.file, self.members([name]), 0, most_bytes)

    def _resolve(self, name: str) -> zipfile.ZipInfo | str:
        """Follow a symbolic link, to a member or to the reason why it leads to none."""
        try:
            target = self._at.get(follow(self.shown[name], self._link_at))
        except UnusableError as error:
            return str(error)
        return NOWHERE if target is None else self._found[target]

    def _link_at(self, path: str) -> str | None:
        name = self._at.get(path)
        if name is None or not _is_link(self._found[name]):
            return None
        data = read_member(self.file, self.members([name]), 0, LONGEST_LINK)
        return data.decode("utf-8", "surrogateescape")

    @cached_property
    def _at(self) -> dict[str, str]:
        """Names of members by their paths in the archive."""
        return {
            "/".join(parts_of(shown)): name
            for name, shown in self.shown.items()
            if not shown.endswith(("/", "\\"))
        }

    def _head(self, target: zipfile.ZipInfo | str) -> bytes:
        return b"" if isinstance(target, str) else _read_head(self.file, target)


def open_zip(contents: Contents, *, most_bytes: int = MOST_BYTES) -> Zip:
    """Find the pictures in a zip archive.

    Args:
        contents: what is in it.
        most_bytes: what a picture may have at most.

    Raises:
        DatasetError: it holds no picture.
    """
    names = contents.pictures
    passed_over = contents.selection.listed()
    contents.selection.report(contents.file.name)
    if not names:
        raise DatasetError(no_pictures(contents.file.name, passed_over))
    shown = tuple(contents.shown[name] for name in names)
    return Zip(contents.file, shown, contents.members(names), most_bytes, passed_over=passed_over)


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


def name_of(info: zipfile.ZipInfo) -> str:
    """Return the name of a member, whatever program wrote it.

    Python's library takes a name for DOS's characters unless a flag says UTF-8. Many programs write
    UTF-8 without the flag; others write DOS's characters, and UTF-8 in a field behind the name.
    """
    if info.flag_bits & _UTF_8 or info.orig_filename.isascii():
        return info.filename
    data = info.orig_filename.encode("cp437")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = _unicode_path(info.extra, zlib.crc32(data)) or info.filename
    return text.partition("\0")[0]


def _unicode_path(extra: bytes, checksum: int) -> str | None:
    """Read the field for a name in UTF-8: its number and size, version, checksum, name."""
    while len(extra) >= _EXTRA.size:
        number, size = _EXTRA.unpack_from(extra)
        field, extra = extra[_EXTRA.size : _EXTRA.size + size], extra[_EXTRA.size + size :]
        # The checksum is that of the other name: a program that knows that one only may change it.
        if number == _UNICODE_PATH and field[:5] == struct.pack("<BI", 1, checksum):
            try:
                return field[5:].decode("utf-8")
            except UnicodeDecodeError:
                return None
    return None


def _is_link(info: zipfile.ZipInfo) -> bool:
    return info.create_system in _UNIX and stat.S_ISLNK(info.external_attr >> 16)


def _read_head(file: File, info: zipfile.ZipInfo) -> bytes:
    """Read the first bytes of a member, as far as its start can be unpacked."""
    method = _method(info)
    # This method gives nothing before the end of a block.
    packed = min(info.compress_size, _BLOCK if method == zipfile.ZIP_BZIP2 else 4 * HEAD_BYTES)
    start = _bounded(info.header_offset)
    if method == _UNKNOWN or start < 0 or packed < 0:
        return b""
    data = file.read(start, _HEADER.size + _USUAL_EXTRA + packed)
    if len(data) < _HEADER.size or not data.startswith(_MARK):
        return b""
    *_, name_bytes, extra_bytes = _HEADER.unpack_from(data)
    begin = _HEADER.size + name_bytes + extra_bytes
    data = data[begin : begin + packed]
    if len(data) < packed:
        data = file.read(start + begin, packed)
    try:
        if method != zipfile.ZIP_STORED:
            data = _unpacker(method).decompress(data, HEAD_BYTES)
    except _DAMAGED:
        return b""
    return data[:HEAD_BYTES]


def _unpack(data: bytes, method: int, most_bytes: int) -> bytes:
    if method == zipfile.ZIP_STORED:
        return data
    unpacker = _unpacker(method)
    try:
        content = unpacker.decompress(data, most_bytes + 1)
    except _DAMAGED:
        raise UnusableError("damaged in the archive") from None
    if len(content) > most_bytes:
        raise _too_large(most_bytes)
    if not unpacker.eof:
        raise UnusableError("damaged in the archive")
    return content


def _unpacker(method: int) -> "zlib._Decompress | bz2.BZ2Decompressor":
    return zlib.decompressobj(-15) if method == zipfile.ZIP_DEFLATED else bz2.BZ2Decompressor()


def _too_large(most_bytes: int) -> UnusableError:
    return UnusableError(f"larger than {most_bytes / 2**30:g} GiB")


def _bounded(number: int) -> int:
    # Larger than any file, and still a number for an array.
    return max(-1, min(number, 2**60))


def _method(info: zipfile.ZipInfo) -> int:
    known = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
    encrypted = info.flag_bits & _ENCRYPTED
    return info.compress_type if info.compress_type in known and not encrypted else _UNKNOWN
