"""Memory of the process, where training asks for much of it again and again."""

import ctypes
import sys

# From <malloc.h> of the GNU C library.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_NEVER = 2**31 - 1
# Addresses, not memory, that are asked for at once.
_AT_ONCE = 2**28


def keep_freed_memory() -> bool:
    """Keep freed memory for the next tensor instead of giving it back to the system.

    The C library gives large blocks back at once, and the system must then find and clear every
    page of the next one: in training on a processor, up to a third of the time. The process keeps
    the most memory that it ever needed, which it needs again in the next step.

    Returns:
        Whether the C library does so now; only GNU's is known to.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        adjust = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _AT_ONCE))
    taken = [adjust(name, value) for name, value in settings]
    return all(taken)
