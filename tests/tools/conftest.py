from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.framing import Framing
from datasets.prepare import prepare
from datasets.pyramid import Dataset
from datasets.sources import open_source
from progan.errors import ProganError
from tests.datasets.conftest import Ended, Program
from tests.datasets.conftest import program as program
from tools.__main__ import main

Tool = Callable[..., Ended]


@pytest.fixture
def tool(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Run `python -m tools …` in an empty folder, without a new process."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Ended:
        return program(main, *words, errors=(ProganError,))

    return call


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Forty drawn faces of 16 pixels, eight of them held out. Not to be changed."""
    path = tmp_path_factory.mktemp("faces") / "dataset"
    prepare(
        open_source("drawn:40", resolution=16, channels=3, seed=0),
        path,
        framing=Framing(resolution=16),
        source_name="drawn:40",
        held_out=0.2,
        seed=0,
        workers=1,
    )
    return Dataset.open(path)
