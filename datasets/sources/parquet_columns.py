"""Columns of Parquet files, read one row group at a time by the package pyarrow.

It believes what a file says of itself, so that this is checked first: how long the table of
contents is, and what the pages of a column take once unpacked.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

from datasets.errors import DatasetError
from datasets.sources.files import File, Reader
from datasets.sources.parquet_pages import page_sizes

MARK = b"PAR1"
MOST_GROUP_BYTES = 2**30
"""Of a column in a row group, unpacked: all of it must be read for any of its rows."""
_MOST_FOOTER_BYTES = 2**26
# What rows that were unpacked together and are not asked for yet may take, in each process.
_MOST_KEPT_BYTES = 2**28
# Rows that become Python's objects at once: so many, and what they may take.
_BATCH_ROWS, _BATCH_BYTES = 256, 2**26
_DAMAGED = (
    *(ValueError, OSError, KeyError, IndexError, TypeError, AttributeError),
    *(OverflowError, NotImplementedError, MemoryError, RuntimeError),
)


class DamagedError(Exception):
    """A row group, or all of a file, is not as the format says, or larger than is allowed."""


def require_pyarrow() -> None:
    """Raise unless the package is there.

    Raises:
        DatasetError: it is not, with the line that installs it.
    """
    try:
        import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        raise DatasetError(
            "Parquet files need the package pyarrow; install it with: pip install pyarrow"
        ) from None


def schema_of(file: File) -> Any:
    """Read the schema of a file: columns with names and Arrow's types, and notes on them.

    Raises:
        DatasetError: it is no Parquet file, or damaged; or pyarrow is missing.
        SourceLostError: it cannot be read.
    """
    require_pyarrow()
    try:
        return _open(file).schema_arrow
    except (DamagedError, *_DAMAGED):
        raise DatasetError(f"{file.name} is not a Parquet file, or is damaged.") from None


def kind_of(kind: Any) -> Literal["bytes", "text", "number", "fields", "other"]:
    """Return what a column of one of Arrow's types holds: whole numbers are truth values, too."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "bytes"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_integer(kind) or types.is_boolean(kind):
        return "number"
    return "fields" if types.is_struct(kind) else "other"


def row_groups(file: File, path: str) -> list[tuple[int, int]]:
    """List the row groups of a file: how many rows each has, and what a column takes unpacked.

    Raises:
        DatasetError: that cannot be.
        SourceLostError: the file cannot be read.
    """
    try:
        described = _open(file).metadata
        # A few bytes may say that there are a billion rows; each picture takes one at least.
        if not 0 <= described.num_rows <= file.size or described.num_row_groups > file.size:
            raise DamagedError(described.num_rows)
        found = []
        for number in range(described.num_row_groups):
            group = described.row_group(number)
            found.append((group.num_rows, _chunk(group, path).total_uncompressed_size))
    except (DamagedError, *_DAMAGED):
        raise DatasetError(f"{file.name} is not a Parquet file, or is damaged.") from None
    counts = [count for count, _ in found]
    if min(counts, default=0) < 0 or sum(counts) != described.num_rows:
        raise DatasetError(f"{file.name} is damaged: its row groups do not add up.")
    return found


def rows(file: File, group: int, path: str) -> Iterator[object]:
    """Read a column of a row group.

    Args:
        file: the file.
        group: which row group.
        path: the column, with dots between the fields of structs.

    Yields:
        The values of its rows, None for those without.

    Raises:
        DamagedError: they are damaged, or take more than is allowed.
        SourceLostError: the file cannot be read.
    """
    try:
        opened = _open(file)
        size = _batch_rows(file, opened.metadata.row_group(group), path)
        for batch in opened.iter_batches(
            batch_size=size, row_groups=[group], columns=[path], use_threads=False
        ):
            column = batch.column(0)
            for name in _below(path, batch.schema.names[0]):
                column = column.field(name)
            yield from column.to_pylist()
    except _DAMAGED as error:
        # A lack of memory that the file is to blame for; a disk's errors are SourceLostError.
        raise DamagedError(str(error)) from None


class Kept:
    """Row groups that were read lately: rows are asked for in any order.

    Each process has its own, of 256 MiB, or of the last row group where that is larger.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: OrderedDict[tuple[File, int, str], list[bytes | None]] = OrderedDict()
        self._bytes = 0
        # To read one again for each of its rows would take hours, to no avail.
        self._damaged: set[tuple[File, int, str]] = set()

    def forget(self) -> None:
        """Forget all row groups and tables of contents."""
        with self._lock:
            self._groups.clear()
            self._damaged.clear()
            self._bytes = 0
        _open.cache_clear()

    def row(self, file: File, group: int, path: str, row: int) -> bytes | None:
        """Return a value of a column of bytes.

        Raises:
            DamagedError: its row group is damaged, or ends before it.
            SourceLostError: the file cannot be read.
        """
        key = file, group, path
        # One at a time, or threads would unpack the same row group at once.
        with self._lock:
            if key in self._damaged:
                raise DamagedError("damaged, as was seen before")
            if key not in self._groups:
                try:
                    self._add(key)
                except DamagedError:
                    self._damaged.add(key)
                    raise
            self._groups.move_to_end(key)
            values = self._groups[key]
        if row >= len(values):
            raise DamagedError("fewer rows than were told")
        return values[row]

    def _add(self, key: tuple[File, int, str]) -> None:
        values: list[bytes | None] = []
        taken = 0
        for value in rows(*key):
            values.append(value if isinstance(value, bytes) else None)
            taken += len(values[-1] or b"")
            if taken > MOST_GROUP_BYTES:
                raise DamagedError("larger than its pages")
        while self._groups and self._bytes + taken > _MOST_KEPT_BYTES:
            _, old = self._groups.popitem(last=False)
            self._bytes -= sum(len(value or b"") for value in old)
        self._groups[key] = values
        self._bytes += taken


@lru_cache(maxsize=32)
def _open(file: File) -> Any:
    import pyarrow.parquet

    size = file.size
    footer = file.read(size - 8, 8) if size > 12 else b""
    if footer[4:] != MARK or int.from_bytes(footer[:4], "little") > _MOST_FOOTER_BYTES:
        raise DamagedError("no table of contents")
    # Without threads that read ahead: they would read what is not asked for.
    return pyarrow.parquet.ParquetFile(
        Reader(file, most=2**31), pre_buffer=False, arrow_extensions_enabled=False
    )


def _batch_rows(file: File, group: Any, path: str) -> int:
    """Choose how many rows to read at once, after a look at what the pages say of themselves."""
    column = _chunk(group, path)
    starts = [column.data_page_offset]
    if column.dictionary_page_offset:
        starts.append(column.dictionary_page_offset)
    start, size = min(starts), column.total_compressed_size
    if start < 0 or size < 0 or start + size > file.size:
        raise ValueError(start)
    sizes = page_sizes(file, start, start + size)
    if sizes.unpacked > MOST_GROUP_BYTES:
        raise ValueError(sizes)
    # A few bytes stand for a row that is in the dictionary.
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, sizes.dictionary)))


def _below(path: str, name: str) -> list[str]:
    """List the fields of a column that lead to a path."""
    rest = path.removeprefix(name)
    return rest.removeprefix(".").split(".") if rest else []


def _chunk(group: Any, path: str) -> Any:
    """Find what a row group says of one of its columns."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == path:
            return column
    raise DamagedError(path)
