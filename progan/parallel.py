"""Several processes training one pair of networks: the one place that knows of them.

The minibatch is divided, and gradients are averaged. Groups of the minibatch standard deviation
stay whole, so the sum over processes is the minibatch that one process would have computed.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from progan.errors import ProganError


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them.

    Attributes:
        rank: this process, 0 … count - 1; rank 0 alone writes.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

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
                f"standard deviation, which {self.count} processes cannot share evenly: change "
                "--minibatch or the number of processes"
            )
        mine = groups // self.count
        rows = torch.arange(minibatch).reshape(group, groups)
        return rows[:, self.rank * mine : (self.rank + 1) * mine].flatten()

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over all processes, in place."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def any(self, flag: bool, device: torch.device) -> bool:
        """Say whether the flag is set in any process."""
        if self.count == 1:
            return flag
        flags = torch.tensor(float(flag), device=device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return bool(flags.item())

    def close(self) -> None:
        """Leave the group of processes."""
        if self.count > 1:
            dist.destroy_process_group()


def join(device_type: str) -> Processes:
    """Join the processes that `torchrun` started, or be the only one.

    Args:
        device_type: "cuda" for NCCL, anything else for gloo.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    if device_type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    return Processes(rank=dist.get_rank(), count=count)
