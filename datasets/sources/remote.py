"""Pictures behind an address: s3://…, hf://…, https://… and whatever else the package fsspec opens.

They are streamed: of an archive its table of contents and then one picture after the other, of a
folder its list and then its files. Nothing is copied first.
"""

import errno
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError, SourceLostError, UnusableError
from datasets.sources.files import File
from datasets.sources.persistence import lost, persistently, reason
from datasets.sources.selection import GLANCES_ELSEWHERE, Selection
from datasets.sources.signatures import HEAD_BYTES, without_raw_files
from datasets.sources.source import (
    MOST_BYTES,
    MOST_PICTURES,
    Label,
    Source,
    no_pictures,
)

T = TypeVar("T")

_PROTOCOL = r"[A-Za-z][A-Za-z0-9+.\-]*"
_ADDRESS = re.compile(rf"({_PROTOCOL}::)*{_PROTOCOL}://.*", re.DOTALL)
_FILE_PROTOCOLS = ("file://", "local://")
# What comes before the @ may be a password, and what comes after a question mark a signature.
_LOGIN = re.compile(r"(?<=://)[^/@]*@")
_QUERY = re.compile(r"(?<=[^?])\?.*", re.DOTALL)
_WEB = ("http", "https")
# What to install for which protocol.
_PACKAGES = {
    **dict.fromkeys(_WEB, "aiohttp"),
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    **dict.fromkeys(("ssh", "sftp"), "paramiko"),
    **dict.fromkeys(("github", "gist", "dbfs", "webhdfs", "jlab", "jupyter"), "requests"),
    **dict.fromkeys(("hdfs", "arrow_hdfs"), "pyarrow"),
    **dict.fromkeys(("oci", "ocilake"), "ocifs"),
    **dict.fromkeys(("tos", "tosfs"), "tosfs"),
    "hf": "huggingface_hub",
    "smb": "smbprotocol",
    "webdav": "webdav4",
    "oss": "ossfs",
    "gdrive": "gdrive_fs",
    "box": "boxfs",
    "dropbox": "dropboxdrivefs",
    "git": "pygit2",
    "lakefs": "lakefs-spec",
    "libarchive": "libarchive-c",
    "root": "fsspec-xrootd",
    "dvc": "dvc",
    "wandb": "wandbfs",
    "dask": "dask[distributed]",
}
# Folders in folders, of which a list may pretend to have any number.
_DEEPEST = 64
_SECONDS_BETWEEN_LINES = 10.0
_PART = 2**20


def is_address(text: str) -> bool:
    """Tell whether a SOURCE is an address and not a path."""
    return _ADDRESS.fullmatch(text) is not None


def local_path(text: str) -> str:
    """Make a path of an address that leads to this computer; give others back as they are."""
    for protocol in _FILE_PROTOCOLS:
        if text.startswith(protocol):
            return text.removeprefix(protocol)
    return text


def shown(text: str) -> str:
    """Give a SOURCE without what nobody should read in a log: login and signature."""
    if not is_address(text):
        return text
    text = _LOGIN.sub("", text)
    return _QUERY.sub("?…", text) if any(f"{web}://" in text for web in _WEB) else text


@dataclass(frozen=True)
class RemoteFile(File):
    """A file behind an address."""

    address: str
    """Where."""
    byte_count: int
    """Its size."""

    @property
    def name(self) -> str:
        """The address, without a login in it."""
        return shown(self.address)

    @property
    def own_name(self) -> str:
        """What comes after the last slash."""
        return self.name.rpartition("/")[2]

    @property
    def size(self) -> int:
        """Number of bytes, as it was told at first."""
        return self.byte_count

    def read(self, start: int, size: int) -> bytes:
        """Fetch a part."""
        end = min(start + size, self.byte_count)
        if end <= start:
            return b""

        def attempt() -> bytes:
            system, path = _connect(self.address)
            data = _fetch_part(system, path, start, end, self.byte_count)
            if len(data) != end - start:
                raise ConnectionError("it gives another part than was asked for")
            return data

        try:
            return _persistently(attempt, self.name)
        except _WholeOnlyError:
            raise _whole_only(self.address) from None
        except OSError as error:
            # Missing or locked, it takes all its pictures with it.
            raise lost(self.name, error) from None


@dataclass(frozen=True)
class RemoteFolder(Source):
    """Image files in a folder behind an address, and in the folders in it."""

    address: str
    """Where."""
    root: str
    """The same as the file system calls it."""
    names: tuple[str, ...]
    """Paths below it, with forward slashes."""
    sizes: NDArray[np.int64]
    """Bytes of each, -1 where it was not told: [N]."""
    labels: Sequence[Label] | None = None
    """Classes that lie beside the pictures in a dataset.json."""
    folder_classes: Mapping[str, str] = field(default_factory=dict)
    """Classes of folders that are called otherwise, from the same place."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """Pictures that are hidden, or of a kind that is never read."""

    @without_raw_files
    def load(self, item: int) -> bytes:
        """Fetch an image file.

        Raises:
            UnusableError: it is too large.
            OSError: this one cannot be read.
            SourceLostError: it cannot be reached, nor can the folder as a whole.
        """
        name, size = self.names[item], int(self.sizes[item])
        if size > MOST_BYTES:
            raise UnusableError("larger than 1 GiB")
        try:
            data = self._fetch(name, size, MOST_BYTES)
        except OSError as error:
            # One that is missing or locked is skipped; when a login ends, all of them look so.
            self._require_reachable(error)
            raise
        if len(data) > MOST_BYTES:
            raise UnusableError("larger than 1 GiB")
        return data

    def read_beside(self, name: str, most_bytes: int) -> bytes | None:
        """Fetch another file in the folder, if it is there.

        Raises:
            SourceLostError: it cannot be reached.
        """
        path = _join(self.root, name)
        # Not simply asked for: some servers have a page for everything.
        if all(path != found for found, _, _ in _list(self.address, self.root)):
            return None
        try:
            return self._fetch(name, -1, most_bytes)
        except OSError as error:
            raise lost(f"{shown(self.address)}: {name}", error) from None

    def _fetch(self, name: str, size: int, most_bytes: int) -> bytes:
        def attempt() -> bytes:
            system, _ = _connect(self.address)
            data = _fetch_whole(system, _join(self.root, name), size, most_bytes)
            if 0 <= size != len(data):
                raise ConnectionError("it gives another part than was asked for")
            return data

        return _persistently(attempt, f"{shown(self.address)}: {name}")

    def _require_reachable(self, error: Exception) -> None:
        def attempt() -> None:
            system, _ = _connect(self.address)
            system.invalidate_cache()
            system.ls(self.root, detail=True)

        try:
            _persistently(attempt, shown(self.address))
        except OSError:
            raise lost(shown(self.address), error) from None


def look(text: str) -> RemoteFile | tuple[str, str]:
    """Find out what is behind an address.

    Returns:
        A file; or, for a folder, its address and what its file system calls it.

    Raises:
        DatasetError: there is nothing, it cannot be reached, the package for it is missing, or it
            is a file of which no parts can be had.
    """
    system, path = _connect(text)
    try:
        info = _persistently(lambda: dict(system.info(path)), shown(text))
    except OSError as error:
        raise DatasetError(f"{shown(text)} cannot be opened: {reason(error)}.") from None
    if _is_web(system):
        folder = path.endswith("/") or info.get("mimetype") == "text/html"
    else:
        folder = info.get("type") == "directory"
    if folder:
        return text, path.rstrip("/")
    size = info.get("size")
    if not isinstance(size, int) or size < 0 or info.get("partial") is False:
        raise _whole_only(text)
    file = RemoteFile(text, size)
    if size > 1:
        try:
            _persistently(lambda: _fetch_part(system, path, 1, 2, size), file.name)
        except _WholeOnlyError:
            raise _whole_only(text) from None
        except OSError as error:
            raise DatasetError(f"{file.name} cannot be opened: {reason(error)}.") from None
    return file


def open_remote_folder(address: str, root: str) -> RemoteFolder:
    """Find the pictures in a folder behind an address.

    Raises:
        DatasetError: there are none, or it cannot be reached.
    """
    name = shown(address)
    found: dict[str, int] = {}
    next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
    selection = Selection(GLANCES_ELSEWHERE)
    for path, size in _pictures(address, root, selection):
        found[path] = size
        if len(found) > MOST_PICTURES:
            raise DatasetError(f"{name} has more than {MOST_PICTURES} pictures.")
        if time.monotonic() >= next_line:
            # Nobody knows how many there will be.
            click.echo(f"Listing {name}: {len(found)} pictures so far", err=True)
            next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
    selection.report(name)
    if not found:
        raise DatasetError(
            no_pictures(name, selection.listed())
            + " Collections other than pictures and archives of them must be "
            "copied to this computer first."
        )
    names = tuple(sorted(found))
    sizes = np.array([found[n] for n in names], np.int64)
    return RemoteFolder(address, root, names, sizes, passed_over=selection.listed())


def _pictures(address: str, root: str, selection: Selection) -> Iterator[tuple[str, int]]:
    """Go through a folder and all in it; give name and size of each picture, -1 for unknown."""
    waiting = [root]
    visited = {root}
    while waiting:
        folder = waiting.pop()
        for path, size, is_folder in _list(address, folder):
            # A list may name what lies elsewhere, such as the folder above.
            inside = path.startswith(_join(folder, ""))
            name = path.removeprefix(_join(root, ""))
            if not inside or not name or ".." in name.split("/"):
                continue
            if not is_folder:
                if selection.takes(name, partial(_head, address, path, size)):
                    yield name, size
            elif path not in visited and name.count("/") < _DEEPEST:
                if not any(part.startswith(".") for part in name.split("/")):
                    waiting.append(path)
                visited.add(path)


def _head(address: str, path: str, size: int) -> bytes:
    """Fetch the first bytes of a file; `OSError` if that fails once."""
    if size == 0:
        return b""
    system, _ = _connect(address)
    end = HEAD_BYTES if size < 0 else min(size, HEAD_BYTES)
    try:
        return _fetch_part(system, path, 0, end, end)
    except Exception as error:
        # As many exceptions as libraries.
        raise OSError(reason(error)) from None


def _list(address: str, folder: str) -> list[tuple[str, int, bool]]:
    def attempt() -> list[tuple[str, int, bool]]:
        system, _ = _connect(address)
        entries = system.ls(f"{folder}/" if _is_web(system) else folder, detail=True)
        found = []
        for entry in entries:
            path, size = str(entry["name"]), entry.get("size")
            # Links in a web page may carry a query, such as the order to list in.
            if not (_is_web(system) and ("?" in path or "#" in path)):
                known = size if isinstance(size, int) and size >= 0 else -1
                path = path.rstrip("/") if folder else path.strip("/")
                found.append((path, known, entry.get("type") == "directory"))
        return found

    try:
        return _persistently(attempt, shown(address))
    except OSError as error:
        raise lost(shown(address), error) from None


def _join(folder: str, name: str) -> str:
    # The outermost folder has no name, and in some file systems no slash.
    return f"{folder}/{name}" if folder else name


class _WholeOnlyError(Exception):
    """A server gives files as a whole only."""


def _fetch_part(system: Any, path: str, start: int, end: int, size: int) -> bytes:
    if not _is_web(system):
        data: bytes = system.cat_file(path, start=start, end=end)
        return data
    # Not cat_file: of a server that knows no parts it would fetch the whole file into memory.
    with system.open(path, "rb", size=size, block_size=_PART, cache_type="none") as file:
        file.seek(start)
        try:
            data = file.read(end - start)
        except ValueError:
            raise _WholeOnlyError from None
    return data


def _fetch_whole(system: Any, path: str, size: int, most_bytes: int) -> bytes:
    """Fetch a file, at most one byte more than is allowed."""
    if not _is_web(system):
        if size < 0:
            size = int(system.info(path)["size"])
        # To ask for a part of an empty file is an error in some file systems.
        data: bytes = system.cat_file(path, start=0, end=min(size, most_bytes + 1)) if size else b""
        return data
    parts = []
    left = most_bytes + 1
    # A stream, that needs no size; the one given keeps it from asking for it.
    with system.open(path, "rb", size=1, block_size=0) as file:
        while left and (part := file.read(min(_PART, left))):
            parts.append(part)
            left -= len(part)
    return b"".join(parts)


def _persistently(read: Callable[[], T], name: str) -> T:
    """Try again where the network may be to blame: there are as many exceptions as libraries."""

    def may_pass(error: Exception) -> bool:
        final = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
        return not isinstance(error, (*final, DatasetError, UnusableError, _WholeOnlyError))

    def attempt() -> T:
        try:
            return read()
        except Exception as error:
            if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
                # What some libraries say of a network that is down, too.
                error = error.__cause__
            # Web servers answer with a number.
            status = getattr(error, "status", None)
            if status in (401, 403):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
            if status in (404, 410):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
            raise error from None

    try:
        return persistently(attempt, name, may_pass)
    except SourceLostError:
        _connect.cache_clear()
        raise


@lru_cache(maxsize=8)
def _connect(address: str) -> tuple[Any, str]:
    """Give the file system for an address, and what it calls the place there."""
    try:
        import fsspec
        from fsspec.core import url_to_fs
    except ImportError:
        raise DatasetError(
            "Addresses need the package fsspec; install it with: pip install fsspec"
        ) from None
    for part in address.split("::"):
        protocol = part.partition("://")[0].lower()
        try:
            fsspec.get_filesystem_class(protocol)
        except ImportError:
            raise DatasetError(
                f"Addresses that begin with {protocol}:// need the package "
                f"{_PACKAGES.get(protocol, protocol)}; install it with: pip install "
                f"{_PACKAGES.get(protocol, protocol)}"
            ) from None
        except ValueError:
            raise DatasetError(
                f"{shown(address)}: nothing is known to open addresses that begin with "
                f"{protocol}://."
            ) from None
    try:
        system, path = url_to_fs(address)
    except Exception as error:
        # As many exceptions as libraries, from a missing login to a host that is none.
        raise DatasetError(f"{shown(address)} cannot be opened: {reason(error)}.") from None
    return system, str(path)


def _is_web(system: Any) -> bool:
    protocols = system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)
    return any(protocol in _WEB for protocol in protocols)


def _whole_only(text: str) -> DatasetError:
    return DatasetError(
        f"{shown(text)}: its server gives files as a whole only; fetch it first, and give "
        "that file."
    )
