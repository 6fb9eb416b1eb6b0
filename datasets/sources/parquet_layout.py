"""Where the columns of a Parquet file lie, and what they take unpacked.

Read without the library that unpacks them: that makes room for whatever a page says of itself, and
ends the program over some tables of contents. So both are looked at before it sees them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from datasets.sources.files import File
from datasets.sources.thrift import BINARY, INTEGERS, LIST, STRUCT, Compact

MARK = b"PAR1"
_MOST_TABLE_BYTES = 2**24
_LONGEST_NAME = 4096
# With statistics in them, headers of pages may be long.
_HEADER_BYTES, _MOST_HEADER_BYTES = 2**12, 2**22
_DICTIONARY_PAGE = 2
# Pages have about a megabyte; a column of a row group, thousands of them at the very most.
_MOST_PAGES = 2**17


@dataclass(frozen=True)
class Chunk:
    """A column of a row group."""

    file: File
    """Where it lies."""
    group: int
    """Number of the row group."""
    path: str
    """The column, with dots between the fields of structs."""
    start: int
    """Its first byte."""
    end: int
    """The byte after its last."""
    unpacked: int
    """What it takes unpacked, as the table of contents says."""
    rows: int
    """Number of rows, as the table of contents says."""


@dataclass(frozen=True)
class PageSizes:
    """What the pages of a column of a row group say of themselves."""

    unpacked: int
    """Bytes of all together once unpacked."""
    dictionary: int
    """Bytes of the dictionary, of which each row may be a copy of any part."""


def read_chunks(file: File) -> list[dict[str, Chunk]]:
    """Read the table of contents: for each row group, its columns by their paths.

    Raises:
        ValueError: it is damaged, or there is none.
        SourceLostError: the file cannot be read.
    """
    size = file.size
    footer = file.read(size - 8, 8) if size > 12 else b""
    length = int.from_bytes(footer[:4], "little")
    if footer[4:] != MARK or not 0 < length <= min(_MOST_TABLE_BYTES, size - 12):
        raise ValueError("no table of contents")
    try:
        groups = list(_groups(file, Compact(file.read(size - 8 - length, length))))
    except IndexError:
        raise ValueError("a table of contents without end") from None
    # A few bytes may say that there are a billion rows; each picture takes one at least.
    if sum(max((chunk.rows for chunk in group.values()), default=0) for group in groups) > size:
        raise ValueError("more rows than bytes")
    return groups


def page_sizes(chunk: Chunk) -> PageSizes:
    """Go from page to page of a column of a row group.

    Raises:
        ValueError: there are no pages.
        SourceLostError: the file cannot be read.
    """
    start, end = chunk.start, chunk.end
    unpacked = dictionary = pages = 0
    while start < end:
        pages += 1
        if pages > _MOST_PAGES:
            raise ValueError("more pages than there can be")
        fields, length = _page_header(chunk.file, start)
        size = fields.get(3, -1)
        if fields.get(2, -1) < 0 or not 0 <= size <= end - start - length:
            raise ValueError(fields)
        unpacked += fields[2]
        if fields.get(1) == _DICTIONARY_PAGE:
            dictionary += fields[2]
        start += length + size
    return PageSizes(unpacked, dictionary)


def _page_header(file: File, start: int) -> tuple[dict[int, int], int]:
    """Read the header of a page: its whole numbers by the numbers of the fields, and its length."""
    for size in (_HEADER_BYTES, _MOST_HEADER_BYTES):
        parser = Compact(file.read(start, size))
        try:
            return _integers(parser), parser.place
        except IndexError:
            continue
    raise ValueError("a page without end of its header")


def _groups(file: File, parser: Compact) -> Iterator[dict[str, Chunk]]:
    for number, kind in parser.fields():
        if (number, kind) != (4, LIST):
            parser.skip(kind)
            continue
        for group, _ in enumerate(parser.elements(STRUCT)):
            columns, rows = _group(parser)
            found = {
                path: Chunk(file, group, path, *_stretch(numbers, file.size), rows)
                for path, numbers in columns
            }
            if rows < 0 or len(found) != len(columns):
                raise ValueError("a row group that cannot be")
            yield found


def _group(parser: Compact) -> tuple[list[tuple[str, dict[int, int]]], int]:
    """Read a row group: what is told of its columns, and the number of rows."""
    columns: list[tuple[str, dict[int, int]]] = []
    rows = -1
    for number, kind in parser.fields():
        if (number, kind) == (1, LIST):
            columns += [_column(parser) for _ in parser.elements(STRUCT)]
        elif number == 3 and kind in INTEGERS:
            rows = parser.integer()
        else:
            parser.skip(kind)
    return columns, rows


def _column(parser: Compact) -> tuple[str, dict[int, int]]:
    path: list[str] = []
    numbers: dict[int, int] = {}
    for number, kind in parser.fields():
        if (number, kind) != (3, STRUCT):
            parser.skip(kind)
            continue
        for inner, inner_kind in parser.fields():
            if (inner, inner_kind) == (3, LIST):
                path = [
                    parser.binary(_LONGEST_NAME).decode("utf-8", "surrogateescape")
                    for _ in parser.elements(BINARY)
                ]
            elif inner_kind in INTEGERS:
                numbers[inner] = parser.integer()
            else:
                parser.skip(inner_kind)
    return ".".join(path), numbers


def _stretch(numbers: dict[int, int], size: int) -> tuple[int, int, int]:
    """Tell where a column begins and ends, and what it takes unpacked."""
    start, packed, unpacked = numbers.get(9, -1), numbers.get(7, -1), numbers.get(6, -1)
    if numbers.get(11, 0) > 0:  # A dictionary comes before the rest.
        start = min(start, numbers[11])
    if start < 0 or packed < 0 or unpacked < 0 or start + packed > size:
        raise ValueError(numbers)
    return start, start + packed, unpacked


def _integers(parser: Compact) -> dict[int, int]:
    found: dict[int, int] = {}
    for number, kind in parser.fields():
        if kind in INTEGERS:
            found[number] = parser.integer()
        else:
            parser.skip(kind)
    return found
