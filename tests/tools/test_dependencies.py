"""Whether pinned packages are up to date; nobody is really asked here."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import DatasetError
from tools import dependencies


class Index:
    """Answers as pip and pip-audit do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.newest: dict[str, str] = {}
        self.audit = (0, "No known vulnerabilities found")
        self.asked: list[str] = []
        monkeypatch.setattr(subprocess, "run", self)

    def __call__(self, words: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        assert words[0] == sys.executable and options["timeout"] > 0
        name = words[-1]
        if words[2] == "pip_audit":
            # What it could not ask for would count as harmless.
            assert "--strict" in words
            return subprocess.CompletedProcess(words, self.audit[0], "", self.audit[1])
        self.asked.append(name)
        if name not in self.newest:
            error = f"WARNING: no\nERROR: No matching distribution found for {name}"
            return subprocess.CompletedProcess(words, 1, "", error)
        text = f"{name} ({self.newest[name]})\nAvailable versions: {self.newest[name]}, 0.1\n"
        return subprocess.CompletedProcess(words, 0, text, "WARNING: pip index is experimental")


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Index:
    for file, text in zip(
        dependencies.FILES,
        ("# what\nfirst==1.0\n", "second==2.0.1  # why\n", "-r requirements.txt\nthird-one==3\n"),
        strict=True,
    ):
        (tmp_path / file).write_text(text)
    monkeypatch.setattr(dependencies, "_ROOT", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    found = Index(monkeypatch)
    found.newest = {"first": "1.0", "second": "2.0.1", "third-one": "3"}
    return found


def told(capsys: pytest.CaptureFixture[str]) -> str:
    dependencies.main([], standalone_mode=False)
    return capsys.readouterr().out


def test_what_is_behind_is_named(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    assert "All pinned packages are the newest.\nNo known vuln" in told(capsys)
    assert index.asked == ["first", "second", "third-one"]
    index.newest["second"] = "2.1"
    assert "second 2.0.1: the newest is 2.1\nNo known vuln" in told(capsys)


def test_no_network_is_a_sentence(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    del index.newest["second"]
    with pytest.raises(DatasetError, match=r"asked for second \(ERROR: No matching .* a network"):
        dependencies.main([], standalone_mode=False)

    def silent(words: list[str], timeout: float, **options: Any) -> None:
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(subprocess, "run", silent)
    with pytest.raises(DatasetError, match="no answer within 60 seconds"):
        dependencies.newest("first")


def test_what_is_known_to_be_bad_ends_with_a_failure(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.audit = (1, "Found 1 known vulnerability in 1 package\nfirst 1.0 PYSEC-1")
    with pytest.raises(DatasetError, match=r"not content: .* first 1\.0 PYSEC-1"):
        dependencies.main([], standalone_mode=False)
    index.audit = (1, "WARNING: hashes\nTraceback (most recent call last):\n  …\nNo network")
    with pytest.raises(DatasetError, match=r"not content: No network$"):
        dependencies.main([], standalone_mode=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DatasetError, match="pip install pip-audit"):
        dependencies.main([], standalone_mode=False)


def test_the_projects_own_pins_are_read() -> None:
    root = Path(__file__).parents[2]
    for file in dependencies.FILES:
        lines = (root / file).read_text().splitlines()
        wanted = [line for line in lines if line and not line.startswith(("#", "-r"))]
        assert len(dependencies.pins(root / file)) == len(wanted) > 0
