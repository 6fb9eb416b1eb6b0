"""LSUN's databases: one LMDB for each category, with the bytes of image files as values.

Read without the library of that name: it maps the file into memory and trusts every number in it,
so that a file that is damaged or cut short ends the program on the spot. Here each number is
checked before it is used, and what is found goes to worker processes as plain places in a file.

A database is a file of pages. The first two describe it, and the one that was written later counts;
they lead to the root of a tree, whose leaves hold keys and values, or the numbers of pages where
long values lie. All numbers are little-endian.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.errors import DatasetError, UnusableError
from datasets.progress import progress
from datasets.sources.files import LocalFile, Stretches
from datasets.sources.source import MOST_BYTES, MOST_PICTURES, Source

FILE_NAME = "data.mdb"
# bedroom_train_lmdb is the category bedroom.
_SUFFIXES = ("_lmdb", "_train", "_val")

# A page begins with its number, a field for nothing, what it is, and where its free space begins
# and ends; then come places of nodes.
_PAGE = struct.Struct("<QHHHH")
_BRANCH, _LEAF, _META = 0x01, 0x02, 0x08
# A node begins with two halves of a size or page number, flags (or more of that number), and the
# size of its key.
_NODE = struct.Struct("<HHHH")
_ELSEWHERE = 0x01
_NUMBER = struct.Struct("<Q")
# A description, after the start of its page: mark, version, two fields for nothing; the tree of
# free pages, of which the first field is the size of a page; the tree that counts: flags, depth,
# three numbers of pages, number of entries, root; then the last page, and when it was written.
_DESCRIPTION = struct.Struct("<II16xI44x4xHH24xQQQQ")
_MARK, _VERSION = 0xBEEFC0DE, 1
_PAGE_SIZES = {2**power for power in range(8, 16)}
_NO_PAGE = 2**64 - 1


@dataclass(frozen=True)
class Lmdb(Source):
    """The values of one or several LMDBs."""

    names: tuple[str, ...]
    """Keys in hexadecimal or as text; behind the name of their database, where it is not alone."""
    databases: tuple[Stretches, ...]
    """Where the values of each database lie."""
    labels: tuple[str, ...]
    """For each picture, the category of its database."""

    def load(self, item: int) -> bytes:
        """Read a value.

        Raises:
            UnusableError: it is too large, or the file became shorter.
            SourceLostError: the database cannot be read.
        """
        for stretches in self.databases:
            if item < len(stretches.starts):
                break
            item -= len(stretches.starts)
        if stretches.sizes[item] > MOST_BYTES:
            raise UnusableError("larger than 1 GiB")
        return stretches.read(item)


def database_folders(root: Path) -> list[str]:
    """Find databases: "." if the folder is one itself, or the names of those in it."""
    if (root / FILE_NAME).is_file():
        return ["."]
    with os.scandir(root) as entries:
        folders = [(entry.is_symlink(), entry.name) for entry in entries if _is_folder(entry)]
    found: dict[Path, str] = {}
    # Of two ways to the same database the folder itself counts, and else the first link.
    for _, name in sorted(folders):
        try:
            if (root / name / FILE_NAME).is_file():
                found.setdefault((root / name).resolve(), name)
        except OSError:
            continue  # One that cannot be looked into is none.
    return sorted(found.values())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def open_lmdb(root: Path) -> Lmdb:
    """Open an LMDB, or all those in a folder.

    Raises:
        DatasetError: there is none, or one is damaged.
    """
    found = database_folders(root)
    if not found:
        raise DatasetError(f"{root} holds no LMDB: neither {FILE_NAME} nor folders that hold one.")
    names: list[str] = []
    databases: list[Stretches] = []
    labels: list[str] = []
    for database in found:
        keys, stretches = _read(root / database / FILE_NAME)
        alone = database == "."
        prefix = "" if alone else f"{database}/"
        names += [prefix + name for name in _names(keys)]
        databases.append(stretches)
        labels += [_category(root.resolve().name if alone else database)] * len(keys)
    if not names:
        raise DatasetError(f"{root} holds no pictures: its LMDB is empty.")
    return Lmdb(tuple(names), tuple(databases), tuple(labels))


def _names(keys: Sequence[bytes]) -> list[str]:
    """Keys as text where all of them are some, else in hexadecimal."""
    try:
        names = [key.decode("utf-8") for key in keys]
    except UnicodeDecodeError:
        names = []
    if names and all(name.isprintable() for name in names):
        return names
    return [key.hex() for key in keys]


def _category(folder: str) -> str:
    for suffix in _SUFFIXES:
        folder = folder.removesuffix(suffix)
    return folder or "pictures"


@dataclass(frozen=True)
class _Description:
    """What one of the first two pages says."""

    page_bytes: int
    flags: int
    entries: int
    root: int
    last_page: int
    written: int


def _read(path: Path) -> tuple[list[bytes], Stretches]:
    """Give the keys of a database, and where their values lie."""
    file = LocalFile(path)
    described = _describe(file)
    keys: list[bytes] = []
    starts: list[int] = []
    sizes: list[int] = []
    # Not the number of entries: it may be a lie, and this one was checked.
    with progress(f"Listing {path}", total=described.last_page + 1, unit="pages") as bar:
        last = 0
        for key, start, size in _values(file, described):
            # In order, each comes once.
            if keys and key <= keys[-1]:
                raise _damaged(file)
            if len(keys) == MOST_PICTURES:
                raise DatasetError(f"{path} has more than {MOST_PICTURES} entries.")
            keys.append(key)
            starts.append(start)
            sizes.append(size)
            # Values lie about as they were written: the farthest place tells how far it is.
            page = start // described.page_bytes
            if page > last:
                bar.advance(page - last)
                last = page
    if len(keys) != described.entries:
        raise _damaged(file)
    return keys, Stretches(file, np.array(starts, np.int64), np.array(sizes, np.int64))


def _describe(file: LocalFile) -> _Description:
    size = file.size
    first = _description(file, 0)
    second = None if first is None else _description(file, first.page_bytes)
    if first is None or second is None or first.page_bytes != second.page_bytes:
        raise DatasetError(f"{file.name} is no LMDB of this kind of computer, or is damaged.")
    described = max(first, second, key=lambda each: each.written)
    if (described.last_page + 1) * described.page_bytes > size:
        raise DatasetError(f"{file.name} is cut short; fetch it again.")
    if described.flags:
        raise DatasetError(f"{file.name} is an LMDB, but none of pictures as LSUN has them.")
    return described


def _description(file: LocalFile, start: int) -> _Description | None:
    data = file.read(start, _PAGE.size + _DESCRIPTION.size)
    if len(data) < _PAGE.size + _DESCRIPTION.size:
        return None
    _, _, kind, *_ = _PAGE.unpack_from(data)
    mark, version, page_bytes, flags, _, entries, root, last_page, written = (
        _DESCRIPTION.unpack_from(data, _PAGE.size)
    )
    if not kind & _META or (mark, version) != (_MARK, _VERSION) or page_bytes not in _PAGE_SIZES:
        return None
    return _Description(page_bytes, flags, entries, root, last_page, written)


def _values(file: LocalFile, described: _Description) -> Iterator[tuple[bytes, int, int]]:
    """Go through the tree from left to right; give key, place and size of every value."""
    page_bytes, last_page = described.page_bytes, described.last_page
    end = (last_page + 1) * page_bytes
    waiting = [] if described.root == _NO_PAGE else [described.root]
    visited = 0
    while waiting:
        number = waiting.pop()
        visited += 1
        # More visits than pages: the tree bites its own tail.
        if number > last_page or visited > last_page:
            raise _damaged(file)
        page = file.read(number * page_bytes, page_bytes)
        try:
            kind, nodes = _nodes(page, number)
        except (ValueError, struct.error):
            raise _damaged(file) from None
        if kind == _BRANCH:
            waiting += [low | high << 16 | top << 32 for low, high, top, *_ in reversed(nodes)]
            continue
        for low, high, flags, key, place in nodes:
            start, size = number * page_bytes + place, low | high << 16
            if flags == _ELSEWHERE and place + _NUMBER.size <= page_bytes:
                start = _NUMBER.unpack_from(page, place)[0] * page_bytes + _PAGE.size
            elif flags or place + size > page_bytes:
                raise _damaged(file)
            if start + size > end:
                raise _damaged(file)
            yield key, start, size


def _nodes(page: bytes, number: int) -> tuple[int, list[tuple[int, int, int, bytes, int]]]:
    """Take a page apart; `ValueError` or `struct.error` where it is damaged.

    Returns:
        Its kind; and for each node two halves of a size, flags, the key, and the place after it.
    """
    own_number, _, kind, lower, _ = _PAGE.unpack_from(page)
    kind &= ~0x10  # Written, but not to the disk: no matter here.
    if own_number != number or kind not in (_BRANCH, _LEAF) or not _PAGE.size <= lower:
        raise ValueError(number)
    nodes = []
    for place in struct.unpack_from(f"<{(lower - _PAGE.size) // 2}H", page, _PAGE.size):
        low, high, flags, key_bytes = _NODE.unpack_from(page, place)
        begin = place + _NODE.size
        if begin + key_bytes > len(page):
            raise ValueError(number)
        nodes.append((low, high, flags, page[begin : begin + key_bytes], begin + key_bytes))
    return kind, nodes


def _damaged(file: LocalFile) -> DatasetError:
    return DatasetError(f"{file.name} is damaged; fetch it again.")
