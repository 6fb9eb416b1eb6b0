"""Runs that faults happen to, and the run that nothing happened to, which they must end as.

After each fault the run directory must hold the newest sound checkpoint that it held before, or a
newer one; what the program said must be sentences; at the end, checkpoint and model file must be
those of a run that nobody disturbed, to the last bit, and so must what the log, TensorBoard and the
sample grids tell.
"""

import json
import math
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from progan.checkpoint import MODEL_NAME, Checkpoints
from progan.errors import DamagedFile, ProganError
from progan.run_record import NAME as CONFIG_NAME
from progan.run_record import read_sealed
from tests.faults import (
    AT_A_CALL,
    AT_A_WRITE,
    AT_AN_FSYNC,
    CANNOT,
    Counts,
    Fault,
    train_on_a_small_disk,
    train_where_nobody_may_write,
    train_with,
    train_with_small_files,
)
from tests.starting import Started, start, train_py
from tests.tiny_runs import WHOLE, prepared

_DAY = 86400.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Seconds for a training of one second, on however busy a machine.
PATIENCE = 1800.0
_SHOWN = "loss/critic"


class Violation(AssertionError):
    """A promise was broken."""


@dataclass
class Undisturbed:
    """A run that nothing happened to, and what it takes to make others like it."""

    folder: Path
    dataset: Path
    other: Path
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    words: tuple[str, ...] = tuple(WHOLE)
    processes: int = 1

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.folder / f"undisturbed-{self.processes}"

    def train(self) -> None:
        """Let the run come to its end, and count its calls."""
        counted = self.folder / f"counted-{self.processes}"
        words = (0.0, self.dataset, self.run, *self.words)
        arguments = [
            (Fault(), self.run, None if rank else counted, *words) for rank in range(self.processes)
        ]
        begun = time.monotonic()
        started = start(self.folder, train_with, arguments)
        if set(started.statuses(PATIENCE)) != {0}:
            raise Violation(started.said(0))
        self.seconds = time.monotonic() - begun
        self.counts = Counts(*map(int, counted.read_text().split()))


def undisturbed(folder: Path) -> Undisturbed:
    """Make the dataset, another one, and the run to compare with."""
    made = Undisturbed(folder, prepared(folder / "drawn"), folder / "other")
    prepared(made.other, "--seed", 9)
    made.train()
    return made


class Trial:
    """One run, and what happens to it.

    Args:
        like: the run that it must end as.
        name: of its folder.
        draw: what is random.
        span: parts of all calls between which faults at one happen. Their number is not the same
            in every run, since TensorBoard writes by the clock: the last ones may not come.
    """

    def __init__(
        self,
        like: Undisturbed,
        name: str,
        draw: random.Random,
        *,
        span: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self.like = like
        self.folder = like.folder / name
        self.folder.mkdir()
        self.run = self.folder / "run"
        self.draw = draw
        self.span = span
        self.words = (like.dataset, self.run, *like.words)
        self.history: list[str] = []
        # What this machine does not let happen, and why.
        self.impossible: dict[str, str] = {}
        self.log_is_whole = self.events_are_whole = True
        # Of the newest checkpoint that is known to be sound.
        self.sound = 0
        self.damaged: set[str] = set()
        self.config_lost = False

    def inflict(self, kind: str) -> str | None:
        """Let one fault happen.

        Returns:
            What came of it, in a few words; None where it could not happen, such as when the
            training came to its end before.

        Raises:
            Violation: a promise was broken.
        """
        self.history.append(kind)
        outcome = self.happen(kind)
        self.look()
        return outcome

    def happen(self, kind: str) -> str | None:
        """Do what the kind of fault is, as `inflict` says."""
        return KINDS[kind](self, kind)

    def end(self) -> None:
        """Leave the run to its end, and compare.

        Raises:
            Violation: it is not the one of the run that nothing happened to.
        """
        self.history.append("end")
        self.ended(self.begin(train_py, *self.words), {0})
        self.compare()
        shutil.rmtree(self.folder)

    def begin(self, target: Callable[..., None], *arguments: object) -> Started:
        """Start a training."""
        self.note_what_is_mended()
        return start(self.folder, target, [arguments])

    def note_what_is_mended(self) -> None:
        """Expect no warning of what an earlier start has warned of and mended."""
        there = self.run / "checkpoints"
        self.damaged = {name for name in self.damaged if (there / name).exists()}
        self.config_lost = self.config_lost and not is_sound(self.run / CONFIG_NAME)

    def ended(self, started: Started, expected: set[int]) -> tuple[int, str]:
        """Wait for a training's end; give status and what it said."""
        (status,) = started.statuses(PATIENCE)
        said = started.said(0)
        if status == 1:
            self.require(said.splitlines()[-1].startswith("Error: "), said)
        return self.judged(status, said, expected)

    def judged(self, status: int | None, said: str, expected: set[int]) -> tuple[int, str]:
        """See that a training ended as it may, and said what it must; give both."""
        self.require(status in expected, f"status {status} and not {expected}: {said}")
        self.require("Traceback" not in said, said)
        if self.damaged and "Continue at" in said:
            for name in self.damaged:
                warned = f"{name} is damaged" in said and f"set aside as {name}.damaged" in said
                self.require(warned, said)
            self.damaged.clear()
        if self.config_lost and "Continue at" in said:
            self.require("says of the run takes its place" in said, said)
        return status or 0, said

    def require(self, held: bool, why: str) -> None:
        """Complain of what does not hold."""
        if not held:
            raise Violation(f"{self.run} after {self.history}: {why}")

    def look(self) -> None:
        """See that nothing which was safe is lost."""
        checkpoints = Checkpoints(self.run / "checkpoints")
        for path in reversed(checkpoints.all()):
            try:
                nimg = checkpoints.read(path)[1]
            except ProganError as error:
                self.require(path.name in self.damaged, str(error))
                continue
            self.require(nimg >= self.sound, f"{nimg} after {self.sound}")
            self.sound = nimg
            return
        self.require(self.sound == 0, "no checkpoint is left")

    def compare(self) -> None:
        """See that the end is that of the run that nothing happened to."""
        self.compare_names()
        self.compare_content()
        self.compare_told()

    def compare_names(self) -> None:
        """See that there is what there must be, and no more."""
        like = self.like.run
        expected = {path.name for path in Checkpoints(like / "checkpoints").all()}
        expected |= {path.name for path in (like / "samples").iterdir()}
        found = {path.name for path in Checkpoints(self.run / "checkpoints").all()}
        found |= {path.name for path in (self.run / "samples").iterdir()}
        if any("SIGTERM" in fault for fault in self.history):
            pass  # Who is stopped in order writes a checkpoint and a grid, wherever that is.
        elif any("power lost" in fault for fault in self.history):
            # What had been removed may be there again.
            self.require(expected <= found, f"{found} instead of {expected}")
        else:
            self.require(found == expected, f"{found} instead of {expected}")
        for path in (like / "samples").iterdir():
            self.require(path.name in found, f"{path.name} is missing")
        half = [path for path in self.run.rglob("*") if path.name.startswith(".")]
        self.require(not half, f"left over: {half}")

    def compare_content(self) -> None:
        """See that weights, settings and grids are the same."""
        like = self.like.run
        settings, expected = (read_sealed(run / CONFIG_NAME)["config"] for run in (self.run, like))
        self.require(settings == expected, f"{settings} instead of {expected}")
        newest = Checkpoints(like / "checkpoints").all()[-1]
        for path in (newest, like / MODEL_NAME, *(like / "samples").iterdir()):
            same = (self.run / path.relative_to(like)).read_bytes() == path.read_bytes()
            self.require(same, f"{path.name} is another")

    def compare_told(self, tolerance: float = 0.0) -> None:
        """See that log and TensorBoard tell the same, up to some rounding of losses."""
        like = self.like.run
        for told, as_it_was, whole, changed in (
            # Lines have no checksum: one that was damaged may tell of something else.
            (logged(self.run), logged(like), self.log_is_whole, self.history.count("log damaged")),
            (events(self.run), events(like), self.events_are_whole, 0),
        ):
            other = [
                nimg
                for nimg, value in told.items()
                if not _same(value, as_it_was.get(nimg), tolerance)
            ]
            complete = told.keys() == as_it_was.keys() and not other
            held = complete if whole else len(other) <= changed
            self.require(held, str(told))

    # What may happen.

    def at_a_call(self, kind: str, clock: float = 0.0) -> str | None:
        """Let something happen at one of the calls by which a training writes."""
        what = "killed before a call" if clock else kind
        last = self.like.counts.of(what)
        first, last = (1 + int(part * (last - 1)) for part in self.span)
        fault = Fault(what, self.draw.randint(first, last))
        self.history[-1] += f" {fault.at}"
        status, said = self.ended(
            self.begin(train_with, fault, self.run, None, clock, *self.words),
            {0, 1, -signal.SIGKILL, 128 + signal.SIGTERM},
        )
        if status == -signal.SIGKILL:
            return "killed"
        if status == 1:
            return "ended with a sentence and status 1"
        if status == 128 + signal.SIGTERM or "Stopped at" in said:
            return "stopped with a sentence"
        return "came to its end" if clock else None

    def clock_back(self, kind: str) -> str | None:
        """Train with a clock that is days ahead, be killed, and go on when it is right again."""
        return self.at_a_call(kind, clock=_DAY * self.draw.uniform(0.1, 400))

    def clock_jumps(self, kind: str) -> str | None:
        """Train with a clock that jumps to and fro all the time."""
        return self.at_a_call(kind, clock=math.nan)

    def signalled(self, kind: str) -> str | None:
        """Send a signal at any time."""
        number = signal.SIGKILL if kind.startswith("SIGKILL") else signal.SIGTERM
        started = self.begin(train_py, *self.words)
        time.sleep(self.draw.uniform(0, self.like.seconds))
        if started.processes[0].is_alive():
            os.kill(started.pid(0), number)
        # Until the program is ready for it, SIGTERM ends it as any other.
        status, said = self.ended(started, {0, -number, 128 + signal.SIGTERM})
        if status == 0 and "Stopped at" not in said:
            return None
        return "killed" if status == -signal.SIGKILL else "stopped"

    def damage(self, kind: str) -> str | None:
        """Damage a file while nobody is at work."""
        checkpoints = Checkpoints(self.run / "checkpoints").all()
        if len(checkpoints) < 2 or checkpoints[-1].name in self.damaged:
            return None
        path = {
            "a bit flipped in the model file": self.run / MODEL_NAME,
            "log damaged": self.run / "log.jsonl",
            "TensorBoard's file damaged": max(self.run.glob("events.*")),
        }.get(kind, checkpoints[-1])
        if not path.is_file() or not path.stat().st_size:
            return None
        data = bytearray(path.read_bytes())
        if kind.endswith("cut short"):
            del data[self.draw.randrange(len(data)) :]
        elif kind.endswith("zeros"):
            data = bytearray(len(data))
        else:
            for _ in range(self.draw.choice((1, 1, 1, 3)) if "checkpoint" in kind else 1):
                data[self.draw.randrange(len(data))] ^= 1 << self.draw.randrange(8)
        path.write_bytes(data)
        if path == checkpoints[-1]:
            self.damaged.add(path.name)
            self.sound = int(checkpoints[-2].stem)
            return "set aside, the one before taken"
        self.log_is_whole = self.log_is_whole and kind != "log damaged"
        self.events_are_whole = self.events_are_whole and "TensorBoard" not in kind
        return "written again" if path.name == MODEL_NAME else "read as far as it is sound"

    def damage_config(self, kind: str) -> str | None:
        """Damage the run's settings, or remove them, while nobody is at work."""
        path = self.run / CONFIG_NAME
        if not self.sound or self.config_lost or not path.is_file():
            return None
        data = path.read_bytes()
        if kind == "config.json missing":
            path.unlink()
        else:
            changed = bytearray(data)
            changed[self.draw.randrange(len(data))] ^= 1 << self.draw.randrange(8)
            path.write_bytes(changed)
            if is_sound(path):  # such as an e that has become an E, in a number
                path.write_bytes(data)
                return None
        self.config_lost = True
        return "written again from a checkpoint"

    def second_training(self, kind: str) -> str | None:
        """Start a second training while the first is at work, then kill the first."""
        first = self.begin(train_py, *self.words)
        end = time.monotonic() + PATIENCE
        while "kimg 0" not in first.said(0) and first.processes[0].is_alive():
            if time.monotonic() > end:
                raise Violation(first.said(0))
            time.sleep(0.005)
        # Stopped, so that it cannot come to its end meanwhile.
        if not first.processes[0].is_alive():
            self.ended(first, {0})
            return None
        os.kill(first.pid(0), signal.SIGSTOP)
        busy = (self.run / ".lock").exists()
        status, said = self.ended(self.begin(train_py, *self.words), {1} if busy else {0, 1})
        self.require(not busy or "is being trained already" in said, said)
        os.kill(first.pid(0), signal.SIGKILL)
        first.statuses()
        return "refused with a sentence" if busy and status else None

    def other_data(self, kind: str) -> str | None:
        """Give another dataset."""
        if not (self.run / "config.json").exists():
            return None
        words = (self.like.other, self.run, *self.like.words)
        self.require("fingerprints differ" in self.ended(self.begin(train_py, *words), {1})[1], "")
        return "refused with a sentence"

    def read_only(self, kind: str) -> str | None:
        """Let nobody write to the run directory."""
        if not self.run.is_dir():
            return None
        started = self.begin(train_where_nobody_may_write, self.run, *self.words)
        status, said = self.ended(started, {1, CANNOT})
        if status == CANNOT:
            self.impossible[kind] = "mounting is not allowed here"
            return None
        self.require("cannot be written" in said, said)
        return "refused with a sentence"

    def small_files(self, kind: str) -> str | None:
        """Let no file grow beyond some size, as quotas do."""
        most = self.draw.randrange(max(path.stat().st_size for path in self.like.run.rglob("*.*")))
        status, _ = self.ended(self.begin(train_with_small_files, most, *self.words), {0, 1})
        return "ended with a sentence and status 1" if status else None

    def full_disk(self, kind: str) -> str | None:
        """Train on a disk that has room for a part of what is still to come."""
        kept = self.folder / "kept"
        there = [path.stat().st_size for path in self.run.rglob("*") if path.is_file()]
        # A file takes whole pages, and a new one comes before the old one goes.
        pages = sum(-(-size // _PAGE) + 1 for size in there)
        wanted = sum(path.stat().st_size for path in self.like.run.rglob("*.*")) // _PAGE
        most = _PAGE * (pages + 8 + self.draw.randrange(2 * wanted))
        started = self.begin(train_on_a_small_disk, most, self.run, kept, *self.words)
        status, _ = self.ended(started, {0, 1, CANNOT})
        if status == CANNOT:
            self.impossible[kind] = "mounting is not allowed here; see file size limited"
            return None
        shutil.rmtree(self.run, ignore_errors=True)
        kept.rename(self.run)
        return "ended with a sentence and status 1" if status else None

    def moved(self, kind: str) -> str | None:
        """Copy the run directory to another place, where the dataset has another path too."""
        if not self.run.is_dir():
            return None
        number = len(self.history)
        place = self.folder / f"elsewhere-{number}"
        place.mkdir()
        shutil.copytree(self.run, place / "run")
        shutil.rmtree(self.run)
        (place / "drawn").mkdir()
        for path in self.like.dataset.iterdir():
            os.link(path, place / "drawn" / path.name)
        self.run = place / "run"
        self.words = (place / "drawn", self.run, *self.like.words)
        return "went on without a word"


KINDS: dict[str, Callable[[Trial, str], str | None]] = {
    **dict.fromkeys((*AT_A_CALL, *AT_A_WRITE, *AT_AN_FSYNC), Trial.at_a_call),
    "SIGKILL at any time": Trial.signalled,
    "SIGTERM at any time": Trial.signalled,
    "file size limited": Trial.small_files,
    "a small disk is full": Trial.full_disk,
    "run directory read-only": Trial.read_only,
    "newest checkpoint cut short": Trial.damage,
    "bits flipped in the newest checkpoint": Trial.damage,
    "newest checkpoint all zeros": Trial.damage,
    "a bit flipped in the model file": Trial.damage,
    "a bit flipped in config.json": Trial.damage_config,
    "config.json missing": Trial.damage_config,
    "log damaged": Trial.damage,
    "TensorBoard's file damaged": Trial.damage,
    "clock set back between two starts": Trial.clock_back,
    "clock jumping to and fro": Trial.clock_jumps,
    "second training": Trial.second_training,
    "other dataset given": Trial.other_data,
    "run and dataset moved": Trial.moved,
}


def _same(one: object, other: object, tolerance: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= tolerance
    return one == other


def is_sound(config: Path) -> bool:
    """Say whether a config.json is there and as it was written."""
    try:
        read_sealed(config)
    except (FileNotFoundError, DamagedFile):
        return False
    return True


def logged(run: Path) -> dict[int, float]:
    """Give what the log tells of a loss, by images shown; each once."""
    found: dict[int, float] = {}
    # A run that was at its end when its log was damaged has no reason to look at it again.
    for line in (run / "log.jsonl").read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            told = json.loads(line)
            told["nimg"]
        except (ValueError, TypeError, KeyError):
            continue
        if told["nimg"] in found:
            raise Violation(f"{run} has logged {told['nimg']} twice")
        found[told["nimg"]] = told.get(_SHOWN)
    return found


def events(run: Path) -> dict[int, float]:
    """Give what TensorBoard shows of it."""
    found = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload().Scalars(_SHOWN)
    steps = [event.step for event in found]
    if steps != sorted(set(steps)):
        raise Violation(f"TensorBoard shows {run} at {steps}")
    return {event.step: event.value for event in found}
