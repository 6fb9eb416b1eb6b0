"""A minibatch in parts is the whole minibatch."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from progan.splitting import Split
from progan.training import Trainer
from tests.progan.float64 import precise, train_to_files
from tests.progan.making import Patterns, small_config
from tests.progan.making import one_thread as one_thread
from tests.starting import start

pytestmark = pytest.mark.usefixtures("one_thread")


def differences(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, float]:
    """Give the largest difference in each tensor, relative to the largest number in it.

    Where all are smaller than a step of Adam, which a new bias may be, relative to that.
    """
    assert one.keys() == other.keys()
    return {
        name: ((other[name] - tensor).abs().max() / tensor.abs().max().clamp(min=0.01)).item()
        for name, tensor in one.items()
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_size": 3},
        {"share_fakes": True, "label_size": 3},
        {"penalty_interval": 3, "penalty_curvature": False},
        {"objective": "relativistic", "gamma": "0.2", "augment": "colour,translation,cutout"},
        {"objective": "logistic", "augment": "cutout", "augment_target": 0.3, "label_size": 3},
    ],
)
def test_training_in_parts_is_training(changes: dict[str, Any]) -> None:
    # With a large epsilon Adam does not turn rounding errors into whole steps.
    config = small_config(adam_epsilon=0.1, minibatch="12", minibatch_repeats=1, **changes)
    with precise():
        # Three groups, in parts of equal size and not.
        whole, *others = [
            Trainer(config, Patterns(classes=config.label_size), splits=splits)
            for splits in (
                {},
                {2: Split(3), 3: Split(2), 4: Split(3)},
                {2: Split(2, 3), 3: Split(3, 3), 4: Split(2, 2)},
            )
        ]
        while whole.nimg < config.nimg:
            whole.round()
            scalars = whole.scalars()
            for other in others:
                other.round()
                state = other.state()
                wrong = differences(whole.state(), state)
                assert max(wrong.values()) < 1e-12, (whole.nimg, wrong)
                assert other.scalars() == pytest.approx(scalars, rel=1e-12)
                # Rounding errors must not grow from round to round.
                for name, tensor in whole.state().items():
                    state[name].copy_(tensor)
        whole.check()
        assert whole.skipped == 0


def test_two_processes_in_parts_learn_what_one_learns(tmp_path: Path) -> None:
    train = partial(train_to_files, adam_epsilon=0.1, kimg=0.288)
    found = {}
    for count, parts in ((1, 1), (2, 2)):
        started = start(tmp_path, train, [(tmp_path, 8, parts)] * count)
        assert set(started.statuses()) == {0}, started.said(0)
        found[count] = torch.load(tmp_path / f"0-of-{count}.pt")
    scalars = {count: state.pop("scalars") for count, state in found.items()}
    wrong = differences(found[1], found[2])
    # Rounding errors have grown through 16 steps.
    assert max(wrong.values()) < 1e-10, wrong
    assert scalars[2] == pytest.approx(scalars[1], rel=1e-12)


def test_parts_are_taken_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(small_config(mbstd_group_size=2), Patterns(), splits={2: Split(4)})
    seen = []
    forward = type(trainer.critic).forward

    def noted(critic: Any, images: Tensor, *given: Any, **options: Any) -> Tensor:
        seen.append(len(images))
        return forward(critic, images, *given, **options)

    monkeypatch.setattr(type(trainer.critic), "forward", noted)
    trainer.round()
    # Reals with fakes, then the penalty, of each part; then the generator's fakes.
    assert seen == 2 * (4 * [4, 2] + 4 * [2])
