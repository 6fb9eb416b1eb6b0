"""Standard output and error: closed ones, and those whose reader leaves, fail no work."""

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_OUT, _ERR = 1, 2


def settle() -> None:
    """Open what is closed of the standard streams, and let readers leave without an error.

    A program may be started with any of them closed (`>&-`, some schedulers). The next file that it
    opens would then take that place, and whatever a library prints would land in it.
    """
    for number in (0, _OUT, _ERR):
        if not _is_open(number):
            # The system gives the lowest number that is free, which may be a lower one's.
            silence(number)
    # Names of files need not be valid text; to print one must not be an error.
    sys.stdout = _outlet(sys.stdout, _OUT)
    sys.stderr = _outlet(sys.stderr, _ERR)


def silence(number: int) -> None:
    """Let a descriptor lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number, inheritable=True)
        os.close(nowhere)
    else:
        os.set_inheritable(number, True)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _outlet(stream: TextIO | None, number: int) -> TextIO:
    """Return a text stream on a descriptor in place of Python's own, which may be missing.

    A stream that somebody else has put there, such as a test, is left as it is.
    """
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 (no user's path)
    if type(stream) is not io.TextIOWrapper or stream.fileno() != number:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Outlet(number)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Outlet(io.FileIO):
    """A standard stream that drops what is written once its reader has left."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "wb", closefd=False)
        self._number, self._terminal = number, self.isatty()

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write bytes; drop them where nobody will read what is written any more.

        Raises:
            OSError: standard output cannot be written for another reason, such as a full disk.
                (That standard error cannot be written, nobody could be told.)
        """
        try:
            return super().write(data)
        except OSError as error:
            # A terminal that was closed fails as a broken disk does.
            gone = isinstance(error, ConnectionError) or self._terminal
            if gone:
                silence(self._number)
            elif self._number != _ERR:
                error.filename = "standard output"
                raise
        return memoryview(data).nbytes
