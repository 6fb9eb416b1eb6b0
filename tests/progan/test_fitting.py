"""Splits that fit are found before the first step, or it is said what to change."""

from typing import Any

import pytest
import torch

from progan import fitting
from progan.config import Config
from progan.errors import ProganError
from progan.fitting import Fit, fits, levels_to_come
from progan.memory_need import Need, Needs
from progan.splitting import Split, divided
from tests.progan.making import one_thread as one_thread
from tests.progan.making import small_config

pytestmark = pytest.mark.usefixtures("one_thread")

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def simple_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a step need its samples at a time, times the size of their features."""

    def count(needs: Needs, level: int, split: Split) -> Need:
        samples = needs.samples(level)
        parts = divided(torch.arange(samples), needs.config.mbstd_group_size, split.parts)
        each = needs.heaviness(level) // samples
        return Need(tensors=each * (split.at_once or max(map(len, parts))), largest=each)

    monkeypatch.setattr(Needs, "_count", count)
    monkeypatch.setattr(Need, "on", lambda need, device: need.tensors + need.largest)


def wide(**changes: Any) -> Config:
    """A run whose levels differ in weight."""
    settings: dict[str, Any] = {"resolution": 128, "fmap_base": 2048, "fmap_max": 64}
    settings |= {"minibatch": "32,4:64", "fade_kimg": "0", "hold_kimg": "0.048"}
    return small_config(**(settings | {"kimg": 10} | changes))


def found(config: Config, room: int | None, **options: Any) -> dict[int, Fit]:
    return {fit.level: fit for fit in fits(config, CPU, room=room, **options)}


def test_what_has_room_is_left_whole_and_light_levels_are_not_looked_at() -> None:
    for room in (None, 2**40):
        fitted = found(wide(), room)
        assert [(fit.level, fit.split, fit.tried) for fit in fitted.values()] == [
            (7, Split(), False)
        ]
    assert sorted(found(wide(), 2**40, every=True)) == [2, 3, 4, 5, 6, 7]


def test_as_few_parts_are_taken_as_fit() -> None:
    needs = Needs(wide())
    for split in (Split(2), Split(4), Split(8, 2)):
        need = needs(7, split).on(CPU)
        assert found(wide(), int(need / 0.9) + 2)[7] == Fit(
            level=7, split=split, need=need, tried=False
        )
        # With a little less, that is not enough.
        assert found(wide(), int(need / 0.9) - 2)[7].need < need
    # Lighter levels are asked by themselves.
    fitted = found(wide(), int(needs(6, Split()).on(CPU) / 0.9) + 2)
    assert fitted[7].split != Split() == fitted[6].split


def test_what_cannot_fit_is_refused_with_what_to_change() -> None:
    needs = Needs(wide())
    least, group = (needs(7, split).on(CPU) for split in (Split(8, 1), Split(8)))
    with pytest.raises(ProganError, match=r"level 7 \(128×128\) .* with 1 image at .*--fmap-base"):
        found(wide(), int(0.99 * least))
    with pytest.raises(ProganError, match=r"with 4 images at a time: .* --recompute"):
        found(wide(), group, recompute=False)
    # Who forces the parts is believed.
    assert found(wide(), 1000, parts=16)[7].split == Split(8, 2)
    assert found(wide(), 1000, parts=2)[7].split == Split(2)


def test_levels_that_are_behind_do_not_count() -> None:
    config = wide(resolution=32, fmap_base=512)
    assert levels_to_come(config, 0) == [2, 3, 4, 5]
    assert levels_to_come(config, 48) == [3, 4, 5]
    assert levels_to_come(config, 1000) == [5]
    assert levels_to_come(config, 10000) == []
    assert levels_to_come(wide(kimg=0.05), 0) == [2, 3]
    assert found(config, 1, nimg=10000) == {}


class Gpu:
    """A GPU with so much memory that steps are really tried on, but for the computing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self.tried: list[tuple[int, Split]] = []
        monkeypatch.setattr(fitting, "take_a_step", self.take_a_step)

    def take_a_step(
        self, needs: Needs, level: int, split: Split, device: torch.device, free: int
    ) -> int | None:
        assert free == int(0.9 * self.room)
        self.tried.append((level, split))
        taken = int(1.3 * needs(level, split).tensors)
        return taken if taken <= self.room else None


def test_a_gpu_is_tried_until_a_step_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = Needs(wide())
    # Room for what tensors need alone, and not for what a step really takes.
    gpu = Gpu(monkeypatch, int(1.2 * needs(7, Split()).tensors))
    fitted = {fit.level: fit for fit in fits(wide(), GPU, room=gpu.room, every=True)}
    taken = int(1.3 * needs(7, Split(2)).tensors)
    assert fitted[7] == Fit(level=7, split=Split(2), need=taken, tried=True)
    assert gpu.tried[:2] == [(7, Split(1)), (7, Split(2))]
    # What needs no more than a step that has succeeded is not tried.
    assert [level for level, _ in gpu.tried] == [7, 7]
    assert all(fit.split == Split() and not fit.tried for n, fit in fitted.items() if n < 7)

    # What tensors alone would overfill is not tried either.
    gpu = Gpu(monkeypatch, int(1.4 * needs(7, Split(4)).tensors))
    assert next(fits(wide(), GPU, room=gpu.room)).split == Split(4)
    assert gpu.tried[0] == (7, Split(4))

    gpu = Gpu(monkeypatch, int(needs(7, Split(8, 1)).tensors))
    with pytest.raises(ProganError, match="a step was tried with"):
        list(fits(wide(), GPU, room=gpu.room))


class Allocator:
    """What PyTorch says and is told of the memory of a GPU of 1000 bytes, 100 of them in use."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fractions = [1.0]
        for name, answer in {
            "reset_peak_memory_stats": lambda device: None,
            "empty_cache": lambda: None,
            "current_device": lambda: 3,
            "memory_allocated": lambda index: 100,
            "mem_get_info": lambda index: (900, 1000),
            "get_per_process_memory_fraction": lambda index: self.fractions[-1],
            "set_per_process_memory_fraction": self.limit,
        }.items():
            monkeypatch.setattr(torch.cuda, name, answer)

    def limit(self, fraction: float, index: int) -> None:
        assert index == 3
        self.fractions.append(fraction)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
    ],
)
def test_a_step_that_a_gpu_has_no_memory_for_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    allocator = Allocator(monkeypatch)
    seen = []

    def full(*args: object, **options: object) -> None:
        seen.append(allocator.fractions[-1])
        raise error

    monkeypatch.setattr(fitting, "Trainer", full)
    needs = Needs(small_config())
    assert fitting.take_a_step(needs, 2, Split(), GPU, 500) is None
    # It gets what it may count on and no more, and afterwards the limit is the old one.
    assert (seen, allocator.fractions[-1]) == ([0.6], 1.0)
    allocator.fractions[-1] = 0.3
    assert fitting.take_a_step(needs, 2, Split(), GPU, 500) is None
    assert seen[-1] == allocator.fractions[-1] == 0.3


def test_a_step_that_fails_otherwise_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    Allocator(monkeypatch)

    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(fitting, "Trainer", broken)
    with pytest.raises(RuntimeError, match="do not fit"):
        fitting.take_a_step(Needs(small_config()), 2, Split(), GPU, 500)
