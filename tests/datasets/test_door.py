import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest

from datasets import door
from datasets.errors import DatasetError
from tests.datasets.conftest import Program


class OwnError(Exception):
    pass


def failing(error: BaseException) -> click.Command:
    @click.command()
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DatasetError("faces is no dataset."), "Error: faces is no dataset.\n"),
        (DatasetError("two\nlines"), "Error: two lines\n"),
        (OwnError("loss is not a number."), "Error: loss is not a number.\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.npy"),
            "Error: a.npy: No space left on device.\n",
        ),
        (OSError(errno.EIO, "Input/output error"), "Error: Input/output error.\n"),
        (OSError("odd"), "Error: odd.\n"),
        (MemoryError(), "Error: There is not enough memory for this.\n"),
        (KeyboardInterrupt(), "Stopped.\n"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    program: Program, error: BaseException, sentence: str
) -> None:
    ended = program(failing(error), errors=(OwnError,))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.lstrip("\n") == sentence or error.__class__ is KeyboardInterrupt
    assert ended.err.endswith(sentence)


def test_a_mistake_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["program"])
    usual = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(ZeroDivisionError):
            door.run(failing(ZeroDivisionError()))
    finally:
        signal.signal(signal.SIGTERM, usual)


def test_success_and_the_status_of_a_command(program: Program) -> None:
    @click.command()
    @click.argument("status", type=int)
    @click.pass_context
    def leave(ctx: click.Context, status: int) -> None:
        click.echo("done")
        ctx.exit(status)

    assert program(leave, 0).status == 0
    assert program(leave, 1).status == 1
    assert program(leave).status == 2  # The argument is missing.
    assert program(leave, "x").status == 2
    assert "Usage:" in program(leave, "--help").out


@pytest.mark.parametrize("text", ["4", "128", "1024"])
def test_resolution_takes_powers_of_two(text: str) -> None:
    assert door.Resolution().convert(text, None, None) == int(text)


@pytest.mark.parametrize(
    "text", ["", "2", "5", "100", "2048", "-8", "8.0", "1_28", "٨", "9" * 5000]
)
def test_resolution_refuses_the_rest(text: str) -> None:
    with pytest.raises(click.BadParameter, match="power of two from 4 to 1024"):
        door.Resolution().convert(text, None, None)


def test_termination_unwinds(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys, time, click
        from datasets import door
        from datasets.landing import landing

        @click.command()
        def work():
            with landing("result") as folder:
                folder.mkdir()
                (folder / "half").write_text("half")
                print("ready", flush=True)
                time.sleep(60)

        door.run(work)
        """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "Stopped.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["click.echo('x' * 100_000)", "click.echo('x')", "print('x')"])
def test_a_reader_that_has_left_is_no_error(output: str) -> None:
    script = textwrap.dedent("""
        import os, click
        from datasets import door

        @click.command()
        def work():
            os.read(0, 1)  # Until the reader has left.
            OUTPUT

        door.run(work)
        """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("PYTHONUNBUFFERED", None)  # What waits in a buffer is the harder case.
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", script.replace("OUTPUT", output)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=writing,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writing)
        os.close(reading)
        _, err = process.communicate(b"x", timeout=30)
    assert (process.returncode, err) == (1, b"")
