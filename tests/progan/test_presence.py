"""Who is gone is noticed, who is busy is left in peace."""

import errno
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from progan import presence
from progan.presence import Presence, Trouble

PATIENCE = 30.0


class Ends(list[str]):
    """Notes with which sentence a process would have been ended."""

    def __init__(self) -> None:
        super().__init__()
        self.happened = threading.Event()

    def __call__(self, message: str) -> None:
        self.append(message)
        self.happened.set()


class Three:
    """Three processes' presences, in one process."""

    def __init__(self) -> None:
        pairs = {rank: socket.socketpair() for rank in (1, 2)}
        self.near = {rank: pair[0] for rank, pair in pairs.items()}
        self.far = {rank: pair[1] for rank, pair in pairs.items()}
        self.ends = [Ends(), Ends(), Ends()]
        self.all = [Presence(0, 3, self.near, end=self.ends[0])]
        self.all += [Presence(r, 3, {0: self.far[r]}, end=self.ends[r]) for r in (1, 2)]

    def kill(self, rank: int) -> None:
        """What the system does with the connections of a process that dies."""
        for link in self.near.values() if rank == 0 else [self.far[rank]]:
            link.shutdown(socket.SHUT_WR)


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Iterator[Three]:
    monkeypatch.setattr(presence, "_GRACE_SECONDS", 0.2)
    found = Three()
    yield found
    for each in reversed(found.all):
        each.leave(failed=False)


@pytest.mark.parametrize("gone", [0, 2])
def test_a_killed_process_is_known_to_all_by_its_rank(three: Three, gone: int) -> None:
    three.kill(gone)
    for rank in {0, 1, 2} - {gone}:
        assert three.all[rank].wait_for_trouble(PATIENCE) == Trouble(gone, told=False)
        assert three.ends[rank].happened.wait(PATIENCE)
        (sentence,) = three.ends[rank]
        assert f"process {gone} of 3 is gone" in sentence
        assert "continues from the newest checkpoint" in sentence


def test_who_is_finishing_something_is_not_ended_before_it_is_done(three: Three) -> None:
    with three.all[0].alone():
        three.kill(1)
        assert three.ends[2].happened.wait(PATIENCE)
        time.sleep(0.5)  # more than twice the grace; to sleep longer would find no more
        assert not three.ends[0]
    assert three.ends[0].happened.wait(PATIENCE)


def test_who_has_said_why_it_fails_is_not_spoken_for(three: Three) -> None:
    three.all[1].leave(failed=True)
    for rank in (0, 2):
        assert three.all[rank].wait_for_trouble(PATIENCE) == Trouble(1, told=True)
        assert three.ends[rank].happened.wait(PATIENCE)
        assert three.ends[rank] == [""]
    three.all.pop(1)


def test_who_leaves_after_its_work_troubles_nobody(three: Three) -> None:
    for rank in (1, 0):
        three.all[rank].leave(failed=False)
    assert three.all[2].wait_for_trouble(0.5) is None
    assert three.ends == [[], [], []]
    three.all = three.all[2:]


def test_a_stranger_is_not_taken_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    told = threading.Event()
    where: dict[str, Any] = {}

    def tell(value: Any) -> Any:
        if value is not None:
            where.update(value)
            told.set()
        assert told.wait(PATIENCE)
        return where

    found: dict[int, Presence] = {}
    first = threading.Thread(target=lambda: found.update({0: presence.meet(0, 2, tell)}))
    first.start()
    assert told.wait(PATIENCE)
    for words in (struct.pack(">16sI", b"guess", 1), b"GET /", b""):
        with socket.create_connection(("127.0.0.1", where["port"])) as stranger:
            stranger.sendall(words)
            stranger.shutdown(socket.SHUT_WR)
            assert stranger.recv(1) == b""
    assert first.is_alive()
    found[1] = presence.meet(1, 2, tell)
    first.join(PATIENCE)
    for rank in (1, 0):
        found[rank].leave(failed=False)


def test_a_process_ends_even_where_it_can_tell_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(descriptor: int, data: bytes) -> int:
        raise OSError(errno.EIO, "Input/output error")

    statuses: list[int] = []
    monkeypatch.setattr("os.write", gone)
    monkeypatch.setattr("os._exit", statuses.append)
    presence._end_this_process("process 1 of 2 is gone")
    assert statuses == [1]
