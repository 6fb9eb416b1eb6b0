"""One level of a dataset on disk: plain pixels, or coded pictures one behind the other.

Plain pixels are a file of NumPy's, 0512.npy. Coded pictures are two: 0512.bin with the pictures,
and 0512.offsets.npy, int64 [N + 1], with where each begins and the last one ends.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from datasets.codecs import Codec, decode, encode
from datasets.errors import DatasetError
from datasets.processors import in_threads

Pixels = NDArray[np.uint8]
PlainLevel = np.memmap[tuple[int, int, int, int], np.dtype[np.uint8]]

HEADER_BYTES = 128
# Hashes are counted and reported in pieces of this size.
_HASHED_BYTES = 2**20
_OFFSET = np.dtype("<i8")
# Smaller pictures are copied faster than threads are told to.
_LEAST_BYTES_FOR_THREADS = 2**16


def file_names(side: int, codec: Codec | None) -> list[str]:
    """Name the files of a level."""
    if codec is None:
        return [f"{side:04d}.npy"]
    return [f"{side:04d}.bin", f"{side:04d}.offsets.npy"]


class LevelWriter(Protocol):
    """Writes a level picture by picture."""

    def append(self, picture: Pixels | bytes) -> None:
        """Add [S, S, C], coded already or not, as the next row."""

    def checkpoint(self) -> None:
        """Write all rows so far through to the disk."""

    def digests(self) -> list[str]:
        """Give the hash of each of its files so far, without their headers."""

    def publish(self) -> None:
        """Let readers see all rows so far, which includes putting their number in."""


class PlainWriter:
    """Writes plain pixels."""

    def __init__(
        self,
        folder: Path,
        side: int,
        channels: int,
        *,
        rows: int,
        opened: ExitStack,
        advance: Callable[[int], object],
    ) -> None:
        """Begin, or go on after so many rows; `opened` closes the files.

        `advance` is called with the number of bytes after each piece of the old rows that was read.
        """
        self._shape = (side, side, channels)
        self._rows = rows
        self._file = opened.enter_context(_open(folder / file_names(side, None)[0], rows))
        self._file.write(self._header())
        self._file.truncate(HEADER_BYTES + rows * side * side * channels)
        self._digest = hash_rest(self._file, advance)

    def append(self, picture: Pixels | bytes) -> None:
        """Add [S, S, C] as the next row."""
        assert not isinstance(picture, bytes)
        data = np.ascontiguousarray(picture)
        self._file.write(data.data)
        self._digest.update(data.data)
        self._rows += 1

    def checkpoint(self) -> None:
        """Write all rows so far through to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def digests(self) -> list[str]:
        """Give the hash of the pixels so far."""
        return [self._digest.hexdigest()]

    def publish(self) -> None:
        """Put the true number of rows into the header, and write all to the system."""
        _replace_header(self._file, self._header())

    def _header(self) -> bytes:
        return _header("|u1", (self._rows, *self._shape))


class CodedWriter:
    """Writes coded pictures."""

    def __init__(
        self,
        folder: Path,
        side: int,
        codec: Codec,
        *,
        rows: int,
        opened: ExitStack,
        advance: Callable[[int], object],
    ) -> None:
        """Begin, or go on after so many rows; `opened` closes the files.

        `advance` is called with the number of bytes after each piece of the old rows that was read.
        """
        self._codec, self._rows = codec, rows
        names = file_names(side, codec)
        self._pictures, self._offsets = (
            opened.enter_context(_open(folder / name, rows)) for name in names
        )
        # What stands there when going on may be damaged; whoever goes on compares the hashes.
        self._offsets.seek(HEADER_BYTES + _OFFSET.itemsize * rows)
        end = int.from_bytes(self._offsets.read(_OFFSET.itemsize), "little")
        size = self._pictures.seek(0, os.SEEK_END)
        self._end = end if rows and end <= size else 0
        self._pictures.truncate(self._end)
        self._offsets.seek(0)
        self._offsets.write(self._header())
        self._offsets.truncate(HEADER_BYTES + _OFFSET.itemsize * (rows + 1))
        self._pictures.seek(0)
        self._digests = [hash_rest(self._pictures, advance)]
        if rows == 0:
            self._offsets.write(bytes(_OFFSET.itemsize))
            self._offsets.seek(HEADER_BYTES)
        self._digests.append(hash_rest(self._offsets, advance))

    def append(self, picture: Pixels | bytes) -> None:
        """Add [S, S, C], coded already or not, as the next row."""
        data = picture if isinstance(picture, bytes) else encode(picture, self._codec)
        self._end += len(data)
        offset = self._end.to_bytes(_OFFSET.itemsize, "little")
        for file, digest, new in zip(
            (self._pictures, self._offsets), self._digests, (data, offset), strict=True
        ):
            file.write(new)
            digest.update(new)
        self._rows += 1

    def checkpoint(self) -> None:
        """Write all rows so far through to the disk."""
        for file in (self._pictures, self._offsets):
            file.flush()
            os.fsync(file.fileno())

    def digests(self) -> list[str]:
        """Give the hashes of the pictures and the offsets so far."""
        return [digest.hexdigest() for digest in self._digests]

    def publish(self) -> None:
        """Put the true number of rows into the header, and write all to the system."""
        self._pictures.flush()
        _replace_header(self._offsets, self._header())

    def _header(self) -> bytes:
        return _header(_OFFSET.str, (self._rows + 1,))


class CodedLevel:
    """A level of coded pictures, read like an array: `level[rows]` decodes these rows, in threads.

    Attributes:
        shape: N, S, S, C.
        dtype: uint8.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, folder: Path, side: int, codec: Codec, channels: int, count: int) -> None:
        """Open a level that `check_level` has passed.

        Raises:
            DatasetError: its offsets are not what they can be.
        """
        self.shape = (count, side, side, channels)
        self._codec: Codec = codec
        self._path = folder / file_names(side, codec)[0]
        self._offsets = _offsets(folder, side, codec, channels, count)
        self._data = np.memmap(self._path, dtype=np.uint8, mode="r")

    def __len__(self) -> int:
        return self.shape[0]

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> Pixels: ...
    @overload
    def __getitem__(self, rows: slice | NDArray[Any] | list[int]) -> Pixels: ...
    def __getitem__(self, rows: int | np.integer[Any] | slice | NDArray[Any] | list[int]) -> Pixels:
        """Decode a row, [S, S, C], or some of them, [n, S, S, C], chosen as in NumPy.

        Raises:
            IndexError: there is no such row.
            DatasetError: a picture is damaged.
        """
        # NumPy itself says what an index means, and refuses those that mean nothing.
        chosen = np.arange(len(self))[rows]
        if chosen.ndim == 0:
            return self._picture(int(chosen))
        if chosen.ndim != 1:
            raise IndexError("rows of a coded level are chosen by one index of one dimension")
        pictures = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        read_into(pictures, self, chosen)
        return pictures

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Decode all."""
        if copy is False:
            raise ValueError("a coded level cannot be had without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

    def _picture(self, row: int) -> Pixels:
        data = self._data[self._offsets[row] : self._offsets[row + 1]].tobytes()
        try:
            return decode(data, self._codec, self.shape[1], self.shape[3])
        except ValueError:
            raise DatasetError(
                f"Picture {row} in {self._path} is damaged; prepare the dataset again."
            ) from None


Level = PlainLevel | CodedLevel


def open_level(folder: Path, side: int, codec: Codec | None, channels: int, count: int) -> Level:
    """Give a level that `check_level` has passed, left on disk until read: uint8 [N, S, S, C].

    Raises:
        DatasetError: it is coded, and its offsets are not what they can be.
    """
    if codec is not None:
        return CodedLevel(folder, side, codec, channels, count)
    return np.memmap(
        folder / file_names(side, None)[0],
        dtype=np.uint8,
        mode="r",
        offset=HEADER_BYTES,
        shape=(count, side, side, channels),
    )


def read_into(pictures: Pixels, level: Level, rows: NDArray[np.integer[Any]]) -> None:
    """Read rows of a level into an array [n, S, S, C], large or coded ones in threads."""
    if not isinstance(level, CodedLevel) and pictures[:1].nbytes < _LEAST_BYTES_FOR_THREADS:
        np.take(level, rows, axis=0, out=pictures)
        return

    def read(place: int) -> None:
        pictures[place] = level[int(rows[place])]

    # In the order on disk, which spares a spinning or remote one most of its seeking.
    places = np.argsort(rows, kind="stable").tolist()
    if len(places) == 1:
        read(0)
    else:
        in_threads(read, places)


def check_level(folder: Path, side: int, codec: Codec | None, channels: int, count: int) -> None:
    """Check that the files of a level are as long as they must be, and begin as they must.

    Raises:
        DatasetError: they do not.
    """
    if codec is not None:
        CodedLevel(folder, side, codec, channels, count)
        return
    path = folder / file_names(side, None)[0]
    size = HEADER_BYTES + count * side * side * channels
    _check_file(path, _header("|u1", (count, side, side, channels)), size, count, side)


def _offsets(folder: Path, side: int, codec: Codec, channels: int, count: int) -> NDArray[np.int64]:
    """Read where the pictures of a coded level begin and end, and believe none of it."""
    pictures, offsets = (folder / name for name in file_names(side, codec))
    size = HEADER_BYTES + _OFFSET.itemsize * (count + 1)
    _check_file(offsets, _header(_OFFSET.str, (count + 1,)), size, count, side)
    found = np.fromfile(offsets, dtype=_OFFSET, offset=HEADER_BYTES).astype(np.int64)
    # Compared and not subtracted: differences of hostile numbers overflow.
    if len(found) != count + 1 or found[0] != 0 or not (found[1:] > found[:-1]).all():
        raise DatasetError(f"{offsets} is damaged; prepare the dataset again.")
    _check_file(pictures, b"", int(found[-1]), count, side)
    # More than the pixels themselves take, a picture of any codec hardly takes.
    if np.diff(found).max() > 2 * side * side * channels + 2**16:
        raise DatasetError(f"{offsets} is damaged; prepare the dataset again.")
    return found


def _check_file(path: Path, header: bytes, expected: int, count: int, side: int) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(header))
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; prepare the dataset again.") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from None
    # The size goes first: mapping a file that is shorter than its header says kills the program.
    if size != expected:
        raise DatasetError(
            f"{path} has {size} bytes instead of {expected}; prepare the dataset again."
        )
    if start != header:
        raise DatasetError(
            f"{path} does not hold {count} pictures of {side} × {side} pixels; "
            "prepare the dataset again."
        )


def hash_file(path: Path, advance: Callable[[int], object] = lambda read: None) -> str:
    """Hash a file of a dataset: of one of NumPy's, all but its header."""
    with path.open("rb") as file:
        file.seek(HEADER_BYTES if path.suffix == ".npy" else 0)
        return hash_rest(file, advance).hexdigest()


def hash_rest(
    file: BinaryIO, advance: Callable[[int], object] = lambda read: None
) -> "hashlib._Hash":
    """Read a file from where it stands to its end."""
    digest = hashlib.sha256()
    while piece := file.read(_HASHED_BYTES):
        digest.update(piece)
        advance(len(piece))
    return digest


def _replace_header(file: BinaryIO, header: bytes) -> None:
    file.seek(0)
    file.write(header)
    file.seek(0, os.SEEK_END)
    file.flush()


def _open(path: Path, rows: int) -> BinaryIO:
    return path.open("r+b" if rows else "w+b")


def _header(kind: str, shape: tuple[int, ...]) -> bytes:
    """Give the bytes before the numbers of a file: exactly those that NumPy writes (format 1.0).

    They are padded to a length that does not depend on the number of rows, so that rows may be
    added first and counted later.
    """
    fields = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    magic = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    return magic + fields.encode().ljust(HEADER_BYTES - 11) + b"\n"
