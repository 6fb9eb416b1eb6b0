import io
import sys

import pytest

from datasets.progress import duration, progress
from tests.conftest import without_progress


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("datasets.progress.time.monotonic", lambda: self.now)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_lines_are_few_and_tell_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    with progress("Reading", total=300, unit="pictures") as bar:
        for _ in range(300):
            clock.now += 0.1
            bar.advance()
    first, *_, last = found = lines(capsys)
    assert first.startswith("Reading: 2")
    assert "(6 %), 10 pictures/s, 28 s left" in first or "(7 %), 10 pictures/s, 28 s left" in first
    assert last == "Reading: 300 pictures in 30 s, 10 pictures/s"
    assert len(found) == 4  # After 2, 12 and 22 seconds, and at the end.


def test_short_work_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    with progress("Reading", total=3, unit="pictures") as bar:
        for _ in range(3):
            clock.now += 0.5
            bar.advance()
    assert lines(capsys) == []


def test_what_tests_leave_out_is_progress_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    print("Error: 3 of 4 pictures: damaged", file=sys.stderr)
    for step in (0.3, 900.0):
        with progress("Reading pictures", total=9, unit="pictures") as bar:
            clock.now += 3
            bar.advance(0)  # Nobody knows yet how long it will take.
            for _ in range(9):
                clock.now += 11 * step
                bar.advance()
    print("Stopped.", file=sys.stderr)
    told = capsys.readouterr().err
    assert len(told.splitlines()) > 8
    assert without_progress(told) == "Error: 3 of 4 pictures: damaged\nStopped.\n"


def test_a_failure_is_not_called_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    with pytest.raises(ValueError, match="damage"), progress("R", total=3, unit="p") as bar:
        bar.advance()
        clock.now += 60
        raise ValueError("damage")
    assert lines(capsys) == []


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    clock = Clock(monkeypatch)
    monkeypatch.setattr("time.time", lambda: clock.now)  # of click's bar
    with progress("Reading", total=4, unit="pictures") as bar:
        clock.now += 30
        bar.advance(1)
        clock.now += 10
        bar.advance(1)
        assert "20 s left" in terminal.getvalue()
        bar.advance(2)
    assert "4/4" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_what_comes_before_the_first_piece_is_not_expected_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    with progress("Reading", total=1000, unit="pictures") as bar:
        clock.now += 30  # processes are started
        bar.advance(4)
        for _ in range(96):
            clock.now += 0.125
            bar.advance()
        clock.now += 1e6
        bar.advance(900)
    told = lines(capsys)
    # At once, nothing is known; ten seconds later: 920 to go, at 8 a second.
    assert told[0].endswith("4 of 1000 (0 %), 0.13 pictures/s")
    assert told[1] == "Reading: 84 of 1000 (8 %), 2.1 pictures/s, 1 min 54 s left"


def test_what_was_done_another_time_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    with progress("Training", total=1000, unit="images") as bar:
        bar.advance(900)
        for _ in range(99):
            clock.now += 1
            bar.advance()
        clock.now += 1
        bar.advance()
    assert lines(capsys)[1].endswith("1 min 28 s left")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (90000, "1 d 1 h"),
        (700 * 86400, "700 d"),
        (15.1 * 365.25 * 86400, "15 years"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
