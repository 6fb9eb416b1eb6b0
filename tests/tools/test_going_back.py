"""After a run went back to an older checkpoint, nothing tells of what was undone."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from tools.going_back import go_back

LARGE = 2**40 + 5


def started(run: Path, nimg: int, values: Mapping[int, float]) -> SummaryWriter:
    """One start of a run, which tells these values by images shown."""
    go_back(run, nimg)
    writer = SummaryWriter(str(run), purge_step=nimg + 1)
    for step, value in values.items():
        writer.add_scalar("loss", value, step)
    writer.flush()
    return writer


def told(run: Path) -> dict[int, float]:
    found = EventAccumulator(str(run)).Reload().Scalars("loss")
    assert [event.step for event in found] == sorted({event.step for event in found})
    return {event.step: event.value for event in found}


def test_tensorboard_shows_each_position_once_and_as_it_was_in_the_end(tmp_path: Path) -> None:
    started(tmp_path, 0, {0: 1, 16: 2, 32: 3, LARGE: 4})
    started(tmp_path, 32, {48: 5, 64: 6})
    # Back before the second start, whose own mark must not make the third one's events vanish.
    started(tmp_path, 16, {24: 7})
    assert told(tmp_path) == {0: 1, 16: 2, 24: 7}
    started(tmp_path, 24, {LARGE: 8})
    assert told(tmp_path) == {0: 1, 16: 2, 24: 7, LARGE: 8}


def test_a_clock_that_was_set_back_does_not_turn_the_order_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time()
    for hours, (nimg, values) in zip(
        (5, 3, 3, -2), ((0, {0: 1, 16: 2, 32: 3}), (16, {32: 4}), (32, {48: 5}), (32, {64: 6})),
        strict=True,
    ):  # fmt: skip
        monkeypatch.setattr("time.time", lambda hours=hours: real + 3600 * hours)
        # Within one process files of one second differ in their last part alone.
        started(tmp_path, nimg, values).close()
        written = [path.name for path in sorted(tmp_path.iterdir())]
        assert int(written[-1].split(".")[3]) == int(real + 3600 * hours)
    assert told(tmp_path) == {0: 1, 16: 2, 32: 4, 64: 6}


@pytest.mark.parametrize("left", [0, 5, 20, 60])
def test_half_an_event_is_cut_off(tmp_path: Path, left: int) -> None:
    started(tmp_path, 0, {0: 1, 16: 2})
    (path,) = tmp_path.iterdir()
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(path.read_bytes()[-left:] if left else b"")
        file.truncate(whole + max(0, left - 1))
    go_back(tmp_path, 100)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == whole
    # What says that it is longer than any file is no reason to read on.
    path.write_bytes(b"\xff" * 40)
    go_back(tmp_path, 100)
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [0]


def test_the_log_and_the_samples_end_where_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    for name in ("000000000016.png", "000000000032.png", "classes.txt", "mine.png"):
        (tmp_path / "samples" / name).write_bytes(b"")
    log = tmp_path / "log.jsonl"
    lines = [json.dumps({"nimg": n, "loss": n / 2}) for n in (16, 16, 32)]
    strange = ['{"nimg": "7"}', '{"nimg": true}', "[1]", "7", "", "[" * 100_000, "\0\0"]
    log.write_bytes("\n".join([*strange, *lines, '{"nimg": 1']).encode() + b"\xff\xfe")
    go_back(tmp_path, 16)
    assert log.read_text().splitlines() == lines[:2]
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
        "000000000016.png", "classes.txt", "log.jsonl", "mine.png",
    ]  # fmt: skip


def test_what_is_no_line_of_a_log_is_dropped(tmp_path: Path) -> None:
    good = [json.dumps({"nimg": nimg, "loss/critic": 1.0}).encode() for nimg in (16, 32, 48)]
    bad = [b"", b"5", b"[]", b'{"nimg": "16"}', b'{"nimg": null}', b'{"nimg": 1', b"\xff\xfe",
           b"[" * 200_000, b'{"nimg": []}', b"\0"]  # fmt: skip
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join([*bad, good[0], *bad, good[1], good[2], *bad]))
    go_back(tmp_path, 32)
    assert log.read_bytes().splitlines() == good[:2]
    go_back(tmp_path, 0)
    assert log.read_bytes() == b""
