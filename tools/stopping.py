"""When training is asked to stop: by a signal, or by what looks on."""

import os
import signal
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from datasets import door

if TYPE_CHECKING:
    from progan.parallel import Processes
    from progan.training import Observer


class StopSignals:
    """Ctrl-C and SIGTERM ask for a stop after the round; a second one stops at once.

    A cluster's manager may signal torchrun and the processes that it started, which torchrun then
    signals too: one request that arrives twice. And where torchrun itself is killed, nobody can
    stop what it started any more, so that stops too.

    A terminal that is closed (SIGHUP) is no request: training goes on. But torchrun ends of it,
    with or without `nohup`, and takes along what it started, so there it asks for a stop too.
    """

    _SAME_REQUEST_SECONDS = 3.0

    def __init__(self, processes: "Processes | None" = None) -> None:
        self.asked = False
        self.processes = processes
        self._first = (0, 0.0)
        self._parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)
        # `nohup` has it ignored, and so it stays; some systems have no such signal.
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            alone = self._parent is None
            signal.signal(signal.SIGHUP, self._go_on if alone else self._handle)

    def _go_on(self, number: int, frame: FrameType | None) -> None:
        """Tell those who read the log, if there is one."""
        if self.processes is None or self.processes.rank == 0:
            door.tell(
                f"The terminal was closed. Training goes on, in process {os.getpid()}; "
                f"kill {os.getpid()} stops it with a checkpoint.",
                err=True,
            )

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked:
            again = number == self._first[0] and now - self._first[1] < self._SAME_REQUEST_SECONDS
            if self._parent is not None and again:
                return
            raise KeyboardInterrupt
        self.asked = True
        self._first = (number, now)
        # torchrun stops the others where one is gone: no checkpoint will follow then.
        if self.processes is None or (
            self.processes.rank == 0 and not self.processes.somebody_is_gone()
        ):
            door.tell("Stopping after this step; a checkpoint will be written.", err=True)

    def __call__(self) -> bool:
        """Say whether a stop was asked for."""
        return self.asked or (self._parent is not None and os.getppid() != self._parent)


def asked_to_stop(signals: StopSignals, observers: "Sequence[Observer]") -> bool:
    """Say whether training is to end after this round: by a signal, or since it copies."""
    from tools.observers import copying_began

    return signals() or copying_began(observers)
