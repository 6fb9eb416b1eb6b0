"""What checkpoints will take of the disk is known before they are written."""

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from progan.checkpoint import Checkpoints
from progan.config import preset
from progan.errors import ProganError
from progan.training import Trainer
from tools.saving_room import checkpoint_bytes, readable, room_for_checkpoints

Usage = namedtuple("Usage", "total used free")


class Noise:
    labels: np.ndarray | None = None

    def minibatch(self, level: int, position: int, count: int) -> tuple[np.ndarray, None]:
        random = np.random.default_rng(position)
        return random.integers(0, 256, (count, 2**level, 2**level, 3), np.uint8), None


@pytest.fixture
def trainer() -> Trainer:
    config = preset(
        "small", resolution=8, kimg=0.1, fade_kimg="0.016", hold_kimg="0.016", minibatch="4",
        fmap_base=32, fmap_max=16,
    )  # fmt: skip
    return Trainer(config, Noise())


def test_the_size_is_that_of_a_state_at_the_end(trainer: Trainer, tmp_path: Path) -> None:
    expected = checkpoint_bytes(trainer)
    for _ in range(8):
        trainer.round()
    assert trainer.stage.level == 3
    size = Checkpoints(tmp_path).save(trainer.state(), trainer.nimg).stat().st_size
    # The rest is the header, and the colours of a level that has given way have no averages.
    assert 0.9 * expected < size < 1.1 * expected + 20_000


def test_what_fits_is_said(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = checkpoint_bytes(trainer)
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3, milestone_kimg=0.02)

    def with_free(checkpoint_sizes: float) -> tuple[str, bool]:
        free = int(checkpoint_sizes * one)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free))
        return room_for_checkpoints(trainer, tmp_path, checkpoints)

    # Three, two from before what is not judged yet, six milestones from 0 to 0.1 kimg, one on its
    # way, and the model file.
    sentence, enough = with_free(12.9)
    assert enough
    assert f"up to {readable(one)}; the newest 3 and up to 6 milestones are kept" in sentence
    assert "and up to 2 older ones until" in sentence
    assert not with_free(11.9)[1]
    with pytest.raises(ProganError, match="Make room, or take a smaller network"):
        with_free(1.9)
    # What is there already needs no more room.
    with_free(3)
    checkpoints.save({}, 16).write_bytes(b"\0" * 8 * one)
    assert with_free(5)[1]


def test_sizes_are_readable() -> None:
    assert [readable(n) for n in (0, 999, 1000, 999_499, 999_500, 2**31, 10**12)] == [
        "0 bytes", "999 bytes", "1.0 kB", "999 kB", "1.0 MB", "2.1 GB", "1000 GB",
    ]  # fmt: skip
