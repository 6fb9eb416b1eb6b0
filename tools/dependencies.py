"""Are the pinned packages still the newest, and is anything bad known of them?

    python -m tools.dependencies

Asks the package index that pip uses, name by name, and pip-audit where it is installed. Needs a
network, and changes nothing.
"""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from datasets import door
from datasets.errors import DatasetError
from datasets.progress import progress

_ROOT = Path(__file__).parents[1]
FILES = ("requirements.txt", "requirements-extras.txt", "requirements-test.txt")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s#;]+)")
_NEWEST = re.compile(r"^\S+ \(([^)\s]+)\)")
_SECONDS = 60.0


def pins(path: Path) -> dict[str, str]:
    """Read the packages of a requirements file with their versions; included files are left out."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = _PIN.match(line)
        if match is not None:
            found[match[1]] = match[2]
    return found


def newest(name: str) -> str:
    """Ask the package index for the newest version of a package.

    Raises:
        DatasetError: it gives no answer.
    """
    answer = _run("pip", "--disable-pip-version-check", "--retries", "0", "index", "versions", name)
    match = _NEWEST.match(answer.stdout)
    if answer.returncode != 0 or match is None:
        said = (answer.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise DatasetError(
            f"the package index cannot be asked for {name} ({said}): try again where there is a "
            "network"
        )
    return match[1]


def audit(files: Sequence[Path]) -> str:
    """Give what pip-audit says of pinned packages.

    Raises:
        DatasetError: it is not installed, or finds something, or cannot ask.
    """
    if importlib.util.find_spec("pip_audit") is None:
        raise DatasetError(
            "to ask for known vulnerabilities takes pip-audit: pip install pip-audit, best into an "
            "environment of its own"
        )
    given = [word for path in files for word in ("--requirement", str(path))]
    # Without `--strict`, packages that it could not ask for count as having no vulnerabilities.
    how = ("--strict", "--disable-pip", "--no-deps", "--progress-spinner", "off")
    answer = _run("pip_audit", *how, *given)
    if answer.returncode == 0:
        return answer.stdout.strip() or "No known vulnerabilities found"
    # Where there is no network, it ends in a traceback of pages, whose last line says why.
    lines = (answer.stdout + answer.stderr).strip().splitlines() or ["it says nothing"]
    if any(line.startswith("Traceback") for line in lines):
        lines = lines[-1:]
    told = " ".join(" ".join(line for line in lines if not line.startswith("WARNING:")).split())
    raise DatasetError(f"pip-audit is not content: {told[-2000:]}")


def _run(module: str, *words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            [sys.executable, "-m", module, *words],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DatasetError(
            f"{module} got no answer within {_SECONDS:.0f} seconds: try again where there is a "
            "network"
        ) from None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Compare the pinned packages with the newest ones, and ask for known vulnerabilities."""
    pinned = {name: version for file in FILES for name, version in pins(_ROOT / file).items()}
    behind = []
    with progress("Asking the package index", total=len(pinned), unit="packages") as bar:
        for name, version in pinned.items():
            latest = newest(name)
            if latest != version:
                behind.append(f"{name} {version}: the newest is {latest}")
            bar.advance()
    click.echo("\n".join(behind) or "All pinned packages are the newest.")
    click.echo(audit([_ROOT / file for file in FILES]))


if __name__ == "__main__":
    door.run(main)
