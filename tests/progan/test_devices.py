"""What differs from device to device."""

from typing import Any

import pytest
import torch

from progan import estimate
from progan.config import preset
from progan.devices import (
    forget_peak,
    is_out_of_memory,
    named,
    refuse_unsupported,
    settle,
    wait_for,
)
from progan.errors import ProganError
from progan.estimate import measure
from progan.training import Trainer
from tests.progan.making import Patterns, small_config

CPU, GPU, META = torch.device("cpu"), torch.device("cuda", 1), torch.device("meta")


def test_want_of_memory_is_known_from_other_mistakes() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    with pytest.raises(RuntimeError) as caught:
        torch.ones(2) + torch.ones(3)
    assert not is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "name", ["meta", "hpu", "privateuseone", "mkldnn", "lazy", "abacus", "", "auto", "cuda:-1"]
)
def test_a_device_that_takes_no_part_in_training_is_a_sentence(name: str) -> None:
    with pytest.raises(ProganError) as caught:
        named(name)
    assert str(caught.value).startswith(f"{name!r} cannot be used on this machine (")
    assert len(str(caught.value).splitlines()) == 1


def test_the_processor_is_a_device_everywhere() -> None:
    assert named("cpu") == CPU


def test_a_gpu_without_bfloat16_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    able = [True]

    def supported(*, including_emulation: bool) -> bool:
        # A tensor can be made of it everywhere, which says nothing of convolutions.
        assert not including_emulation
        return able[0]

    class At:
        def __init__(self, device: torch.device) -> None:
            assert device == GPU

        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(torch.cuda, "device", At)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    refuse_unsupported("bfloat16", GPU)
    able[0] = False
    refuse_unsupported("float16", GPU)
    refuse_unsupported("bfloat16", CPU)
    with pytest.raises(ProganError, match="--precision float16 or float32"):
        Trainer(small_config(precision="bfloat16"), Patterns(), device=GPU)


def test_a_gpu_becomes_the_current_one_and_no_kernel_is_chosen_by_a_race(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    settle(GPU)
    assert chosen == [GPU]
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark


def test_what_only_gpus_have_is_asked_of_no_other_device() -> None:
    for device in (CPU, META):
        wait_for(device)
        forget_peak(device)


def test_a_level_without_room_for_a_second_network_is_estimated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def seconds(config: Any, level: int, *given: Any) -> float:
        if level == full:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 0.001

    monkeypatch.setattr(estimate, "_seconds_of_a_step", seconds)
    config = preset("small", resolution=32)
    full = 4
    measured = {level: (each > 0, known) for level, each, known in measure(config, CPU)}
    assert measured == {2: (True, True), 3: (True, True), 4: (True, False), 5: (True, False)}
    full = 2
    with pytest.raises(torch.OutOfMemoryError):
        list(measure(config, CPU))
