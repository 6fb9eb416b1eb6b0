import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import click
import pytest

from datasets import door
from tests.conftest import without_progress


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str
    """Without progress."""


class Program(Protocol):
    def __call__(
        self, command: click.Command, *words: object, errors: tuple[type[Exception], ...] = ()
    ) -> Ended: ...


@pytest.fixture
def program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Program]:
    """Run a command through the door, as the whole program, without a new process."""
    usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def call(
        command: click.Command, *words: object, errors: tuple[type[Exception], ...] = ()
    ) -> Ended:
        monkeypatch.setattr("sys.argv", ["program", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            door.run(command, *errors)
        assert isinstance(ended.value.code, int)
        captured = capsys.readouterr()
        return Ended(ended.value.code, captured.out, without_progress(captured.err))

    yield call
    for number, handler in usual.items():
        signal.signal(number, handler)
