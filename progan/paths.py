"""Names for libraries that take names in UTF-8 alone.

To Linux a name is bytes; old disks and archives have many in Latin-1. Python opens them all, but
some libraries (safetensors, TensorBoard, runtimes written in C++) encode every name in UTF-8.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from progan.errors import ProganError

# Where Linux has the files and folders that this process has open, under names of digits alone.
_OPEN_FILES = Path("/proc/self/fd")


@contextlib.contextmanager
def in_utf8(path: Path) -> Iterator[Path]:
    """Yield a name in UTF-8 of a file or folder that exists: its own, or one for the block's time.

    Raises:
        ProganError: it has none on this system.
        OSError: it cannot be opened for reading.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        pass
    else:
        yield path
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        place = _OPEN_FILES / str(descriptor)
        if not place.exists():
            raise ProganError(f"the name {path} is not UTF-8: give the file or folder another name")
        yield place
    finally:
        os.close(descriptor)
