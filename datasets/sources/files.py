"""Large files that hold pictures: here or elsewhere, read part by part."""

import io
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.errors import UnusableError
from datasets.sources.persistence import is_loss, lost, persistently

# As much as is fetched at once while an archive is listed: about what a network brings in the time
# that it needs to answer at all.
_WINDOW = 2**18


class File(ABC):
    """A file. It goes to worker processes: nothing is held open between two reads."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call it in sentences."""

    @property
    @abstractmethod
    def own_name(self) -> str:
        """Its own name, without folders, for commands in sentences."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of bytes."""

    @abstractmethod
    def read(self, start: int, size: int) -> bytes:
        """Read `size` bytes from `start`, fewer only where the file ends.

        Raises:
            SourceLostError: it cannot be read, now or any more.
        """


@dataclass(frozen=True)
class LocalFile(File):
    """A file on this computer."""

    path: Path
    """Where."""

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def own_name(self) -> str:
        """Its own name."""
        return self.path.name

    @property
    def size(self) -> int:
        """Number of bytes; `OSError` where it cannot be told."""
        return self.path.stat().st_size

    def read(self, start: int, size: int) -> bytes:
        """Read a part. To open it anew costs microseconds and needs no lock between threads."""

        def attempt() -> bytes:
            with self.path.open("rb") as file:
                # Room is made for all that is asked for before the file's end is seen.
                left = max(0, os.fstat(file.fileno()).st_size - start)
                file.seek(start)
                return file.read(min(size, left))

        try:
            return persistently(attempt, self.name, is_loss)
        except OSError as error:
            # Missing or locked, it takes all its pictures with it.
            raise lost(self.name, error) from None


@dataclass(frozen=True)
class Stretches:
    """Where in a file its pictures lie."""

    file: File
    """The file."""
    starts: NDArray[np.int64]
    """First byte of each, [N]."""
    sizes: NDArray[np.int64]
    """Number of bytes of each, [N]."""

    def read(self, item: int) -> bytes:
        """Read one.

        Raises:
            UnusableError: the file ends before it does.
            SourceLostError: the file cannot be read.
        """
        size = int(self.sizes[item])
        data = self.file.read(int(self.starts[item]), size)
        if len(data) < size:
            raise UnusableError("cut short")
        return data


class Reader(io.RawIOBase):
    """A file object over a `File`, for libraries that list archives.

    They believe the sizes that they find. More than `most` bytes at once is a `ValueError`, which
    they, or whoever calls them, take for damage.
    """

    def __init__(self, file: File, *, most: int) -> None:
        """Begin at the first byte.

        Args:
            file: what to read.
            most: bytes that may be asked for at once.
        """
        self._file, self._most = file, most
        self._end = file.size
        self._place = self._window_start = 0
        self._window = b""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that any place can be read."""
        return True

    def tell(self) -> int:
        """Give the place of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        if origin + offset < 0:
            # Both OSError, which a system would raise, and ValueError.
            raise io.UnsupportedOperation(str(offset))
        self._place = origin + offset
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        """Read some bytes, or all that are left."""
        left = max(0, self._end - self._place)
        if size is None or size == -1:
            size = left
        if not 0 <= size <= self._most:
            raise ValueError(size)
        size = min(size, left)
        if size == 0:
            return b""
        begin = self._place - self._window_start
        if not 0 <= begin <= begin + size <= len(self._window):
            wanted = min(max(size, _WINDOW), left)
            self._window = self._file.read(self._place, wanted)
            self._window_start, begin = self._place, 0
        data = self._window[begin : begin + size]
        self._place += len(data)
        return data
