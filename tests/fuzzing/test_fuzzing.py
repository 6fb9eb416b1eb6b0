"""Does the fuzzing see what it is to see? And a few damaged files for every reader."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.errors import DatasetError
from tests.fuzzing import __main__ as command
from tests.fuzzing import child, readers
from tests.fuzzing.child import Kind
from tests.fuzzing.readers import READERS, Reader

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", READERS)
def test_damage_is_a_function_of_its_number_and_differs(name: str, tmp_path: Path) -> None:
    kind = Kind(READERS[name], tmp_path)
    assert all(files for files in kind.seeds.values())
    inputs = [kind.damaged(number, 0) for number in range(30)]
    assert inputs == [kind.damaged(number, 0) for number in range(30)]
    changed = sum(data != kind.seeds[seed][file]
                  for seed, files in inputs for file, data in files.items())  # fmt: skip
    assert changed > 20
    # What lies within a file is damaged, too, and put back so that the file is still one.
    for end, layer in READERS[name].layers.items():
        for files in kind.seeds.values():
            for file, data in files.items():
                if file.endswith(end):
                    parts, together = layer(data)
                    again, _ = layer(together(parts))
                    assert again == parts


# ---- what the guard sees ----


def _make(place: Path) -> None:
    (place / "a").mkdir(parents=True)
    (place / "a" / "x").write_bytes(b"good")


def _good(folder: Path) -> bool:
    return (folder / "x").read_bytes() == b"good"


class _Unpickled:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.path.basename, ("x",)


def _write_elsewhere(folder: Path) -> None:
    (folder.parent / "elsewhere").write_text("x")


def _read_elsewhere(folder: Path) -> None:
    Path("/etc/passwd").read_bytes()


def _remove_elsewhere(folder: Path) -> None:
    (folder.parent / "none").unlink(missing_ok=True)


def _call_a_program(folder: Path) -> None:
    subprocess.run(["true"], check=False)


def _unpickle(folder: Path) -> None:
    pickle.loads(pickle.dumps(_Unpickled()))


def _run_code(folder: Path) -> None:
    exec(compile("1", "<a stranger's>", "exec"))


def _loop(folder: Path) -> None:
    while True:
        pass


def _believe_a_size(folder: Path) -> None:
    bytearray(2**33)


def _fail(folder: Path) -> None:
    raise ZeroDivisionError


def _say_too_much(folder: Path) -> None:
    raise DatasetError("x" * 2000)


def _die(folder: Path) -> None:
    os.abort()


FAULTS: dict[str, Callable[[Path], None]] = {
    "writes": _write_elsewhere,
    "reads": _read_elsewhere,
    "os.remove": _remove_elsewhere,
    "subprocess.Popen": _call_a_program,
    "pickle.find_class": _unpickle,
    "runs code": _run_code,
    "too long": _loop,
    "MemoryError": _believe_a_size,
    "ZeroDivisionError": _fail,
    "no sentence": _say_too_much,
}


def faulty(words: list[str]) -> None:
    """Be a child whose readers have planted faults, one after the other."""
    place = Path(words[0])
    child.MOST_SECONDS = 0.05
    for number, fault in enumerate([*FAULTS.values(), _die]):

        def read(folder: Path, fault: Callable[[Path], None] = fault) -> None:
            if not _good(folder):
                fault(folder)

        readers.READERS = {"faulty": Reader(_make, read)}
        child.READERS = readers.READERS  # type: ignore[attr-defined]
        (place / str(number)).mkdir()
        # Each in a process of its own: a guard stays for a process's life.
        if os.fork() == 0:
            child.work("faulty", place / str(number), place, run=number, start=0, seconds=0.3)
            os._exit(0)
        _, status = os.wait()
        (place / str(number) / "status").write_text(str(status))


def test_planted_faults_are_found(tmp_path: Path) -> None:
    code = "import sys; from tests.fuzzing.test_fuzzing import faulty; faulty(sys.argv[1:])"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    for number, sign in enumerate(FAULTS):
        found = sorted(tmp_path.glob(f"faulty-{number}-*/finding.txt"))
        assert 1 <= len(found) <= 3, (sign, ended.stderr)
        assert sign in found[0].read_text().splitlines()[0]
        # The input is kept beside it.
        assert (found[0].parent / "a" / "x").is_file()
        assert (tmp_path / str(number) / "status").read_text() == "0"
    last = tmp_path / str(len(FAULTS))
    assert (last / "status").read_text() != "0" and int((last / "number").read_bytes()) >= 0


def test_the_command_tells_what_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["mnist", "--seconds", "1", "--run", "7", "--findings", str(tmp_path / "findings")]
    command.main(words, standalone_mode=False)
    assert "| mnist | " in capsys.readouterr().out
    assert not (tmp_path / "findings").exists()
