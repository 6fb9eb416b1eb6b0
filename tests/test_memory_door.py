"""Memory, as the user of train.py meets it: what is needed, what is split, what is refused."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tools.fitting
import train
from datasets import door
from datasets.__main__ import datasets as datasets_main
from progan.checkpoint import read_model
from progan.errors import ProganError
from progan.growth import Stage
from progan.memory_need import Need
from progan.objectives import Scalars
from progan.step import Step

TINY = [
    *("--preset", "small", "--fmap-base", "32", "--fmap-max", "4", "--minibatch", "8"),
    *("--minibatch-repeats", "2", "--fade-kimg", "0.032", "--hold-kimg", "0.016"),
    *("--tick-seconds", "0", "--device", "cpu", "--adam-epsilon", "0.1", "--kimg", "0.128"),
    "--no-watch-memorization",
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "drawn"
    datasets_main(
        ["prepare", "drawn:20", str(path), "--resolution", "16", "--workers", "1"],
        standalone_mode=False,
    )
    return path


class Door:
    """Runs train.py's command in this process, on a machine with so much free memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        monkeypatch.setattr(Need, "on", lambda need, device: need.tensors)
        monkeypatch.setattr(train, "StopSignals", lambda processes: lambda: False)
        self.free = 2**40

    def __call__(self, *words: object) -> tuple[object, str, str]:
        self.monkeypatch.setattr(tools.fitting, "free_bytes", lambda *given: self.free)
        self.monkeypatch.setattr(sys, "argv", ["train.py", *map(str, words)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            door.run(train.main, ProganError)
        captured = self.capsys.readouterr()
        return ended.value.code, captured.out, captured.err


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Door:
    return Door(monkeypatch, capsys)


def needs_in_bytes(out: str) -> dict[int, float]:
    found = re.findall(r"^ +(\d) .* ~([\d.]+) GiB", out, re.MULTILINE)
    return {int(level): float(need) * 2**30 for level, need in found}


def test_a_dry_run_shows_what_each_level_needs_and_how_it_is_split(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    wide = ("--fmap-base", "4096", "--fmap-max", "32", "--minibatch", "64")
    status, out, err = program(dataset, tmp_path / "run", *TINY, *wide, "--dry-run")
    assert status == 0, err
    needs = needs_in_bytes(out)
    assert list(needs) == [2, 3, 4]
    assert needs[2] <= needs[3] < needs[4]
    assert "GiB free" in out and "parts" not in out

    program.free = int(0.85 * needs[4])
    status, out, err = program(dataset, tmp_path / "run", *TINY, *wide, "--dry-run")
    rows = [line for line in out.splitlines() if re.match(" +[234] ", line)]
    assert [line.endswith("  in 2 parts") for line in rows] == [False] * 3 + [True] * 2
    assert needs_in_bytes(out)[4] < 0.9 * needs[4]
    assert not (tmp_path / "run").exists()


def test_a_run_that_does_not_fit_is_split_and_goes_on_elsewhere(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    whole, split = tmp_path / "whole", tmp_path / "split"
    status, out, err = program(dataset, whole, *TINY)
    assert (status, "minibatch is taken" in out) == (0, False), err
    # Half of it in two parts, and the rest where there is more memory.
    words = ("--accumulate", "2", "--kimg", "0.064")
    status, out, err = program(dataset, split, *TINY, *words)
    assert status == 0, err
    assert "Each minibatch is taken in 2 parts at 4×4 and 8×8." in out
    status, out, err = program(dataset, split, *TINY)
    assert (status, "Continue at 0.064 kimg" in out, "minibatch is taken" in out) == (
        0,
        True,
        False,
    ), err
    one, other = (dict(read_model(run).generator.state_dict()) for run in (whole, split))
    assert max((other[name] - one[name]).abs().max().item() for name in one) < 1e-5


def test_what_cannot_fit_is_refused_before_any_work(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    program.free = 1000
    status, _, err = program(dataset, tmp_path / "run", *TINY)
    assert status == 1
    assert re.search(r"level 4 \(16×16\) does not fit into memory even with 1 image .*--fmap", err)
    status, _, err = program(dataset, tmp_path / "run", *TINY, "--no-recompute")
    assert (status, "even with 4 images" in err, "--recompute" in err) == (1, True, True)
    for wrong in ("0", "some", "1.5"):
        status, _, err = program(dataset, tmp_path / "run", *TINY, "--accumulate", wrong)
        assert (status, "--accumulate" in err) == (2, True)
    assert not (tmp_path / "run").exists()
    # Who forces the parts is believed; groups are taken apart where there are too few.
    status, out, err = program(
        dataset, tmp_path / "run", *TINY, "--accumulate", "8", "--kimg", "0.03"
    )
    assert status == 0, err
    assert "To fit" not in out
    assert "in 2 parts, one image at a time, recomputed at 4×4 and 8×8." in out


def test_networks_that_there_is_no_memory_for_are_a_sentence(
    program: Door, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def giant(*given: object, **options: object) -> None:
        torch.empty(2**60)

    def mistaken(*given: object, **options: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("progan.training.Trainer.__init__", giant)
    # Nobody looks at what is needed where the parts are given.
    status, _, err = program(dataset, tmp_path / "run", *TINY, "--accumulate", "1")
    assert status == 1 and "Traceback" not in err
    assert err.startswith("Error: cpu has no memory for these networks: end what else uses it, or")
    assert not (tmp_path / "run").exists()
    # Any other mistake is ours, and stays one.
    monkeypatch.setattr("progan.training.Trainer.__init__", mistaken)
    with pytest.raises(RuntimeError, match="ours"):
        train.main([*map(str, (dataset, tmp_path / "run", *TINY))], standalone_mode=False)


def test_memory_that_runs_out_in_training_is_a_sentence_and_the_run_goes_on_afterwards(
    program: Door, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    usual = Step.__call__

    def step(self: Step, stage: Stage, nimg: int) -> tuple[Scalars, torch.Tensor]:
        if nimg >= 96 and full:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 99 GiB.")
        return usual(self, stage, nimg)

    monkeypatch.setattr(Step, "__call__", step)
    full = True
    status, _, err = program(dataset, run, *TINY, "--checkpoint-kimg", "0.032")
    assert status == 1 and "Traceback" not in err
    assert "cpu has no memory left at 0.096 kimg" in err and "--accumulate" in err
    full = False
    status, out, _ = program(dataset, run, *TINY, "--checkpoint-kimg", "0.032")
    assert status == 0 and "Continue at 0.096 kimg" in out
