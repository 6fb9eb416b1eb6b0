"""Start several processes that find one another, as torchrun does, without its weight."""

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

# Forked from one process that has imported everything, so that each starts in no time.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["train", "tools.observers", "tools.run_lock", "tests.warm"])

# Seconds: to end what hangs, however slow the machine.
PATIENCE = 600.0


class Started:
    """The processes of one run, and what each has said."""

    def __init__(self, processes: list[ForkServerProcess], said: list[Path]) -> None:
        self.processes = processes
        self._said = said

    def said(self, rank: int) -> str:
        return self._said[rank].read_text()

    def wait_for(self, rank: int, text: str) -> None:
        end = time.monotonic() + PATIENCE
        while text not in self.said(rank):
            assert time.monotonic() < end and self.processes[rank].is_alive(), self.said(rank)
            time.sleep(0.01)

    def pid(self, rank: int) -> int:
        pid = self.processes[rank].pid
        assert pid is not None
        return pid

    def statuses(self, patience: float = PATIENCE) -> list[int | None]:
        """Wait for all to end; what hangs is killed, and its status is that of the signal."""
        end = time.monotonic() + patience
        for process in self.processes:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        return [process.exitcode for process in self.processes]


def start(
    folder: Path,
    target: Callable[..., None],
    arguments: Sequence[Sequence[Any]],
    **environment: str,
) -> Started:
    """Start `target(*arguments[rank])` in a process for every rank.

    Args:
        folder: where their output goes.
        target: a function at the top of a module.
        arguments: of every rank.
        environment: variables besides those that torchrun sets.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    count = len(arguments)
    processes, said = [], []
    for rank, given in enumerate(arguments):
        out = folder / f"said-{port}-{rank}"
        out.touch()
        variables = {
            "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count,
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        } | environment  # fmt: skip
        process = _context.Process(target=_run, args=(out, variables, target, given))
        process.start()
        processes.append(process)
        said.append(out)
    return Started(processes, said)


def _run(
    out: Path, variables: dict[str, Any], target: Callable[..., None], given: Sequence[Any]
) -> None:
    os.environ.update({name: str(value) for name, value in variables.items()})
    file = os.open(out, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    torch.set_num_threads(1)
    target(*given)


def train_py(*words: object) -> None:
    """Run train.py's command as the whole program."""
    import train
    from datasets import door
    from progan.errors import ProganError

    sys.argv = ["train.py", *map(str, words)]
    door.run(train.main, ProganError)
