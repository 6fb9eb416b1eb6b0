"""What a status line tells of the time, on a made-up clock."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from progan.config import preset
from progan.time_left import TimeLeft
from tools.watching import Ticks, course

CONFIG = preset("small", resolution=8, kimg=0.2, fade_kimg="0.05", hold_kimg="0.05")


class Noted(TimeLeft):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(CONFIG, {2: 1.0, 3: 2.0})
        self.rounds: list[tuple[int, int, float, float]] = []

    def note(self, level: int, images: int, seconds: float, between: float) -> None:
        self.rounds.append((level, images, seconds, between))


def test_rounds_and_what_lies_between_them_are_told_apart(tmp_path: Path) -> None:
    now = 100.0
    left = Noted()
    ticks = Ticks(tmp_path, seconds=1e9, left=left, writer=cast(Any, None), clock=lambda: now)
    nimg = 0
    for seconds, between in ((30.0, 0.0), (40.0, 7.0), (80.0, 60.0)):
        now += seconds
        before, nimg = nimg, nimg + 40
        trainer = cast(Any, SimpleNamespace(config=CONFIG, nimg=nimg))
        ticks.arrive(trainer, before, False)
        ticks(trainer, before, False)
        now += between
        ticks.leave(trainer, before, False)
    # 50 images at 4×4; a round counts where it began.
    assert left.rounds == [(2, 40, 30.0, 0.0), (2, 40, 40.0, 7.0), (3, 40, 80.0, 60.0)]


def test_a_course_is_told_in_thousand_images_and_per_cent() -> None:
    assert course(12_345, 120_000) == "12.3 / 120 (10 %)"
    assert course(0, 500) == "0.0 / 0.5 (0 %)"
    assert course(119_999, 120_000) == "120.0 / 120 (99 %)"
    assert course(120_000, 120_000) == "120.0 / 120 (100 %)"
