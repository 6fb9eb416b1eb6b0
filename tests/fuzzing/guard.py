"""What a reader must not do while it reads, seen by the interpreter's own audit events.

Code of libraries that is no Python raises none of these: what it writes is not seen here. It is
held by limits of the system on memory and on the size of files.
"""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Whatever starts a program, loads one, speaks to others, or unpickles.
_FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.fork"),
    *("os.forkpty", "subprocess.Popen", "pty.spawn", "ctypes.dlopen", "pickle.find_class"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "code.__new__"),
)
# Whatever changes a place: the first argument is where.
_PLACES = (
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile"),
)
_LARGEST_FILE = 2**26


class Guard:
    """Notes everything that is forbidden while it watches.

    Args:
        folder: the one place that may be written, and where the files to read are.
    """

    def __init__(self, folder: Path) -> None:
        self.seen: list[str] = []
        self._watching = False
        self._folder = str(folder.resolve())
        self._readable = tuple(
            {self._folder, str(_ROOT), str(_ROOT.resolve()), os.devnull}
            | {str(Path(place).resolve()) for place in (sys.prefix, sys.base_prefix)}
            | {sys.prefix, sys.base_prefix}
        )
        self._packages = {name.partition(".")[0] for name in sys.modules} | sys.stdlib_module_names
        sys.addaudithook(self._audit)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch for the block's time."""
        self.seen.clear()
        self._packages |= {name.partition(".")[0] for name in sys.modules}
        self._watching = True
        try:
            yield
        finally:
            self._watching = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        self._watching = False  # Whatever is looked at below is our own doing.
        try:
            said = self._forbidden(event, arguments)
            if said is not None and len(self.seen) < 20:
                self.seen.append(said)
        finally:
            self._watching = True

    def _forbidden(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        if event in _FORBIDDEN:
            return f"{event}{arguments!r:.200}"
        if event == "open":
            path, mode, flags = arguments
            if not isinstance(path, str | bytes):
                return None
            place = os.path.realpath(os.fsdecode(path))
            changes = isinstance(flags, int) and flags & _CHANGING
            if mode is not None and set(str(mode)) & set("wax+"):
                changes = 1
            if place.startswith(self._folder):
                return None
            if changes and place != os.devnull:
                return f"writes {place!r:.200}"
            return None if place.startswith(self._readable) else f"reads {place!r:.200}"
        if event in _PLACES:
            place = _absolute(arguments[0], arguments[-1])
            return None if place.startswith(self._folder) else f"{event} {place!r:.200}"
        if event == "import" and str(arguments[0]).partition(".")[0] not in self._packages:
            return f"imports {arguments[0]!r:.200}"
        if event == "exec":
            name = getattr(arguments[0], "co_filename", "")
            if not name.startswith("<frozen ") and not Path(name).exists():
                return f"runs code of {name!r:.200}"
        return None


def _absolute(path: Any, opened: Any) -> str:
    """Give a whole path; it may be told by its place in a folder that is open."""
    inner = os.fsdecode(path)
    if isinstance(opened, int) and opened >= 0 and not inner.startswith("/"):
        inner = f"{Path(f'/proc/self/fd/{opened}').readlink()}/{inner}"
    return os.path.realpath(inner)


def bound(gib: float) -> None:
    """Bound what this process can take of memory from here on, and how large a file it can write.

    Args:
        gib: what may come on top of what it has, 2**30 bytes.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + round(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
