"""Parts of a large file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.errors import UnusableError


@dataclass(frozen=True)
class Stretches:
    """Where in a file its pictures lie."""

    path: Path
    """The file."""
    starts: NDArray[np.int64]
    """First byte of each, [N]."""
    sizes: NDArray[np.int64]
    """Number of bytes of each, [N]."""

    def read(self, item: int) -> bytes:
        """Read one.

        Opened anew each time: that costs a few microseconds, and needs neither a lock between
        threads nor anything that could not go to another process.

        Raises:
            UnusableError: the file ends before it does.
            OSError: it cannot be read.
        """
        size = int(self.sizes[item])
        with self.path.open("rb") as file:
            file.seek(int(self.starts[item]))
            data = file.read(size)
        if len(data) < size:
            raise UnusableError("cut short")
        return data
