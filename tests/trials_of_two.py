"""Runs of two processes that faults happen to, and that go on with two or with one.

What faults do to one process is in `trials`; here one of two is lost, or both, or one does nothing
for a while, or the disk of the one that writes is full. The one that is left must end by itself.
With as many processes the end must be that of a run of two that nobody disturbed, to the last bit;
with another number, up to rounding, since sums are taken in another order.
"""

import dataclasses
import os
import random
import signal
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from progan.checkpoint import Checkpoints
from progan.run_record import NAME, read_sealed
from tests.faults import Fault, train_with
from tests.starting import Started, start, train_py
from tests.tiny_runs import WHOLE
from tests.trials import PATIENCE, Trial, Undisturbed

# With a large epsilon Adam does not turn rounding errors of tiny gradients into whole steps.
_WORDS = (*WHOLE, "--adam-epsilon", "0.1", "--learning-rate", "0.001")
_ROUNDING = 1e-4
_ROUNDED_GREY = 2
# Longer than it takes to find out that another machine is gone, which a frozen process is not.
_FROZEN_SECONDS = 14.0
# Seconds for the process that is left to end by itself once training had begun, on however busy a
# machine; and before that, when torchrun would end it.
_LEFT_SECONDS, _NOT_BEGUN_SECONDS = 300.0, 8.0
# What torchrun gives a process between SIGTERM and SIGKILL.
_TORCHRUN_SECONDS = 30.0
# How processes may end; until the program is ready for it, SIGTERM ends it as any other.
_UNDONE = {0, 1, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM}
_OF_TWO = " in one of two"


def undisturbed_two(like: Undisturbed) -> Undisturbed:
    """Make the run of two processes to compare with, of the same data."""
    made = dataclasses.replace(like, words=_WORDS, processes=2)
    made.train()
    return made


class TrialOfTwo(Trial):
    """One run of two processes, and what happens to it."""

    def __init__(
        self,
        like: Undisturbed,
        name: str,
        draw: random.Random,
        *,
        span: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__(like, name, draw, span=span)
        self.count = 2
        # Whether some of it was trained by another number of processes.
        self.mixed = False

    def happen(self, kind: str) -> str | None:
        """Do what the kind of fault is."""
        return KINDS[kind](self, kind)

    def end(self, count: int | None = None) -> None:
        """Leave the run to its end, with so many processes, or one or two, and compare."""
        self.count = count or self.draw.choice((1, 2))
        self.history.append(f"with {self.count}")
        super().end()

    def begin(self, target: Callable[..., None], *arguments: object) -> Started:
        """Start a training of as many processes."""
        self.note_what_is_mended()
        return start(self.folder, target, [arguments] * self.count)

    def ended(self, started: Started, expected: set[int]) -> tuple[int, str]:
        """Wait for the end of all processes; give status of the first, and what it said."""
        self.see_that_all_end(started)
        statuses = started.statuses(PATIENCE)
        last = []
        for rank in range(self.count):
            said = started.said(rank)
            self.require(statuses[rank] in expected, f"status {statuses[rank]}: {said}")
            self.require("Traceback" not in said, said)
            last += said.splitlines()[-1:]
        if 1 in statuses:
            told = any(line.startswith(("Error: ", "Stopped.")) for line in last)
            self.require(told or -signal.SIGTERM in statuses, str(last))
        status, said = self.judged(statuses[0], started.said(0), expected)
        if self.count != self.like.processes and ("Begin:" in said or "Continue at" in said):
            self.mixed = True
        return status, said

    def see_that_all_end(self, started: Started) -> None:
        """Wait until all have ended; where one is lost, end those that wait to meet it."""
        end = time.monotonic() + PATIENCE
        while all(process.exitcode in (None, 0) for process in started.processes):
            if all(process.exitcode == 0 for process in started.processes):
                return
            self.require(time.monotonic() < end, f"hangs: {started.said(0)}")
            time.sleep(0.02)
        begun = any(word in started.said(0) for word in ("Begin", "Continue at"))
        end = time.monotonic() + (_LEFT_SECONDS if begun else _NOT_BEGUN_SECONDS)
        for process in started.processes:
            process.join(max(0.0, end - time.monotonic()))
            if not process.is_alive():
                continue
            self.require(not begun, f"the one that is left hangs: {started.said(0)}")
            process.terminate()
            process.join(_TORCHRUN_SECONDS)
            if process.is_alive():
                process.kill()

    def compare_content(self) -> None:
        """See that weights, settings and grids are the same."""
        if not self.mixed:
            super().compare_content()
            return
        like = self.like.run
        settings, wanted = (read_sealed(run / NAME)["config"] for run in (self.run, like))
        self.require(settings == wanted, f"{settings} instead of {wanted}")
        name = Checkpoints(like / "checkpoints").all()[-1].relative_to(like)
        (found, nimg), (expected, there) = (
            Checkpoints.read(run / name) for run in (self.run, like)
        )
        self.require(nimg == there, f"{nimg} instead of {there}")
        self.require(found.keys() == expected.keys(), "the states hold other things")
        for part, tensor in found.items():
            off = torch.max(torch.abs(tensor.double() - expected[part].double())).item()
            self.require("_adam" in part or off < _ROUNDING, f"{part} is off by {off}")
        for path in (like / "samples").glob("*.png"):
            grids = (Image.open(run / path.relative_to(like)) for run in (self.run, like))
            one, other = (np.asarray(grid, np.int32) for grid in grids)
            self.require(np.abs(one - other).max() <= _ROUNDED_GREY, f"{path.name} is another")

    def compare_told(self, tolerance: float = 0.0) -> None:
        """See that log and TensorBoard tell the same."""
        super().compare_told(_ROUNDING if self.mixed else tolerance)

    # What may happen.

    def at_a_call(self, kind: str, clock: float = 0.0) -> str | None:
        """Let something happen at one of the calls by which the first process writes."""
        what = kind.removesuffix(_OF_TWO)
        last = self.like.counts.of(what)
        first, last = (1 + int(part * (last - 1)) for part in self.span)
        fault = Fault(what, self.draw.randint(first, last))
        self.history[-1] += f" {fault.at}"
        started = self.begin(train_with, fault, self.run, None, clock, *self.words)
        status, _ = self.ended(started, _UNDONE)
        if status == -signal.SIGKILL:
            return "killed, and the other ended with a sentence"
        return "both ended with a sentence and status 1" if status == 1 else None

    def signalled(self, kind: str) -> str | None:
        """Send a signal at any time."""
        number = signal.SIGTERM if kind.startswith("SIGTERM") else signal.SIGKILL
        to = (0, 1) if kind.startswith("both") else (self.draw.randrange(2),)
        self.history[-1] += f" {to}"
        started = self.begin(train_py, *self.words)
        time.sleep(self.draw.uniform(0, self.like.seconds))
        for rank in to:
            if started.processes[rank].is_alive():
                os.kill(started.pid(rank), number)
        status, said = self.ended(started, _UNDONE)
        if status == 0 and "Stopped at" not in said:
            return None
        if number == signal.SIGTERM:
            return "stopped with a sentence" if status == 0 else "ended before it began"
        return "killed" if len(to) == 2 else "killed, and the other ended with a sentence"

    def frozen(self, kind: str) -> str | None:
        """Let one do nothing for a while: the other waits."""
        rank = self.draw.randrange(2)
        started = self.begin(train_py, *self.words)
        time.sleep(self.draw.uniform(0, self.like.seconds))
        if not started.processes[rank].is_alive():
            self.ended(started, {0})
            return None
        os.kill(started.pid(rank), signal.SIGSTOP)
        time.sleep(_FROZEN_SECONDS)
        other = started.processes[1 - rank]
        self.require(other.exitcode in (None, 0), started.said(1 - rank))
        os.kill(started.pid(rank), signal.SIGCONT)
        self.ended(started, {0})
        return "went on when it could"


KINDS: dict[str, Callable[[TrialOfTwo, str], str | None]] = {
    "one of two killed": TrialOfTwo.signalled,
    "both of two killed": TrialOfTwo.signalled,
    "SIGTERM to one of two": TrialOfTwo.signalled,
    f"one of two frozen for {_FROZEN_SECONDS:.0f} seconds": TrialOfTwo.frozen,
    **dict.fromkeys(
        (f"{what}{_OF_TWO}" for what in ("disk full", "killed after a call", "power lost")),
        TrialOfTwo.at_a_call,
    ),
}
