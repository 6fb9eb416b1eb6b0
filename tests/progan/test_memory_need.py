"""What a step would take is what it takes."""

import gc
from typing import Any

import pytest
import torch

from progan.convolution import plain_convolutions
from progan.memory_need import Blank, Count, Needs
from progan.splitting import Split
from progan.training import Trainer
from tests.progan.making import one_thread as one_thread
from tests.progan.making import small_config

pytestmark = pytest.mark.usefixtures("one_thread")


def test_tensors_are_counted_while_they_live_and_views_once() -> None:
    with Count() as count:
        kept = torch.empty(1000)
        views = [kept[:10], kept.reshape(10, 100).t()]
        assert count.now == 4000
        gone = torch.empty(500, dtype=torch.float64) + 1
        assert (count.now, count.peak) == (8000, 12000)
        del gone
        kept.add_(1)
        assert (count.now, count.peak, count.largest) == (4000, 12000, 4000)
        del views, kept
        assert count.now == 0


@pytest.mark.parametrize(
    ("changes", "split"),
    [
        ({}, Split()),
        ({"label_size": 3, "share_fakes": True}, Split()),
        ({"penalty_curvature": False}, Split(2)),
        ({}, Split(2, 1)),
    ],
)
def test_the_need_is_that_of_the_real_step(changes: dict[str, Any], split: Split) -> None:
    config = small_config(fmap_base=256, fmap_max=32, **changes)
    needs = Needs(config)
    need = needs(4, split)
    gc.collect()
    with plain_convolutions(), Count() as count:
        trainer = Trainer(config, Blank(config), splits={4: split})
        stage = needs.stage(4)
        assert 0 < stage.fade < 1
        for network in (trainer.generator, trainer.critic, trainer.average):
            network.stand(stage.level, stage.fade)
        trainer.step(stage, 0)
        trainer.step(stage, 0)
    assert need.tensors == pytest.approx(count.peak, rel=0.05)
    assert need.largest == count.largest


def test_a_third_part_needs_no_more_than_a_second() -> None:
    needs = Needs(small_config(minibatch="16"))
    third, second, whole = (needs(4, Split(count)).tensors for count in (4, 2, 1))
    assert third < second < whole
    smaller = Needs(small_config(minibatch="8"))(4, Split(2)).tensors
    assert third == pytest.approx(smaller, rel=0.05)


def test_each_process_needs_what_its_share_needs() -> None:
    config = small_config()
    assert Needs(config, 2)(4, Split()) == Needs(small_config(minibatch="4"))(4, Split())


def test_a_device_needs_more_than_its_tensors() -> None:
    need = Needs(small_config())(3, Split())
    for name in ("cpu", "cuda", "mps"):
        assert need.on(torch.device(name)) > need.tensors
