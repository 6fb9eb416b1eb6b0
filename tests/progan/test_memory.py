"""Freed memory is kept, where the C library can."""

import ctypes
import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes
from progan.memory import keep_freed_memory

class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    _fields_ = [(name, ctypes.c_size_t) for name in names]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Info
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]

def block():
    place = library.malloc(ctypes.c_size_t(2**26))
    mapped = library.mallinfo2().hblkhd
    library.free(place)
    return mapped, library.mallinfo2().arena

mapped, kept = block()
assert mapped >= 2**26 and kept < 2**26, (mapped, kept)
assert keep_freed_memory()
mapped, kept = block()
assert mapped < 2**26 and kept >= 2**26, (mapped, kept)
"""


def _has_mallinfo() -> bool:
    try:
        return hasattr(ctypes.CDLL(None), "mallinfo2")
    except OSError:
        return False


@pytest.mark.skipif(not _has_mallinfo(), reason="only GNU's C library tells")
def test_a_freed_block_stays_with_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
