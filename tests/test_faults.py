"""Trainings that meet faults end as if nothing had happened; `make torture` tries many more."""

import random
import sys
from collections import Counter

import pytest
import torch

from progan.checkpoint import Checkpoints
from tests.faults import AT_A_CALL, AT_A_WRITE, AT_AN_FSYNC
from tests.torture import FAMILIES, table
from tests.trials import KINDS, Trial, Undisturbed, Violation, undisturbed
from tests.trials_of_two import TrialOfTwo, undisturbed_two

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds open files in /proc")


# Parts of a training's calls: after its first checkpoint, and before those that may not come.
_LATE = (0.6, 0.95)


@pytest.fixture(scope="module")
def like(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("first", [*AT_A_CALL, *AT_A_WRITE, *AT_AN_FSYNC])
def test_whatever_happens_at_a_call_the_end_is_the_same(like: Undisturbed, first: str) -> None:
    # Another call every day would be found another day: in `make torture` all have their turn.
    draw = random.Random(first)
    trial = Trial(like, first.replace(" ", "-"), draw)
    trial.inflict(first)
    trial.inflict(draw.choice(AT_A_CALL))
    trial.end()


def killed(like: Undisturbed, seed: str) -> Trial:
    """A run that was killed late."""
    for attempt in range(10):
        name = f"{seed.replace(' ', '-')}-{attempt}".replace("'", "")
        trial = Trial(like, name, random.Random(f"{seed} {attempt}"), span=_LATE)
        # TensorBoard's thread now and then writes two things at once, so that there are a few
        # calls less, and the one that was drawn does not come.
        if trial.inflict("killed after a call") == "killed":
            return trial
    raise AssertionError("ten runs in a row had fewer calls than the first")


# What can only happen to a run that has checkpoints already.
@pytest.mark.parametrize(
    "then", sorted(KINDS.keys() - {*AT_A_CALL, *AT_A_WRITE, *AT_AN_FSYNC, "SIGKILL at any time"})
)
def test_a_run_that_was_killed_outlives_this_too(like: Undisturbed, then: str) -> None:
    trial = killed(like, then)
    outcome = trial.inflict(then)
    if outcome is None and then in trial.impossible:
        pytest.skip(trial.impossible[then])
    # What is limited may be large enough.
    if "any time" not in then and then not in ("file size limited", "a small disk is full"):
        assert outcome is not None
    trial.end()


def test_what_would_be_lost_is_noticed(like: Undisturbed) -> None:
    trial = killed(like, "noticed")
    newest = Checkpoints(trial.run / "checkpoints").all()[-1]
    newest.rename(newest.with_suffix(".gone"))
    with pytest.raises(Violation, match="after"):
        trial.look()
    newest.with_suffix(".gone").rename(newest)
    state, nimg = Checkpoints.read(newest)
    name = next(name for name, tensor in state.items() if tensor.numel() > 1)
    state[name] = torch.nextafter(state[name], torch.tensor(9.0))
    Checkpoints(trial.run / "checkpoints").save(state, nimg)
    with pytest.raises(Violation, match="is another"):
        trial.end()


def test_the_table_says_how_often_what_came_of_it() -> None:
    told = {"a": Counter({"killed": 2, "ended": 3}), "b": Counter(), "c": Counter({"x": 1})}
    text = table(told | {"d": Counter()}, {"d": "not here"})
    assert text.splitlines()[2:] == [
        "| a | 5 | ended (3); killed (2) |",
        "| b | 0 | – |",
        "| c | 1 | x |",
        "| d | 0 | not here |",
        "| all | 6 | the same end |",
    ]


def test_all_calls_of_a_run_are_counted(like: Undisturbed) -> None:
    kept = sum(path.is_file() for path in like.run.rglob("*"))
    assert like.counts.calls > like.counts.writes > like.counts.fsyncs > kept


@pytest.fixture(scope="module")
def like_two(like: Undisturbed) -> Undisturbed:
    return undisturbed_two(like)


# With one and with two to go on, whatever is drawn.
@pytest.mark.parametrize(
    ("kind", "count"), [("killed after a call in one of two", 2), ("disk full in one of two", 1)]
)
def test_a_fault_in_one_of_two_processes_is_outlived(
    like_two: Undisturbed, kind: str, count: int
) -> None:
    trial = TrialOfTwo(like_two, kind.replace(" ", "-"), random.Random(kind), span=_LATE)
    outcome = trial.inflict(kind)
    assert outcome is not None and "with a sentence" in outcome
    trial.end(count)
    assert trial.mixed is (count == 1)


def test_every_kind_of_fault_has_a_family_of_its_own() -> None:
    one, two = (set(kinds) for kinds in FAMILIES.values())
    assert one.isdisjoint(two)
