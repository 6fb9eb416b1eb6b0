"""A step on a device other than the processor: it mixes no tensors, and asks the device nothing.

PyTorch's device `meta` computes shapes alone, anywhere. It has no numbers that a program could
wait for, so a step that asked for one would fail.
"""

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import progan
from progan.growth import Stage
from progan.splitting import Split
from progan.training import Trainer
from tests.progan.making import Patterns, small_config

META = torch.device("meta")
ROOM = Path(progan.__file__).parent
# The only place where a card would be waited for: there, it is sent from pinned memory.
SENT = "ahead.py"


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes operations on tensors of both kinds, and copies from the processor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mixed: set[str] = set()
        self.waited_for: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        found = func(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
        # A number of the processor may go into any operation, as an argument of its kernel.
        here = any(tensor.device != META and tensor.ndim > 0 for tensor in given)
        there = any(tensor.device == META for tensor in [*given, *made])
        if here and there:
            frames = traceback.extract_stack()
            ours = [frame for frame in frames if ROOM in Path(frame.filename).parents]
            last = (ours or frames)[-1]
            where = f"{func.name()} at {Path(last.filename).name}:{last.lineno}"
            if "copy" not in func.name():
                self.mixed.add(where)
            elif not kwargs.get("non_blocking"):
                self.waited_for.add(where)
        return found


@pytest.fixture(autouse=True)
def _any_device_for_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    adam: Any = sys.modules["torch.optim.adam"]
    monkeypatch.setattr(adam, "_device_dtype_check_for_fused", lambda *given, **named: None)


def stages(trainer: Trainer) -> Iterator[Stage]:
    """Give one stage of each phase, standing there, and of a level that is half faded in."""
    seen = set()
    nimg = 0
    while trainer.stage.level < 4 or trainer.stage.fade < 1:
        trainer._move_to(nimg)
        if trainer.stage.phase not in seen and trainer.stage.fade != 0:
            seen.add(trainer.stage.phase)
            yield trainer.stage
        nimg += 8


@pytest.mark.parametrize(
    ("settings", "split"),
    [
        ({}, Split()),
        ({"precision": "float16", "fused_scale": False}, Split()),
        (
            {"penalty_interval": 2, "share_fakes": True, "penalty_curvature": False},
            Split(parts=2, at_once=4),
        ),
        (
            {
                "objective": "relativistic",
                "gamma": "0.5",
                "label_size": 3,
                "augment": "colour,translation,cutout",
                "augment_target": 0.6,
            },
            Split(),
        ),
    ],
    ids=["paper", "float16", "frugal, in parts", "classes, augmented"],
)
def test_a_step_mixes_no_devices_and_waits_for_none(settings: dict[str, Any], split: Split) -> None:
    config = small_config(mbstd_group_size=4, **settings)
    data = Patterns(classes=config.label_size)
    splits = dict.fromkeys(range(2, 5), split)
    trainer = Trainer(config, data, device=META, splits=splits)
    watch = _Watch()
    phases = 0
    for stage in stages(trainer):
        phases += 1
        for number in range(2):  # with and without a penalty, where it is not evaluated always
            nimg = trainer.nimg + number * stage.minibatch
            with watch:
                trainer._note(*trainer.step(stage, nimg))
    assert phases == 5
    assert trainer.generator.blocks["2"].dense.weight.device == META  # type: ignore[union-attr]
    assert watch.mixed == set()
    assert {where.split()[-1].split(":")[0] for where in watch.waited_for} == {SENT}


def test_what_it_looks_for_is_seen() -> None:
    there, here = torch.zeros(1, 3, 4, 4, device=META), torch.zeros(3, 3, 1, 1)
    with _Watch() as watch:
        torch.conv2d(there, here)
        here.to(META)
        here.to(META, non_blocking=True)
        there * 2 + torch.zeros(())
    assert [where.split()[0] for where in watch.mixed] == ["aten::convolution"]
    assert [where.split()[0] for where in watch.waited_for] == ["aten::_to_copy"]
    with pytest.raises(RuntimeError, match=r"item\(\)"):
        there.sum().item()
