"""Fuzzing from the command line: one child process after the other, and a table of what came."""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click

from datasets.progress import progress
from tests.fuzzing.child import Kind, keep
from tests.fuzzing.readers import READERS

_ROOT = Path(__file__).parents[2]
# To start takes seconds; a child that has died this often has something to say already.
_MOST_DEATHS = 50


@dataclass
class Result:
    """What came of a reader.

    Attributes:
        ends: how many inputs were read, refused, or found to do what they must not.
        kinds: how often each kind of finding came.
    """

    ends: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def line(self, name: str) -> str:
        """Give a row of the table, in Markdown."""
        return (
            f"| {name} | {sum(self.ends.values()):,} | {self.ends['read']:,} | "
            f"{self.ends['refused']:,} | {self.ends['found']:,} |"
        )


def fuzz(name: str, seconds: float, findings: Path, run: int) -> Result:
    """Let a reader read damaged files for some time, in child processes.

    Args:
        name: one of READERS.
        seconds: how long.
        findings: a folder that keeps the inputs that did what they must not.
        run: what the inputs are a function of.
    """
    result = Result()
    start, deaths = 0, 0
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and deaths < _MOST_DEATHS:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            child = subprocess.run(
                [sys.executable, "-m", "tests.fuzzing.child", name, folder, str(findings),
                 str(run), str(start), str(left)],
                cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
            )  # fmt: skip
            if child.returncode == 0:
                report = json.loads((place / "report.json").read_text())
                result.ends.update(report["ends"])
                result.kinds.update(report["kinds"])
                return result
            # It died: of a signal, or since it did not answer any more.
            said = child.stderr.decode("utf-8", "replace")[-20_000:]
            if not (place / "number").exists():
                raise click.ClickException(f"{name}: the good files are not read:\n{said}")
            number = int((place / "number").read_bytes())
            kind = f"ended with status {child.returncode}"
            result.kinds[kind] += 1
            result.ends.update({"found": 1, "before a death": number - start})
            seed, changed = Kind(READERS[name], place / "again").damaged(number, run)
            keep(findings, f"{name}-{run}-{number}", seed, changed, f"{kind}\n{said}")
            start, deaths = number + 1, deaths + 1
    return result


@click.command()
@click.argument("names", nargs=-1, metavar="[READER]…", type=click.Choice(list(READERS)))
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    help="In all, in equal parts for the readers.",
)
@click.option(
    "--findings",
    type=click.Path(path_type=Path),
    default=Path("findings"),
    show_default=True,
    help="A folder for the inputs that did what they must not.",
)
@click.option(
    "--run", type=int, default=0, show_default=True, help="What the inputs are a function of."
)
def main(names: tuple[str, ...], seconds: float, findings: Path, run: int) -> None:
    """Read damaged files of all kinds, and tell what came of them."""
    chosen = names or tuple(READERS)
    results = {}
    with progress("Fuzzing", total=len(chosen), unit="readers") as bar:
        for name in chosen:
            results[name] = fuzz(name, seconds / len(chosen), findings, run)
            bar.advance()
    click.echo("| reader | inputs | read | refused | findings |\n|---|---|---|---|---|")
    for name, result in results.items():
        click.echo(result.line(name))
    found = {f"{name}: {kind}": n for name, r in results.items() for kind, n in r.kinds.items()}
    for kind, count in sorted(found.items(), key=lambda each: -each[1]):
        click.echo(f"{count:>7} × {kind}")
    if found:
        raise click.ClickException(f"{len(found)} kinds of findings; their inputs: {findings}")


if __name__ == "__main__":
    main()
