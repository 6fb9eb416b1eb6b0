import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import without_progress
from tests.tools.making import names, write_model
from tools.__main__ import main

ROOT = Path(__file__).parents[2]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verb", ["", *main.commands])
def test_help_waits_for_nothing(verb: str) -> None:
    # A new process: in this one, everything has been imported.
    code = (
        f"import sys; sys.argv = ['tools', *{verb!r}.split(), '--help']\n"
        "from tools.__main__ import main\n"
        "main.main(standalone_mode=False)\n"
        "assert not {'torch', 'numpy', 'PIL', 'av', 'safetensors'} & set(sys.modules)\n"
    )
    ended = run("-c", code)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Usage: " in ended.stdout
    first = {"": "COMMAND", "neighbours": "IMAGES", "metrics": "[REALS]", "timelapse": "RUN",
             "import-official": "FILE.pkl", "ablate": "DATASET", "bench": ""}  # fmt: skip
    assert f"{verb} [OPTIONS] {first.get(verb, 'MODEL')}".strip() in ended.stdout


def test_the_module_is_a_program(tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    ended = run("-m", "tools", "generate", tmp_path / "m", tmp_path / "out", "--seeds", "0-1")
    assert (ended.returncode, without_progress(ended.stderr)) == (0, "")
    assert names(tmp_path / "out") == ["seed000000.png", "seed000001.png"]
    ended = run("-m", "tools", "generate", tmp_path / "nowhere", tmp_path / "other")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"Error: there is no model file or run directory {tmp_path / 'nowhere'}\n"
    )
    ended = run("-m", "tools", "paint")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "No such command 'paint'" in ended.stderr
