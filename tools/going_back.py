"""A run that goes back to a checkpoint forgets what it has told of later images.

These images will be shown again, and all that lies between would be told twice, or, if a state from
before a damaged checkpoint takes another course, told wrongly. So log.jsonl, TensorBoard's events
and the sample grids end where the checkpoint stands.
"""

import json
import struct
import time
from pathlib import Path
from typing import BinaryIO

from datasets.landing import landing

# TensorBoard's files are records: length, a checksum of it, the bytes, a checksum of them.
_LENGTH = struct.Struct("<QI")
_CHECKSUM_SIZE = 4
_EVENTS = "events.out.tfevents."
# An event begins with its time (field 1, a double); its step (field 2, a varint) follows.
_TIME_TAG, _TIME_SIZE, _STEP_TAG = 0x09, 9, 0x10
_MOST_STEP_BYTES = 10


def go_back(run: Path, nimg: int) -> None:
    """Forget what lies after `nimg` images.

    Args:
        run: the run directory, in which no other process writes.
        nimg: images shown at the checkpoint from which the run goes on.

    Raises:
        OSError: something cannot be written.
    """
    _keep_log_until(run / "log.jsonl", nimg)
    _keep_events_until(run, nimg)
    for grid in (run / "samples").glob("[0-9]" * 12 + ".png"):
        if int(grid.stem) > nimg:
            grid.unlink()


def _keep_log_until(log: Path, nimg: int) -> None:
    if not log.is_file():
        return
    kept = []
    for line in log.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            shown = json.loads(line)["nimg"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue  # half a line, written as the process was killed
        if type(shown) is int and shown <= nimg:
            kept.append(line + "\n")
    with landing(log, overwrite=True) as part:
        part.write_text("".join(kept), encoding="utf-8")


def _keep_events_until(run: Path, nimg: int) -> None:
    """Cut TensorBoard's files off, and see to it that the next one comes last in their order.

    That order is the one of their names, which begin with the seconds of a clock; a clock may have
    been set back since.
    """
    latest = int(time.time())
    for path in sorted(run.glob(_EVENTS + "[0-9]" * 10 + ".*"), reverse=True):
        with path.open("r+b") as file:
            file.truncate(_end_of_events(file, nimg))
        stamp, _, rest = path.name.removeprefix(_EVENTS).partition(".")
        latest = max(0, min(int(stamp), latest - 1))
        if latest != int(stamp):
            path.rename(path.with_name(f"{_EVENTS}{latest:010d}.{rest}"))


def _end_of_events(file: BinaryIO, nimg: int) -> int:
    """Say where the first event after `nimg` begins, or else half a record, or the file's end."""
    size = file.seek(0, 2)
    end = 0
    while end + _LENGTH.size <= size:
        file.seek(end)
        length, _ = _LENGTH.unpack(file.read(_LENGTH.size))
        after = end + _LENGTH.size + length + _CHECKSUM_SIZE
        if after > size or _step(file.read(min(length, _TIME_SIZE + 1 + _MOST_STEP_BYTES))) > nimg:
            break
        end = after
    return end


def _step(event: bytes) -> int:
    """Read the step of an event from its beginning; the default of this format, 0, is left out."""
    if len(event) <= _TIME_SIZE or event[0] != _TIME_TAG or event[_TIME_SIZE] != _STEP_TAG:
        return 0
    step = 0
    for place, byte in enumerate(event[_TIME_SIZE + 1 :]):
        step |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    return step
