"""Columns of Parquet files, read one row group at a time by the package pyarrow.

It believes what a file says of itself, so that the table of contents and the sizes of pages are
looked at first.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

from datasets.errors import DatasetError
from datasets.sources.files import File, Reader
from datasets.sources.parquet_layout import Chunk, page_sizes, read_chunks

MOST_GROUP_BYTES = 2**30
"""Of a column in a row group, unpacked: all of it must be read for any of its rows."""
# What rows that were unpacked together and are not asked for yet may take, in each process.
_MOST_KEPT_BYTES = 2**28
# Rows that become Python's objects at once: so many, and what they may take.
_BATCH_ROWS, _BATCH_BYTES = 256, 2**26


class DamagedError(Exception):
    """A row group, or all of a file, is not as the format says, or larger than is allowed."""


def _damaged() -> tuple[type[Exception], ...]:
    """List what the library raises at files that are damaged; some of it is its own."""
    from pyarrow.lib import ArrowException  # type: ignore[import-untyped]

    return (
        *(ArrowException, ValueError, OSError, KeyError, IndexError, TypeError, AttributeError),
        *(OverflowError, NotImplementedError, MemoryError, RuntimeError),
    )


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


def table_of(file: File) -> tuple[list[dict[str, Chunk]], Any]:
    """Read the table of contents of a file.

    Returns:
        For each row group, its columns by their paths; and the schema: columns with names and
        Arrow's types, and notes on them.

    Raises:
        DatasetError: it is no Parquet file, or damaged; or pyarrow is missing.
        SourceLostError: it cannot be read.
    """
    require_pyarrow()
    try:
        chunks = read_chunks(file)
        return chunks, _open(file).schema_arrow
    except _damaged():
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


def rows(chunk: Chunk) -> Iterator[object]:
    """Read a column of a row group.

    Yields:
        The values of its rows, None for those without.

    Raises:
        DamagedError: they are damaged, or take more than is allowed.
        SourceLostError: the file cannot be read.
    """
    try:
        sizes = page_sizes(chunk)
        if sizes.unpacked > MOST_GROUP_BYTES:
            raise DamagedError("larger than was told")
        # A few bytes stand for a row that is in the dictionary.
        size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, sizes.dictionary)))
        for batch in _open(chunk.file).iter_batches(
            batch_size=size, row_groups=[chunk.group], columns=[chunk.path], use_threads=False
        ):
            column = batch.column(0)
            for name in _below(chunk.path, batch.schema.names[0]):
                column = column.field(name)
            yield from column.to_pylist()
    except _damaged() as error:
        # A lack of memory that the file is to blame for; a disk's errors are SourceLostError.
        raise DamagedError(str(error)) from None


class Kept:
    """Row groups that were read lately: rows are asked for in any order.

    Each process has its own, of 256 MiB, or of the last row group where that is larger.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: OrderedDict[Chunk, list[bytes | None]] = OrderedDict()
        self._bytes = 0
        # To read one again for each of its rows would take hours, to no avail.
        self._damaged: set[Chunk] = set()

    def forget(self) -> None:
        """Forget all row groups and tables of contents."""
        with self._lock:
            self._groups.clear()
            self._damaged.clear()
            self._bytes = 0
        _open.cache_clear()

    def row(self, key: Chunk, row: int) -> bytes | None:
        """Return the value of a row of a column of bytes.

        Raises:
            DamagedError: its row group is damaged, or ends before it.
            SourceLostError: the file cannot be read.
        """
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

    def _add(self, key: Chunk) -> None:
        values: list[bytes | None] = []
        taken = 0
        for value in rows(key):
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

    # Without threads that read ahead: they would read what is not asked for.
    return pyarrow.parquet.ParquetFile(
        Reader(file, most=2**31), pre_buffer=False, arrow_extensions_enabled=False
    )


def _below(path: str, name: str) -> list[str]:
    """List the fields of a column that lead to a path."""
    rest = path.removeprefix(name)
    return rest.removeprefix(".").split(".") if rest else []
