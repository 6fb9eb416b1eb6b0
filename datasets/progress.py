"""The one way to report progress: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import click

# Work shorter than this needs no report.
_QUIET_SECONDS = 2.0
# Plain lines end up in log files: seldom enough to be read.
_SECONDS_BETWEEN_LINES = 10.0
# Less than this tells nothing of what is left.
_SECONDS_OF_AN_ESTIMATE = 1.0
_YEAR = 365.25 * 86400


class Progress(Protocol):
    """Something that is told how much work was done."""

    def advance(self, steps: int = 1) -> None:
        """Note that `steps` more units of work are done."""


@contextmanager
def progress(label: str, *, total: int, unit: str, silent: bool = False) -> Iterator[Progress]:
    """Report progress on stderr while the block runs.

    Args:
        label: what is being done, such as "Reading pictures".
        total: how many units there are to do.
        unit: what is counted, in the plural, such as "pictures".
        silent: report nothing: one of several processes that do the same is enough to tell of it.

    Yields:
        An object whose `advance(steps)` is to be called after every piece of work.
    """
    if silent:
        yield _Bar(lambda steps: None)
    elif sys.stderr.isatty():
        pace = _Pace(total)

        def told(item: int | None) -> str | None:
            return pace.told()

        with click.progressbar(
            length=total,
            label=label,
            file=sys.stderr,
            show_pos=True,
            show_percent=True,
            show_eta=False,
            item_show_func=told,
        ) as bar:

            def advance(steps: int) -> None:
                pace.advance(steps)
                bar.update(steps)

            yield _Bar(advance)
    else:
        lines = _Lines(label, total, unit)
        yield lines
        lines.close()  # Not in a finally: after a failure, only the failure matters.


def duration(seconds: float) -> str:
    """Name a time span as people do: "14 s", "3 min 20 s", "2 h 5 min", "3 d 4 h", "15 years".

    Args:
        seconds: the span, 0 or more.
    """
    whole = max(0, round(seconds))
    if whole >= 2 * _YEAR:
        return f"{round(whole / _YEAR)} years"
    for size, name, smaller_size, smaller_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def rate(amount: float, seconds: float) -> str:
    """Give `amount` per second with about three figures: "55", "5.5", "0.055"."""
    per_second = amount / max(seconds, 1e-9)
    return f"{per_second:.0f}" if per_second >= 10 else f"{per_second:.2g}"


class _Bar:
    def __init__(self, update: Callable[[int], None]) -> None:
        self._update = update

    def advance(self, steps: int = 1) -> None:
        self._update(steps)


class _Pace:
    """How long the rest of some work will take, from what it has taken since its first piece.

    Before that lies what is done but once, such as starting processes; and the first piece itself
    may be what was done another time, by a command that goes on.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._first: tuple[float, int] | None = None

    def advance(self, steps: int) -> None:
        self._done += steps
        if self._first is None and self._done:
            self._first = time.monotonic(), self._done

    def left(self) -> float | None:
        """Return the seconds that are left; None where that is not known yet."""
        if self._first is None:
            return None
        since, before = self._first
        elapsed = time.monotonic() - since
        if self._done == before or elapsed < _SECONDS_OF_AN_ESTIMATE:
            return None
        return elapsed * max(0, self._total - self._done) / (self._done - before)

    def told(self) -> str | None:
        """Return what is told of it, if anything."""
        left = self.left()
        return None if left is None else f"{duration(left)} left"


class _Lines:
    def __init__(self, label: str, total: int, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._pace = _Pace(total)
        self._start = time.monotonic()
        self._next_line = self._start + _QUIET_SECONDS

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        self._pace.advance(steps)
        now = time.monotonic()
        # The last line of all is the closing one.
        if now < self._next_line or self._done >= self._total:
            return
        self._next_line = now + _SECONDS_BETWEEN_LINES
        elapsed = now - self._start
        left = self._pace.told()
        self._print(
            f"{self._done} of {self._total} ({100 * self._done // max(1, self._total)} %), "
            f"{rate(self._done, elapsed)} {self._unit}/s"
            + (f", {left}" if left is not None else "")
        )

    def close(self) -> None:
        elapsed = time.monotonic() - self._start
        if elapsed >= _QUIET_SECONDS:
            self._print(
                f"{self._done} {self._unit} in {duration(elapsed)}, "
                f"{rate(self._done, elapsed)} {self._unit}/s"
            )

    def _print(self, text: str) -> None:
        click.echo(f"{self._label}: {text}", err=True)
