"""What `import progan` offers, before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import progan

NAMES = {
    *("Critic", "Generator", "ModelFile", "ProganError", "load", "random_latents", "read_model"),
}


def said(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(progan.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_public_names_are_listed_without_torch() -> None:
    code = "import sys, progan; print(*dir(progan)); print('torch' in sys.modules)"
    listed, torch = said(code).splitlines()
    public = {name for name in listed.split() if not name.startswith("_")}
    assert public == NAMES
    assert torch == "False"


def test_all_of_them_come_with_a_star() -> None:
    code = "before = set(dir()); from progan import *; print(*(set(dir()) - before - {'before'}))"
    assert set(said(code).split()) == NAMES


def test_each_is_what_its_module_has() -> None:
    for name in NAMES:
        assert getattr(progan, name).__name__ == name
        assert name in dir(progan)
