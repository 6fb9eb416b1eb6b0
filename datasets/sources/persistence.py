"""Trying again where a disk or a network fails, and stopping where it goes on failing.

One picture that is missing, locked or damaged is skipped. A mount that vanished, a dead disk or a
network that is down would make every picture look like that; they end the work instead, which the
same command continues later.
"""

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from datasets.errors import SourceLostError

T = TypeVar("T")

# Seconds before each new attempt: short trouble passes, and longer trouble is for the user to mend.
_WAITS = (0.5, 2.0, 8.0)
# What the system says of a disk or network and not of a file. Not all systems know all of them.
_LOST = {
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "ENODEV", "ENXIO", "EREMOTEIO", "ENOLINK"),
        *("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENETRESET", "ESHUTDOWN"),
        *("ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EPIPE", "EPROTO", "EBADF"),
    )
    if hasattr(errno, name)
}


def is_loss(error: Exception) -> bool:
    """Tell whether an error is about the disk or network as a whole."""
    return isinstance(error, OSError) and error.errno in _LOST


def persistently(read: Callable[[], T], name: str, may_pass: Callable[[Exception], bool]) -> T:
    """Call `read`, and again after a while where it fails in a way that may pass.

    Args:
        read: what to do.
        name: what is read, for the sentence.
        may_pass: tells from an exception whether another attempt makes sense; any other exception
            is raised at once.

    Raises:
        SourceLostError: it failed every time.
    """
    for wait in (*_WAITS, None):
        try:
            return read()
        except Exception as error:
            if not may_pass(error):
                raise
            if wait is None:
                raise lost(name, error) from None
        time.sleep(wait)
    raise AssertionError  # The last attempt returns or raises.


def lost(name: str, error: Exception) -> SourceLostError:
    """Make the sentence for a source that cannot be read."""
    return SourceLostError(
        f"{name} cannot be read ({reason(error)}); as soon as it can, the same command goes on."
    )


def reason(error: Exception) -> str:
    """Tell in a few words what went wrong."""
    status, message = getattr(error, "status", None), getattr(error, "message", None)
    if isinstance(status, int):
        return f"{status} {message}" if message else str(status)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    if isinstance(error, PermissionError):
        return "permission denied"
    text = " ".join(str(error).split())[:200]
    # An address may hold a password or a signature; nobody should see it in a log.
    return type(error).__name__ if not text or "://" in text else text
