"""What a run outlives: a second training, damage, a move, other data, a full disk."""

import json
import os
import re
import shutil
import signal
import socket
from pathlib import Path

import pytest

import train
from datasets import locking
from datasets.errors import DatasetError
from datasets.pyramid import Dataset
from progan.checkpoint import Checkpoints, read_model
from progan.config import preset
from progan.errors import ProganError
from progan.parallel import Processes
from progan.run_record import read_record, sealed_text
from tests.starting import Started, start, train_py
from tests.tiny_runs import HALF, TINY, WHOLE, prepared
from tools import run_lock
from tools.run_lock import only_training


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("data") / "drawn")


EVENTS = "events.out.tfevents.0000000001.host.1.0"


@pytest.mark.parametrize(
    "name",
    [
        *(".lock", "log.jsonl", "config.json", "generator.safetensors", "given-up.json", EVENTS),
        *("before-copying.safetensors", ".generator.safetensors.9.part", "samples"),
        *("samples/000000000016.png", "samples/classes.txt", "checkpoints/.x.9.part"),
    ],
)
@pytest.mark.parametrize("dangling", [False, True])
def test_a_run_is_not_written_through_a_strangers_links(
    tmp_path: Path, name: str, dangling: bool
) -> None:
    outside = tmp_path / "outside"
    place = tmp_path / "run"
    (place / name).parent.mkdir(parents=True)
    if not dangling:
        outside.mkdir() if name == "samples" else outside.write_text("dear")
    (place / name).symlink_to(outside)
    before = sorted(place.rglob("*"))
    sentence = f"{re.escape(str(place / name))} is a symbolic link, and training would write"
    with pytest.raises(ProganError, match=sentence), only_training(place):
        pass
    assert sorted(place.rglob("*")) == before
    assert outside.exists() is not dangling
    assert dangling or name == "samples" or outside.read_text() == "dear"


def test_links_that_nothing_is_written_through_are_nobodys_business(tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    (elsewhere / "run").mkdir(parents=True)
    (elsewhere / "checkpoints").mkdir()
    place.symlink_to(elsewhere / "run")
    (place / "checkpoints").symlink_to(elsewhere / "checkpoints")
    # Checkpoints are read, replaced and removed under their own names alone.
    (elsewhere / "checkpoints" / "000000000016.safetensors").symlink_to(elsewhere / "16")
    # A note of the user's, and a mark of an editor's that has config.json open.
    (place / "dataset").symlink_to(elsewhere)
    (place / ".#config.json").symlink_to("anna@host.1:2")
    with only_training(place):
        assert (elsewhere / "run" / ".lock").exists()


def begun(tmp_path: Path, *words: object, **environment: str) -> Started:
    return start(tmp_path, train_py, [words], **environment)


def run(tmp_path: Path, *words: object, status: int = 0) -> str:
    started = begun(tmp_path, *words)
    assert started.statuses() == [status], started.said(0)
    assert "Traceback" not in started.said(0)
    return started.said(0)


@pytest.fixture(scope="module")
def undisturbed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder, dataset, folder / "run", *WHOLE)
    return folder / "run"


def newest(run: Path) -> Path:
    return Checkpoints(run / "checkpoints").all()[-1]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_second_training_is_refused_while_the_first_lives(dataset: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    words = (dataset, place, *TINY, "--checkpoint-kimg", "0.016")
    first = begun(tmp_path, *words, "--kimg", 1000)
    first.wait_for(0, "kimg 0.0")
    said = run(tmp_path, *words, status=1)
    who = f"by process {first.pid(0)} on {socket.gethostname()}"
    assert said.startswith(f"Error: {place} is being trained already, {who}: wait")
    # A look at what is going to happen is no training.
    assert "4×4" in run(tmp_path, *words, "--dry-run")
    first.wait_for(0, "kimg 0.1")
    os.kill(first.pid(0), signal.SIGKILL)
    first.statuses()
    # The dead one's lock died with it.
    assert (place / ".lock").exists()
    kimg = int(newest(place).stem) / 1000 + 0.02
    assert "Continue at" in run(tmp_path, *words, "--kimg", kimg)
    assert not [path.name for path in place.iterdir() if path.name.startswith(".")]


def without_locks(*words: object) -> None:
    locking.fcntl = None  # type: ignore[attr-defined, assignment]
    train_py(*words)


def test_where_there_are_no_file_locks_the_process_is_looked_for(
    dataset: Path, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    words = (dataset, place, *TINY, "--checkpoint-kimg", "0.016")
    first = start(tmp_path, without_locks, [(*words, "--kimg", 1000)])
    first.wait_for(0, "kimg 0.0")
    second = start(tmp_path, without_locks, [words])
    assert second.statuses() == [1]
    assert f"is being trained already, by process {first.pid(0)} on" in second.said(0)
    first.wait_for(0, "kimg 0.1")
    os.kill(first.pid(0), signal.SIGKILL)
    first.statuses()
    kimg = int(newest(place).stem) / 1000 + 0.02
    third = start(tmp_path, without_locks, [(*words, "--kimg", kimg)])
    assert third.statuses() == [0], third.said(0)
    assert "drive without file locks" not in third.said(0)
    assert not (place / ".lock").exists()


def test_where_there_are_no_file_locks_another_machine_cannot_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locking, "fcntl", None)
    lock = tmp_path / ".lock"
    # The number of a process that lives, but began at another time: after a new start, perhaps.
    host = socket.gethostname()
    lock.write_text(json.dumps({"pid": os.getpid(), "host": host, "began": "1"}))
    with only_training(tmp_path):
        pass
    assert capsys.readouterr().err == ""
    lock.write_text(json.dumps({"pid": 1, "host": "elsewhere", "began": "1"}))
    with only_training(tmp_path):
        assert "process 1 on elsewhere began to train there" in capsys.readouterr().err
        with pytest.raises(ProganError, match="is being trained already"), only_training(tmp_path):
            pass
    assert not lock.exists()


def test_a_lock_is_not_taken_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear, lock = tmp_path / "dear", tmp_path / ".lock"
    dear.write_text("dear")
    lock.symlink_to(dear)
    with pytest.raises(DatasetError, match=r"\.lock is a symbolic link, .*: remove the link"):
        locking.occupy(lock, "mine")
    # One that comes in between is not followed, either.
    monkeypatch.setattr(Path, "is_symlink", lambda path: False)
    with pytest.raises(OSError, match="symbolic links"):
        locking.occupy(lock, "mine")
    assert dear.read_text() == "dear"


def test_a_start_that_torchrun_repeats_waits_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = locking.occupy(tmp_path / ".lock")
    monkeypatch.setattr("tools.run_lock.time.sleep", lambda seconds: lost.close())
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    with only_training(tmp_path):
        pass
    assert "Waiting until the process that was lost lets go" in capsys.readouterr().err
    # It does not wait for ever.
    monkeypatch.setattr(run_lock, "_PATIENCE_SECONDS", 0.0)
    with (
        locking.occupy(tmp_path / ".lock"),
        pytest.raises(ProganError, match="by another process: wait"),
        only_training(tmp_path),
    ):
        pass


def test_folders_that_nothing_came_into_go_with_the_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), only_training(tmp_path / "a" / "run"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_another_training_has_just_begun_is_left_alone(
    dataset: Path, tmp_path: Path
) -> None:
    run(tmp_path, dataset, tmp_path / "run", *HALF)
    # Between the first look and the lock.
    with (
        pytest.raises(ProganError, match="give the command again"),
        train._only_training(tmp_path / "run", Dataset.open(dataset), None, Processes()),
    ):
        pass


def test_a_damaged_newest_checkpoint_costs_what_came_after_the_one_before(
    dataset: Path, tmp_path: Path, undisturbed: Path
) -> None:
    place = tmp_path / "run"
    run(tmp_path, dataset, place, *HALF)
    bad = newest(place)
    flip(bad, bad.stat().st_size // 2)
    said = run(tmp_path, dataset, place, *WHOLE)
    assert f"Warning: {bad} is damaged" in said
    assert f"It is set aside as {bad.name}.damaged" in said
    assert "Continue at 0.096 kimg" in said
    assert_same_end(place, undisturbed)
    log = [json.loads(line)["nimg"] for line in (place / "log.jsonl").read_text().splitlines()]
    assert log == sorted(set(log))


def test_where_all_checkpoints_are_damaged_nothing_is_begun_anew(
    dataset: Path, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    run(tmp_path, dataset, place, *HALF)
    for path in Checkpoints(place / "checkpoints").all():
        flip(path, 100)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    said = run(tmp_path, dataset, place, *WHOLE, status=1)
    assert said.startswith("Error: all 3 checkpoints in ")
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def another_digit(path: Path, name: str, before: str, after: str) -> None:
    text = path.read_text()
    assert text.count(f'"{name}": {before}') == 1
    path.write_text(text.replace(f'"{name}": {before}', f'"{name}": {after}'))


@pytest.mark.parametrize("damage", ["learning_rate", "kimg", "gone"])
def test_settings_that_were_damaged_or_lost_come_back(
    dataset: Path, tmp_path: Path, undisturbed: Path, damage: str
) -> None:
    place = tmp_path / "run"
    config = place / "config.json"
    run(tmp_path, dataset, place, *HALF)
    whole = json.loads(config.read_text())
    if damage == "learning_rate":
        another_digit(config, damage, '"0.002"', '"0.003"')
    elif damage == "kimg":
        another_digit(config, damage, "0.12", "0.22")
    else:
        config.unlink()
    bad = None if damage == "gone" else config.read_bytes()

    # A look at what is going to happen mends nothing, but tells; without what was damaged, all
    # settings are there.
    assert "says of the run takes its place" in run(tmp_path, dataset, place, "--dry-run")
    assert config.exists() is (bad is not None)
    said = run(tmp_path, dataset, place)
    assert f"Warning: {config} is " in said and "already trained to 0.128 kimg" in said
    assert json.loads(config.read_text()) == whole
    aside = place / "config.json.damaged"
    assert (aside.read_bytes() if aside.exists() else None) == bad
    said = run(tmp_path, dataset, place, *WHOLE)
    assert "Warning" not in said
    assert_same_end(place, undisturbed)


def test_settings_of_another_run_are_refused(dataset: Path, tmp_path: Path) -> None:
    place, other = tmp_path / "run", tmp_path / "other"
    run(tmp_path, dataset, place, *HALF)
    run(tmp_path, dataset, other, *HALF, "--seed", 8)
    shutil.copy(other / "config.json", place / "config.json")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    said = run(tmp_path, dataset, place, "--kimg", 0.2, status=1)
    assert "is not what 000000000128.safetensors was made with (seed 8 instead of 0)" in said
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    # As the sentence says.
    (place / "config.json").unlink()
    assert "Continue at 0.128 kimg" in run(tmp_path, dataset, place, *WHOLE)


def test_damaged_settings_that_no_checkpoint_holds_are_refused(
    dataset: Path, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    run(tmp_path, dataset, place, *HALF)
    checkpoints = Checkpoints(place / "checkpoints")
    for path in checkpoints.all():  # as of an earlier version
        checkpoints.save(*checkpoints.read(path))
    another_digit(place / "config.json", "seed", "0", "1")
    said = run(tmp_path, dataset, place, *WHOLE, status=1)
    assert f"{place / 'config.json'} is damaged (its checksum is not that of its content)" in said
    another_digit(place / "config.json", "seed", "1", "0")
    assert "Continue at 0.128 kimg" in run(tmp_path, dataset, place, *WHOLE)
    assert read_record(place) is not None
    (place / "config.json").unlink()
    assert "Warning" in run(tmp_path, dataset, place, *WHOLE)


@pytest.mark.parametrize("damage", ["gone", "flipped", "older"])
def test_the_model_file_of_a_finished_run_is_written_again(
    dataset: Path, tmp_path: Path, undisturbed: Path, damage: str
) -> None:
    place = tmp_path / "run"
    shutil.copytree(undisturbed, place)
    model = place / "generator.safetensors"
    if damage == "gone":
        model.unlink()
    elif damage == "flipped":
        flip(model, 3000)
    else:  # as after a kill between the last checkpoint and the model file
        run(tmp_path, dataset, tmp_path / "half", *HALF)
        shutil.copy(tmp_path / "half" / model.name, model)
    assert "generator.safetensors is written again" in run(tmp_path, dataset, place, *WHOLE)
    assert_same_end(place, undisturbed)
    assert "written again" not in run(tmp_path, dataset, place, *WHOLE)


def assert_same_end(place: Path, undisturbed: Path) -> None:
    for name in (newest(undisturbed).relative_to(undisturbed), Path("generator.safetensors")):
        assert (place / name).read_bytes() == (undisturbed / name).read_bytes(), name


def test_a_run_goes_on_on_another_machine(dataset: Path, tmp_path: Path, undisturbed: Path) -> None:
    run(tmp_path, dataset, tmp_path / "here", *HALF)
    # The dataset is made anew there, of the same name, on a disk that nobody may write to.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    data = prepared(elsewhere / "drawn")
    for path in (*data.iterdir(), data):
        path.chmod(path.stat().st_mode & ~0o222)
    shutil.copytree(tmp_path / "here", elsewhere / "run")
    (tmp_path / "here").rename(tmp_path / "gone")
    said = run(tmp_path, data, elsewhere / "run", *WHOLE)
    data.chmod(0o755)
    assert "Continue at 0.128 kimg" in said
    assert "Warning" not in said and "other data" not in said
    assert_same_end(elsewhere / "run", undisturbed)
    config = json.loads((elsewhere / "run" / "config.json").read_text())
    assert config["dataset"]["path"] == str(data)
    assert "earlier_datasets" not in config


def test_other_data_are_accepted_when_asked_and_remembered(
    dataset: Path, tmp_path: Path, undisturbed: Path
) -> None:
    place, accept = tmp_path / "run", "--accept-changed-data"
    other = prepared(tmp_path / "other", "--seed", 9)
    run(tmp_path, dataset, place, *HALF)
    said = run(tmp_path, other, place, *WHOLE, status=1)
    assert "the fingerprints differ" in said and accept in said
    said = run(tmp_path, other, place, *TINY, "--kimg", 0.17, accept)
    assert f"From 0.128 kimg on, {place} learns from other data than before" in said

    first, second = (json.loads((path / "dataset.json").read_text()) for path in (dataset, other))
    known = json.loads((place / "config.json").read_text())
    assert known["dataset"] == {"path": str(other), "fingerprint": second["fingerprint"]}
    assert known["earlier_datasets"] == [
        {"path": str(dataset), "fingerprint": first["fingerprint"], "until_nimg": 128}
    ]
    trained = read_model(place).trained
    assert trained["dataset"]["fingerprint"] == second["fingerprint"]
    assert trained["earlier_datasets"] == [
        {"name": "drawn", "fingerprint": first["fingerprint"], "until_nimg": 128}
    ]
    # From now on that is the run's own dataset; the first one is the other.
    assert "learns from other data" not in run(tmp_path, other, place, *WHOLE)
    assert newest(place).read_bytes() != newest(undisturbed).read_bytes()
    run(tmp_path, dataset, place, *WHOLE, status=1)
    # Back at a state from before the change, and with the first data, nothing was ever changed.
    shutil.rmtree(place / "checkpoints")
    run(tmp_path, dataset, tmp_path / "half", *HALF)
    shutil.copytree(tmp_path / "half" / "checkpoints", place / "checkpoints")
    run(tmp_path, dataset, place, *WHOLE, accept)
    assert_same_end(place, undisturbed)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--channels", "1"], "are for 3 channels"),
        (["--resolution", "8"], "are for 16 pixels"),
        (["--classes", "labels"], "are for 0 classes"),
    ],
)
def test_other_data_that_do_not_fit_are_refused_all_the_same(
    dataset: Path, tmp_path: Path, undisturbed: Path, words: list[str], sentence: str
) -> None:
    other = prepared(tmp_path / "other", *words)
    before = (undisturbed / "config.json").read_bytes()
    said = run(tmp_path, other, undisturbed, *WHOLE, "--accept-changed-data", status=1)
    assert sentence in said
    assert (undisturbed / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("num_channels", 1, "are for 1 channels, and"),
        ("label_size", 3, "are for 3 classes, and"),
        ("resolution", 32, "are for 32 pixels, and"),
    ],
)
def test_settings_that_contradict_the_runs_own_data_are_refused(
    dataset: Path, tmp_path: Path, name: str, value: int, sentence: str
) -> None:
    place = tmp_path / "run"
    place.mkdir()
    fingerprint = json.loads((dataset / "dataset.json").read_text())["fingerprint"]
    config = preset("small", resolution=16, fmap_base=32, fmap_max=4).to_json() | {name: value}
    record = {"config": config, "dataset": {"path": str(dataset), "fingerprint": fingerprint}}
    (place / "config.json").write_text(sealed_text(record))
    said = run(tmp_path, dataset, place, "--device", "cpu", status=1)
    assert said.startswith(f"Error: the networks in {place} {sentence}")
    assert [path.name for path in place.iterdir()] == ["config.json"]
