"""Notice within seconds when one of a run's processes is gone.

Every process keeps a connection to process 0, on which nothing is said until somebody leaves. The
system closes the connections of a process that dies, however it dies, and probes from time to time
whether the other machine is still there. So nobody is ever taken for dead because it is busy: a
checkpoint or a measurement may take hours.
"""

import contextlib
import hmac
import os
import secrets
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from progan.errors import ProganError

_DONE, _FAILED, _LOST = b"D", b"F", b"L"
_MESSAGE = struct.Struct(">cI")  # what happened, to which process
_HELLO = struct.Struct(">16sI")  # the run's token, who is calling

# Seconds for a process to come to the first meeting.
_MEETING_SECONDS = 60.0
# Seconds without an answer after which another machine is taken for gone: three probes.
_PROBE_SECONDS = 4
# Seconds that a process has to end by itself after another is gone; then it may be waiting for
# ever, for a GPU that waits for the GPU of a process that is no more.
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Trouble:
    """A process is gone before its work was done.

    Attributes:
        rank: which.
        told: it has failed in order, and said why; otherwise it was killed, or worse.
    """

    rank: int
    told: bool


class Presence:
    """Whether all processes of a run are still there, seen from one of them.

    A thread listens. When another process is gone and this one has not ended by itself a few
    seconds later, the thread ends it, with a sentence and exit status 1.

    Args:
        rank: this process.
        count: how many there are.
        links: connections by rank: from process 0 to all others, from those to process 0.
        end: what ends this process, given a sentence.
    """

    def __init__(
        self,
        rank: int,
        count: int,
        links: dict[int, socket.socket],
        *,
        end: Callable[[str], None] | None = None,
    ) -> None:
        self.rank = rank
        self.count = count
        self._links = links
        self._end = _end_this_process if end is None else end
        self._troubles: list[Trouble] = []
        self._changed = threading.Condition()
        self._busy = 0
        self._listening, self._bell = socket.socketpair()
        self._thread = threading.Thread(target=self._listen, name="presence", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> Trouble | None:
        """The first process that is gone, if any is."""
        return self._troubles[0] if self._troubles else None

    def wait_for_trouble(
        self, seconds: float, kind: Callable[[Trouble], bool] = lambda trouble: True
    ) -> Trouble | None:
        """Wait until a process is gone for which `kind` holds; None if there is none in time."""

        def found() -> Trouble | None:
            return next(filter(kind, self._troubles), None)

        with self._changed:
            return self._changed.wait_for(found, seconds)

    def sentence(self, trouble: Trouble) -> str:
        """Say what has happened and what to do."""
        if trouble.told:
            return (
                f"process {trouble.rank} of {self.count} has failed, and this one cannot go on "
                "without it"
            )
        return (
            f"process {trouble.rank} of {self.count} is gone (killed, out of memory, or its "
            "machine is down), and training cannot go on without it: the same command continues "
            "from the newest checkpoint, on as many processes or fewer"
        )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Do something that needs no other process, and must not be broken off half-way."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def leave(self, *, failed: bool) -> None:
        """Say goodbye and stop listening.

        Args:
            failed: this process ends before the work is done, and has said why.
        """
        self._bell.close()
        self._thread.join()
        for link in self._links.values():
            _send(link, _FAILED if failed else _DONE, self.rank)
            link.close()
        self._listening.close()

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ, None)
            for rank, link in self._links.items():
                selector.register(link, selectors.EVENT_READ, rank)
            patience = _GRACE_SECONDS
            before = time.monotonic()
            while patience > 0:
                for key, _ in selector.select(None if self.trouble is None else 0.1):
                    if key.data is None:
                        return  # this process leaves
                    if not self._hear(key.data):
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if self.trouble is not None and not self._busy:
                    # Whatever long wait came before the trouble does not count.
                    patience -= min(now - before, 0.2)
                before = now
        assert self.trouble is not None
        self._end("" if self.trouble.told else self.sentence(self.trouble))

    def _hear(self, rank: int) -> bool:
        """Take one message; gives whether there may be another."""
        try:
            data = self._links[rank].recv(_MESSAGE.size, socket.MSG_WAITALL)
        except OSError:
            data = b""
        if len(data) < _MESSAGE.size:
            self._note(_LOST, rank)
            return False
        kind, whom = _MESSAGE.unpack(data)
        if kind != _DONE:
            self._note(kind, whom)
        return bool(whom != rank)

    def _note(self, kind: bytes, whom: int) -> None:
        with self._changed:
            self._troubles.append(Trouble(whom, told=kind == _FAILED))
            self._changed.notify_all()
        if self.rank == 0:  # the others know of each other through process 0
            for rank, link in self._links.items():
                if rank != whom:
                    _send(link, kind, whom)


def _send(link: socket.socket, kind: bytes, whom: int) -> None:
    with contextlib.suppress(OSError):  # nobody is there any more, which the listener will notice
        link.sendall(_MESSAGE.pack(kind, whom))


def _end_this_process(message: str) -> None:
    # Not through Python's streams and exit: whoever hangs may hold their locks.
    if message:
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, f"Error: {message}\n".encode())
    os._exit(1)


def meet(rank: int, count: int, tell: Callable[[Any], Any]) -> Presence:
    """Connect all processes.

    Args:
        rank: this process.
        count: how many there are.
        tell: gives all processes the JSON value that process 0 gives.

    Raises:
        ProganError: not all have come within a minute.
    """
    if rank != 0:
        return Presence(rank, count, {0: _call(rank, tell(None))})
    one_machine = os.environ.get("LOCAL_WORLD_SIZE") == str(count)
    with _server(one_machine=one_machine) as server:
        token = secrets.token_bytes(16)
        hosts = [os.environ.get("MASTER_ADDR", "localhost"), socket.getfqdn(), socket.gethostname()]
        tell(
            {
                "hosts": ["127.0.0.1"] if one_machine else hosts,
                "port": server.getsockname()[1],
                "token": token.hex(),
            }
        )
        return Presence(rank, count, _answer(server, count, token))


def _server(*, one_machine: bool) -> socket.socket:
    if one_machine:
        return socket.create_server(("127.0.0.1", 0))
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _answer(server: socket.socket, count: int, token: bytes) -> dict[int, socket.socket]:
    links: dict[int, socket.socket] = {}
    deadline = time.monotonic() + _MEETING_SECONDS
    while len(links) < count - 1:
        server.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            link, _ = server.accept()
        except TimeoutError:
            missing = sorted(set(range(1, count)) - set(links))
            raise ProganError(
                f"process 0 of {count} was not reached by {missing} within "
                f"{_MEETING_SECONDS:.0f} seconds: let the machines reach one another on any port"
            ) from None
        rank = _caller(link, token)
        if rank is None:
            link.close()
        else:
            links[rank] = _watched(link)
    return links


def _caller(link: socket.socket, token: bytes) -> int | None:
    """Give the rank of who is calling; None for a stranger."""
    link.settimeout(5)
    try:
        said = link.recv(_HELLO.size, socket.MSG_WAITALL)
    except OSError:
        return None
    if len(said) < _HELLO.size:
        return None
    shown, rank = _HELLO.unpack(said)
    return rank if hmac.compare_digest(shown, token) else None


def _call(rank: int, where: Any) -> socket.socket:
    reasons = []
    for host in dict.fromkeys(where["hosts"]):
        try:
            link = socket.create_connection((host, where["port"]), timeout=10)
            link.sendall(_HELLO.pack(bytes.fromhex(where["token"]), rank))
            return _watched(link)
        except OSError as error:
            reasons.append(f"{host}: {error.strerror or error}")
    raise ProganError(
        f"process {rank} cannot reach process 0 on port {where['port']} ({'; '.join(reasons)}): "
        "let the machines reach one another on any port"
    )


def _watched(link: socket.socket) -> socket.socket:
    """Have the system find out when the other side's machine is gone."""
    link.settimeout(None)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _PROBE_SECONDS),
        ("TCP_KEEPALIVE", _PROBE_SECONDS),  # macOS's name for it
        ("TCP_KEEPINTVL", _PROBE_SECONDS),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 3000 * _PROBE_SECONDS),
    ):
        if hasattr(socket, name):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return link
