"""One reader at work on damaged files, in a process of its own."""

import faulthandler
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import NoReturn

from PIL import Image

from tests.fuzzing.guard import Guard, bound
from tests.fuzzing.mutation import mutated
from tests.fuzzing.readers import EXPECTED, READERS, Reader

# Seconds of the processor that a file of a few kilobytes may take.
MOST_SECONDS = 10.0
# Seconds after which a process that does not answer is ended: others may be using the machine.
_PATIENCE = 60.0
_KEPT_OF_A_KIND = 3


class TooLongError(BaseException):
    """The reader has taken longer than it may."""


class Kind:
    """The good files of a reader, by seed and name."""

    def __init__(self, reader: Reader, place: Path) -> None:
        self.reader = reader
        self.place = place / "good"
        place.mkdir(exist_ok=True)
        reader.make(self.place)
        self.seeds = {
            folder.name: {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
            for folder in sorted(self.place.iterdir())
        }
        self.work = place / "work"

    def read_good(self) -> None:
        """Read the good files, so that whatever is loaded when it is needed is there."""
        Image.init()  # Else Pillow loads its other formats when it sees the first damaged file.
        for seed in self.seeds:
            self.put(seed, {})
            self.reader.read(self.work)

    def put(self, seed: str, changed: dict[str, bytes]) -> None:
        """Put the files of a seed where they are read."""
        # New files each time: older ones may still be mapped into memory.
        shutil.rmtree(self.work, ignore_errors=True)
        for name, data in (self.seeds[seed] | changed).items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def damaged(self, number: int, run: int) -> tuple[str, dict[str, bytes]]:
        """Give input `number` of a run: a seed, and the files of it that are damaged."""
        chance = random.Random(f"{run} {number}")
        seed = chance.choice(list(self.seeds))
        files = self.seeds[seed]
        names = [name for name in files if not name.endswith(self.reader.left_alone or ("\0",))]
        changed = {}
        for name in chance.sample(names, min(len(names), chance.choice((1, 1, 1, 2)))):
            others = [other[name] for other in self.seeds.values() if name in other]
            changed[name] = self._one(name, files[name], others, chance)
        return seed, changed

    def _one(self, name: str, data: bytes, others: list[bytes], chance: random.Random) -> bytes:
        words = self.reader.words
        layer = next((each for end, each in self.reader.layers.items() if name.endswith(end)), None)
        if layer is None or chance.random() < 0.4:
            return mutated(data, chance, others, words)
        parts, together = layer(data)
        place = chance.randrange(len(parts))
        parts[place] = mutated(parts[place], chance, parts, words)
        return together(parts)


def work(name: str, place: Path, findings: Path, *, run: int, start: int, seconds: float) -> None:
    """Read damaged files for some time.

    Args:
        name: the reader.
        place: an empty folder; its file `number` tells which input is being read, once one is.
        findings: where inputs are kept that did what they must not.
        run: what the inputs are a function of.
        start: number of the first input.
        seconds: how long.
    """
    reader = READERS[name]
    kind = Kind(reader, place)
    kind.read_good()
    guard = Guard(kind.work)
    signal.signal(signal.SIGPROF, _too_long)
    bound(reader.gib)
    ends: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    end = time.monotonic() + seconds
    number = start
    with (place / "number").open("wb", buffering=0) as told:
        while time.monotonic() < end:
            told.seek(0)
            told.write(b"%020d" % number)
            seed, changed = kind.damaged(number, run)
            kind.put(seed, changed)
            outcome, details = _outcome(kind, guard)
            ends[outcome if outcome in ("read", "refused") else "found"] += 1
            if outcome not in ("read", "refused"):
                kept[outcome] += 1
                if kept[outcome] <= _KEPT_OF_A_KIND:
                    keep(findings, f"{name}-{run}-{number}", seed, changed, f"{outcome}\n{details}")
            number += 1
    (place / "report.json").write_text(json.dumps({"next": number, "ends": ends, "kinds": kept}))


def keep(findings: Path, name: str, seed: str, changed: dict[str, bytes], text: str) -> None:
    """Keep an input that did what it must not."""
    folder = findings / name
    for inner, data in changed.items():
        path = folder / seed / inner
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "finding.txt").write_text(text, errors="backslashreplace")


def _outcome(kind: Kind, guard: Guard) -> tuple[str, str]:
    """Read what lies there: `read`, `refused` or a word for a finding; and what is to be known."""
    faulthandler.dump_traceback_later(_PATIENCE, exit=True)
    outcome, details = "read", ""
    try:
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        with guard.watching():
            kind.reader.read(kind.work)
    except EXPECTED as error:
        outcome = "refused"
        if "\n" in str(error) or len(str(error)) > 1000:
            outcome, details = f"no sentence: {type(error).__name__}", str(error)
    except TooLongError:
        outcome, details = _where("too long"), traceback.format_exc()
    except Exception as error:
        outcome, details = _where(type(error).__name__), traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
    if guard.seen:
        outcome, details = f"forbidden: {guard.seen[0][:40]}", "\n".join(guard.seen)
    return outcome, details


def _where(what: str) -> str:
    """Name an error by the line of ours that it came through last, so that equals are counted."""
    ours = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(sys.exc_info()[2])
        if "site-packages" not in frame.filename and "/lib/python" not in frame.filename
    ]
    return f"{what} at {ours[-1] if ours else '?'}"


def _too_long(number: int, frame: FrameType | None) -> NoReturn:
    raise TooLongError


if __name__ == "__main__":
    faulthandler.enable()
    os.environ["OMP_NUM_THREADS"] = "1"
    _name, _place, _findings, _run, _start, _seconds = sys.argv[1:]
    work(
        _name,
        Path(_place),
        Path(_findings),
        run=int(_run),
        start=int(_start),
        seconds=float(_seconds),
    )
