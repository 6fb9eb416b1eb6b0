"""Rows of numbers that may outgrow memory."""

import errno
import tempfile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError


class Shelf:
    """Rows of float32, kept in memory up to a limit and in a temporary file beyond it.

    The file has no name where the system allows that, and is deleted as soon as it is closed: so
    it never outlives the process, however that ends.

    Attributes:
        count: rows so far.
    """

    def __init__(self, width: int, *, most_rows: int, memory: int) -> None:
        """Start an empty shelf.

        Args:
            width: numbers in a row.
            most_rows: never more rows than this.
            memory: bytes to keep in memory at most.
        """
        self.count = 0
        self._width = width
        # Memory that was never written to costs nothing yet.
        fitting = min(most_rows, memory // (4 * width))
        self._memory: NDArray[np.float32] | None = np.empty((fitting, width), np.float32)
        self._file: IO[bytes] | None = None

    def append(self, rows: NDArray[np.float32]) -> None:
        """Put rows [n, width] behind the others.

        Raises:
            DatasetError: the disk is full.
        """
        stop = self.count + len(rows)
        if self._memory is not None and stop <= len(self._memory):
            self._memory[self.count : stop] = rows
        else:
            self._write(rows)
        self.count = stop

    def rows(self) -> NDArray[np.float32]:
        """Give all rows [count, width], to be read only, and only until `close`."""
        if self._memory is not None:
            return self._memory[: self.count]
        assert self._file is not None  # Without memory or a file, the shelf was closed.
        shape = (self.count, self._width)
        # A map is read from disk as it is used, and forgotten when memory is short.
        return np.asarray(np.memmap(self._file, np.float32, mode="r", shape=shape))

    def close(self) -> None:
        """Forget everything."""
        self._memory = None
        if self._file is not None:
            self._file.close()

    def _write(self, rows: NDArray[np.float32]) -> None:
        try:
            if self._memory is not None:
                self._file = tempfile.TemporaryFile(prefix="metrics-")  # noqa: SIM115
                _write_all(self._file, self._memory[: self.count])
                self._memory = None
            assert self._file is not None
            _write_all(self._file, rows)
            self._file.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DatasetError(
                f"There is no space left in {tempfile.gettempdir()} for temporary files; free "
                "some, name another folder in the environment variable TMPDIR, or take fewer "
                "images."
            ) from None


def _write_all(file: IO[Any], rows: NDArray[np.float32]) -> None:
    file.write(np.ascontiguousarray(rows).data)
