"""LSUN's databases: one LMDB for each category, with the bytes of image files as values."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from datasets.errors import DatasetError, UnusableError
from datasets.sources.source import MOST_BYTES, MOST_PICTURES, Source

if TYPE_CHECKING:
    import lmdb

FILE_NAME = "data.mdb"
# bedroom_train_lmdb is the category bedroom.
_SUFFIXES = ("_lmdb", "_train", "_val")
# The first two pages say what the file holds: a mark, the version of the format, the size of a page
# and the number of the last one.
_MARK = struct.pack("<II", 0xBEEFC0DE, 1)
_MARK_PLACE, _PAGE_SIZE_PLACE, _LAST_PAGE_PLACE = 16, 40, 136
_META_BYTES = 152


@dataclass(frozen=True)
class Lmdb(Source):
    """The values of one or several LMDBs."""

    root: Path
    """The database's folder, or the folder that holds the folders of several."""
    names: tuple[str, ...]
    """Keys in hexadecimal or as text; behind the name of their database, where it is not alone."""
    keys: tuple[bytes, ...]
    """The same as the database has them."""
    folders: tuple[str, ...]
    """For each picture, the folder of its database below `root`; "." where it is alone."""
    labels: tuple[str, ...]
    """For each picture, the category of its database."""

    def load(self, item: int) -> bytes:
        """Read a value.

        Raises:
            UnusableError: it is too large, or damage keeps it from being found.
        """
        lmdb = _library()
        try:
            with _opened(self.root / self.folders[item]).begin(buffers=True) as transaction:
                value = transaction.get(self.keys[item])
                if value is None:
                    raise UnusableError("damaged in the database")
                if len(value) > MOST_BYTES:
                    raise UnusableError("larger than 1 GiB")
                return bytes(value)
        except lmdb.Error:
            raise UnusableError("damaged in the database") from None


def database_folders(root: Path) -> list[str]:
    """Find databases: "." if the folder is one itself, or the names of those in it."""
    if (root / FILE_NAME).is_file():
        return ["."]
    return sorted(path.parent.name for path in root.glob(f"*/{FILE_NAME}") if path.is_file())


def open_lmdb(root: Path) -> Lmdb:
    """Open an LMDB, or all those in a folder.

    Raises:
        DatasetError: there is none, one is damaged, or the package `lmdb` is missing.
    """
    databases = database_folders(root)
    if not databases:
        raise DatasetError(f"{root} holds no LMDB: neither {FILE_NAME} nor folders that hold one.")
    names: list[str] = []
    keys: list[bytes] = []
    folders: list[str] = []
    labels: list[str] = []
    for database in databases:
        found = _keys(root / database)
        alone = database == "."
        prefix = "" if alone else f"{database}/"
        category = _category(root.resolve().name if alone else database)
        names += [prefix + name for name in _names(found)]
        keys += found
        folders += [database] * len(found)
        labels += [category] * len(found)
    if not keys:
        raise DatasetError(f"{root} holds no pictures: its LMDB is empty.")
    return Lmdb(root, tuple(names), tuple(keys), tuple(folders), tuple(labels))


def _keys(folder: Path) -> list[bytes]:
    lmdb = _library()
    _require_whole(folder / FILE_NAME)
    try:
        with _opened(folder).begin() as transaction:
            keys = []
            for key in transaction.cursor().iternext(keys=True, values=False):
                keys.append(bytes(key))
                if len(keys) > MOST_PICTURES:
                    raise DatasetError(f"{folder} has more than {MOST_PICTURES} entries.")
            return keys
    except lmdb.Error as error:
        raise DatasetError(f"{folder} is no LMDB, or is damaged: {error}.") from None


def _names(keys: Sequence[bytes]) -> list[str]:
    """Keys as text where all of them are some, else in hexadecimal."""
    if all(key.isascii() and key.decode("ascii").isprintable() for key in keys):
        return [key.decode("ascii") for key in keys]
    return [key.hex() for key in keys]


def _category(folder: str) -> str:
    for suffix in _SUFFIXES:
        folder = folder.removesuffix(suffix)
    return folder or "pictures"


def _require_whole(path: Path) -> None:
    """Refuse a database whose end is missing.

    The library maps the file into memory and trusts it: to read where there is nothing ends the
    program on the spot.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(_META_BYTES)
        page_bytes = int.from_bytes(first[_PAGE_SIZE_PLACE:][:4], "little")
        file.seek(page_bytes)
        second = file.read(_META_BYTES)
    if page_bytes < _META_BYTES or not all(
        len(page) == _META_BYTES and page[_MARK_PLACE:].startswith(_MARK)
        for page in (first, second)
    ):
        raise DatasetError(f"{path} is no LMDB of this kind of computer, or is damaged.")
    last = max(int.from_bytes(page[_LAST_PAGE_PLACE:][:8], "little") for page in (first, second))
    if (last + 1) * page_bytes > size:
        raise DatasetError(f"{path} is cut short; fetch it again.")


@lru_cache(maxsize=64)
def _opened(folder: Path) -> "lmdb.Environment":
    # Without a lock, so that a disk that cannot be written to will do.
    environment: lmdb.Environment = _library().open(
        str(folder), readonly=True, lock=False, create=False, readahead=False
    )
    return environment


def _library() -> ModuleType:
    try:
        import lmdb
    except ImportError:
        raise DatasetError(
            "LMDB databases need the package lmdb; install it with: pip install lmdb"
        ) from None
    return lmdb
