import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import click
import pytest

from datasets import door, workers
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
    usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(ZeroDivisionError):
            door.run(failing(ZeroDivisionError()))
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_termination_unwinds(tmp_path: Path, number: signal.Signals, status: int) -> None:
    script = textwrap.dedent("""
        import signal, sys, time, click
        from datasets import door
        from datasets.landing import landing

        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever these tests were started with

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
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (status, "Stopped.\n")
    assert list(tmp_path.iterdir()) == []


def test_what_nohup_has_ignored_stays_ignored(program: Program) -> None:
    @click.command()
    def hang_up() -> None:
        signal.raise_signal(signal.SIGHUP)
        click.echo("done")

    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert program(hang_up).status == 129
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ended = program(hang_up)
    assert (ended.status, ended.out) == (0, "done\n")
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_workers_leave_it_to_the_program_to_answer_the_terminal() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        usual = signal.getsignal(number)
        with workers._interrupts_ignored():
            assert signal.getsignal(number) is signal.SIG_IGN
        assert signal.getsignal(number) is usual


WORK = textwrap.dedent("""
    import os, sys, click
    from datasets import door
    from datasets.progress import progress

    @click.command()
    def work():
        with open("result", "w") as file, progress("Working", total=2, unit="steps") as bar:
            OUTPUT
            bar.advance(2)
            click.echo("told", err=True)
            file.write("whole")

    door.run(work)
    """)


def working(folder: Path, output: str, redirected: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a program that prints in the middle of its work, its streams as the shell has them."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("PYTHONUNBUFFERED", None)  # What waits in a buffer is the harder case.
    script = WORK.replace("OUTPUT", output)
    return subprocess.Popen(
        ["sh", "-c", f'exec "$0" -c "$1" {redirected}', sys.executable, script],
        env=environment,
        cwd=folder,
        stderr=subprocess.PIPE,
        **options,
    )


@pytest.mark.parametrize("output", ["click.echo('x' * 100_000)", "click.echo('x')", "print('x')"])
def test_a_reader_that_has_left_is_no_error(tmp_path: Path, output: str) -> None:
    reading, writing = os.pipe()
    until_it_has_left = f"os.read(0, 1); {output}"
    with working(tmp_path, until_it_has_left, "", stdin=subprocess.PIPE, stdout=writing) as process:
        os.close(writing)
        os.close(reading)
        _, err = process.communicate(b"x", timeout=30)
    assert (process.returncode, err) == (0, b"told\n")
    assert (tmp_path / "result").read_text() == "whole"


@pytest.mark.parametrize(
    ("redirected", "told"),
    [(">&-", b"told\n"), (">/dev/null 2>&-", b""), ("<&- >&- 2>&-", b"")],
)
def test_closed_streams_are_no_error_and_their_place_is_no_files(
    tmp_path: Path, redirected: str, told: bytes
) -> None:
    # As a library does that prints by itself: it must not get into the file that was opened last.
    library = "click.echo('x'); os.write(1, b'noise'); os.write(2, b'' if TOLD else b'noise')"
    with working(tmp_path, library.replace("TOLD", str(bool(told))), redirected) as process:
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, told)
    assert (tmp_path / "result").read_text() == "whole"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no disk that is always full")
@pytest.mark.parametrize("output", ["click.echo('x' * 100_000)", "sys.stdout.write('x')"])
def test_what_could_not_be_printed_is_told(tmp_path: Path, output: str) -> None:
    with working(tmp_path, output, ">/dev/full") as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.splitlines()[-1] == b"Error: standard output: No space left on device."


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no disk that is always full")
def test_a_full_disk_under_standard_error_fails_no_work(tmp_path: Path) -> None:
    with working(tmp_path, "click.echo('x')", "2>/dev/full", stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b"x\n")
    assert (tmp_path / "result").read_text() == "whole"
