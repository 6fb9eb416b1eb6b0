"""How every command line of this project starts, fails and is stopped."""

import contextlib
import math
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import click

from datasets import standard_streams
from datasets.errors import DatasetError

_STOPPED = 1
# What asks a process to end. A closed terminal sends the second; not every system has it.
_ENDINGS = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


class _Terminated(BaseException):
    """The system asked the process to end, by the signal of this number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Resolution(click.ParamType[int]):
    """A side length in pixels: a power of two from 4 to 1024."""

    name = "pixels"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Turn what was typed into an int, or end with a usage error."""
        text = str(value).strip()
        # isascii: int() would also read digits of other scripts, and underscores.
        number = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
        if number not in (4, 8, 16, 32, 64, 128, 256, 512, 1024):
            self.fail(f"{text!r} is not a power of two from 4 to 1024.", param, ctx)
        return number


class Number(click.FloatRange):
    """A finite number within bounds: click alone would let "nan" pass, and often "inf"."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Turn what was typed into a float, or end with a usage error."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            kind = "number" if math.isnan(number) else "finite number"
            self.fail(f"{str(value)!r} is not a {kind}.", param, ctx)
        return number


def run(command: click.Command, *errors: type[Exception]) -> NoReturn:
    """Run `command` as the program, and end the process.

    Exit status: 0 done, 1 failed or stopped, 2 not understood, 143 terminated, 129 the terminal was
    closed. What the user can mend becomes one line on stderr: `DatasetError`, the given `errors`,
    what the operating system refuses (`OSError`) and lack of memory. Any other exception is a
    mistake of the program and keeps its traceback. That nobody reads what is printed, since the
    reader has left or the stream is closed, is no failure.

    Args:
        command: the click command or group.
        errors: further exception types whose message is a sentence for the user.
    """
    # An exception instead of sudden death, so that half-written outputs are removed.
    for number in _ENDINGS:
        # `nohup` has it ignored, and so it stays.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _terminate)
    standard_streams.settle()
    status = _status(command, errors)
    try:
        sys.stdout.flush()
    except OSError as error:
        # What was to be printed is lost. Python would flush once more on its way out.
        standard_streams.silence(sys.stdout.fileno())
        status = status or _failed(_sentence(error))
    sys.exit(status)


def _status(command: click.Command, errors: tuple[type[Exception], ...]) -> int:
    expected: tuple[type[Exception], ...] = (DatasetError, *errors)
    try:
        # Not standalone: click would end the process itself, and print tracebacks of all the rest.
        result = command.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped.", err=True)
        return _STOPPED
    except _Terminated as ended:
        click.echo("Stopped.", err=True)
        return 128 + ended.number
    except expected as error:
        return _failed(str(error) or type(error).__name__)
    except OSError as error:
        return _failed(_sentence(error))
    except MemoryError:
        return _failed("There is not enough memory for this.")
    # With standalone_mode off, the status given to `ctx.exit` comes back as a number.
    return result if isinstance(result, int) else 0


def tell(sentence: str, *, err: bool = False) -> None:
    """Tell the user how long work is coming along, which goes on where nobody listens any more.

    Ctrl-C in a terminal ends all that is joined by pipes there: the program that shows these lines
    is gone before this one has put in safety what it has done.
    """
    with contextlib.suppress(OSError):
        click.echo(sentence, err=err)


def warn(sentence: str) -> None:
    """Tell the user of what is not as it should be, and is gone on from."""
    click.echo(f"Warning: {sentence}", err=True)


def _failed(message: str) -> int:
    click.echo(f"Error: {' '.join(message.splitlines())}", err=True)
    return 1


def _sentence(error: OSError) -> str:
    names = [
        os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)
    ]
    reason = error.strerror or str(error) or type(error).__name__
    return f"{' and '.join(names)}: {reason}." if names else f"{reason}."


def _terminate(signal_number: int, frame: FrameType | None) -> NoReturn:
    # Once is enough: a second one must not break off the clearing up.
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise _Terminated(signal_number)
