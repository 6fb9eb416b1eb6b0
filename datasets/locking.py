"""Places where one process at a time may work.

The system keeps the lock while the file is open, and lets go of it when the process ends, however
it ends: what a killed process leaves behind is a file that is in nobody's way.
"""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from datasets.errors import DatasetError

if sys.platform == "win32":
    import msvcrt
else:
    try:
        import fcntl
    except ModuleNotFoundError:  # not every system that is like Unix has it
        fcntl = None  # type: ignore[assignment]

# Windows lets nobody read the bytes that are locked, so that is one behind all that is written.
_LOCKED_BYTE = 2**30


class Occupied(Exception):
    """Another process holds the lock; `note` is what it wrote into the file."""

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


class NoLocks(OSError):
    """The system, or the drive, knows no locks."""


def occupy(path: Path, note: str = "") -> BinaryIO:
    """Take a lock, which lasts until the file is closed.

    Args:
        path: the lock's file, made where it is missing.
        note: what others are to read who find the place occupied.

    Returns:
        The open file; end with `let_go`, or close it to leave the file there.

    Raises:
        Occupied: another process holds it.
        NoLocks: there are none here.
        DatasetError: a symbolic link lies at its place, which is never followed.
        FileNotFoundError: there is no such folder.
        OSError: the file cannot be written.
    """
    while True:
        if path.is_symlink():
            raise DatasetError(
                f"{path} is a symbolic link, and a lock is written where it leads: remove the link."
            )
        # It outlives this function.
        file = open(path, "ab", buffering=0, opener=_open_no_link)  # noqa: SIM115
        try:
            _lock(file)
            # Whoever had it may have removed it in the meantime: then it is another file.
            if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
                file.truncate(0)
                file.write(note.encode())
                return file
        except FileNotFoundError:
            pass
        except OSError as error:
            file.close()
            if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise Occupied(read_note(path)) from None
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise NoLocks(error.errno, "there are no file locks here", str(path)) from None
            error.filename = str(path)
            raise
        file.close()


def read_note(path: Path) -> str:
    """Read what the holder of a lock wrote into its file; nothing where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(1000).decode(errors="replace")
    except OSError:
        return ""


def let_go(path: Path, file: BinaryIO) -> None:
    """Remove a lock's file and let go of the lock, as far as the system lets us."""
    if sys.platform == "win32":
        file.close()  # Windows removes no open files.
    # While it is still held: whoever takes the next one has another file.
    with suppress(OSError):
        path.unlink(missing_ok=True)
    file.close()


def _open_no_link(path: str, flags: int) -> int:
    """Open a file as `open` does, but never one that a link leads to, where the system can tell."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _lock(file: BinaryIO) -> None:
    if sys.platform == "win32":
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    elif fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
