"""The door to training, as the user meets it: begin, stop, kill, continue, misuse."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train
from datasets import door
from datasets.__main__ import datasets as datasets_main
from datasets.pyramid import Dataset
from progan.adversarial import critic_objective
from progan.checkpoint import Checkpoints, read_model
from progan.errors import ProganError
from progan.latents import latents_of_seeds
from tools.memorization.watch import Look, Watch
from tools.stopping import StopSignals

ROOT = Path(__file__).resolve().parent.parent
# Seconds: to end a test that hangs, however slow the machine.
_PATIENCE = 900
# A run through all phases from 4 to 16 pixels, in a second or two.
TINY = [
    *("--preset", "small", "--fmap-base", "32", "--fmap-max", "4", "--minibatch", "8"),
    *("--minibatch-repeats", "2", "--kimg", "0.64", "--fade-kimg", "0.16", "--hold-kimg", "0.08"),
    *("--tick-seconds", "0", "--device", "cpu", "--no-watch-memorization"),
]


@pytest.fixture(autouse=True)
def undisturbed() -> Iterator[None]:
    """Put back what the door changes in this process; small networks need one thread."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    usual = {number: signal.getsignal(number) for number in numbers}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for number, handler in usual.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "drawn"
    datasets_main(
        ["prepare", "drawn:40", str(path), "--resolution", "16", "--workers", "1"],
        standalone_mode=False,
    )
    return path


class Ended:
    def __init__(self, status: object, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


class Door:
    """Runs train.py's command in this process, as the whole program."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> Ended:
        self.monkeypatch.setattr("sys.argv", ["train.py", *map(str, words)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            door.run(train.main, ProganError)
        captured = self.capsys.readouterr()
        # The door takes SIGTERM for itself, also one that was meant for the tests as a whole (of a
        # limit on their time, say): a training that ends early and well, with other weights.
        if "Stopping after this step" in captured.err:
            pytest.fail("a signal from outside has stopped the training within this test")
        return Ended(ended.value.code, captured.out, captured.err)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Door:
    return Door(monkeypatch, capsys)


def started(*words: object) -> subprocess.Popen[str]:
    """Start train.py as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "train.py"), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def course(run: Path) -> list[tuple[int, float, float]]:
    """Images shown and losses at every tick of a run."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [
        (line["nimg"], line["loss/critic"], line["loss/generator"])
        for line in lines
        if "loss/critic" in line
    ]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(read_model(run).generator.state_dict())


def test_a_run_leaves_everything_behind_that_it_should(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = program(dataset, run, *TINY, "--sample-kimg", "0.2", "--checkpoint-kimg", "0.1")
    assert ended.status == 0, ended.err
    assert {path.name for path in run.iterdir() if not path.name.startswith("events.")} == {
        "config.json", "log.jsonl", "samples", "checkpoints", "generator.safetensors",
    }  # fmt: skip
    assert any(path.name.startswith("events.") for path in run.iterdir())

    model = read_model(run)
    assert (model.generator.level, model.generator.fade) == (4, 1.0)
    assert model.trained["nimg"] == 640
    assert model.trained["config"]["fmap_max"] == 4

    samples = sorted(path.name for path in (run / "samples").iterdir())
    assert samples == ["000000000208.png", "000000000400.png", "000000000608.png",
                       "000000000640.png"]  # fmt: skip
    for name in samples:
        with Image.open(run / "samples" / name) as sheet:
            assert sheet.size == (128, 128)
    assert len(list((run / "checkpoints").iterdir())) == 3

    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["nimg"] for line in lines] == list(range(16, 641, 16))
    for name in (
        "loss/critic", "loss/generator", "loss/wasserstein", "loss/gradient_penalty", "loss/drift",
        "scores/real", "scores/fake", "scores/gradient_norm", "progress/level", "progress/fade",
        "progress/learning_rate", "speed/images_per_second", "speed/memory_gib",
    ):  # fmt: skip
        assert all(isinstance(line[name], float | int) for line in lines), name
    assert [line["progress/level"] for line in lines][-1] == 4
    status = [line for line in ended.out.splitlines() if line.startswith("kimg")]
    assert len(status) == len(lines)
    assert re.match(
        r"kimg 0\.1 / 0\.64 \(17 %\) +level 3 \(8×8\)  fade 0\.\d\d  \S+ s/kimg  \d.* left  "
        r"memory \S+ GiB",
        status[6],
    )


def test_the_last_sample_grid_shows_the_average_generator(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert program(dataset, run, *TINY, "--kimg", "0.3").status == 0
    generator = read_model(run).generator
    with torch.no_grad():
        images = generator(torch.from_numpy(latents_of_seeds(range(64), generator.latent_size)))
    factor = 16 // images.shape[2]
    cell = (images[9].clamp(-1, 1) * 127.5 + 127.5).round().numpy().transpose(1, 2, 0)
    sheet = np.asarray(Image.open(max((run / "samples").iterdir())))
    np.testing.assert_array_equal(sheet[16:32:factor, 16:32:factor], cell)


def test_a_run_killed_in_mid_fade_continues_to_the_same_bits(dataset: Path, tmp_path: Path) -> None:
    words = [*TINY, "--checkpoint-kimg", "0.016"]
    undisturbed = started(dataset, tmp_path / "undisturbed", *words)

    # A fade is told of ten times; after the last one, it is over.
    moment = random.SystemRandom().uniform(0.05, 0.85)
    process = started(dataset, tmp_path / "killed", *words)
    assert process.stdout is not None
    fades = []
    for line in process.stdout:
        found = re.search(r"level (\d) .* fade (\d\.\d\d)", line)
        if found and found[1] == "4" and float(found[2]) >= moment:
            process.send_signal(signal.SIGKILL)
            fades.append(float(found[2]))
            break
    rest, _ = process.communicate(timeout=_PATIENCE)
    assert process.returncode == -signal.SIGKILL, (moment, rest)
    assert fades[0] < 1, moment

    continued = started(dataset, tmp_path / "killed", *words)
    out, _ = continued.communicate(timeout=_PATIENCE)
    assert continued.returncode == 0, out
    assert "Continue at" in out
    out, _ = undisturbed.communicate(timeout=_PATIENCE)
    assert undisturbed.returncode == 0, out
    one, other = weights(tmp_path / "undisturbed"), weights(tmp_path / "killed")
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(other[name], tensor), (name, moment)
    # Both have logged the same losses, each position once.
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("undisturbed", "killed")
    ]
    losses = [[(line["nimg"], line["loss/critic"]) for line in log] for log in logs]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_training_with_a_checkpoint_and_a_sentence(
    dataset: Path, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    process = started(dataset, run, *TINY, "--kimg", "1000")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("kimg"):
            process.send_signal(number)
            break
    out, _ = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, out
    last = out.splitlines()[-1]
    assert re.match(r"Stopped at \S+ kimg with a checkpoint\. To go on: python train\.py ", last)
    assert "Traceback" not in out
    assert str(run) in last
    (newest,) = list((run / "checkpoints").iterdir())[-1:]
    assert f"at {int(newest.stem) / 1000:g} kimg" in last


def test_a_run_whose_listener_is_gone_goes_on_and_stops_with_a_checkpoint(
    dataset: Path, tmp_path: Path
) -> None:
    # Ctrl-C in a terminal ends `tee` at the end of a pipe, too.
    run = tmp_path / "run"
    process = started(dataset, run, *TINY, "--kimg", "1000")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("kimg"):
            break
    process.stdout.close()
    log = run / "log.jsonl"
    before = log.stat().st_size
    while log.stat().st_size < before + 1000:  # several status lines that nobody reads
        assert process.poll() is None
        time.sleep(0.05)
    assert not (run / "checkpoints").exists()
    process.send_signal(signal.SIGINT)
    assert process.wait(_PATIENCE) == 0
    (newest,) = (run / "checkpoints").iterdir()
    assert int(newest.stem) >= json.loads(log.read_text().splitlines()[-1])["nimg"]


# Makes what it writes to the terminal of its session, and then becomes train.py.
_IN_TERMINAL = """import fcntl, os, sys, termios
fcntl.ioctl(1, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"""


def test_a_run_whose_terminal_is_closed_goes_on(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = map(str, (ROOT / "train.py", dataset, run, *TINY, "--kimg", 1000))
    terminal, inside = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", _IN_TERMINAL, *words],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        os.close(inside)
        said = b""
        while b"kimg 0.0" not in said:
            said += os.read(terminal, 4096)
        os.close(terminal)
        log = run / "log.jsonl"
        before = log.stat().st_size
        while log.stat().st_size < before + 1000:  # several status lines that nobody reads
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(_PATIENCE) == 0
    (newest,) = (run / "checkpoints").iterdir()
    assert int(newest.stem) >= json.loads(log.read_text().splitlines()[-1])["nimg"]


def test_going_further_is_the_one_change_that_a_run_allows(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    run, straight = tmp_path / "run", tmp_path / "straight"
    assert program(dataset, run, *TINY, "--kimg", "0.2").status == 0
    again = program(dataset, run)
    assert (again.status, "already trained to" in again.out) == (0, True)
    further = program(dataset, run, *TINY, "--kimg", "0.4")
    assert further.status == 0, further.err
    assert program(dataset, straight, *TINY, "--kimg", "0.4").status == 0
    assert all(torch.equal(weights(run)[n], t) for n, t in weights(straight).items())

    refused = program(dataset, run, *TINY, "--kimg", "0.6", "--seed", "3")
    assert refused.status == 2
    assert "--seed 3 cannot be changed" in refused.err


def test_a_run_keeps_its_precision_and_older_runs_have_float32(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    refused = program(dataset, run, *TINY, "--precision", "fp16")
    assert (refused.status, "float32" in refused.err) == (2, True)
    begun = program(dataset, run, *TINY, "--kimg", "0.1", "--precision", "float16")
    assert begun.status == 0, begun.err
    refused = program(dataset, run, "--kimg", "0.2", "--precision", "float32")
    assert refused.status == 2
    assert "--precision float32 cannot be changed" in refused.err
    path = run / "config.json"
    saved = json.loads(path.read_text())
    assert saved["config"].pop("precision") == "float16"
    del saved["checksum"]
    path.write_text(
        json.dumps(saved | {"format_version": 1})
    )  # as of a run from before there was a choice
    refused = program(dataset, run, "--kimg", "0.2", "--precision", "float16")
    assert (refused.status, "began with float32" in refused.err) == (2, True)
    assert "only --kimg may change" in refused.err


def test_other_data_are_refused_for_a_run_that_has_begun(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    assert program(dataset, run, *TINY, "--kimg", "0.05").status == 0
    datasets_main(
        ["prepare", "drawn:40", str(other), "--resolution", "16", "--workers", "1", "--seed", "9"],
        standalone_mode=False,
    )
    ended = program(other, run, *TINY)
    assert ended.status == 1
    assert "the fingerprints differ" in ended.err


def test_classes_are_trained_and_named_in_the_model(program: Door, tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), np.uint8)
    for number, colour in enumerate(colours):
        folder = tmp_path / "photographs" / ("warm" if number % 2 else "cold")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colour).save(folder / f"{number}.png")
    data, run = tmp_path / "data", tmp_path / "run"
    datasets_main(
        ["prepare", str(tmp_path / "photographs"), str(data), "--resolution", "16",
         "--classes", "folders", "--held-out", "0.25", "--workers", "1"],
        standalone_mode=False,
    )  # fmt: skip
    ended = program(data, run, *TINY, "--kimg", "0.1", "--metric", "ms-ssim")
    assert ended.status == 0, ended.err
    model = read_model(run)
    assert model.classes == ("cold", "warm")
    labels = Dataset.open(data).labels
    assert labels is not None
    trained_on = np.bincount(labels[Dataset.open(data).rows("train")])
    assert model.class_counts == tuple(trained_on)

    # The sample grid: a row for each class, of the same eight faces.
    assert (run / "samples" / "classes.txt").read_text().splitlines() == ["cold", "warm"]
    sheet = np.asarray(Image.open(max((run / "samples").glob("*.png"))))
    assert sheet.shape == (32, 128, 3)
    points = torch.from_numpy(latents_of_seeds(range(8), model.generator.latent_size))
    factor = 16 // 2**model.generator.level
    for label in range(2):
        images = model.generator(points, torch.full((8,), label))
        cells = (images.clamp(-1, 1) * 127.5 + 127.5).round().numpy().transpose(0, 2, 3, 1)
        row = sheet[16 * label : 16 * label + 16 : factor, ::factor]
        np.testing.assert_array_equal(row, np.concatenate(list(cells), axis=1))
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert max(line.get("loss/class_of_reals", 0) for line in lines) > 0
    assert max(line.get("metrics/ms-ssim/held-out", 0) for line in lines) > 0


def test_measuring_while_training_changes_no_weight(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    plain, measured = tmp_path / "plain", tmp_path / "measured"
    unwatched = program(dataset, plain, *TINY)
    assert unwatched.status == 0 and "Trained to 0.64 kimg" in unwatched.out
    # Too little memory would change weights by rounding, which is then said.
    assert "minibatch is taken" not in unwatched.out
    words = ("--metric", "swd,ms-ssim", "--metric-kimg", "0.1", "--metric-images", "20",
             "--watch-memorization")  # fmt: skip
    ended = program(dataset, measured, *TINY, *words)
    assert ended.status == 0, ended.err
    assert "minibatch is taken" not in ended.out
    # Where they part, if they do, says more than that they have.
    assert len(course(plain)) == 40 and course(measured) == course(plain)
    assert all(torch.equal(weights(measured)[n], t) for n, t in weights(plain).items())
    lines = [json.loads(line) for line in (measured / "log.jsonl").read_text().splitlines()]
    found = [line for line in lines if any(name.startswith("metrics/") for name in line)]
    assert [line["nimg"] for line in found] == [112, 208, 304, 400, 512, 608, 640]
    # Patches need 16 pixels; variation can be measured at any size.
    assert [("metrics/swd/train/mean" in line) for line in found] == [False] * 3 + [True] * 4
    assert all(
        {"metrics/ms-ssim/train", "metrics/ms-ssim/held-out"} <= line.keys() for line in found
    )
    assert {"metrics/swd/held-out/16"} <= found[-1].keys()
    assert "swd/train/mean" in ended.out
    looks = [line for line in lines if "memorization/flagged_share" in line]
    assert [line["nimg"] for line in looks] == [400, 512, 608, 640]
    assert all(0 <= line["memorization/flagged_share"] <= 1 for line in looks)
    assert "copies? " in ended.out

    refused = program(dataset, tmp_path / "run", *TINY, "--metric", "fid")
    assert (refused.status, "give a --detector" in refused.err) == (2, True)


def test_training_ends_where_copying_begins_and_keeps_what_did_not_copy(
    program: Door, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One look with a sign is chance; two in a row are believed.
    seen = iter([False, True, False, True, True])

    def look(self: Watch, images: np.ndarray) -> Look:
        return Look(
            flagged_share=0.5, expected_share=0.02, near_duplicates=0.0, sign=next(seen), c_t={}
        )

    monkeypatch.setattr(Watch, "look", look)
    run = tmp_path / "run"
    words = (*TINY, "--metric-kimg", "0.05", "--watch-memorization", "--on-copying", "stop")
    ended = program(dataset, run, *words)
    assert ended.status == 0, ended.err
    looks = [
        line["nimg"]
        for line in map(json.loads, (run / "log.jsonl").read_text().splitlines())
        if "memorization/flagged_share" in line
    ]
    assert len(looks) == 5 and next(seen, None) is None
    assert "begun to copy" in ended.out and "before-copying.safetensors" in ended.out
    stopped = Checkpoints(run / "checkpoints").newest()
    # After the next round, and without a look of its own.
    assert stopped is not None and looks[-1] < stopped[1] < 640
    kept = read_model(run / "before-copying.safetensors")
    assert kept.trained["nimg"] == looks[2]
    assert read_model(run).trained["nimg"] == stopped[1]
    # It can be looked at, and trained further, like any other.
    told = program(dataset, run, *TINY)
    assert told.status == 0 and read_model(run).trained["nimg"] == 640

    refused = program(dataset, tmp_path / "other", *TINY, "--on-copying", "stop")
    assert (refused.status, "--watch-memorization" in refused.err) == (2, True)


def test_a_dry_run_prints_the_schedule_and_writes_nothing(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    ended = program(dataset, tmp_path / "run", *TINY, "--dry-run")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out[: ended.out.index("}") + 1])["fmap_max"] == 4
    rows = [line.split() for line in ended.out.splitlines() if re.match(r" +\d ", line)]
    assert [row[:7] for row in rows] == [
        ["2", "4×4", "hold", "0", "–", "0.08", "8"],
        ["3", "8×8", "fade", "0.08", "–", "0.24", "8"],
        ["3", "8×8", "hold", "0.24", "–", "0.32", "8"],
        ["4", "16×16", "fade", "0.32", "–", "0.48", "8"],
        ["4", "16×16", "hold", "0.48", "–", "0.64", "8"],
    ]
    assert not (tmp_path / "run").exists()


def test_training_that_breaks_down_keeps_the_last_good_checkpoint(
    program: Door, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert program(dataset, run, *TINY, "--kimg", "0.2").status == 0
    before = {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    before[run / "generator.safetensors"] = (run / "generator.safetensors").read_bytes()

    def broken(*args: object, **options: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss, scalars = critic_objective(*args, **options)  # type: ignore[arg-type]
        return loss / 0, scalars

    monkeypatch.setattr("progan.step.critic_objective", broken)
    ended = program(dataset, run, *TINY, "--kimg", "100", "--checkpoint-kimg", "10")
    assert ended.status == 1
    assert "20 steps in a row" in ended.err
    assert "steps were skipped" in ended.out
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--minibatch", "6"], 2, "--mbstd-group-size 4"),
        (["--minibatch", "many"], 2, "is not a number with exceptions"),
        (["--resolution", "32"], 2, "is more than the 16 pixels"),
        (["--resolution", "15"], 2, "power of two"),
        (["--fmap-base", "4"], 2, "leaves no feature map"),
        (["--device", "abacus"], 2, "cannot be used on this machine"),
        (["--device", "meta"], 2, "'meta' cannot be used on this machine"),
        (["--device", "hpu"], 2, "'hpu' cannot be used on this machine"),
        (["--kimg", "0.0001"], 2, "--kimg must be at least 0.001"),
        (["--latent-size", "100000000000000"], 2, "--latent-size must be at most 1048576"),
        (["--metric-kimg", "1"], 2, "--metric-kimg needs --metric or --watch-memorization"),
        (["--metric-images", "9"], 2, "--metric-images needs --metric or --watch-memorization"),
        (["--preset", "v3"], 2, "v3"),
        (["--kimg", "-1"], 2, "--kimg must be positive"),
        (["--seed", "-1"], 2, "--seed must be from 0 to"),
    ],
)
def test_misuse_is_a_sentence(
    program: Door, dataset: Path, tmp_path: Path, words: list[str], status: int, sentence: str
) -> None:
    ended = program(dataset, tmp_path / "run", *TINY, *words)
    assert ended.status == status
    assert sentence in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "run").exists()


def test_places_that_are_no_runs_are_left_alone(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "a.jpg").write_bytes(b"dear")
    file = tmp_path / "file"
    file.write_text("dear")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text("{")
    for place, sentence in (
        (photographs, "holds no run"),
        (file, "is a file"),
        (damaged, "is damaged"),
    ):
        ended = program(dataset, place, *TINY)
        assert (ended.status, sentence in ended.err) == (1, True), ended.err
    assert [p.name for p in photographs.iterdir()] == ["a.jpg"]
    assert file.read_text() == "dear"


def test_no_dataset_is_a_sentence(program: Door, tmp_path: Path) -> None:
    ended = program(tmp_path / "none", tmp_path / "run")
    assert ended.status == 1
    assert "Traceback" not in ended.err
    assert str(tmp_path / "none") in ended.err


def test_help_needs_no_torch() -> None:
    code = "import sys, train; train.main(['--help'], standalone_mode=False)"
    found = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    for name in ("--preset", "--kimg", "--fade-kimg", "--minibatch", "--dry-run", "--no-mirror"):
        assert name in found.stdout


def test_a_second_signal_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopSignals()
    assert not stop()
    signal.raise_signal(signal.SIGTERM)
    assert stop()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert threading.current_thread() is threading.main_thread()


def test_the_end_of_the_terminal_is_a_request_under_torchrun_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    stop = StopSignals()
    signal.raise_signal(signal.SIGHUP)
    assert not stop()
    assert f"Training goes on, in process {os.getpid()}" in capsys.readouterr().err

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    stop = StopSignals()
    for _ in range(2):  # from the terminal, and from torchrun
        signal.raise_signal(signal.SIGHUP)
    assert stop()


@pytest.mark.parametrize("torchrun", [False, True])
def test_under_nohup_the_end_of_the_terminal_stays_ignored(
    monkeypatch: pytest.MonkeyPatch, torchrun: bool
) -> None:
    if torchrun:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = StopSignals()
    signal.raise_signal(signal.SIGHUP)
    assert not stop()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_options_that_would_be_ignored_are_refused(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    for words, sentence in (
        (["--rollbacks", "3"], "--rollbacks needs --on-divergence rollback"),
        (["--rollbacks", "3", "--on-divergence", "warn"], "--rollbacks needs --on-divergence"),
        (["--detector", "inception"], "--detector needs a --metric that looks at features"),
        (["--metric", "swd", "--detector", "inception"], "--detector needs a --metric that"),
        (["--metric", "swd", "--trust"], "--trust needs a --metric that looks at features"),
        (["--trust"], "--trust needs a --metric that looks at features"),
    ):
        refused = program(dataset, tmp_path / "run", *TINY, *words)
        assert (refused.status, sentence in refused.err) == (2, True), refused.err
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_its_preset(program: Door, dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    once = ("--kimg", "0.05", "--on-divergence", "rollback", "--rollbacks", "1")
    begun = program(dataset, run, *TINY, *once)
    assert begun.status == 0, begun.err
    for other in ("paper", "modern"):
        refused = program(dataset, run, "--preset", other, "--kimg", "0.1", "--device", "cpu")
        assert refused.status == 2
        assert (
            f"--preset {other} cannot be given for {run}, which began with 'small'" in refused.err
        )
    # Its own may be given, or none, which is not the usual one then.
    for own in (["--preset", "small"], []):
        again = program(dataset, run, *own, "--device", "cpu")
        assert (again.status, "already trained" in again.out) == (0, True), again.err


def test_a_pipe_in_a_run_directory_is_refused_and_not_waited_for(
    program: Door, dataset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert program(dataset, run, *TINY, "--kimg", "0.064").status == 0
    (run / "log.jsonl").unlink()
    os.mkfifo(run / "log.jsonl")
    ended = program(dataset, run, *TINY, "--kimg", "0.2")
    assert ended.status == 1, ended.err
    assert "log.jsonl is neither a file nor a folder" in ended.err
