"""What a run says of itself is noticed when it changes, and comes back when it is lost."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from progan.checkpoint import Checkpoints
from progan.errors import DamagedFile, ProganError
from progan.run_record import (
    for_checkpoints,
    read_record,
    read_sealed,
    refuse_other_settings,
    said_by,
    sealed_text,
)
from tests.progan.making import small_config

RECORD: dict[str, Any] = {
    "config": small_config().to_json(),
    "dataset": {"path": "/home/somebody/photographs", "fingerprint": "f00d"},
    "earlier_datasets": [{"path": "/home/else/old", "fingerprint": "beef", "until_nimg": 32}],
    "rollbacks": [{"nimg": 16, "attempt": 1, "diverged_nimg": 48, "why": "schlecht: ü"}],
}


def saved(run: Path, nimg: int, record: dict[str, Any] | None = None) -> Path:
    state = {"x": torch.full((9,), float(nimg))}
    return Checkpoints(run / "checkpoints").save(state, nimg, record)


def without_version(record: dict[str, Any] | None) -> dict[str, Any]:
    assert record is not None
    return {name: value for name, value in record.items() if name != "format_version"}


def test_every_flipped_bit_of_the_settings_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(sealed_text(RECORD))
    as_it_was = read_sealed(path)
    assert without_version(as_it_was) == RECORD
    whole = path.read_bytes()
    passed = 0
    # One in seven for the sake of time: all bits of a byte have their turn.
    for bit in range(0, 8 * len(whole), 7):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert read_sealed(path) == as_it_was
            passed += 1
        except DamagedFile as error:
            assert str(path) in str(error)
    assert passed < 5  # 1e-08 may be spelled 1E-08


def test_another_layout_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(sealed_text(RECORD)), sort_keys=True))
    assert without_version(read_sealed(path)) == RECORD
    # What was read can be written again.
    path.write_text(sealed_text(read_sealed(path)))
    assert without_version(read_sealed(path)) == RECORD


def test_the_first_version_had_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"format_version": 1, **RECORD}))
    assert without_version(read_sealed(path)) == RECORD
    path.write_text(json.dumps({"format_version": 2, **RECORD}))
    with pytest.raises(DamagedFile, match="checksum is missing"):
        read_sealed(path)
    later = sealed_text(RECORD).replace('"format_version": 2', '"format_version": 3')
    path.write_text(later)
    with pytest.raises(DamagedFile, match="checksum is not that"):
        read_sealed(path)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "5", '{"config": 5}', "\xff", "9" * 5000])
def test_a_record_that_is_none_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin1"))
    with pytest.raises(DamagedFile, match="is damaged") as raised:
        read_record(tmp_path)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("lost", [b"{", None])
def test_what_is_lost_is_asked_of_the_newest_sound_checkpoint(
    tmp_path: Path, lost: bytes | None
) -> None:
    warnings: list[str] = []
    path = tmp_path / "config.json"
    if lost is not None:
        path.write_bytes(lost)
    saved(tmp_path, 16, for_checkpoints(RECORD))
    bad = saved(tmp_path, 32, for_checkpoints({**RECORD, "rollbacks": []}))
    bad.write_bytes(bad.read_bytes()[:-1])
    found = read_record(tmp_path, warnings.append)
    assert found == for_checkpoints(RECORD)
    (sentence,) = warnings
    assert str(path) in sentence and "000000000016.safetensors says of the run" in sentence
    assert ("damaged" if lost else "is missing") in sentence
    # Who only reads changes nothing.
    assert bad.exists() and path.exists() is (lost is not None)


def test_older_checkpoints_say_nothing_and_a_place_without_a_run_either(tmp_path: Path) -> None:
    assert read_record(tmp_path / "none") is None
    assert read_record(tmp_path) is None
    path = saved(tmp_path, 16)
    assert said_by(path) is None
    assert read_record(tmp_path) is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DamagedFile, match=r"config\.json is damaged"):
        read_record(tmp_path)
    (tmp_path / "config.json").write_text(sealed_text(RECORD))
    assert without_version(read_record(tmp_path)) == RECORD
    refuse_other_settings(small_config(seed=77), path, tmp_path)


def test_a_checkpoint_knows_no_folders(tmp_path: Path) -> None:
    path = saved(tmp_path, 16, for_checkpoints(RECORD))
    said = said_by(path)
    assert said == {
        **RECORD,
        "dataset": {"path": "photographs", "fingerprint": "f00d"},
        "earlier_datasets": [{"path": "old", "fingerprint": "beef", "until_nimg": 32}],
    }
    assert b"/home" not in path.read_bytes()
    elsewhere = {**RECORD, "dataset": {"path": "/mnt/photographs", "fingerprint": "f00d"}}
    assert for_checkpoints(elsewhere) == for_checkpoints(RECORD)


def test_settings_that_a_checkpoint_was_not_made_with_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, 16, for_checkpoints(RECORD))
    refuse_other_settings(small_config(), path, tmp_path)
    refuse_other_settings(small_config(kimg=99), path, tmp_path)
    other = small_config(seed=7, learning_rate="0.5")
    with pytest.raises(ProganError) as raised:
        refuse_other_settings(other, path, tmp_path)
    assert f"{tmp_path / 'config.json'} is not what {path.name} was made with" in str(raised.value)
    assert "learning_rate '0.5' instead of" in str(raised.value)
    assert "seed 7 instead of 5" in str(raised.value)
