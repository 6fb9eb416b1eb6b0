import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.__main__ import datasets
from datasets.pyramid import Dataset
from tests.conftest import without_progress
from tests.datasets.conftest import Program
from tests.datasets.making import write_dataset, write_photographs


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs", 8)
    return tmp_path / "photographs"


def test_from_photographs_to_a_described_and_verified_dataset(
    program: Program, tmp_path: Path, photographs: Path
) -> None:
    (photographs / "words.jpg").write_text("words")
    made = tmp_path / "made"
    options = ["--resolution", 8, "--held-out", 0.25, "--workers", 1, "--crop", "2,3,10"]
    ended = program(datasets, "prepare", photographs, made, *options)
    assert (ended.status, ended.err) == (0, "")
    assert "8 pictures in" in ended.out
    assert "8: 6 to train, 2 held out" in ended.out
    assert "1 not a picture of a known format" in ended.out
    ended = program(datasets, "describe", made, "--sheet", tmp_path / "sheet.png")
    assert (ended.status, ended.err) == (0, "")
    for words in ("8 × 8", "4, 8", "8: 6 to train, 2 held out", "crop 2,3,10", str(photographs)):
        assert words in ended.out
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    dataset = Dataset.open(made)
    first = dataset.level(3)[dataset.rows("train")[0]]
    assert (pixels == first[0, 0]).all(axis=-1).sum() >= 16 * 16  # A pixel, enlarged to 128 / 8.
    ended = program(datasets, "verify", made)
    assert (ended.status, ended.err) == (0, "")
    assert "8 pictures" in ended.out


def test_verify_tells_the_damage_with_its_exit_status(program: Program, tmp_path: Path) -> None:
    write_dataset(tmp_path / "d", hashes=[1, 2])
    path = tmp_path / "d" / "0008.npy"
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    ended = program(datasets, "verify", tmp_path / "d")
    assert ended.status == 1
    assert "0008.npy is not as it was written" in ended.out
    assert "damaged" in ended.err


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["prepare", "nowhere", "d", "--resolution", 8], 1, "Error: nowhere is not a folder"),
        (["prepare", "drawn:9", "no/d", "--resolution", 8], 1, "no is not a folder"),
        (["prepare", "drawn:9", "d", "--resolution", 512], 1, "smaller --resolution"),
        (["prepare", "drawn:x", "d", "--resolution", 8], 1, "write drawn:N"),
        (["prepare", "drawn:9", "d"], 2, "--resolution"),
        (["prepare", "drawn:9"], 2, "DATASET"),
        (["prepare", "drawn:9", "d", "--resolution", 100], 2, "power of two"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--landmarks", __file__], 2, "--crop face"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--crop", "left"], 2, "neither centre"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--landmarks", "no.csv"], 2, "no.csv"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--group-by", "("], 2, "no regular"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--group-by", "x"], 1, "matches no name"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--classes", "cats"], 1, "write folders"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--source-kind", "rar"], 2, "rar"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--source-kind", "zip"], 1, "not a zip"),
        (["export", "nowhere", "out"], 1, "nowhere is not a dataset"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--held-out", 1], 2, "--held-out"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--held-out", "nan"], 2, "--held-out"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--seed", -1], 2, "--seed"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--workers", 0], 2, "--workers"),
        (["prepare", "drawn:9", "d", "--resolution", 8, "--channels", 4], 2, "--channels"),
        (["describe", "nowhere"], 1, "nowhere is not a dataset"),
        (["describe", "nowhere", "--sheet", "sheet.gif"], 1, "sheet.gif must end in"),
        (["verify", "nowhere"], 1, "nowhere is not a dataset"),
        (["verify"], 2, "DATASET"),
        (["cook"], 2, "cook"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[object],
    status: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = program(datasets, *words)
    assert ended.status == status
    assert sentence in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert list(tmp_path.iterdir()) == []


def test_help_waits_for_nothing() -> None:
    # A new process: in this one, everything has been imported.
    code = (
        "import sys, click; sys.argv = ['datasets', 'prepare', '--help'];"
        "from datasets import __main__ as door;"
        "door.datasets.main(standalone_mode=False);"
        "assert not {'numpy', 'PIL', 'torch'} & set(sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--resolution" in ended.stdout


def test_the_module_is_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "datasets", "prepare", "drawn:6", str(tmp_path / "d")]
    ended = subprocess.run(
        [*command, "--resolution", "4", "--workers", "2", "--channels", "1"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, without_progress(ended.stderr)) == (0, "")
    assert Dataset.open(tmp_path / "d").verify() == []
