"""A dataset in the making outlives the program that makes it, and is never a wrong one."""

import errno
import fcntl
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from datasets.errors import DatasetError
from datasets.framing import Framing
from datasets.landing import settle
from datasets.prepare import Summary, prepare
from datasets.pyramid import Dataset, Writer
from datasets.sources import open_source
from datasets.unfinished import Kept, Left, unfinished
from tests.conftest import without_progress
from tests.datasets.making import file_bytes, noise, write_photographs

ROOT = Path(__file__).parents[2]
# The real program, but for a checkpoint after every picture.
PROGRAM = textwrap.dedent("""
    import functools, runpy, signal
    # A shell starts what is to run in the background with this signal ignored, and its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from datasets import prepare as making
    making.prepare = functools.partial(making.prepare, seconds_between_checkpoints=0.0)
    runpy.run_module("datasets", run_name="__main__", alter_sys=True)
    """)


class Stop(BaseException):
    """A stand-in for Ctrl-C that no test runner listens to."""


@contextmanager
def started(*words: object, limit: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m datasets` in a process of its own, where no file is larger than `limit`."""

    def set_limit() -> None:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=set_limit,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def journal(folder: Path) -> Path | None:
    return next(folder.glob(".*.unfinished/journal"), None)


def noted(folder: Path) -> int:
    """How many checkpoints the journal in `folder` holds, while somebody may be writing it."""
    path = journal(folder)
    try:
        return 0 if path is None else path.read_bytes().count(b'\n["checkpoint"')
    except FileNotFoundError:
        return 0


def wait_until_noted(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    while process.poll() is None and noted(folder) < count:
        time.sleep(0.002)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    write_photographs(folder, 40)
    for number in (3, 17):
        shutil.copy(folder / f"{number:03d}.png", folder / f"copy-{number}.png")
    (folder / "words.jpg").write_text("words")
    (folder / "cut.jpg").write_bytes(file_bytes(noise(64, 64, 3), "JPEG")[:-300])
    return folder


def made(
    photographs: Path,
    path: Path,
    *,
    stop_after: int | None = None,
    seed: int = 0,
    held_out: float = 0.2,
    resolution: int = 16,
    overwrite: bool = False,
    drop_duplicates: bool = True,
) -> Summary:
    """Prepare in this process, with a checkpoint after every picture."""
    append = Writer.append
    count = 0

    def append_or_stop(self: Writer, *arguments: object, **options: object) -> None:
        nonlocal count
        if count == stop_after:
            raise Stop
        count += 1
        append(self, *arguments, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writer, "append", append_or_stop)
        return prepare(
            open_source(str(photographs), resolution=resolution, channels=3, seed=seed),
            path,
            framing=Framing(resolution=resolution),
            source_name=str(photographs),
            held_out=held_out,
            seed=seed,
            workers=1,
            overwrite=overwrite,
            drop_duplicates=drop_duplicates,
            seconds_between_checkpoints=0.0,
        )


def stopped(photographs: Path, path: Path, *, after: int = 10) -> Path:
    """Leave unfinished work behind, and tell where."""
    with pytest.raises(Stop):
        made(photographs, path, stop_after=after)
    (place,) = path.parent.glob(".*.unfinished")
    return place


def test_killed_at_random_moments_the_result_is_the_same(tmp_path: Path, photographs: Path) -> None:
    options = ["--resolution", 16, "--held-out", 0.2, "--drop-duplicates"]
    undisturbed = tmp_path / "undisturbed"
    with started("prepare", photographs, undisturbed, *options, "--workers", 1) as process:
        assert process.wait(120) == 0
    folder = tmp_path / "killed"
    folder.mkdir()
    moments = sorted(random.Random(7).sample(range(1, 40), 10))
    kills = 0
    for number, moment in enumerate(moments):
        workers = 2 if number in (2, 6) else 1
        command = ["prepare", photographs, folder / "undisturbed", *options, "--workers", workers]
        with started(*command) as process:
            wait_until_noted(process, folder, moment)
            process.send_signal(signal.SIGKILL)
            process.wait(60)
            kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break  # It was faster than we looked.
        assert journal(folder) is not None
    # How far it comes before the blow depends on the machine; that it is dealt does not.
    assert kills >= 1
    if not (folder / "undisturbed").exists():
        with started(*command) as process:
            assert process.wait(120) == 0
            assert process.stderr is not None
            assert "Going on after" in process.stderr.read()
    assert contents(folder / "undisturbed") == contents(undisturbed)
    assert names(folder) == ["undisturbed"]
    assert Dataset.open(undisturbed).verify() == []


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_leaves_work_that_goes_on_and_says_so(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    command = ["prepare", "drawn:3000", tmp_path / "d", "--resolution", 32, "--workers", 1]
    with started(*command) as process:
        wait_until_noted(process, tmp_path, 2)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "the same command goes on from there." in err
    assert err.rstrip().endswith("Stopped.")
    assert "Traceback" not in err
    assert journal(tmp_path) is not None
    assert not (tmp_path / "d").exists()


def test_a_second_process_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    command = ["prepare", "drawn:3000", tmp_path / "d", "--resolution", 32, "--workers", 1]
    with started(*command) as first:
        wait_until_noted(first, tmp_path, 1)
        before = noted(tmp_path)
        with (
            pytest.raises(DatasetError, match=r"Another process is making .*d; wait"),
            unfinished(tmp_path / "d", command={}, overwrite=True),
        ):
            pass
        assert first.poll() is None
        wait_until_noted(first, tmp_path, before + 2)
        assert noted(tmp_path) >= before + 2
        first.kill()
        first.wait(60)
    # The dead one's lock died with it.
    with unfinished(tmp_path / "d", command={}, overwrite=True) as work:
        assert work.outcomes == []
        (work.folder / "file").write_text("whole")
    assert names(tmp_path) == ["d"]


def test_whoever_waits_for_the_lock_of_a_folder_that_goes_away_does_not_lose_his_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    meanwhile: list[Callable[[], None]] = []

    def flock_late(descriptor: int, operation: int) -> None:
        while meanwhile:
            meanwhile.pop()()
        flock(descriptor, operation)

    first = unfinished(tmp_path / "d", command={})
    first.__enter__()
    # The second has opened the lock file, and before it asks for the lock the first gives up.
    meanwhile.append(lambda: stop(first))
    monkeypatch.setattr(fcntl, "flock", flock_late)
    with unfinished(tmp_path / "d", command={}) as work:
        (work.folder / "file").write_text("whole")
    assert names(tmp_path) == ["d"]


def stop(block: object) -> None:
    assert not block.__exit__(Stop, Stop(), None)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["", "lock", "journal", "faces", "dataset", "dataset/0004.npy"])
def test_unfinished_work_is_not_written_through_a_strangers_links(
    tmp_path: Path, photographs: Path, name: str
) -> None:
    final = tmp_path / "data"
    with pytest.raises(Stop):
        made(photographs, final, stop_after=10)
    (place,) = tmp_path.glob(".data.*.unfinished")
    linked = place / name
    if linked.exists():
        linked.rename(tmp_path / "dear")
    else:
        (tmp_path / "dear").write_text("dear")
    linked.symlink_to(tmp_path / "dear")

    def everything() -> dict[str, bytes | None]:
        return {str(p): p.read_bytes() if p.is_file() else None for p in tmp_path.rglob("*")}

    before = everything()
    with pytest.raises(DatasetError, match=f"{re.escape(str(linked))} is a symbolic link"):
        made(photographs, final, overwrite=True)
    assert everything() == before


def test_without_a_checkpoint_nothing_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Stop), unfinished(tmp_path / "d", command={}) as work:
        work.note(Kept("0" * 64, None))
        raise Stop
    assert names(tmp_path) == []
    assert without_progress(capsys.readouterr().err) == ""


def test_what_came_after_the_last_checkpoint_is_done_again(tmp_path: Path) -> None:
    command = {"seed": 1, "name": "\udcff"}
    with pytest.raises(Stop), unfinished(tmp_path / "d", command=command) as work:
        work.note(Kept("a" * 64, "cats"))
        work.note(Left("damaged"))
        work.checkpoint(["1"])
        work.note(Left("late"))
        raise Stop
    with pytest.raises(Stop), unfinished(tmp_path / "d", command=command) as work:
        assert work.outcomes == [Kept("a" * 64, "cats"), Left("damaged")]
        assert work.digests == ["1"]
        work.note(Left("again"))
        work.checkpoint(["2"])
        raise Stop
    with unfinished(tmp_path / "d", command=command) as work:
        assert work.outcomes == [Kept("a" * 64, "cats"), Left("damaged"), Left("again")]
        assert work.digests == ["2"]
    assert names(tmp_path) == ["d"]


def test_a_checkpoint_that_was_half_written_is_none(tmp_path: Path) -> None:
    with pytest.raises(Stop), unfinished(tmp_path / "d", command={}) as work:
        for digest in ("1", "2", "3"):
            work.note(Left(digest))
            work.checkpoint([digest])
        raise Stop
    path = journal(tmp_path)
    assert path is not None
    data = path.read_bytes()
    for end, expected in ((0, "3"), (1, "2"), (30, "2")):
        # With `end` 1, only the line feed is missing.
        path.write_bytes(data[: len(data) - end])
        with pytest.raises(Stop), unfinished(tmp_path / "d", command={}) as work:
            assert work.digests == [expected]
            work.note(Left("x"))
            work.checkpoint(["x"])
            raise Stop
        with pytest.raises(Stop), unfinished(tmp_path / "d", command={}) as work:
            assert work.digests == ["x"]
            raise Stop


@pytest.mark.parametrize("line", ["kept", "left", "command"])
def test_a_line_that_was_changed_is_not_believed_though_it_reads_well(
    tmp_path: Path, line: str
) -> None:
    with pytest.raises(Stop), unfinished(tmp_path / "d", command={"seed": 1}) as work:
        work.note(Kept("a" * 64, "cats"))
        work.checkpoint(["1"])
        work.note(Kept("b" * 64, "cats"))
        work.note(Left("damaged"))
        work.checkpoint(["2"])
        raise Stop
    path = journal(tmp_path)
    assert path is not None
    changed = {
        "kept": (b"b" * 64 + b'","cats', b"b" * 64 + b'","dogs'),
        "left": (b"damaged", b"too old"),
        "command": (b'"seed":1', b'"seed":2'),
    }
    old, new = changed[line]
    assert path.read_bytes().count(old) == 1
    path.write_bytes(path.read_bytes().replace(old, new))
    seed = 2 if line == "command" else 1
    with pytest.raises(Stop), unfinished(tmp_path / "d", command={"seed": seed}) as work:
        # Only what stands before the change; of what was begun otherwise, nothing.
        first = [] if line == "command" else [Kept("a" * 64, "cats")]
        assert work.outcomes == first
        assert work.digests == (["1"] if first else [])
        raise Stop


@pytest.mark.parametrize("seed", range(6))
def test_damage_to_the_journal_or_the_files_costs_work_and_nothing_else(
    tmp_path: Path, photographs: Path, seed: int
) -> None:
    expected = contents(made(photographs, tmp_path / "expected").dataset.path)
    place = stopped(photographs, tmp_path / "d", after=12)
    draw = random.Random(seed)
    victims = sorted(path for path in place.rglob("*") if path.is_file() and path.name != "lock")
    victim = victims[seed % len(victims)]
    data = bytearray(victim.read_bytes())
    match seed % 3:
        case 0:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        case 1:
            del data[draw.randrange(len(data)) :]
        case _:
            data[draw.randrange(len(data)) :] = b"\0" * 100
    victim.write_bytes(data)
    assert contents(made(photographs, tmp_path / "d").dataset.path) == expected


def test_files_that_are_gone_are_made_again(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = contents(made(photographs, tmp_path / "expected").dataset.path)
    place = stopped(photographs, tmp_path / "d")
    (place / "dataset" / "0008.npy").unlink()
    capsys.readouterr()
    assert contents(made(photographs, tmp_path / "d").dataset.path) == expected
    assert "not as they were left; beginning anew" in capsys.readouterr().err


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"[" * 100_000, b"{}\n", b"null\n[]\n"])
def test_a_journal_of_garbage_is_no_journal(tmp_path: Path, garbage: bytes) -> None:
    with pytest.raises(Stop), unfinished(tmp_path / "d", command={}) as work:
        work.note(Left("x"))
        work.checkpoint([])
        raise Stop
    path = journal(tmp_path)
    assert path is not None
    path.write_bytes(garbage)
    with unfinished(tmp_path / "d", command={}) as work:
        assert work.outcomes == []
    assert names(tmp_path) == ["d"]


def test_another_command_is_refused_by_the_name_of_what_differs(
    tmp_path: Path, photographs: Path
) -> None:
    place = stopped(photographs, tmp_path / "d")
    with pytest.raises(DatasetError, match=r"begun with other --seed; repeat"):
        made(photographs, tmp_path / "d", seed=1)
    with pytest.raises(DatasetError, match=r"other --held-out; repeat"):
        made(photographs, tmp_path / "d", held_out=0.3)
    with pytest.raises(DatasetError, match=r"other --resolution, --channels"):
        made(photographs, tmp_path / "d", resolution=8)
    with pytest.raises(DatasetError, match=r"other options for classes"):
        made(photographs, tmp_path / "d", drop_duplicates=False)
    # Nothing was lost by the attempts.
    assert place.is_dir()
    assert made(photographs, tmp_path / "d").dataset.verify() == []
    assert names(tmp_path) == ["d", "photographs"]


def test_pictures_that_were_changed_since_are_not_mixed_with_the_old_ones(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(photographs, tmp_path / "d")
    assert "the same command goes on" in capsys.readouterr().err
    (photographs / "notes.txt").write_text("Notes are no pictures.")
    changed = file_bytes(noise(16, 16, 3, seed=999))
    (photographs / "000.png").write_bytes(changed)
    os.utime(photographs / "000.png", ns=(1, 1))
    with pytest.raises(DatasetError, match=r"other versions of their files; .*--overwrite"):
        made(photographs, tmp_path / "d")
    assert "the same command" not in capsys.readouterr().err
    fresh = made(photographs, tmp_path / "fresh").dataset.path
    assert contents(made(photographs, tmp_path / "d", overwrite=True).dataset.path) == contents(
        fresh
    )
    stopped(photographs, tmp_path / "d2")
    (photographs / "one more.png").write_bytes(changed)
    with pytest.raises(DatasetError, match=r"other pictures in SOURCE and versions of their files"):
        made(photographs, tmp_path / "d2")


def test_a_full_disk_is_one_sentence_and_goes_on_when_there_is_room(
    tmp_path: Path, photographs: Path
) -> None:
    expected = contents(made(photographs, tmp_path / "expected").dataset.path)
    command = ["prepare", photographs, tmp_path / "d", "--resolution", 16, "--workers", 1]
    options = ["--held-out", 0.2, "--drop-duplicates"]
    with started(*command, *options, limit=128 + 20 * 16 * 16 * 3) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    kept, sentence = without_progress(err).splitlines()
    assert kept.startswith("Kept the first ")
    assert sentence == f"Error: {tmp_path / 'd'}: File too large."
    assert contents(made(photographs, tmp_path / "d").dataset.path) == expected
    assert names(tmp_path) == ["d", "expected", "photographs"]


def test_a_disk_that_is_full_at_once_keeps_nothing(tmp_path: Path, photographs: Path) -> None:
    command = ["prepare", photographs, tmp_path / "d", "--resolution", 16, "--workers", 1]
    with started(*command, limit=64) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert without_progress(err) == f"Error: {tmp_path / 'd'}: File too large.\n"
    assert names(tmp_path) == ["photographs"]


def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(
        self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False
    ) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="Read-only") as caught:
        made(photographs, tmp_path / "d")
    assert caught.value.filename == str(tmp_path / "d")


def test_room_that_is_taken_already_is_not_asked_for_again(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(photographs, tmp_path / "d", after=30)
    usage = shutil.disk_usage(tmp_path)
    all_of_it = 44 * (16 + 64 + 256) * 3
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=all_of_it // 2))
    with pytest.raises(DatasetError, match="GB free"):
        made(photographs, tmp_path / "other")
    assert made(photographs, tmp_path / "d").dataset.count == 40


def test_ctrl_c_when_all_has_arrived_leaves_nothing_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def settle_and_stop(temporary: Path, final: Path, *, overwrite: bool) -> None:
        settle(temporary, final, overwrite=overwrite)
        raise Stop

    monkeypatch.setattr("datasets.unfinished.settle", settle_and_stop)
    with pytest.raises(Stop), unfinished(tmp_path / "d", command={}) as work:
        work.note(Left("x"))
        work.checkpoint([])
    assert names(tmp_path) == ["d"]
    assert "goes on" not in capsys.readouterr().err


def test_names_of_any_length_share_no_place(tmp_path: Path) -> None:
    first, second = "d" * 250 + "1", "d" * 250 + "2"
    with (
        unfinished(tmp_path / first, command={}) as one,
        unfinished(tmp_path / second, command={}) as two,
    ):
        assert one.folder != two.folder
    assert names(tmp_path) == [first, second]


def test_the_journal_is_plain_text_that_anyone_can_read(tmp_path: Path, photographs: Path) -> None:
    place = stopped(photographs, tmp_path / "d")
    lines = [json.loads(line) for line in (place / "journal").read_text("ascii").splitlines()]
    assert lines[0][0] == "command"
    assert {line[0] for line in lines[1:]} <= {"kept", "left", "checkpoint"}
