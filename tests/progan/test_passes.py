"""Compiled passes: the same numbers as direct ones, through growth, with all that can be chosen.

PyTorch's own compiler is left out, for it takes minutes; what is recorded here runs as it is.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch.fx import GraphModule

from progan import adversarial
from progan.errors import ProganError
from progan.memory_need import Count
from progan.passes import Compiled, Direct
from progan.splitting import Split
from progan.training import Trainer
from tests.progan.making import Patterns, small_config
from tests.progan.making import one_thread as one_thread

pytestmark = pytest.mark.usefixtures("one_thread")


def as_recorded(graph: GraphModule) -> GraphModule:
    return graph


class Counting(Compiled):
    """Counts recordings."""

    @property
    def recordings(self) -> int:
        return len(self._known)


def trained(
    rounds: int,
    passes: Direct | Compiled,
    splits: Mapping[int, Split] | None = None,
    **changes: Any,
) -> Trainer:
    """A trainer after some rounds of a schedule that fades level 3 in at once."""
    config = small_config(resolution=8, fade_kimg="0.064", hold_kimg="0.016", **changes)
    trainer = Trainer(config, Patterns(classes=config.label_size), passes=passes, splits=splits)
    for _ in range(rounds):
        trainer.round()
    trainer.check()
    assert trainer.skipped == 0
    return trainer


def test_recorded_passes_give_the_same_bits_and_are_not_recorded_again_as_a_fade_goes_on() -> None:
    passes = Counting(as_recorded)
    direct, compiled = trained(4, Direct()), trained(4, passes)
    assert 0 < compiled.stage.fade < 1
    for name, tensor in direct.state().items():
        assert torch.equal(compiled.state()[name], tensor), name
    scalars = compiled.scalars()
    assert scalars == direct.scalars()
    # Images, critic and generator, at level 2 and as level 3 fades in by 0, 1/4 and 1/2.
    assert passes.recordings == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"label_size": 3, "penalty_interval": 2, "precision": "float16"},
        {"share_fakes": True, "penalty_curvature": False, "precision": "bfloat16"},
    ],
)
def test_recorded_passes_give_the_same_numbers_whatever_is_chosen(changes: dict[str, Any]) -> None:
    direct, compiled = trained(1, Direct(), **changes), trained(1, Compiled(as_recorded), **changes)
    for name, tensor in direct.state().items():
        assert torch.allclose(compiled.state()[name], tensor, rtol=1e-5, atol=1e-7), name


@pytest.mark.parametrize("split", [Split(2), Split(1, 3), Split(2, 1)], ids=str)
def test_recorded_passes_give_the_same_bits_of_a_minibatch_that_is_split(split: Split) -> None:
    splits = {2: split, 3: split}
    direct = trained(2, Direct(), splits, minibatch_repeats=1)
    compiled = trained(2, Compiled(as_recorded), splits, minibatch_repeats=1)
    for name, tensor in direct.state().items():
        assert torch.equal(compiled.state()[name], tensor), name


def test_recorded_passes_keep_nothing_of_what_they_compute_again() -> None:
    def peak(split: Split) -> int:
        config = small_config(resolution=32, fade_kimg="0", hold_kimg="0")
        passes = Compiled(as_recorded)
        trainer = Trainer(config, Patterns(), passes=passes, splits={5: split})
        trainer.step(trainer.stage, 0)  # to record takes more
        with Count() as count:
            trainer.step(trainer.stage, 8)
        return int(count.peak)

    assert peak(Split(2, 1)) < 0.5 * peak(Split(2)) < 0.3 * peak(Split())


def test_an_objective_that_draws_by_itself_is_refused_and_not_frozen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = adversarial.critic_objective

    def objective(critic: Any, reals: Any, *given: Any, **options: Any) -> Any:
        return usual(critic, reals + torch.from_numpy(noise), *given, **options)

    noise = torch.randn(1, 3, 4, 4).numpy()
    monkeypatch.setattr("progan.step.critic_objective", objective)
    trainer = Trainer(small_config(), Patterns(), passes=Compiled(as_recorded))
    with pytest.raises(ValueError, match="not among its arguments"):
        trainer.round()


def test_a_compiler_that_does_not_work_is_a_sentence() -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("there is no C++ compiler\nand much more")

    passes = Compiled(partial(torch.compile, backend=broken))
    trainer = Trainer(small_config(), Patterns(), passes=passes)
    with pytest.raises(ProganError, match=r"cannot be compiled .*C\+\+ compiler.*--compile away"):
        trainer.round()
