"""The next step's inputs, made and sent while the device is busy with this one.

A graphics card works through a queue. What is copied to it from ordinary memory makes the program
wait until the queue is empty, and then the card waits for the program. So inputs are copied from
pinned memory, in a queue of their own, and the main queue waits for that copy alone.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
# What inputs are a function of: level, images shown, images of the minibatch, rows of it, and the
# number of the attempt (see `attempts`).
Place = tuple[int, int, int, tuple[int, ...], int]


class Transfer:
    """Sends tensors to a device by a queue of its own; made once, used by one thread at a time.

    Args:
        device: a graphics card.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._queue = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def enter_thread(self) -> None:
        """Let a new thread stand at the device: it begins at the first, and would wake that up."""
        torch.cuda.set_device(self._queue.device)

    def send(self, tensors: Tensors) -> tuple[Tensors, torch.cuda.Event]:
        """Begin to copy tensors from the processor; gives the copies, and when they are there."""
        # Freed pinned memory is not given away again before the copies out of it are done.
        pinned = {name: tensor.pin_memory() for name, tensor in tensors.items()}
        with torch.cuda.stream(self._queue):
            sent = {name: t.to(self._device, non_blocking=True) for name, t in pinned.items()}
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(self._queue)
        return sent, arrived

    def receive(self, sent: Tensors, arrived: torch.cuda.Event) -> Tensors:
        """Let what is queued from now on wait for the copies; the program itself does not wait."""
        queue = torch.cuda.current_stream(self._device)
        queue.wait_event(arrived)
        for tensor in sent.values():
            # They were made in the other queue, which else would take their memory back too early.
            tensor.record_stream(queue)
        return sent


class Ahead:
    """Hands out inputs, and makes the next ones meanwhile where that saves time.

    Args:
        make: makes the inputs of a place, on the processor, as a pure function.
        device: where they are wanted.
        ahead: whether to make them ahead in a thread; by default on graphics cards. A processor
            has nothing better to do meanwhile.
    """

    def __init__(
        self, make: Callable[..., Tensors], device: torch.device, *, ahead: bool | None = None
    ) -> None:
        self._make = make
        self._device = device
        cuda = device.type == "cuda"
        self._transfer = Transfer(device) if cuda else None
        self._maker: ThreadPoolExecutor | None = None
        if cuda if ahead is None else ahead:
            enter = None if self._transfer is None else self._transfer.enter_thread
            self._maker = ThreadPoolExecutor(
                1, thread_name_prefix="inputs-ahead", initializer=enter
            )
        self._now: tuple[Place, Tensors] | None = None
        self._next: tuple[Place, Future[tuple[Tensors, torch.cuda.Event | None]]] | None = None

    def take(self, place: Place, after: Place) -> Tensors:
        """Give a place's inputs on the device; those of `after` will probably be asked for then.

        The same place may be asked for again, until another one is.
        """
        if self._now is not None and self._now[0] == place:
            return self._now[1]
        self._now = None  # not two minibatches in memory where one is enough
        if self._maker is None:
            tensors, arrived = self._sent(place)
        else:
            if self._next is None or self._next[0] != place:
                if self._next is not None:
                    self._next[1].cancel()
                self._next = place, self._maker.submit(self._sent, place)
            tensors, arrived = self._next[1].result()
            self._next = after, self._maker.submit(self._sent, after)
        if self._transfer is not None and arrived is not None:
            tensors = self._transfer.receive(tensors, arrived)
        self._now = place, tensors
        return tensors

    def _sent(self, place: Place) -> tuple[Tensors, torch.cuda.Event | None]:
        made = self._make(*place)
        if self._transfer is not None:
            return self._transfer.send(made)
        return {name: tensor.to(self._device) for name, tensor in made.items()}, None
