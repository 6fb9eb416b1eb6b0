"""The time that is left, of trainings on a made-up clock."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from progan.config import Config, preset
from progan.estimate import seconds_left
from progan.time_left import TimeLeft

# 10 thousand images up to 32 pixels, 120 in all; seconds of an image, by level.
CONFIG = preset("modern", resolution=32)
TRUE = {2: 0.001, 3: 0.002, 4: 0.004, 5: 0.012}
ROUND = 250  # by which all phases can be divided


@dataclass
class Told:
    """At a moment of the run: its seconds, the estimate, and what was really left."""

    now: float
    left: float
    truly: float


def run(
    left: TimeLeft,
    of_round: Callable[[int, float], float] = lambda number, seconds: seconds,
    between: Callable[[int], float] = lambda nimg: 0.0,
    config: Config = CONFIG,
) -> list[Told]:
    """Run through a training, and note what is told after every round."""

    def rounds() -> Iterator[tuple[int, int, float, float]]:
        for number, nimg in enumerate(range(0, config.nimg, ROUND)):
            level = config.schedule.at(nimg).level
            yield level, nimg + ROUND, of_round(number, ROUND * TRUE[level]), between(nimg + ROUND)

    course = list(rounds())
    whole = sum(seconds + aside for _, _, seconds, aside in course)
    told, now = [], 0.0
    for level, nimg, seconds, aside in course:
        left.note(level, ROUND, seconds, aside)
        now += seconds + aside
        told.append(Told(now, left.seconds(nimg), whole - now))
    return told


def wrong_by(told: list[Told], after: float) -> float:
    """Say by what share of all that was left an estimate was wrong at most."""
    end = told[-1].now
    return max(abs(t.left - t.truly) / t.truly for t in told if after < t.now < 0.9 * end)


def largest_jump(told: list[Told], after: float) -> float:
    """Say by what share the moment of the end has moved from one round to the next at most."""
    pairs = pairwise(told)
    return max(
        abs((new.now + new.left) - (old.now + old.left)) / told[-1].now
        for old, new in pairs
        if old.now > after
    )


def test_right_estimates_stay_right() -> None:
    told = run(TimeLeft(CONFIG, TRUE))
    assert told[0].left == pytest.approx(seconds_left(CONFIG, ROUND, TRUE))
    assert wrong_by(told, after=0) < 1e-9
    assert told[-1].left == 0


def test_noise_moves_the_end_little() -> None:
    numbers = np.random.default_rng(0).uniform(0.3, 1.7, CONFIG.nimg)
    told = run(TimeLeft(CONFIG, TRUE), lambda number, seconds: seconds * numbers[number])
    assert wrong_by(told, after=0) < 0.15
    assert largest_jump(told, after=0) < 0.08  # of the last round alone: 0.7


def test_a_machine_half_as_fast_as_estimated_is_noticed_before_the_last_level() -> None:
    told = run(TimeLeft(CONFIG, {level: seconds / 2 for level, seconds in TRUE.items()}))
    assert told[0].left < 0.51 * told[0].truly
    # After two minutes of 22, of which the last level has taken less than one.
    assert wrong_by(told, after=60) < 0.15
    assert wrong_by(told, after=120) < 0.05


def test_wrong_estimates_of_single_levels_are_forgotten() -> None:
    estimated = TRUE | {5: 10 * TRUE[5]}
    told = run(TimeLeft(CONFIG, estimated))
    assert wrong_by(told, after=200) < 0.4
    assert wrong_by(told, after=400) < 0.2


def test_what_measures_and_saves_is_counted_and_makes_no_jump() -> None:
    # Every twentieth of the run, half a minute: 600 seconds besides 1345.
    each = CONFIG.nimg // 20

    def between(nimg: int) -> float:
        return 30.0 if nimg // each > (nimg - ROUND) // each else 0.0

    told = run(TimeLeft(CONFIG, TRUE), between=between)
    assert told[-1].now == pytest.approx(1945, rel=0.02)
    assert wrong_by(told, after=250) < 0.2
    assert largest_jump(told, after=500) < 0.06


def test_a_pause_of_the_machine_is_not_taken_for_its_speed() -> None:
    usual = run(TimeLeft(CONFIG, TRUE))
    paused = run(
        TimeLeft(CONFIG, TRUE), lambda number, seconds: 8 * 3600 if number == 250 else seconds
    )
    assert paused[251].left < 1.15 * usual[251].left


def test_a_machine_that_becomes_slower_is_followed_within_minutes() -> None:
    slow = run(TimeLeft(CONFIG, TRUE), lambda number, seconds: seconds * (4 if number > 200 else 1))
    change = next(i for i in range(len(slow)) if i > 200)
    moment = slow[change].now
    later = next(t for t in slow if t.now > moment + 1200)
    assert later.left == pytest.approx(later.truly, rel=0.3)


def test_images_beyond_the_end_leave_nothing() -> None:
    left = TimeLeft(CONFIG, TRUE)
    left.note(5, 64, 1.0, 2.0)
    assert left.seconds(CONFIG.nimg + 64) == 0
