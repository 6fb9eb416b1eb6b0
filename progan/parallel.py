"""Several processes training one pair of networks: the one place that knows of them.

The minibatch is divided, and gradients are averaged. Groups of the minibatch standard deviation
stay whole, so the sum over processes is the minibatch that one process would have computed.
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from progan.errors import ProganError
from progan.presence import Presence, meet

# For all processes to be there: they are started together.
_MEETING_TIME = timedelta(minutes=5)
# For process 0 to come back from what it does alone, such as measuring. A process that is gone is
# noticed by other means; this is for one that is there and does nothing for ever.
_WORKING_TIME = timedelta(hours=12)
# Seconds in which a process that is gone is known to be.
_NEWS_SECONDS = 3.0


class FailedElsewhere(ProganError):
    """Another process has failed and has said why."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: this process, 0 … count - 1; rank 0 alone writes.
        count: how many there are.
        presence: whether all are still there.
        group: over which they talk.
    """

    rank: int = 0
    count: int = 1
    presence: Presence | None = field(default=None, repr=False, compare=False)
    group: dist.ProcessGroup | None = field(default=None, repr=False, compare=False)

    def share(self, minibatch: int, group_size: int) -> Tensor:
        """Say which rows of a minibatch are this process's, int64 indices.

        Sample i of N belongs to group i mod (N / group size); each process takes whole groups, in
        an order in which the same rule, applied to its own rows, finds the same groups.

        Raises:
            ProganError: the groups cannot be divided evenly among the processes.
        """
        group = min(group_size, minibatch)
        groups = minibatch // group
        if groups % self.count:
            raise ProganError(
                f"a minibatch of {minibatch} makes {groups} groups of {group} for the minibatch "
                f"standard deviation, which {self.count} processes cannot share evenly: take "
                "another number of processes, or for a new run another --minibatch"
            )
        mine = groups // self.count
        rows = torch.arange(minibatch).reshape(group, groups)
        return rows[:, self.rank * mine : (self.rank + 1) * mine].flatten()

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over all processes, in place.

        Raises:
            ProganError: another process is gone.
        """
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with self._together():
            dist.all_reduce(flat, group=self.group)
        flat /= self.count
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def any(self, flag: bool) -> bool:
        """Say whether the flag is set in any process.

        Raises:
            ProganError: another process is gone.
        """
        if self.count == 1:
            return flag
        # Not on the device: to look at the answer would wait for all the work that it has.
        flags = torch.tensor(float(flag))
        with self._together():
            dist.all_reduce(flags, op=dist.ReduceOp.MAX, group=self.group)
        return bool(flags.item())

    def tell(self, value: Any) -> Any:
        """Give all processes the JSON value that process 0 gives.

        Raises:
            ProganError: another process is gone.
        """
        if self.count == 1:
            return value
        data = bytearray(json.dumps(value).encode() if self.rank == 0 else b"")
        length = torch.tensor(len(data))
        with self._together():
            dist.broadcast(length, src=0, group=self.group)
            if self.rank != 0:
                data = bytearray(int(length))
            text = torch.frombuffer(data, dtype=torch.uint8)
            dist.broadcast(text, src=0, group=self.group)
        return json.loads(data.decode())

    def hand_out(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give all processes the tensors of process 0, in the memory of the processor.

        Args:
            tensors: by name; those of other processes have the same names, shapes and types, or
                are left away.

        Raises:
            ProganError: another process is gone.
        """
        if self.count == 1:
            return dict(tensors)
        listed = self.tell(
            [(name, str(t.dtype).removeprefix("torch."), t.shape) for name, t in tensors.items()]
            if self.rank == 0
            else None
        )
        found = {}
        for name, dtype, shape in listed:
            if self.rank == 0:
                tensor = tensors[name].detach().cpu().contiguous()
            else:
                tensor = torch.empty(shape, dtype=getattr(torch, dtype))
            if tensor.numel():
                with self._together():  # as bytes, which any kind of number is made of
                    whole = tensor.reshape(-1).view(torch.uint8)
                    dist.broadcast(whole, src=0, group=self.group)
            found[name] = tensor
        return found

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Do something that needs no other process, and is finished even if one is gone."""
        with contextlib.nullcontext() if self.presence is None else self.presence.alone():
            yield

    def somebody_is_gone(self) -> bool:
        """Say whether a process is known to have ended before its work was done."""
        return self.presence is not None and self.presence.trouble is not None

    def told_elsewhere(self) -> bool:
        """Say whether a process of lower rank fails just now too, and tells why.

        What is wrong is mostly found by all processes at once, and needs to be said but once.
        """
        if self.presence is None or self.rank == 0:
            return False
        trouble = self.presence.trouble
        if trouble is not None and not trouble.told:
            return False  # that is what is wrong, and nobody else may be left to say it
        return (
            self.presence.wait_for_trouble(_NEWS_SECONDS, lambda t: t.told and t.rank < self.rank)
            is not None
        )

    def close(self, *, failed: bool = False) -> None:
        """Leave the other processes.

        Args:
            failed: this one ends before the work is done, and has said why.
        """
        if self.presence is not None:
            self.presence.leave(failed=failed)
        # After a failure there may be work under way that no partner will ever take part in, for
        # which the end of the group would wait.
        if self.count > 1 and not failed and dist.is_initialized():
            dist.destroy_process_group()

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        """Turn what happens when a partner is gone into a sentence."""
        if self.somebody_is_gone():
            raise self._trouble("")
        try:
            yield
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            # This process's own, perhaps of something that was queued before.
            raise
        except RuntimeError as error:
            raise self._trouble(str(error)) from None

    def _trouble(self, reason: str) -> ProganError:
        trouble = self.presence.wait_for_trouble(_NEWS_SECONDS) if self.presence else None
        if self.presence is None or trouble is None:
            lines = reason.strip().splitlines() or ["no reason was given"]
            return ProganError(
                f"process {self.rank} of {self.count} cannot reach the others ({lines[0]}): the "
                "same command continues from the newest checkpoint"
            )
        kind = FailedElsewhere if trouble.told else ProganError
        return kind(self.presence.sentence(trouble))


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that `torchrun` started, or be the only one, for the block's time.

    Raises:
        ProganError: the others cannot be reached.
    """
    processes = _join()
    try:
        yield processes
    except BaseException:
        processes.close(failed=True)
        raise
    processes.close()


def count_of(variable: str) -> int:
    """Read from the environment how many processes torchrun has started; 1 where it has not.

    Args:
        variable: WORLD_SIZE or LOCAL_WORLD_SIZE.

    Raises:
        ProganError: it holds something else.
    """
    text = os.environ.get(variable, "1")
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise ProganError(
            f"the environment variable {variable} is {text[:60]!r}, and not a number of processes: "
            "unset it, or start them with torchrun"
        )
    return int(text)


def _join() -> Processes:
    count = count_of("WORLD_SIZE")
    if count == 1:
        return Processes()
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    try:
        store, rank, count = next(rendezvous("env://", timeout=_MEETING_TIME))
        fresh = PrefixStore(_name_of_this_start(store, rank, count), store)
        dist.init_process_group(
            backend, store=fresh, rank=rank, world_size=count, timeout=_MEETING_TIME
        )
        group = dist.new_group(backend=backend, timeout=_WORKING_TIME)
    except (RuntimeError, ValueError, TimeoutError) as error:
        raise ProganError(
            f"the {count} processes cannot find one another ({str(error).splitlines()[0]}): start "
            "them with torchrun"
        ) from None
    assert group is not None
    silent = Processes(rank=rank, count=count, group=group)
    return Processes(rank, count, meet(rank, count, silent.tell), group)


def _name_of_this_start(store: Store, rank: int, count: int) -> str:
    """Agree on a name that no earlier start of these processes has used.

    When torchrun starts its processes again, they find the same store, with the addresses that
    their dead predecessors left in it. So the first process answers only to those who call it now,
    each of which has invented its own word.
    """
    word = secrets.token_hex(8)
    if rank != 0:
        store.set(f"progan/call/{rank}", word)
        name: str = store.get(f"progan/answer/{word}").decode()
        store.set(f"{name}/heard/{rank}", "")
        return name
    name = f"progan/{word}"
    deadline = time.monotonic() + _MEETING_TIME.total_seconds()
    missing = set(range(1, count))
    while missing:
        for other in sorted(missing):
            if store.check([f"progan/call/{other}"]):
                store.set(f"progan/answer/{store.get(f'progan/call/{other}').decode()}", name)
            if store.check([f"{name}/heard/{other}"]):
                missing.remove(other)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{sorted(missing)} did not come within five minutes")
        time.sleep(0.01)
    return name
