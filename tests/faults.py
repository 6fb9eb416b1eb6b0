"""Faults at the calls by which a training writes: each can be its last, or fail.

All calls of the operating system that change something in the run directory pass by here, in a
process of its own: names that come and go, files opened for writing, every write, every fsync.
"""

import builtins
import contextlib
import ctypes
import errno
import io
import itertools
import math
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.starting import train_py

# What may happen at a call, by its number; the number is that of a write, or an fsync, where it
# says so.
AT_A_CALL = ("killed before a call", "killed after a call", "power lost", "SIGTERM at a call")
AT_A_WRITE = ("killed in the middle of a write", "disk full")
AT_AN_FSYNC = ("disk fails to sync",)
# The exit status of a process that cannot arrange a fault.
CANNOT = 77


@dataclass(frozen=True)
class Fault:
    """What happens, and at which call; by default nothing."""

    kind: str = ""
    at: int = 0


@dataclass
class Counts:
    """How many calls there were of each sort."""

    calls: int = 0
    writes: int = 0
    fsyncs: int = 0

    def of(self, kind: str) -> int:
        """Give the number of calls at which such a fault may happen."""
        if kind in AT_A_WRITE:
            return self.writes
        return self.fsyncs if kind in AT_AN_FSYNC else self.calls


class _Disk:
    """Stands between a training and the system.

    For `power lost` it knows what the system may still hold back from the disk: bytes since the
    last fsync of a file, names since the last fsync of a folder.
    """

    def __init__(self, run: Path, fault: Fault) -> None:
        self.run = str(run)
        self.fault = fault
        self.counts = Counts()
        self.full = False
        self._lock = threading.RLock()
        # How much of each file that has more is on the disk for certain.
        self._unsynced: dict[str, int] = {}
        # Undoing what happened to names, by folder.
        self._names: dict[str, list[Callable[[], object]]] = {}
        self._real = {
            name: getattr(os, name)
            for name in ("replace", "rename", "unlink", "remove", "mkdir", "rmdir", "fsync", "open")
        }
        self._open = builtins.open

    def install(self) -> None:
        """Put this in the place of the calls."""
        for name in ("unlink", "remove", "mkdir", "rmdir"):
            setattr(os, name, self._of_one_name(name))
        for name in ("replace", "rename"):
            setattr(os, name, self._of_two_names(name))
        os.open = self._os_open
        os.fsync = self._fsync  # type: ignore[assignment]
        builtins.open = io.open = self._opened

    def concerns(self, path: object) -> bool:
        """Say whether a path lies within the run directory."""
        if isinstance(path, int):
            return self.concerns(_path_of(path))
        with contextlib.suppress(TypeError):
            return os.fsdecode(path).startswith(self.run)  # type: ignore[arg-type]
        return False

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Count a call, at which the fault may happen."""
        with self._lock:
            self.counts.calls += 1
            now = self.counts.calls == self.fault.at
            if now and self.fault.kind == "killed before a call":
                self.die()
            if now and self.fault.kind == "SIGTERM at a call":
                os.kill(os.getpid(), signal.SIGTERM)
            yield
            if now and self.fault.kind == "killed after a call":
                self.die()
            if now and self.fault.kind == "power lost":
                self.lose_power()

    def die(self) -> None:
        """End as kill -9 ends a process."""
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    def lose_power(self) -> None:
        """Leave half of what was not synced, undo names that were not, and end."""
        for path, certain in self._unsynced.items():
            with contextlib.suppress(OSError):
                os.truncate(path, (certain + Path(path).stat().st_size) // 2)
        for undo in reversed(self._names.values()):
            for step in reversed(undo):
                # With a folder that is gone, all is gone that happened in it.
                with contextlib.suppress(OSError):
                    step()
        self.die()

    def write(self, raw: "_Raw", data: Any) -> int:
        """Write to a file, or half of it, or nothing."""
        with self.call():
            self.counts.writes += 1
            now = self.counts.writes == self.fault.at
            # What is there already was written by others, or synced since.
            self._unsynced.setdefault(os.fsdecode(raw.name), os.fstat(raw.fileno()).st_size)
            if now and self.fault.kind == "killed in the middle of a write":
                raw.really_write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
                self.die()
            if now and self.fault.kind == "disk full":
                raw.really_write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
                self.full = True
            self.refuse_if_full()
            return raw.really_write(data)

    def refuse_if_full(self) -> None:
        """Say what a full disk says."""
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _fsync(self, descriptor: int) -> None:
        if _path_of(descriptor) == os.path.dirname(self.run):  # noqa: PTH120
            self._names.pop(os.path.dirname(self.run), None)  # noqa: PTH120
        if not self.concerns(descriptor):
            return self._real["fsync"](descriptor)  # type: ignore[no-any-return]
        with self.call():
            self.counts.fsyncs += 1
            if self.counts.fsyncs == self.fault.at and self.fault.kind == "disk fails to sync":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            # The disk itself is left in peace: what it would keep is known here.
            path = _path_of(descriptor)
            self._unsynced.pop(path, None)
            self._names.pop(path, None)
            return None

    def _os_open(self, path: Any, flags: int, *rest: Any, **options: Any) -> Any:
        if not self.concerns(path) or not flags & (os.O_WRONLY | os.O_RDWR):
            return self._real["open"](path, flags, *rest, **options)
        with self.call():
            return self._real["open"](path, flags, *rest, **options)

    def _of_one_name(self, name: str) -> Callable[..., Any]:
        def changed(path: Any, *rest: Any, **options: Any) -> Any:
            if not self.concerns(path):
                return self._real[name](path, *rest, **options)
            with self.call():
                if name == "mkdir":
                    self.refuse_if_full()
                gone = os.fsdecode(path)
                before = f"{self.run}-before-{self.counts.calls}"
                held = name in ("unlink", "remove") and self.fault.kind == "power lost"
                if held and not os.path.islink(gone):  # noqa: PTH114
                    with contextlib.suppress(OSError):
                        os.link(gone, before)

                def undo() -> None:
                    if name == "mkdir":
                        shutil.rmtree(gone, ignore_errors=True)
                    elif os.path.exists(before):  # noqa: PTH110
                        self._real["replace"](before, gone)

                result = self._real[name](path, *rest, **options)
                self._names.setdefault(os.path.dirname(gone), []).append(undo)  # noqa: PTH120
                return result

        return changed

    def _of_two_names(self, name: str) -> Callable[..., Any]:
        def changed(source: Any, target: Any) -> Any:
            if not self.concerns(target):
                return self._real[name](source, target)
            with self.call():
                source, target = os.fsdecode(source), os.fsdecode(target)
                # A second name for what is going to be lost, outside the run directory.
                before = f"{self.run}-before-{self.counts.calls}"
                replaced = os.path.exists(target)  # noqa: PTH110
                if replaced and self.fault.kind == "power lost":
                    os.link(target, before)

                def undo() -> None:
                    if replaced:
                        self._real["replace"](before, target)
                    else:
                        self._real["rename"](target, source)

                result = self._real[name](source, target)
                self._names.setdefault(os.path.dirname(target), []).append(undo)  # noqa: PTH120
                if source in self._unsynced:
                    self._unsynced[target] = self._unsynced.pop(source)
                return result

        return changed

    def _opened(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not set(mode) & set("wax+") or isinstance(file, int) or not self.concerns(file):
            return self._open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        with self.call():
            raw = _Raw(file, mode.replace("b", "").replace("t", ""), opener=opener)
        raw.disk = self
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding, errors, newline)


def _path_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


class _Raw(io.FileIO):
    """A file whose writes pass by a disk."""

    disk: _Disk

    def write(self, data: Any, /) -> int:
        """Write, unless a fault happens."""
        return self.disk.write(self, data)

    def really_write(self, data: Any) -> int:
        """Write."""
        return super().write(data)


def train_with(fault: Fault, run: Path, counted: Path | None, clock: float, *words: object) -> None:
    """Run train.py's command as the whole program, with a fault.

    Args:
        fault: what happens.
        run: the run directory.
        counted: where to write how many calls there were, if the program comes to its end.
        clock: seconds by which the clock is wrong; not a number for one that jumps all the time.
        words: the command line.
    """
    set_clock(clock)
    disk = _Disk(run, fault)
    disk.install()
    try:
        train_py(*words)
    finally:
        if counted is not None:
            counts = disk.counts
            counted.write_text(f"{counts.calls} {counts.writes} {counts.fsyncs}")


def train_where_nobody_may_write(run: Path, *words: object) -> None:
    """Run train.py's command where the run directory lies on a disk that cannot be written.

    Ends with status CANNOT where this process may not arrange that.
    """
    path = os.fsencode(run)
    bind, again_read_only = 0x1000, 0x1021
    mount_for_oneself((path, path, None, bind, None), (None, path, None, again_read_only, None))
    train_py(*words)


def mount_for_oneself(*mounts: tuple[bytes | None, bytes, bytes | None, int, bytes | None]) -> None:
    """Mount what no other process sees, and what goes with this one.

    Args:
        mounts: what the system's `mount` is given, one after the other.

    Ends the process with status CANNOT where it may not.
    """
    system = ctypes.CDLL(None, use_errno=True)
    new_names, private = 0x00020000, 0x44000
    refused = system.unshare(new_names) or system.mount(None, b"/", None, private, None)
    if refused or any(system.mount(*each) for each in mounts):
        sys.exit(CANNOT)


def train_on_a_small_disk(most: int, run: Path, kept: Path, *words: object) -> None:
    """Run train.py's command where the run directory lies on a disk of its own, in memory.

    Ends with status CANNOT where this process may not arrange that.

    Args:
        most: bytes that the disk has, room for what is there already included.
        run: the run directory, which others do not see changed.
        kept: where what is there at the end is copied to.
        words: the command line.
    """
    before = kept.with_name(f"{kept.name}-before")
    run.mkdir(exist_ok=True)
    shutil.rmtree(before, ignore_errors=True)
    shutil.copytree(run, before)
    options = f"size={most}".encode()
    mount_for_oneself((b"tmpfs", os.fsencode(run), b"tmpfs", 0, options))
    shutil.copytree(before, run, dirs_exist_ok=True)
    shutil.rmtree(before)
    try:
        train_py(*words)
    finally:
        shutil.copytree(run, kept)


def train_with_small_files(most: int, *words: object) -> None:
    """Run train.py's command where no file may have more bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    train_py(*words)


def set_clock(wrong: float) -> None:
    """Let the clock on the wall be wrong; the one that only counts seconds cannot be."""
    real, looks = time.time, itertools.count()

    def jumping() -> float:
        return real() + 3600 * (7 * next(looks) % 11 - 5)

    if math.isnan(wrong):
        time.time = jumping
    elif wrong:
        time.time = lambda: real() + wrong
