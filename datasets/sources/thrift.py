"""Thrift's compact form, in which Parquet files describe themselves.

A struct is a series of fields with a number and a kind each. Whoever reads it takes the fields that
it knows and passes over the others; nothing is kept of these, whatever they claim to be.
"""

from collections.abc import Iterator

INTEGERS = (4, 5, 6)
BINARY, LIST, STRUCT = 8, 9, 12
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _SET, _MAP = 0, 1, 2, 3, 7, 10, 11
_DEEPEST = 16


class Compact:
    """Reads some bytes from their beginning.

    All methods raise `IndexError` where the data ends before the value does, and `ValueError` for
    what is no value.

    Attributes:
        place: number of bytes that were read.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self.place = data, 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Go through the fields of a struct, whose values the caller must read or pass over.

        Yields:
            Number and kind of each; not of truth values, whose kind is their value.
        """
        number = 0
        while (head := self._byte()) != _STOP:
            number = number + (head >> 4) if head >> 4 else self.integer()
            if head & 15 not in (_TRUE, _FALSE):
                yield number, head & 15

    def elements(self, kind: int) -> Iterator[None]:
        """Go through a list of such values, each of which the caller must read or pass over."""
        head = self._byte()
        count = self._count(head >> 4 if head >> 4 < 15 else self._varint())
        if count and head & 15 != kind:
            raise ValueError(f"a list of kind {head & 15}")
        for _ in range(count):
            yield

    def integer(self) -> int:
        """Read a whole number, −2**63 to 2**63 − 1."""
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def binary(self, most: int) -> bytes:
        """Read some bytes, no more than `most`."""
        size = self._varint()
        if size > most:
            raise ValueError(f"{size} bytes")
        self._skip(size)
        return self._data[self.place - size : self.place]

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over a value."""
        if depth > _DEEPEST:
            raise ValueError("fields in fields without end")
        if kind in INTEGERS:
            self._varint()
        elif kind in (_TRUE, _FALSE, _BYTE):  # In lists a truth value is a byte.
            self._skip(1)
        elif kind == _DOUBLE:
            self._skip(8)
        elif kind == BINARY:
            self._skip(self._varint())
        elif kind in (LIST, _SET):
            head = self._byte()
            for _ in range(self._count(head >> 4 if head >> 4 < 15 else self._varint())):
                self.skip(head & 15, depth + 1)
        elif kind == _MAP:
            if count := self._count(self._varint()):
                kinds = self._byte()
                for _ in range(count):
                    self.skip(kinds >> 4, depth + 1)
                    self.skip(kinds & 15, depth + 1)
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
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
        for shift in range(0, 64, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value & 2**64 - 1
        raise ValueError("a number of more than 64 bits")
