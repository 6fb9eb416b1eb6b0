"""NumPy array files of strangers."""

from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError


def open_array(path: Path) -> NDArray[np.generic]:
    """Map a `.npy` file of numbers into memory.

    Raises:
        DatasetError: the file is no such array; one with Python objects is never unpickled.
    """
    try:
        # A damaged header can overflow in there, with a warning that tells the user nothing.
        with np.errstate(over="ignore"):
            found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, TypeError, EOFError, OverflowError, TokenError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DatasetError(f"{path} is not a NumPy array file of numbers (.npy).") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise DatasetError(f"{path} is not a NumPy array file of numbers (.npy).")
    return found
