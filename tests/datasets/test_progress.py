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
    with progress("Reading", total=4, unit="pictures") as bar:
        bar.advance(4)
    assert "4/4" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


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
