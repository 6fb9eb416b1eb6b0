"""Training with several processes, as the user meets it: divide, stop, lose one, continue."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.__main__ import datasets as datasets_main
from datasets.pyramid import Dataset
from progan.checkpoint import Checkpoints
from progan.config import begun_with, preset
from progan.parallel import Processes
from tests.starting import PATIENCE, Started, start, train_py
from tools import run_config

ROOT = Path(__file__).resolve().parent.parent
# With a large epsilon Adam does not turn rounding errors of tiny gradients into whole steps.
TINY = [
    *("--preset", "small", "--fmap-base", "32", "--fmap-max", "4", "--minibatch", "8"),
    *("--minibatch-repeats", "2", "--kimg", "0.32", "--fade-kimg", "0.08", "--hold-kimg", "0.048"),
    *("--learning-rate", "0.001", "--tick-seconds", "0", "--device", "cpu"),
    "--no-watch-memorization",
    *("--adam-epsilon", "0.1", "--sample-kimg", "10", "--checkpoint-kimg", "10"),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "drawn"
    datasets_main(
        ["prepare", "drawn:40", str(path), "--resolution", "16", "--workers", "1"],
        standalone_mode=False,
    )
    return path


def trained(folder: Path, count: int, *words: object) -> Started:
    """Start train.py in `count` processes."""
    return start(folder, train_py, [words] * count)


def weights(run: Path) -> dict[str, torch.Tensor]:
    newest = Checkpoints(run / "checkpoints").newest()
    assert newest is not None
    return {name: tensor for name, tensor in newest[0].items() if "_adam" not in name}


def log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_run_goes_on_with_another_number_of_processes(dataset: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another machine"
    elsewhere.mkdir()
    (elsewhere / "data").symlink_to(dataset)

    def run(name: str, count: int, *words: object) -> Started:
        words = (*TINY, *words)
        arguments = [
            (dataset, tmp_path / name, *words),
            # Only the first process sees the run's directory.
            (elsewhere / "data", elsewhere / name, *words),
        ]
        started = start(tmp_path, train_py, arguments[:count], LOCAL_WORLD_SIZE="1")
        assert set(started.statuses()) == {0}, [started.said(rank) for rank in range(count)]
        return started

    run("alone", 1)
    run("fewer", 2, "--kimg", "0.2")  # in a fade
    run("fewer", 1)
    run("more", 1, "--kimg", "0.2")
    said = run("more", 2)
    for name in ("fewer", "more"):
        one, other = weights(tmp_path / "alone"), weights(tmp_path / name)
        differences = {key: (other[key] - one[key]).abs().max() for key in one}
        assert max(differences.values()) < 1e-4, differences

    # Losses are means over all processes, not what the first one has seen.
    for name in ("fewer", "more"):
        for line, expected in zip(log(tmp_path / name), log(tmp_path / "alone"), strict=True):
            scalars = {k: v for k, v in expected.items() if k.startswith(("loss/", "scores/"))}
            assert len(scalars) == 8
            assert {k: line[k] for k in scalars} == pytest.approx(scalars, rel=1e-4, abs=1e-4)
    # One process speaks, and one writes.
    assert "Continue at 0.208 kimg" in said.said(0)
    assert "on 2 processes" in said.said(0)
    assert said.said(1) == ""
    assert [path.name for path in elsewhere.iterdir()] == ["data"]

    # What is finished already is said once, too.
    again = run("alone", 2)
    assert "already trained to 0.32 kimg" in again.said(0)
    assert again.said(1) == ""


@pytest.mark.parametrize("killed", [0, 1])
def test_a_lost_process_ends_the_run_with_a_sentence(
    dataset: Path, tmp_path: Path, killed: int
) -> None:
    run = tmp_path / "run"
    words = (dataset, run, *TINY, "--kimg", "1000", "--checkpoint-kimg", "0.032")
    started = trained(tmp_path, 2, *words)
    started.wait_for(0, "kimg 0.1 ")
    os.kill(started.pid(killed), signal.SIGKILL)
    left = 1 - killed
    begun = time.monotonic()
    started.processes[left].join(30)
    assert not started.processes[left].is_alive(), "the process that is left hangs"
    assert time.monotonic() - begun < 30
    statuses = started.statuses()
    assert (statuses[killed], statuses[left]) == (-signal.SIGKILL, 1), started.said(left)
    last = started.said(left).splitlines()[-1]
    assert re.match(rf"Error: process {killed} of 2 is gone \(killed, .* newest checkpoint", last)
    assert "Traceback" not in started.said(left)

    newest = Checkpoints(run / "checkpoints").newest()
    assert newest is not None
    if killed == 1:
        return
    kimg = newest[1] / 1000
    alone = trained(tmp_path, 1, dataset, run, *TINY, "--kimg", kimg + 0.02)
    assert alone.statuses() == [0], alone.said(0)
    assert f"Continue at {kimg:g} kimg" in alone.said(0)


def test_a_signal_to_any_process_stops_all_after_the_same_round(
    dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    started = trained(tmp_path, 2, dataset, run, *TINY, "--kimg", "1000")
    started.wait_for(0, "kimg 0.1")
    os.kill(started.pid(1), signal.SIGTERM)
    assert started.statuses() == [0, 0], (started.said(0), started.said(1))
    last = started.said(0).splitlines()[-1]
    assert re.match(r"Stopped at \S+ kimg with a checkpoint\. To go on: ", last)
    assert started.said(1) == ""
    newest = Checkpoints(run / "checkpoints").newest()
    assert newest is not None and f"at {newest[1] / 1000:g} kimg" in last


def test_what_all_processes_find_wrong_is_said_once(dataset: Path, tmp_path: Path) -> None:
    for words, status, sentence in (
        ((dataset, tmp_path / "run", *TINY, "--mbstd-group-size", "8"), 1, "cannot share evenly"),
        ((dataset, tmp_path / "run", *TINY, "--device", "abacus"), 2, "is one device"),
        ((tmp_path / "none", tmp_path / "run", *TINY), 1, str(tmp_path / "none")),
    ):
        started = trained(tmp_path, 2, *words)
        assert started.statuses() == [status, status], (started.said(0), started.said(1))
        assert sentence in started.said(0)
        assert started.said(1) == ""
        assert not (tmp_path / "run").exists()


def test_other_data_in_another_process_are_refused(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    datasets_main(
        ["prepare", "drawn:40", str(other), "--resolution", "16", "--workers", "1", "--seed", "9"],
        standalone_mode=False,
    )
    run = tmp_path / "run"
    started = start(tmp_path, train_py, [(dataset, run, *TINY), (other, run, *TINY)])
    assert started.statuses() == [1, 1]
    assert "the fingerprints differ" in started.said(1)
    assert "Error" not in started.said(0)
    assert not (run / "checkpoints").exists()


def test_a_run_keeps_the_minibatches_of_the_number_that_it_began_with() -> None:
    for processes in (1, 2, 4, 8):
        assert begun_with(preset("v2", processes)) == processes
    assert begun_with(preset("v2", 2, minibatch="64")) is None
    assert begun_with(preset("paper", 2)) is None


class Two(Processes):
    """Of two processes, the first, which nobody listens to."""

    def tell(self, value: Any) -> Any:
        return value


def test_a_run_that_goes_on_says_that_it_keeps_its_minibatches(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = tmp_path / "run", Dataset.open(dataset)
    config = run_config.settle_config("v2", {"fmap_base": 32}, data, run, Processes())
    run_config.begin(run, config, data, 0)
    capsys.readouterr()
    assert run_config.settle_config("paper", {}, data, run, Processes()) == config
    assert capsys.readouterr().out == ""
    assert run_config.settle_config("paper", {}, data, run, Two(0, 2)) == config
    assert "keeps the minibatches and learning rates that preset v2 gave it for 1 process." in (
        capsys.readouterr().out
    )


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")
def test_torchrun_restarts_from_the_newest_checkpoint_and_stops_when_told(
    dataset: Path, tmp_path: Path
) -> None:
    run, said = tmp_path / "run", tmp_path / "said"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts", "3"]
    command += ["--nproc-per-node", "2", str(ROOT / "train.py"), str(dataset), str(run), *TINY]
    command += ["--kimg", "1000", "--checkpoint-kimg", "0.016"]
    with said.open("w") as file:
        torchrun = subprocess.Popen(
            command, stdout=file, stderr=file, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
    try:

        def wait_for(pattern: str) -> re.Match[str]:
            end = time.monotonic() + PATIENCE
            while (found := re.search(pattern, said.read_text())) is None:
                assert time.monotonic() < end and torchrun.poll() is None, said.read_text()
                time.sleep(0.02)
            return found

        wait_for(r"kimg 0\.1 ")
        os.kill(children(torchrun.pid)[1], signal.SIGKILL)
        continued = wait_for(r"Continue at (\S+) kimg")
        assert float(continued[1]) > 0
        wait_for(r"Continue at [^$]*\nkimg (?s:.*)\nkimg ")
        torchrun.terminate()
        torchrun.wait(PATIENCE)
    finally:
        torchrun.kill()
    text = said.read_text()
    found = re.findall(r"Stopped at (\S+) kimg with a checkpoint\.", text)
    assert len(found) == 1, text
    newest = Checkpoints(run / "checkpoints").newest()
    assert newest is not None and newest[1] == round(1000 * float(found[0]))
    after = text[text.index("Continue at") :]
    assert after.count("Stopping after this step") == 1
    assert "exitcode" not in after
    positions = [line["nimg"] for line in log(run)]
    assert positions == sorted(set(positions))
