"""Work on pictures in several processes, in order, in bounded memory."""

import hashlib
import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from datasets.codecs import Codec, encode
from datasets.errors import DatasetError, SourceLostError, UnusableError
from datasets.framing import Framing, frame
from datasets.processors import available_processors as available_processors
from datasets.pyramid import NONE_CODED, shrink
from datasets.sources import Source

# Finished pictures that a worker may hold while the others catch up.
_AHEAD = 4
# Read by the libraries that NumPy may multiply matrices with, when they are loaded.
_THREADS_OF_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Framed:
    """A picture that is ready to be written."""

    levels: list[NDArray[np.uint8] | bytes]
    """From 4 pixels up: [4, 4, C], [8, 8, C] …; those that are to be coded are."""
    sha256: str
    """Hash of its bytes in the source, in hexadecimal."""
    class_name: str | None
    """Its class, if it has one."""


@dataclass(frozen=True)
class Skipped:
    """A picture that cannot be used."""

    reason: str
    """Why, in a few words."""


@dataclass(frozen=True)
class _Stopped:
    """A worker cannot go on."""

    sentence: str
    """Why."""


def frame_all(
    source: Source,
    items: Sequence[int],
    framing: Framing,
    workers: int,
    codecs: Mapping[int, Codec] = NONE_CODED,
) -> Generator[Framed | Skipped, None, None]:
    """Load, frame and shrink pictures. Close the generator, so that no worker stays behind.

    Args:
        source: where they come from.
        items: which of them, in which order.
        framing: how.
        workers: number of processes; with 1, the work is done in this one.
        codecs: how levels are coded, by side.

    Yields:
        One result for each item, in their order, whatever the number of workers.

    Raises:
        DatasetError: a worker died; `SourceLostError`: the source cannot be read any more.
    """
    return work_through(partial(_frame_one, source, framing, codecs), items, workers)


def work_through(
    task: Callable[[int], Result], items: Sequence[int], workers: int
) -> Generator[Result, None, None]:
    """Do a task for each item. Close the generator, so that no worker stays behind.

    Args:
        task: what to do; it goes to other processes, and its results come back from there, arrays
            then read-only.
        items: for which items, in which order.
        workers: number of processes; with 1, the work is done in this one.

    Yields:
        One result for each item, in their order, whatever the number of workers.

    Raises:
        DatasetError: a worker died; `SourceLostError`: the source cannot be read any more.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        for item in items:
            yield task(item)
        return
    # Spawned and not forked: the same on every system, and no worker inherits half a lock. Each
    # takes every n-th item and answers through a pipe of its own, so the order follows from where
    # to listen, and the system holds a worker back when its pipe is full.
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        answers: list[Connection] = []
        with _interrupts_ignored(), _one_thread_each():
            for first in range(workers):
                receiver, sender = context.Pipe(duplex=False)
                answers.append(stack.enter_context(closing(receiver)))
                process = context.Process(
                    target=_serve,
                    args=(sender, task, items[first::workers]),
                    daemon=True,
                )
                process.start()
                stack.callback(process.join)
                stack.callback(process.terminate)
                # Only the worker holds it now, so that its death ends the pipe.
                sender.close()
        for number in range(len(items)):
            try:
                result: Result | _Stopped = _receive(answers[number % workers])
            except (EOFError, OSError):  # Between two answers, or in the middle of one.
                raise DatasetError(
                    "A worker process died, perhaps because memory ran out; "
                    "try again with fewer --workers."
                ) from None
            if isinstance(result, _Stopped):
                raise SourceLostError(result.sentence)
            yield result


def _frame_one(
    source: Source, framing: Framing, codecs: Mapping[int, Codec], item: int
) -> Framed | Skipped:
    try:
        class_name = source.class_of(item)
        picture = source.load(item)
        levels = [
            encode(level, codecs[len(level)]) if len(level) in codecs else level
            for level in shrink(frame(picture, framing, source.face_of(item)))
        ]
    except UnusableError as unusable:
        return Skipped(str(unusable))
    except OSError as error:
        return Skipped(f"cannot be read: {error.strerror or type(error).__name__}")
    except MemoryError:
        return Skipped("needs more memory than there is")
    digest = hashlib.sha256(picture if isinstance(picture, bytes) else picture.tobytes())
    number = source.number_of(item)
    if number > 1:
        # Another face of the same photograph is no duplicate of the first.
        digest.update(f"#{number}".encode("ascii"))
    return Framed(levels, digest.hexdigest(), class_name)


def _send(answers: Connection, result: object) -> None:
    """Send a result, its pixels apart, so that they are not copied on the way."""
    pixels: list[pickle.PickleBuffer] = []
    head = pickle.dumps(result, protocol=5, buffer_callback=pixels.append)
    answers.send_bytes(len(pixels).to_bytes(4, "little") + head)
    for part in pixels:
        answers.send_bytes(part.raw())


def _receive(answers: Connection) -> Any:
    head = answers.recv_bytes()
    pixels = [answers.recv_bytes() for _ in range(int.from_bytes(head[:4], "little"))]
    return pickle.loads(memoryview(head)[4:], buffers=pixels)


def _serve(answers: Connection, task: Callable[[int], Result], items: Sequence[int]) -> None:
    """Do the task for `items` and send the results, as the whole life of a worker process."""
    outbox: queue.Queue[tuple[Result | _Stopped] | None] = queue.Queue(_AHEAD)

    def send() -> None:
        while (result := outbox.get()) is not None:
            try:
                _send(answers, result[0])
            except ConnectionError:
                os._exit(1)  # Nobody listens any more: the program was stopped, or killed.

    # In a thread of its own, so that a slow picture of one worker does not stop all the others.
    sender = threading.Thread(target=send)
    sender.start()
    try:
        for item in items:
            outbox.put((task(item),))
    except DatasetError as error:
        outbox.put((_Stopped(str(error)),))
    finally:
        outbox.put(None)
        sender.join()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C, and the end of the terminal, while the block starts processes.

    They inherit that for life. A terminal sends both to all of them, but only the program itself
    answers, and ends its workers.
    """
    numbers = [signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    usual = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that the block starts multiply matrices in one thread each.

    There is a process for each processor already; more threads would only be in each other's way.
    """
    usual = {name: os.environ.get(name) for name in _THREADS_OF_LIBRARIES}
    os.environ.update(dict.fromkeys(_THREADS_OF_LIBRARIES, "1"))
    try:
        yield
    finally:
        for name, value in usual.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
