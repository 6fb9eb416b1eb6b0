"""NumPy array files of strangers."""

from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError

# What NumPy lets through of a header that is no header.
_OF_DAMAGE = (
    *(ValueError, TypeError, EOFError, OverflowError, TokenError, SyntaxError),
    *(MemoryError, RecursionError, KeyError),
)


def open_array(path: Path) -> NDArray[np.generic]:
    """Map a `.npy` file of numbers into memory.

    Raises:
        DatasetError: the file is no such array; one with Python objects is never unpickled.
    """
    try:
        _refuse_long_header(path)
        # A damaged header can overflow in there, with a warning that tells the user nothing.
        with np.errstate(over="ignore"):
            found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (*_OF_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DatasetError(f"{path} is not a NumPy array file of numbers (.npy).") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise DatasetError(f"{path} is not a NumPy array file of numbers (.npy).")
    return found


def _refuse_long_header(path: Path) -> None:
    """Refuse a header that would be longer than the file: NumPy reserves what it says.

    Raises:
        ValueError: it would.
    """
    with path.open("rb") as file:
        start = file.read(12)
    # After the mark: a version of two bytes, and the length, of four bytes from version 2 on.
    if start[6:7] > b"\x01" and int.from_bytes(start[8:12], "little") > path.stat().st_size:
        raise ValueError(path)
