"""One training at a time in a run directory."""

import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import click

from datasets.locking import NoLocks, Occupied, let_go, occupy, read_note
from progan.errors import ProganError
from tools.run_links import refuse_links

_NAME = ".lock"
# Seconds to wait where torchrun starts again: a network drive may need some to notice that the
# machine of the process that held the lock is gone.
_PATIENCE_SECONDS = 120.0


@contextmanager
def only_training(run: Path) -> Iterator[None]:
    """Keep other trainings out of a run directory for the block's time.

    The directory is made; where nothing has come into it by the end, it is removed again. A lock
    that a killed training left, or one from before the machine was started anew, is in nobody's
    way. On drives without locks the process is looked for that the lock's file names, which tells
    nothing about other machines: then a sentence asks the user to make sure.

    Args:
        run: the run directory.

    Raises:
        ProganError: another training is at work there, or the directory cannot be written, or
            would be written through a symbolic link.
        OSError: the system refuses for another reason.
    """
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    lock = run / _NAME
    try:
        try:
            refuse_links(run)
            run.mkdir(parents=True, exist_ok=True)
            file = _take(lock, run)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            raise ProganError(
                f"{run} cannot be written ({error.strerror}), and training keeps its checkpoints "
                "there: give it another place, or the right to write"
            ) from None
        try:
            yield
        finally:
            if file is None:
                lock.unlink(missing_ok=True)
            else:
                let_go(lock, file)
    finally:
        for folder in made:
            with suppress(OSError):  # it is not empty, or was never made
                folder.rmdir()


def _take(lock: Path, run: Path) -> BinaryIO | None:
    """Take the lock, or give None where there are none."""
    started_again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    deadline = time.monotonic() + (_PATIENCE_SECONDS if started_again else 0)
    told = False
    while True:
        try:
            return occupy(lock, _note())
        except Occupied as occupied:
            if time.monotonic() >= deadline:
                raise _taken(run, _holder(occupied.note)) from None
        except NoLocks:
            _take_without_locks(lock, run)
            return None
        if not told:
            click.echo(f"Waiting until the process that was lost lets go of {run}.", err=True)
            told = True
        time.sleep(0.5)


def _take_without_locks(lock: Path, run: Path) -> None:
    holder = _holder(read_note(lock))
    if holder.get("host") == socket.gethostname():
        if _lives(holder):
            raise _taken(run, holder)
    elif holder:
        click.echo(
            f"{run} lies on a drive without file locks, and {_named(holder)} began to train there "
            "and has not said that it ended: make sure that it no longer does.",
            err=True,
        )
    lock.write_text(_note(), encoding="utf-8")


def _note() -> str:
    """Say who this process is: JSON."""
    pid = os.getpid()
    return json.dumps({"pid": pid, "host": socket.gethostname(), "began": _began(pid)})


def _holder(note: str) -> dict[str, object]:
    """Read what `_note` wrote; empty where it is something else."""
    try:
        found = json.loads(note)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and type(found.get("pid")) is int else {}


def _named(holder: dict[str, object]) -> str:
    return f"process {holder['pid']} on {holder.get('host')}" if holder else "another process"


def _taken(run: Path, holder: dict[str, object]) -> ProganError:
    return ProganError(
        f"{run} is being trained already, by {_named(holder)}: wait until that ends, stop it, or "
        "give another run directory"
    )


def _lives(holder: dict[str, object]) -> bool:
    """Say whether the process of a note is still the one that wrote it."""
    pid = holder["pid"]
    assert isinstance(pid, int)
    if pid <= 0 or sys.platform == "win32":  # where this very question would end the process
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return holder.get("began") in (None, _began(pid))


def _began(pid: int) -> str | None:
    """Tell processes apart that had the same number one after the other, where /proc knows."""
    try:
        # The name before the bracket may hold anything; the 22nd value is the time of its start.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError, ValueError):
        return None
