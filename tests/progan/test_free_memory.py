"""What is free: the least of what the system and each group around the process leave."""

from pathlib import Path

import pytest
import torch

from progan import free_memory
from progan.free_memory import free_bytes

CPU = torch.device("cpu")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 1000 KiB available and no groups."""
    monkeypatch.setattr(free_memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(free_memory, "_CGROUPS", tmp_path / "cgroup")
    write(tmp_path / "proc" / "meminfo", "MemTotal: 9000 kB\nMemAvailable:    1000 kB\n")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_what_the_system_has_is_shared_by_the_processes_on_it(machine: Path) -> None:
    assert free_bytes(CPU) == 1000 * 1024
    assert free_bytes(CPU, sharing=4) == 250 * 1024


def test_a_group_of_version_two_limits_and_gives_back_its_cache(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "0::/a/b\n")
    write(machine / "cgroup/a/b/memory.max", "max\n")
    write(machine / "cgroup/a/b/memory.current", "600\n")
    write(machine / "cgroup/a/memory.max", "1000\n")  # of the group around it
    write(machine / "cgroup/a/memory.current", "700\n")
    write(machine / "cgroup/a/memory.stat", "anon 5\ninactive_file 50\n")
    assert free_bytes(CPU) == 350


def test_a_group_of_version_one_limits(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/jobs/7\n0::/\n")
    group = machine / "cgroup/memory/jobs/7"
    write(group / "memory.limit_in_bytes", "5000\n")
    write(group / "memory.usage_in_bytes", "6000\n")  # more is in use than will be allowed
    write(group / "memory.stat", "total_inactive_file 1500\n")
    assert free_bytes(CPU) == 500
    write(group / "memory.stat", "nonsense")
    assert free_bytes(CPU) == 0


def test_within_a_container_the_group_may_be_named_as_from_outside(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "0::/../docker/123\n")
    write(machine / "cgroup/memory.max", "900\n")
    write(machine / "cgroup/memory.current", "100\n")
    assert free_bytes(CPU) == 800


def test_what_nobody_says_is_not_known(machine: Path) -> None:
    write(machine / "proc" / "meminfo", "MemTotal: 9000 kB\n")
    write(machine / "proc/self/cgroup", "not what it should be\n")
    assert free_bytes(CPU) is None
    assert free_bytes(torch.device("meta")) is None
