"""Copies of mirrored photographs, which a generator makes that was trained with mirroring."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from datasets.pyramid import Dataset
from progan.training import Trainer
from tests.tools.making import Pixels, Recalling
from tests.tools.memorization.making import held_out, training
from tools.memorization.observer import MemorizationWatch
from tools.memorization.watch import Watch


def mirrored(pictures: Pixels) -> Pixels:
    return np.ascontiguousarray(pictures[:, :, ::-1])


def test_a_mirrored_copy_is_a_copy_and_a_mirrored_new_picture_is_new(portraits: Dataset) -> None:
    watch = Watch(portraits, 16, false_alarm=0.02)
    copies = watch.look(mirrored(training(portraits)[:40]))
    assert (copies.flagged_share, copies.near_duplicates, copies.sign) == (1, 1, True)
    # Photographs are searched mirrored for the yardstick, too: which way new ones face is all one.
    new, turned = watch.look(held_out(portraits)), watch.look(mirrored(held_out(portraits)))
    assert turned.flagged_share == new.flagged_share
    assert turned.c_t["pixels"] == pytest.approx(new.c_t["pixels"], abs=0.05)  # but for rounding
    assert not turned.sign


def test_the_observer_of_training_sees_mirrored_copies(tmp_path: Path, portraits: Dataset) -> None:
    copied = mirrored(training(portraits)[:20])
    trainer = SimpleNamespace(
        nimg=1000,
        config=SimpleNamespace(nimg=2000),
        average=Recalling(copied),
        generator=Recalling(255 - copied),
        class_counts=(),
    )
    writer = SimpleNamespace(add_scalar=lambda *_: None, flush=lambda: None)
    observer = MemorizationWatch(
        tmp_path, portraits, every_kimg=1, count=20, writer=cast(Any, writer)
    )
    observer(cast(Trainer, trainer), 999, finished=False)
    (line,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert line["memorization/flagged_share"] == line["memorization/near_duplicates"] == 1
