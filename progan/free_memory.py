"""How much memory a device has left for this process, where that can be known."""

from collections.abc import Iterator
from pathlib import Path

import torch

from progan.parallel import count_of

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device, sharing: int = 1) -> int | None:
    """Give the bytes that this process may still take.

    On Linux, what the system has available within the limits of the process's control groups; on a
    GPU, what its driver says is free; on a Mac, what Metal recommends. Elsewhere nobody says.

    Args:
        device: where.
        sharing: processes on this machine that take as much at the same time.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What this process holds and does not use is free for it.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type == "mps":
        most = torch.mps.recommended_max_memory()
        return max(0, int(most - torch.mps.driver_allocated_memory()))
    if device.type != "cpu":
        return None
    found = [*_available(_PROC), *_left_in_groups(_PROC, _CGROUPS)]
    return min(found) // sharing if found else None


def processes_here() -> int:
    """Give the number of processes that torchrun has started on this machine."""
    return count_of("LOCAL_WORLD_SIZE")


def _available(proc: Path) -> Iterator[int]:
    """Give what the system can hand out without swapping."""
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "MemAvailable":
                yield 1024 * int(rest.split()[0])
    except (OSError, ValueError, IndexError):
        return


def _left_in_groups(proc: Path, root: Path) -> Iterator[int]:
    """Give what each control group around this process, of either version, leaves of its limit."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, named, path = rest.partition(":")
        if not named:
            continue
        if controllers == "":
            top, limit, usage, cache = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, cache = root / "memory", "total_inactive_file"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = top / path.lstrip("/")
        # Within a container, the group's own name may be one that can be seen from outside alone.
        while True:
            try:
                most = int((group / limit).read_text())  # "max" is no limit, and no number
                reclaimed = _statistic(group / "memory.stat", cache)
                yield max(0, most - int((group / usage).read_text()) + reclaimed)
            except (OSError, ValueError):
                pass
            if group == top:
                break
            group = group.parent


def _statistic(file: Path, name: str) -> int:
    """Read one number of a control group: what the system would take back first."""
    try:
        for line in file.read_text().splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return 0
