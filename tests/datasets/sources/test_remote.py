"""Pictures behind an address: in memory, and on a web server in this process."""

import errno
import http.server
import io
import os
import pickle
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from datasets.__main__ import datasets
from datasets.errors import DatasetError, SourceLostError
from datasets.pyramid import Dataset
from datasets.sources import Source, persistence, remote
from datasets.sources.files import LocalFile
from tests.datasets.conftest import Program
from tests.datasets.making import noise
from tests.datasets.sources import making
from tests.datasets.sources.conftest import Prepare
from tests.datasets.sources.making import check, opened, pictures, png

FILES = {f"{'cats' if n % 2 else 'dogs'}/{n}.png": png(image) for n, image in enumerate(pictures())}
IMAGES = dict(zip(FILES, pictures(), strict=True))
CLASSES = {name: name.partition("/")[0] for name in FILES}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "_WAITS", (0.0, 0.0, 0.0))
    remote._connect.cache_clear()


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Site(http.server.BaseHTTPRequestHandler):
    """Serves `files`, parts of them too where asked for; keeps a list of what it sent."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    sent: list[tuple[str, int]]
    parts = True
    failures = 0
    locked: set[str]

    def do_HEAD(self) -> None:
        self.do_GET(with_body=False)

    def do_GET(self, with_body: bool = True) -> None:
        site = type(self)
        path = self.path.partition("?")[0]
        body, status = site.files.get(path), 200
        kind = "text/html" if path.endswith("/") else "application/octet-stream"
        headers = {"Content-Type": kind}
        if site.failures:
            site.failures -= 1
            body, status = b"", 503
        elif path in site.locked:
            body, status = b"", 403
        elif body is None:
            body, status = b"", 404
        elif site.parts and (match := re.match(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")):
            first, last = int(match[1]), int(match[2])
            headers["Content-Range"] = f"bytes {first}-{min(last, len(body) - 1)}/{len(body)}"
            body, status = body[first : last + 1], 206
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)
            site.sent.append((path, len(body)))

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[tuple[str, type[Site]]]:
    kind = type("OneSite", (Site,), {"files": {}, "sent": [], "locked": set()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", kind
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_folder_in_memory(memory: Any, prepared: Prepare) -> None:
    for name, data in FILES.items():
        memory.pipe(f"/bucket/faces/{name}", data)
    memory.pipe("/bucket/elsewhere/9.png", b"")
    memory.pipe("/bucket/faces/.hidden/9.png", b"")
    memory.pipe("/bucket/faces/notes.txt", b"")
    check(prepared("memory://bucket/faces", "--classes", "folders"), IMAGES, CLASSES)
    check(prepared("memory://bucket/faces/", name="other"), IMAGES)


def test_labels_beside_the_pictures_of_a_folder_in_memory(memory: Any) -> None:
    memory.pipe("/in/1.png", FILES["dogs/0.png"])
    memory.pipe("/in/dataset.json", b'{"labels": [["1.png", 3]]}')
    assert opened("memory://in", "labels").class_of(0) == "3"


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_in_memory(memory: Any, prepared: Prepare, tmp_path: Path, kind: str) -> None:
    write = making.write_zip if kind == "zip" else making.write_tar
    memory.pipe("/bucket/in", write(tmp_path / "in", FILES).read_bytes())
    check(prepared("memory://bucket/in", "--classes", "folders"), IMAGES, CLASSES)
    check(prepared("memory://bucket/in", "--source-kind", kind, name="other"), IMAGES)


def test_a_chain_of_addresses(memory: Any, prepared: Prepare) -> None:
    memory.pipe("/bucket/in.zip", zip_bytes())
    check(prepared("zip://::memory://bucket/in.zip"), IMAGES)


def test_a_zip_on_a_web_server_is_streamed_to_several_processes(
    site: tuple[str, type[Site]], program: Program, tmp_path: Path
) -> None:
    address, served = site
    heavy = noise(600, 600, 3)
    buffer = io.BytesIO(zip_bytes())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("no picture.bin", heavy.tobytes())
    served.files["/faces.zip"] = buffer.getvalue()
    ended = program(
        datasets, "prepare", f"{address}/faces.zip?signature=secret", tmp_path / "made",
        "--resolution", 8, "--workers", 2, "--held-out", 0, "--classes", "folders",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    made = Dataset.open(tmp_path / "made")
    check(made, IMAGES, CLASSES)
    # What is no picture was not fetched, beyond what came with the table of contents.
    assert sum(size for _, size in served.sent) < heavy.size
    assert all(size < heavy.size for _, size in served.sent)
    # Whoever reads the description does not get the key to the bucket.
    assert made.description.source == f"{address}/faces.zip?…"


def test_a_folder_on_a_web_server(site: tuple[str, type[Site]], prepared: Prepare) -> None:
    address, served = site
    served.files |= {f"/in/{name}": data for name, data in FILES.items()}
    served.files["/in/"] = (
        b'<a href="../">up</a><a href="?C=N;O=D">sort</a><a href="/">top</a>'
        b'<a href="cats/">cats/</a><a href="dogs/">dogs/</a><a href="http://other.invalid/x.png">'
        b'<a href="/elsewhere/y.png"></a><a href="../../z.png"></a>'
    )
    for folder in ("cats", "dogs"):
        links = [name.partition("/")[2] for name in FILES if name.startswith(folder)]
        served.files[f"/in/{folder}/"] = "".join(f'<a href="{n}">{n}</a>' for n in links).encode()
    check(prepared(f"{address}/in/", "--classes", "folders"), IMAGES, CLASSES)
    assert {path for path, _ in served.sent} <= set(served.files)


def test_short_trouble_passes(site: tuple[str, type[Site]]) -> None:
    address, served = site
    served.files["/faces.zip"] = zip_bytes()
    source = opened(f"{address}/faces.zip")
    for item, name in enumerate(source.names):
        served.failures = item % 4
        assert source.load(item) == FILES[name]
    served.failures = 4
    with pytest.raises(SourceLostError, match="503"):
        source.load(0)
    # And it can be asked again.
    assert source.load(0) == FILES[source.names[0]]


def test_servers_that_give_whole_files_only(site: tuple[str, type[Site]]) -> None:
    address, served = site
    served.files["/faces.zip"] = zip_bytes()
    served.parts = False
    with pytest.raises(DatasetError, match="as a whole only"):
        opened(f"{address}/faces.zip")


def test_what_is_not_there(site: tuple[str, type[Site]], memory: Any) -> None:
    address, served = site
    served.files["/words.txt"] = b"words" * 200
    memory.pipe("/in/notes.txt", b"")
    for text, words in (
        (f"{address}/no.zip", "(?i)no such file"),
        (f"{address}/words.txt", "not a zip archive"),
        ("memory://nowhere", "(?i)no such file"),
        ("memory://in", "no pictures.*copied"),
        ("nonsense://x", "nothing is known"),
        ("http://127.0.0.1:9/x.zip", "cannot be read"),
        ("s3://user:password@bucket/x", "pip install s3fs"),
        ("hf://datasets/a/b", "pip install huggingface_hub"),
        ("simplecache::s3://bucket/x", "pip install s3fs"),
    ):
        with pytest.raises(DatasetError, match=words) as raised:
            opened(text)
        assert "password" not in str(raised.value)
        assert "\n" not in str(raised.value)
    with pytest.raises(DatasetError, match="copy it to this computer"):
        opened("memory://in", kind="lmdb")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(DatasetError, match="pip install fsspec"):
        opened("memory://in")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:secret@host/a.zip?X-Amz-Signature=secret", "https://host/a.zip?…"),
        ("zip://*.png::https://host/a.zip?token=secret", "zip://*.png::https://host/a.zip?…"),
        ("s3://key:secret@bucket/a b.zip", "s3://bucket/a b.zip"),
        ("folder/me@home?.zip", "folder/me@home?.zip"),
    ],
)
def test_secrets_in_addresses_are_not_shown(text: str, expected: str) -> None:
    assert remote.shown(text) == expected


def test_sources_behind_an_address_can_be_sent_to_processes(memory: Any) -> None:
    memory.pipe("/in.zip", zip_bytes())
    memory.pipe("/in/1.png", b"1")
    for text in ("memory://in.zip", "memory://in"):
        source = opened(text)
        again: Source = pickle.loads(pickle.dumps(source))
        assert list(again.names) == list(source.names)
        assert again.load(0) == source.load(0)


class Failing:
    """A file system in front of the one in memory, whose files fail to be read."""

    def __init__(self, system: Any, errors: dict[str, Exception]) -> None:
        self._system, self._errors = system, errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def cat_file(self, path: str, **part: Any) -> Any:
        if path in self._errors:
            raise self._errors[path]
        return self._system.cat_file(path, **part)

    def ls(self, path: str, **options: Any) -> Any:
        if "ls" in self._errors:
            raise self._errors["ls"]
        return self._system.ls(path, **options)


def test_one_locked_picture_is_skipped_and_a_lost_login_ends_the_work(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1.png", "2.png"):
        memory.pipe(f"/in/{name}", b"x")
    source = opened("memory://in")
    errors: dict[str, Exception] = {"/in/1.png": PermissionError(errno.EACCES, "denied")}
    failing = Failing(memory, errors)
    monkeypatch.setattr(remote, "_connect", lambda address: (failing, "/in"))
    monkeypatch.setattr(remote._connect, "cache_clear", lambda: None, raising=False)
    with pytest.raises(PermissionError):
        source.load(0)
    assert source.load(1) == b"x"
    errors["ls"] = PermissionError(errno.EACCES, "denied")
    with pytest.raises(SourceLostError, match="memory://in cannot be read"):
        source.load(0)
    # Whatever exception a library thinks of.
    errors["/in/2.png"] = RuntimeError("the token https://host?secret has ended")
    with pytest.raises(SourceLostError, match="RuntimeError"):
        source.load(1)


def test_work_that_the_network_ended_is_continued(
    memory: Any, program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, data in FILES.items():
        memory.pipe(f"/in/{name}", data)
    words = ["prepare", "memory://in", tmp_path / "made", "--resolution", 8, "--workers", 1]
    words += ["--held-out", 0]
    fetch = remote._fetch_whole
    asked: list[str] = []

    def failing(system: Any, path: str, size: int, most: int) -> bytes:
        asked.append(path)
        if len(asked) > 5:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return fetch(system, path, size, most)

    with monkeypatch.context() as patch:
        patch.setattr(remote, "_fetch_whole", failing)
        ended = program(datasets, *words)
    assert ended.status == 1
    assert "Kept the first 5 pictures" in ended.err
    assert "the same command goes on" in ended.err
    assert len(asked) == 9  # Four attempts.
    ended = program(datasets, *words)
    assert ended.status == 0, ended.err
    assert "Going on after 5 of 8" in ended.err
    check(Dataset.open(tmp_path / "made"), IMAGES)


# On this computer


@pytest.mark.parametrize("number", ["EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "ENODEV"])
def test_a_dead_disk_ends_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    source = opened(tmp_path)
    calls = []

    def failing(path: Path) -> bytes:
        calls.append(path)
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)), str(path))

    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(SourceLostError, match=r"1\.png cannot be read"):
        source.load(0)
    assert len(calls) == 4


def test_one_file_that_is_locked_or_gone_is_not_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    (tmp_path / "2.png").write_bytes(b"x")
    source = opened(tmp_path)
    (tmp_path / "2.png").unlink()
    with pytest.raises(FileNotFoundError):
        source.load(1)

    def locked(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", locked)
    with pytest.raises(PermissionError):
        source.load(0)


def test_a_folder_that_vanished_or_is_another_one_ends_the_work(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for place in ("in/1.png", "in/a/2.png", "other/x.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    source = opened(root)
    (root / "a").rename(root / "b")
    with pytest.raises(SourceLostError):
        source.load(1)
    root.rename(tmp_path / "away")
    with pytest.raises(SourceLostError, match=re.escape(str(root))):
        source.load(0)
    (tmp_path / "other").rename(root)  # As an empty mount point takes the place of a disk.
    with pytest.raises(SourceLostError):
        source.load(0)


def test_an_archive_that_vanished_ends_the_work_of_all_processes(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = making.write_zip(tmp_path / "in.zip", FILES)
    source = opened(path)
    path.unlink()
    with pytest.raises(SourceLostError, match="No such file"):
        source.load(0)
    from datasets.framing import Framing
    from datasets.workers import frame_all

    with pytest.raises(SourceLostError, match=re.escape(str(path))):
        list(frame_all(source, range(8), Framing(resolution=8), 2))


def test_parts_beyond_the_end(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    assert LocalFile(tmp_path / "x").read(8, 10) == b"89"
    assert LocalFile(tmp_path / "x").read(20, 10) == b""


def test_a_parquet_file_and_a_shard_behind_an_address(
    memory: Any, prepared: Prepare, tmp_path: Path
) -> None:
    files, names = list(FILES.values()), list(FILES)
    path = making.write_parquet(tmp_path / "x.parquet", files, paths=names, row_group_size=3)
    memory.pipe_file("/in/x.parquet", path.read_bytes())
    check(prepared("memory://in/x.parquet"), IMAGES)
    samples = {f"{n}": {"png": data, "cls": b"%d" % (n % 2)} for n, data in enumerate(files)}
    shard = making.write_shard(tmp_path / "x.tar", samples)
    memory.pipe_file("/in/x.tar", shard.read_bytes())
    check(
        prepared("memory://in/x.tar", "--classes", "labels", name="other"),
        {f"{n}.png": image for n, image in enumerate(pictures())},
        {f"{n}.png": str(n % 2) for n in range(len(files))},
    )
    with pytest.raises(DatasetError, match="only single files of this kind"):
        opened("memory://in", kind="parquet")
    # What vanishes ends the work; it is not the fault of the pictures.
    source = opened("memory://in/x.parquet")
    assert source.load(0) == files[0]
    memory.store.clear()
    with pytest.raises(SourceLostError):
        source.load(7)
