"""Training that goes bad, as the user meets it: stopped, taken back and tried again, or told of."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from progan.adversarial import critic_objective
from progan.checkpoint import Checkpoints, read_model
from progan.divergence import Detector, Diverged, Divergence
from progan.estimate import measure
from progan.run_record import said_by
from progan.runs import earlier_datasets, read_rollbacks
from progan.step import Step
from progan.training import Trainer
from tests.progan.making import Patterns, small_config
from tests.starting import start, train_py
from tests.test_train import TINY, Door
from tests.test_train import dataset as dataset
from tests.test_train import program as program
from tests.test_train import undisturbed as undisturbed
from tools.divergence import Judge, _logged, go_back, note_rollback
from tools.run_config import write_record

# A window of two rounds of 16 images.
WINDOW = 32
PACE = ("--checkpoint-kimg", "0.048", "--sample-kimg", "10")
# A bad attempt is one that shows scores out of all bounds once so many images are shown.
BAD_FROM = 256


def bad_scores(patch: Callable[[str, object], None], *, attempts: int) -> None:
    """Let the first few attempts go bad; what the networks learn is not touched."""
    usual = Trainer.scalars

    def scalars(self: Trainer) -> dict[str, float]:
        found = usual(self)
        if not found:
            return found
        # Networks as small as these are far from what is usual.
        found |= {"scores/gradient_norm": 1.0, "loss/gradient_penalty": 0.1}
        bad = self.attempts.at(self.nimg) < attempts and self.nimg > BAD_FROM
        return found | ({"scores/fake": -1e6} if bad else {})

    patch("progan.divergence.WINDOW", WINDOW)
    patch("progan.training.Trainer.scalars", scalars)


def not_finite(patch: Callable[[str, object], None], *, attempts: int) -> None:
    """Let the losses of the first few attempts be no numbers from some point on."""
    usual, usual_objective, bad = Step.__call__, critic_objective, [False]

    def step(self: Step, stage: Any, nimg: int) -> Any:
        bad[0] = self.inputs.attempts.at(nimg) < attempts and nimg > BAD_FROM
        return usual(self, stage, nimg)

    def objective(*args: Any, **options: Any) -> Any:
        loss, scalars = usual_objective(*args, **options)
        return (loss * float("nan") if bad[0] else loss), scalars

    patch("progan.step.Step.__call__", step)
    patch("progan.step.critic_objective", objective)


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, object], None]:
    def put(name: str, value: object) -> None:
        monkeypatch.setattr(name, value)

    return put


def states(run: Path) -> list[int]:
    return [int(path.stem) for path in Checkpoints(run / "checkpoints").all()]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(read_model(run).generator.state_dict())


def test_a_run_that_goes_bad_stops_at_the_state_before(
    program: Door,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, straight = tmp_path / "run", tmp_path / "straight"
    with monkeypatch.context() as bad:
        bad_scores(bad.setattr, attempts=1)
        ended = program(dataset, run, *TINY, *PACE, "--keep", "1")
    assert ended.status == 1
    # The first bad window ends at 288 images; three are told of at 352.
    assert "Error: training has diverged at 0.4 kimg: the critic's scores" in ended.err
    assert f"{run} stands at 0.24 kimg, where nothing was wrong yet" in ended.err
    assert "--on-divergence rollback" in ended.err and "Traceback" not in ended.err
    assert states(run) == [240]
    assert [path.name for path in (run / "checkpoints").glob("*.diverged")] == [
        "000000000336.safetensors.diverged"
    ]
    assert read_model(run).trained["nimg"] == 240

    # The same command without what was wrong goes on as if it had never been.
    assert program(dataset, run, *TINY, *PACE).status == 0
    assert program(dataset, straight, *TINY, *PACE).status == 0
    assert all(torch.equal(weights(run)[n], t) for n, t in weights(straight).items())


@pytest.mark.parametrize("going_bad", [bad_scores, not_finite])
def test_a_rollback_is_another_attempt_and_the_run_a_function_of_it(
    program: Door,
    dataset: Path,
    tmp_path: Path,
    patch: Callable[[str, object], None],
    going_bad: Callable[..., None],
) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    going_bad(patch, attempts=1)
    words = (*TINY, *PACE, "--on-divergence", "rollback")
    ended = program(dataset, run, *words)
    assert ended.status == 0, ended.err
    assert ended.err.count("to try again with other noise (attempt 2)") == 1
    (rollback,) = read_rollbacks(run)
    expected = 240 if going_bad is bad_scores else 384
    assert (rollback["nimg"], rollback["attempt"]) == (expected, 1)
    assert rollback["diverged_nimg"] > expected and rollback["why"] in ended.err
    assert f"Going back to {expected / 1000:g} kimg" in ended.err
    # The log tells of the attempt that counts, each place once.
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["nimg"] for line in log] == list(range(16, 641, 16))
    assert read_model(run).trained["nimg"] == 640

    # From the history in config.json alone, with no checkpoint, the same bits come again.
    again.mkdir()
    shutil.copy(run / "config.json", again / "config.json")
    if going_bad is not_finite:
        return  # its first attempt would go bad again, whatever comes later
    assert program(dataset, again, *words).status == 0
    assert read_rollbacks(again) == [rollback]
    assert all(torch.equal(weights(run)[n], t) for n, t in weights(again).items())


def test_rollbacks_go_further_back_and_end(
    program: Door, dataset: Path, tmp_path: Path, patch: Callable[[str, object], None]
) -> None:
    run = tmp_path / "run"
    bad_scores(patch, attempts=100)
    measured = []

    def measure_once(*args: Any) -> Any:
        measured.append(args)
        return measure(*args)

    patch("tools.observers.measure", measure_once)
    words = (*TINY, *PACE, "--on-divergence", "rollback", "--rollbacks", "2")
    ended = program(dataset, run, *words)
    assert ended.status == 1
    # What is known of each level's speed is not measured again.
    assert len(measured) == 1
    # The checkpoints know of it, should config.json be lost.
    said = said_by(Checkpoints(run / "checkpoints").all()[-1])
    assert said is not None and said["rollbacks"] == read_rollbacks(run)
    assert "the run has gone back 2 times, as often as --rollbacks allows" in ended.err
    assert [(each["nimg"], each["attempt"]) for each in read_rollbacks(run)] == [(240, 1), (192, 2)]
    assert states(run)[-1] <= 240

    # They are counted over the whole of the run: the same command has none left.
    ended = program(dataset, run, *words)
    assert ended.status == 1 and "Going back" not in ended.err
    assert len(read_rollbacks(run)) == 2
    # With one more it tries once more.
    ended = program(dataset, run, *words[:-1], "3")
    assert ended.status == 1 and "(attempt 4)" in ended.err
    assert len(read_rollbacks(run)) == 3


def test_a_run_that_goes_bad_before_its_first_checkpoint_begins_anew(
    program: Door, dataset: Path, tmp_path: Path, patch: Callable[[str, object], None]
) -> None:
    bad_scores(patch, attempts=1)
    words = (*TINY, "--checkpoint-kimg", "10", "--sample-kimg", "10")
    ended = program(dataset, tmp_path / "run", *words, "--on-divergence", "rollback")
    assert ended.status == 0, ended.err
    assert "Going back to 0 kimg" in ended.err
    assert [each["nimg"] for each in read_rollbacks(tmp_path / "run")] == [0]
    assert read_model(tmp_path / "run").trained["nimg"] == 640


def test_a_warning_is_given_once_and_training_goes_on(
    program: Door, dataset: Path, tmp_path: Path, patch: Callable[[str, object], None]
) -> None:
    bad_scores(patch, attempts=1)
    ended = program(dataset, tmp_path / "run", *TINY, *PACE, "--on-divergence", "warn")
    assert ended.status == 0
    assert ended.err.count("Warning: training has diverged at 0.4 kimg") == 1
    assert states(tmp_path / "run")[-1] == 640
    # What was there when nothing was wrong yet is still kept.
    assert 240 in states(tmp_path / "run")


# ---- several processes ----


def broken_train_py(kind: str, *words: object) -> None:
    """Run train.py with an attempt that goes bad, in a process of its own."""
    patches = pytest.MonkeyPatch()

    def put(name: str, value: object) -> None:
        patches.setattr(name, value)

    {"scores": bad_scores, "nan": not_finite}[kind](put, attempts=1)
    train_py(*words)


@pytest.mark.parametrize("kind", ["scores", "nan"])
def test_all_processes_go_back_together(dataset: Path, tmp_path: Path, kind: str) -> None:
    words = (*TINY, *PACE, "--adam-epsilon", "0.1", "--learning-rate", "0.001")
    both = (kind, dataset, tmp_path / "two", *words, "--on-divergence", "rollback")
    started = start(tmp_path, broken_train_py, [both, both])
    assert started.statuses() == [0, 0], (started.said(0), started.said(1))
    assert started.said(1) == ""
    alone = start(tmp_path, broken_train_py, [(*both[:2], tmp_path / "one", *both[3:])])
    assert alone.statuses() == [0], alone.said(0)
    one, two = (read_rollbacks(tmp_path / name)[0] for name in ("one", "two"))
    assert one["nimg"] == two["nimg"] and len(read_rollbacks(tmp_path / "two")) == 1
    found, expected = weights(tmp_path / "two"), weights(tmp_path / "one")
    assert max((found[name] - expected[name]).abs().max() for name in found) < 1e-4


def test_all_processes_stop_together_and_one_says_why(dataset: Path, tmp_path: Path) -> None:
    words = ("scores", dataset, tmp_path / "run", *TINY, *PACE)
    started = start(tmp_path, broken_train_py, [words, words])
    assert started.statuses() == [1, 1], (started.said(0), started.said(1))
    assert started.said(0).count("Error: training has diverged") == 1
    assert started.said(1) == ""
    assert states(tmp_path / "run")[-1] == 240


def test_torchrun_does_not_try_again_what_went_bad_for_good(dataset: Path, tmp_path: Path) -> None:
    words = ("scores", dataset, tmp_path / "run", *TINY, *PACE)
    mark = tmp_path / "run" / "given-up.json"

    def started(count: int, restarts: int, job: str) -> str:
        start_ = start(
            tmp_path,
            broken_train_py,
            [words] * count,
            TORCHELASTIC_RUN_ID=job,
            TORCHELASTIC_RESTART_COUNT=str(restarts),
        )
        assert start_.statuses() == [1] * count, start_.said(0)
        assert all(start_.said(rank) == "" for rank in range(1, count))
        return start_.said(0)

    first = started(2, 0, "job")
    assert "Error: training has diverged" in first and mark.exists()
    checkpoints = states(tmp_path / "run")
    for restarts in (1, 2):
        again = started(2, restarts, "job")
        assert again == (
            "Error: started again by torchrun for nothing: "
            + first.splitlines()[-1].removeprefix("Error: ")
            + "\n"
        )
    assert states(tmp_path / "run") == checkpoints
    # By hand, or in another job that has lost a process, it is another matter.
    for restarts, job in ((0, "job"), (1, "another")):
        assert "Continue at 0.24 kimg" in started(1, restarts, job)
        assert json.loads(mark.read_text())["job"] == job
    # Where nothing starts again by itself, there is no mark.
    alone = start(tmp_path, broken_train_py, [words])
    assert alone.statuses() == [1] and "Continue at" in alone.said(0)
    assert not mark.exists()


# ---- parts ----


def test_the_newest_two_states_from_before_a_doubt_are_kept(tmp_path: Path) -> None:
    trainer = Trainer(small_config(), Patterns())
    checkpoints = Checkpoints(tmp_path, keep=2)
    for nimg in (16, 32, 48):
        checkpoints.save(trainer.state(), nimg)
    checkpoints.open_since = 50
    for nimg in (64, 80, 96, 112):
        checkpoints.save(trainer.state(), nimg)
    assert [int(path.stem) for path in checkpoints.all()] == [32, 48, 96, 112]
    checkpoints.open_since = None
    checkpoints.save(trainer.state(), 128)
    assert [int(path.stem) for path in checkpoints.all()] == [112, 128]


def test_states_from_before_a_window_are_kept_though_nothing_is_in_doubt_yet(
    tmp_path: Path,
) -> None:
    trainer = Trainer(small_config(), Patterns())
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    judge = Judge(trainer, tmp_path / "log.jsonl", checkpoints)
    line = {"progress/level": 2, "progress/minibatch": 8, "scores/fake": 0.0}
    found: Diverged | None = None
    # Four states within each window, and more than are kept; bad from 4000 on.
    for nimg in range(250, 9000, 250):
        trainer.nimg = nimg
        try:
            judge(trainer, line | {"scores/real": 1e6 if nimg > 4000 else 0.0})
        except Diverged as error:
            found = error
            break
        checkpoints.save(trainer.state(), nimg)
    assert found is not None and (found.divergence.since, trainer.nimg) == (4000, 7000)
    kept = [int(path.stem) for path in checkpoints.all()]
    assert kept == [3750, 4000, 6500, 6750]
    go_back(trainer, found.divergence, checkpoints, beginning=lambda: trainer)
    assert trainer.nimg == 4000


def test_a_damaged_state_gives_way_to_the_one_before_it_when_a_run_goes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer(small_config(), Patterns())
    checkpoints = Checkpoints(tmp_path, keep=9)
    for nimg in (16, 32, 48):
        checkpoints.save(trainer.state(), nimg)
    path = checkpoints.path(32)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    found = Divergence(60, 40, "why")
    assert go_back(trainer, found, checkpoints, beginning=lambda: trainer)
    assert trainer.nimg == 16 and "set aside" in capsys.readouterr().err
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "000000000016.safetensors",
        "000000000032.safetensors.damaged",
        "000000000048.safetensors.diverged",
    ]


def test_at_every_moment_of_going_back_there_is_a_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(small_config(), Patterns())
    checkpoints = Checkpoints(tmp_path)
    for nimg in (48, 64):
        checkpoints.save(trainer.state(), nimg)
    usual, seen = Path.rename, []

    def rename(path: Path, target: Path) -> Path:
        seen.append([int(each.stem) for each in checkpoints.all()])
        return usual(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    go_back(trainer, Divergence(70, 20, "why"), checkpoints, beginning=lambda: trainer)
    # The beginning is there before the first of the others goes, which is the newest.
    assert seen == [[0, 48, 64], [0, 48]]
    assert [int(path.stem) for path in checkpoints.all()] == [0]


def test_a_rollback_to_before_other_data_forgets_these(tmp_path: Path) -> None:
    trainer = Trainer(small_config(), Patterns())
    first, second = ({"path": name, "fingerprint": name} for name in ("first", "second"))
    record = {
        "format_version": 1,
        "config": trainer.config.to_json(),
        "dataset": second,
        "earlier_datasets": [first | {"until_nimg": 100}],
    }
    write_record(tmp_path, record)
    trainer.nimg = 50
    note_rollback(tmp_path, trainer, Divergence(200, 60, "why"))
    assert [each["until_nimg"] for each in earlier_datasets(tmp_path)] == [50]


def test_a_run_that_goes_on_is_judged_as_one_that_was_never_interrupted(tmp_path: Path) -> None:
    trainer = Trainer(small_config(), Patterns())
    log = tmp_path / "log.jsonl"
    bad = {"progress/level": 2, "progress/minibatch": 8, "loss/critic": 0.0, "scores/real": 1e6,
           "scores/fake": 0.0}  # fmt: skip
    lines = [json.dumps({"nimg": nimg} | bad) for nimg in (1000, 2000, 3000, 9000)]
    others = ["half a li", "[" * 100_000, "5", '{"nimg": "x", "loss/critic": 1}', '{"nimg": 9}']
    log.write_text("\n".join([*others, *lines]))
    trainer.nimg = 3500
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    judge = Judge(trainer, log, checkpoints)
    # What was in doubt before is so from the first: a state may be saved before the next look.
    assert checkpoints.open_since == 1000
    trainer.nimg = 3900
    judge(trainer, bad)
    assert checkpoints.open_since == 1000
    trainer.nimg = 4000
    with pytest.raises(Exception, match=r"has diverged at 4\.0 kimg") as raised:
        judge(trainer, bad)
    assert raised.value.divergence.since == 1000  # type: ignore[attr-defined]


_HUGE = 10**400


@pytest.mark.parametrize(
    "strange",
    [
        {"nimg": -_HUGE},
        {"nimg": -1},
        {"nimg": 2**62},
        {"nimg": True},
        {"progress/level": 5000},
        {"progress/level": 1},
        {"progress/level": _HUGE},
        {"progress/level": None},
        {"progress/level": [4]},
    ],
)
def test_lines_that_no_run_has_written_are_not_judged(
    tmp_path: Path, strange: dict[str, object]
) -> None:
    log = tmp_path / "log.jsonl"
    tick = {"nimg": 16, "progress/level": 4, "loss/critic": 1.0}
    log.write_text(json.dumps(tick | strange) + "\n" + json.dumps(tick | {"nimg": 32}) + "\n")
    assert _logged(log) == [(32, {"nimg": 32.0, "progress/level": 4.0, "loss/critic": 1.0})]


@pytest.mark.parametrize("name", ["loss/critic", "progress/skipped_steps", "progress/minibatch"])
def test_numbers_that_no_float_holds_are_left_out_of_a_log(tmp_path: Path, name: str) -> None:
    log = tmp_path / "log.jsonl"
    tick = {"nimg": 16, "progress/level": 4, "loss/critic": 1.0, name: _HUGE}
    log.write_text(json.dumps(tick) + "\n")
    ((nimg, numbers),) = _logged(log)
    assert nimg == 16 and name not in numbers and numbers["progress/level"] == 4.0
    trainer = Trainer(small_config(), Patterns())
    trainer.nimg = 1500
    log.write_text("".join(json.dumps(tick | {"nimg": nimg}) + "\n" for nimg in (6, 1200, 1400)))
    judge = Judge(trainer, log, Checkpoints(tmp_path / "checkpoints"))
    judge(trainer, {"progress/level": 4, "loss/critic": 1.0})


def test_what_is_set_aside_gives_way_to_what_is_set_aside_next(tmp_path: Path) -> None:
    trainer = Trainer(small_config(), Patterns())
    checkpoints = Checkpoints(tmp_path)
    detector = Detector(small_config())
    for last in (1000, 2000):
        for nimg in (16, last):
            checkpoints.save(trainer.state(), nimg)
        for nimg in (500, 1500, 2500, 3500):
            found = detector.look(nimg, {"progress/level": 2, "loss/gradient_penalty": 99.0})
        detector = Detector(small_config())
        assert found is not None
        assert go_back(trainer, found, checkpoints, beginning=lambda: trainer) is (last > 500)
        assert trainer.nimg == 0
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "000000000000.safetensors",
        "000000000016.safetensors.diverged", "000000002000.safetensors.diverged",
    ]  # fmt: skip
