"""The sizes of the pages in a Parquet file, told before any of them is unpacked.

The library that reads the format makes room for whatever a page says of itself. A page begins with
a header in Thrift's compact form; of its fields, three are looked at and the others passed over.
"""

from dataclasses import dataclass

from datasets.sources.files import File

# With statistics in them, headers may be long.
_HEADER_BYTES, _MOST_HEADER_BYTES = 2**12, 2**22
_DICTIONARY_PAGE = 2
# Pages have about a megabyte; a column of a row group, thousands of them at the very most.
_MOST_PAGES = 2**17
# Kinds of fields.
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = (
    *(0, 1, 2, 3, 7, 8, 9, 10, 11, 12),
)
_INTEGERS = (4, 5, 6)
_DEEPEST = 16


@dataclass(frozen=True)
class PageSizes:
    """What the pages of a column of a row group say of themselves."""

    unpacked: int
    """Bytes of all together once unpacked."""
    dictionary: int
    """Bytes of the dictionary, of which each row may be a copy of any part."""


def page_sizes(file: File, start: int, end: int) -> PageSizes:
    """Go from page to page of a column of a row group.

    Args:
        file: the Parquet file.
        start: where its first page begins.
        end: where its last page ends.

    Raises:
        ValueError: there are no pages.
        SourceLostError: the file cannot be read.
    """
    unpacked = dictionary = pages = 0
    while start < end:
        pages += 1
        if pages > _MOST_PAGES:
            raise ValueError("more pages than there can be")
        fields, length = _page_header(file, start)
        size = fields.get(3, -1)
        if fields.get(2, -1) < 0 or not 0 <= size <= end - start - length:
            raise ValueError(fields)
        unpacked += fields[2]
        if fields.get(1) == _DICTIONARY_PAGE:
            dictionary += fields[2]
        start += length + size
    return PageSizes(unpacked, dictionary)


def _page_header(file: File, start: int) -> tuple[dict[int, int], int]:
    for size in (_HEADER_BYTES, _MOST_HEADER_BYTES):
        parser = _Compact(file.read(start, size))
        try:
            return parser.integers(), parser.place
        except IndexError:
            continue
    raise ValueError("a page without end of its header")


class _Compact:
    """Reads Thrift's compact form. `IndexError` where the data ends before the value does."""

    def __init__(self, data: bytes) -> None:
        self._data, self.place = data, 0

    def integers(self) -> dict[int, int]:
        """Return the whole numbers among the fields of a struct, by their numbers."""
        return self._struct(0)

    def _struct(self, depth: int) -> dict[int, int]:
        found: dict[int, int] = {}
        number = 0
        while (head := self._byte()) != _STOP:
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            if kind in _INTEGERS:
                found[number] = self._zigzag()
            elif kind not in (_TRUE, _FALSE):  # The kind is the value.
                self._pass(kind, depth)
        return found

    def _pass(self, kind: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise ValueError("fields in fields without end")
        if kind in _INTEGERS:
            self._varint()
        elif kind in (_TRUE, _FALSE, _BYTE):  # In lists a truth value is a byte.
            self._skip(1)
        elif kind == _DOUBLE:
            self._skip(8)
        elif kind == _BINARY:
            self._skip(self._varint())
        elif kind in (_LIST, _SET):
            head = self._byte()
            for _ in range(self._count(head >> 4 if head >> 4 < 15 else self._varint())):
                self._pass(head & 15, depth + 1)
        elif kind == _MAP:
            if count := self._count(self._varint()):
                kinds = self._byte()
                for _ in range(count):
                    self._pass(kinds >> 4, depth + 1)
                    self._pass(kinds & 15, depth + 1)
        elif kind == _STRUCT:
            self._struct(depth + 1)
        else:
            raise ValueError(f"a field of kind {kind}")

    def _count(self, count: int) -> int:
        # Each takes a byte at least.
        if count > len(self._data) - self.place:
            raise IndexError(count)
        return count

    def _skip(self, size: int) -> None:
        self.place += size
        if self.place > len(self._data):
            raise IndexError(size)

    def _byte(self) -> int:
        value = self._data[self.place]
        self.place += 1
        return value

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number of more than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
