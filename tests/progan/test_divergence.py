"""Courses of scalars, good and bad, as a detector sees them."""

import math
from typing import Any

import numpy as np
import pytest

from progan.config import Config
from progan.divergence import Detector, Diverged, Divergence
from tests.progan.making import small_config

GOOD: dict[str, float] = {
    "progress/level": 5,
    "progress/minibatch": 8,
    "progress/skipped_steps": 0,
    "scores/real": 0.3,
    "scores/fake": -1.5,
    "scores/gradient_norm": 1.05,
    "loss/gradient_penalty": 0.15,
    "loss/critic": -1.5,
}
# Of 32 pixels in three colours: 2·√3·32.
BOUND = 110.85


def course(
    detector: Detector, changes: dict[str, Any], *, begin: int, end: int, step: int = 500
) -> Divergence | None:
    """Show the same scalars tick by tick, with some changes; gives the first finding."""
    for nimg in range(begin + step, end + 1, step):
        found = detector.look(nimg, GOOD | changes)
        if found is not None:
            return found
    return None


def test_what_healthy_runs_do_is_no_divergence() -> None:
    detector = Detector(Config(resolution=32))
    numbers = np.random.default_rng(0)
    skipped = 0.0
    for nimg in range(160, 300_000, 160):
        level = 2 + min(3, nimg // 40_000)
        line = GOOD | {
            "progress/level": level,
            "scores/real": numbers.normal(0, 0.5 * level),
            "scores/fake": numbers.normal(-1.5, 0.5 * level),
            "scores/gradient_norm": numbers.normal(1.03, 0.06),
            "loss/gradient_penalty": numbers.gamma(1.0, 0.1),
            "loss/class_of_reals": numbers.gamma(1.0, 0.3),
        }
        if numbers.random() < 0.01:  # a minibatch in which everything is wrong
            line |= {
                "scores/fake": -300.0,
                "loss/gradient_penalty": 60.0,
                "scores/gradient_norm": 9,
            }
        if numbers.random() < 0.02:  # Steps that were skipped make all means of a tick NaN.
            skipped += 3
            line |= dict.fromkeys(GOOD, math.nan)
        line |= {"progress/skipped_steps": skipped, "progress/minibatch": 8}
        assert detector.look(nimg, line) is None, nimg


def test_a_critic_that_begins_without_slopes_is_given_time() -> None:
    detector = Detector(Config())
    lame = {"scores/gradient_norm": 0.1, "loss/gradient_penalty": 8.0}
    assert course(detector, lame, begin=0, end=9000) is None
    assert detector.doubtful_since == 0
    assert course(detector, {}, begin=9000, end=30_000) is None
    assert detector.doubtful_since is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"scores/real": BOUND - 1.5 + 0.1}, "111 apart, and 111 is as far"),
        ({"scores/fake": -1e9}, "apart"),
        ({"loss/gradient_penalty": 10.1}, "gradient penalty is 10.1"),
        ({"loss/class_of_fakes": 10.1}, "class term of fakes is 10.1"),
    ],
)
@pytest.mark.parametrize("step", [40, 500, 2500])
def test_an_explosion_is_told_of_after_three_windows(
    changes: dict[str, float], why: str, step: int
) -> None:
    detector = Detector(Config())
    assert course(detector, {}, begin=0, end=20_000, step=step) is None
    found = course(detector, changes, begin=20_000, end=100_000, step=step)
    assert found is not None and why in found.why
    # Two windows are not enough, and the third is not waited for any longer than it takes.
    window = max(1000, step)
    assert found.nimg == 20_000 + 3 * window
    assert found.since == detector.doubtful_since == 20_000
    assert str(Diverged(found)).startswith(f"training has diverged at {found.nimg / 1000:.1f} kimg")


@pytest.mark.parametrize(
    "changes",
    [
        {"scores/real": BOUND - 1.5 - 0.2},
        {"loss/gradient_penalty": 9.9},
        {"loss/class_of_reals": 9.9},
        {"scores/gradient_norm": 0.51},
        {"scores/gradient_norm": 1.99},
    ],
)
def test_what_is_within_the_bounds_is_never_told_of(changes: dict[str, float]) -> None:
    detector = Detector(Config())
    assert course(detector, changes, begin=0, end=200_000) is None
    assert detector.doubtful_since is None


def test_two_bad_windows_are_a_doubt_that_passes() -> None:
    detector = Detector(Config())
    bad = {"loss/gradient_penalty": 50.0}
    for begin in range(0, 60_000, 3000):
        assert course(detector, {}, begin=begin, end=begin + 1000) is None
        assert detector.doubtful_since is None
        assert course(detector, bad, begin=begin + 1000, end=begin + 3000) is None
        assert detector.doubtful_since == begin + 1000


@pytest.mark.parametrize("length", [0.0, 0.49, 2.01])
def test_a_critic_whose_gradients_are_of_another_length_for_long_has_collapsed(
    length: float,
) -> None:
    detector = Detector(Config())
    assert course(detector, {}, begin=0, end=5000) is None
    found = course(detector, {"scores/gradient_norm": length}, begin=5000, end=60_000)
    assert found is not None and "collapsed" in found.why and f"{length:.3g} times" in found.why
    assert (found.since, found.nimg) == (5000, 15_000)
    # With long ticks it takes as many of them.
    detector = Detector(Config())
    found = course(detector, {"scores/gradient_norm": length}, begin=0, end=100_000, step=4000)
    assert found is not None and found.nimg == 20_000


def test_what_is_asked_for_is_the_configurations() -> None:
    scores = {"scores/real": 10_000.0, "scores/gradient_norm": 740.0}
    assert course(Detector(Config(penalty_target=750)), scores, begin=0, end=30_000) is None
    assert course(Detector(Config()), scores, begin=0, end=30_000) is not None
    # Where the penalty asks for no length, any is right; it is the penalty that says whether it is.
    free = {"scores/gradient_norm": 30.0}
    assert course(Detector(Config(penalty_weight=0)), free, begin=0, end=50_000) is None
    other = Detector(Config())
    for nimg in range(500, 50_000, 500):
        line = {k: v for k, v in GOOD.items() if k != "loss/gradient_penalty"} | free
        assert other.look(nimg, line) is None
    # Evaluated at every fourth step with four times the weight, it is four times as large.
    lazy = Config(penalty_interval=4)
    assert course(Detector(lazy), {"loss/gradient_penalty": 39.0}, begin=0, end=9000) is None
    assert course(Detector(lazy), {"loss/gradient_penalty": 41.0}, begin=0, end=9000) is not None
    # To guess among a thousand classes costs ln 1000.
    many = Config(label_size=1000)
    assert course(Detector(many), {"loss/class_of_reals": 60.0}, begin=0, end=9000) is None
    assert course(Detector(many), {"loss/class_of_reals": 70.0}, begin=0, end=9000) is not None


@pytest.mark.parametrize("objective", ["logistic", "relativistic"])
def test_scores_have_no_bound_where_nothing_asks_for_a_length_of_gradients(objective: str) -> None:
    far = {"scores/real": 5 * BOUND, "scores/fake": -5 * BOUND}
    assert (
        course(Detector(Config(resolution=32, objective=objective)), far, begin=0, end=20_000)
        is None
    )
    assert (
        course(Detector(Config(resolution=32, penalty_weight=0)), far, begin=0, end=20_000) is None
    )
    assert course(Detector(Config(resolution=32)), far, begin=0, end=20_000) is not None


def test_steps_that_are_skipped_over_and_over_are_told_of() -> None:
    def skipping(share: float, begin: float = 0.0) -> Divergence | None:
        detector = Detector(small_config())
        for tick in range(1, 40):
            line: dict[str, float | None] = dict.fromkeys(GOOD)
            skipped = begin + share * tick * 500 / 8
            # A run that goes on begins to count anew.
            if tick > 20:
                skipped -= share * 20 * 500 / 8 + begin
            line |= {"progress/skipped_steps": skipped, "progress/minibatch": 8.0}
            found = detector.look(500 * tick, line)
            if found is not None:
                return found
        return None

    found = skipping(0.6)
    assert found is not None and "75 of 125 steps had to be skipped" in found.why
    assert (found.since, found.nimg) == (0, 3000)
    assert skipping(0.4) is None


def test_a_look_back_or_twice_at_the_same_place_counts_for_nothing() -> None:
    detector = Detector(Config(), 10_000)
    bad = GOOD | {"scores/fake": -1e9}
    for nimg in (*range(0, 10_001, 500), 10_000, 9000):
        assert detector.look(nimg, bad) is None
    assert detector.doubtful_since is None
    assert course(detector, bad, begin=10_000, end=12_900) is None
    assert detector.look(13_000, bad) == Divergence(13_000, 10_000, found_why(bad))


def found_why(line: dict[str, float]) -> str:
    apart = line["scores/real"] - line["scores/fake"]
    return (
        f"the critic's scores of real and generated images lie {apart:.3g} apart, and "
        f"{BOUND:.3g} is as far as its penalty should let them"
    )
