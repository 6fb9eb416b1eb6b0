"""Reads pickles as data: a stack machine of its own that runs nothing that a file names.

Python's unpickler finds and calls whatever a file asks for, and even one that admits few names
still sets attributes on them and reserves memory as it is told. The machine here knows the
operations that plain containers, NumPy arrays and chosen objects are written with, by protocols 2
to 5. It makes inert records of them; the bytes of arrays are not copied, but stay views of the
file. Any other operation, name or shape is refused by name. Time and memory are bounded by the
file's own size, and nothing here recurses, however deep its containers lie in one another.
"""

import codecs
import math
import mmap
import pickletools
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from progan.errors import ProganError

# Three networks of 1024 pixels have some 280 MB, written in a few thousand operations.
MOST_BYTES = 2**32
MOST_OPERATIONS = 2**16
# A text that is longer is taken for the numbers of an array: protocol 2 has no other bytes.
_LONGEST_TEXT = 2**16
_MOST_TEXT = 2**24
_LONGEST_NAME = 200
_PIECE = 2**20

_RECONSTRUCT, _SCALAR, _FROM_BUFFER = "_reconstruct", "scalar", "_frombuffer"
_NDARRAY, _DTYPE, _ENCODE = "numpy.ndarray", "numpy.dtype", "_codecs.encode"
# What arrays and numbers of all versions of NumPy name.
_NAMES = {
    "numpy.ndarray": _NDARRAY,
    "numpy.dtype": _DTYPE,
    "_codecs.encode": _ENCODE,
    **{
        f"numpy.{core}.{module}.{name}": name
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", _RECONSTRUCT),
            ("multiarray", _SCALAR),
            ("numeric", _FROM_BUFFER),
        )
    },
}
_KINDS = "biuf"


class _RefusedError(Exception):
    """The file holds something else; the message says what, and goes on from «it »."""


@dataclass(frozen=True, eq=False, repr=False)
class _Name:
    """A name that is admitted; what it names is never looked up."""

    name: str


@dataclass(eq=False, repr=False)
class _Dtype:
    """NumPy's type of numbers, such as f4, and their order in memory."""

    code: str
    order: str | None = None

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(f"{self.order or '='}{self.code}")


@dataclass(frozen=True, eq=False, repr=False)
class _LongText:
    """UTF-8 text that is too long to be one: an array's bytes by protocol 2."""

    data: memoryview


@dataclass(eq=False, repr=False)
class Array:
    """An array of numbers.

    Attributes:
        values: a view of the file; None until the file has told its content.
    """

    values: NDArray[Any] | None = None


@dataclass(eq=False, repr=False)
class Instance:
    """An object of an admitted class.

    Attributes:
        of: module and name of its class.
        state: its attributes; None until the file has told them.
    """

    of: str
    state: dict[str, Any] | None = None


def read_pickle(path: Path, classes: Collection[str]) -> tuple[Any, int]:
    """Read a pickle file without running anything that it names.

    Args:
        path: the file.
        classes: module and name of the classes whose objects may occur, such as `tfutil.Network`.

    Returns:
        What it holds, made of None, bool, int, float, str, memoryview, list, tuple, dict with text
        for keys, `Array` and `Instance`, perhaps nested deeper than a recursion can follow, or in
        themselves; and the file's length in bytes.

    Raises:
        ProganError: there is no such file, or it is damaged, too large or holds anything else.
    """
    if not path.is_file():
        raise ProganError(f"there is no file {path}")
    length = path.stat().st_size
    if length > MOST_BYTES:
        raise ProganError(f"{path} has more than {MOST_BYTES >> 30} GiB: too much for networks")
    if length == 0:
        raise ProganError(f"{path} is empty")
    with path.open("rb") as file:
        # Closed when the last array that is a view of it has gone.
        data = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ)
    try:
        return _Machine(data, frozenset(classes)).run(), length
    except _RefusedError as refused:
        raise ProganError(f"{path} cannot be read as official networks: it {refused}") from None


def quoted(text: str) -> str:
    """Give a stranger's text as it can be shown: in quotes, short and without control signs."""
    return ascii(text if len(text) <= 60 else f"{text[:60]}…")


class _Machine:
    """The stack machine that a pickle is a program of."""

    def __init__(self, data: mmap.mmap, classes: frozenset[str]) -> None:
        self._data = data
        self._view = memoryview(data)
        self._classes = classes
        self._at = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._text = 0
        self._encoded = 0

    def run(self) -> Any:
        """Go through all operations and give what they leave."""
        if bytes(self._take(1)) != b"\x80":
            raise _RefusedError("does not begin as a pickle of protocol 2 or above does")
        protocol = self._number("B")
        if not 2 <= protocol <= 5:
            raise _RefusedError(f"is a pickle of protocol {protocol}, and 2 to 5 can be read")
        for _ in range(MOST_OPERATIONS):
            code = bytes(self._take(1))
            if code == b".":
                break
            self._step(code)
        else:
            raise _RefusedError(f"has more than {MOST_OPERATIONS} operations")
        if self._marks or len(self._stack) != 1:
            raise _RefusedError("ends in the middle of something")
        if self._at != len(self._view):
            raise _RefusedError("goes on after its end")
        return self._stack[0]

    # ---- bytes ----

    def _take(self, count: int) -> memoryview:
        if count > len(self._view) - self._at:
            raise _RefusedError("is cut off")
        self._at += count
        return self._view[self._at - count : self._at]

    def _number(self, layout: str) -> Any:
        layout = f"<{layout}" if layout != "d" else ">d"
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at, self._at + _LONGEST_NAME + 1)
        if end < 0:
            raise _RefusedError("has a name without an end")
        line = bytes(self._take(end + 1 - self._at))[:-1]
        return line.decode("utf-8", "replace")

    def _read_text(self, length: int) -> str | _LongText:
        data = self._take(length)
        if length > _LONGEST_TEXT:
            return _LongText(data)
        self._text += length
        if self._text > _MOST_TEXT:
            raise _RefusedError(f"has more than {_MOST_TEXT >> 20} MiB of text")
        try:
            return str(data, "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise _RefusedError("has a text that is not UTF-8") from None

    # ---- the stack ----

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        # What lies below a mark belongs to somebody else.
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise _RefusedError("takes more from its stack than there is")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._push(value)
        return value

    def _pop_marked(self) -> list[Any]:
        if not self._marks:
            raise _RefusedError("asks for a mark that it has not set")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _remember(self, place: int) -> None:
        self._memo[place] = self._top()

    def _recall(self, place: int) -> None:
        if place not in self._memo:
            raise _RefusedError("refers to something that it has not told")
        self._push(self._memo[place])

    # ---- operations ----

    def _step(self, code: bytes) -> None:
        """Carry out one operation."""
        match code:
            case b"\x95":  # FRAME says how much to read at once
                self._number("Q")
            # Constants and numbers
            case b"N":
                self._push(None)
            case b"\x88":
                self._push(True)
            case b"\x89":
                self._push(False)
            case b"J":
                self._push(self._number("i"))
            case b"K":
                self._push(self._number("B"))
            case b"M":
                self._push(self._number("H"))
            case b"\x8a":
                self._push(int.from_bytes(self._take(self._number("B")), "little", signed=True))
            case b"G":
                self._push(self._number("d"))
            # Text, and bytes, which Python 2 did not tell from text
            case b"X":
                self._push(self._read_text(self._number("I")))
            case b"\x8c":
                self._push(self._read_text(self._number("B")))
            case b"\x8d":
                self._push(self._read_text(self._number("Q")))
            case b"U" | b"C":
                self._push(self._take(self._number("B")))
            case b"T" | b"B":
                self._push(self._take(self._number("I")))
            case b"\x8e" | b"\x96":
                self._push(self._take(self._number("Q")))
            # Containers
            case b"(":
                self._marks.append(len(self._stack))
            case b")":
                self._push(())
            case b"\x85":
                self._push((self._pop(),))
            case b"\x86":
                second = self._pop()
                self._push((self._pop(), second))
            case b"\x87":
                third, second = self._pop(), self._pop()
                self._push((self._pop(), second, third))
            case b"t":
                self._push(tuple(self._pop_marked()))
            case b"]":
                self._push([])
            case b"a":
                self._extend([self._pop()])
            case b"e":
                self._extend(self._pop_marked())
            case b"}":
                self._push({})
            case b"s":
                value = self._pop()
                self._fill([self._pop(), value])
            case b"u":
                self._fill(self._pop_marked())
            # What was told before
            case b"q":
                self._remember(self._number("B"))
            case b"r":
                self._remember(self._number("I"))
            case b"\x94":
                self._remember(len(self._memo))
            case b"h":
                self._recall(self._number("B"))
            case b"j":
                self._recall(self._number("I"))
            # Names and what is made with them
            case b"c":
                self._name(self._line(), self._line())
            case b"\x93":
                name = _text(self._pop())
                self._name(_text(self._pop()), name)
            case b"R":
                arguments = self._pop()
                self._push(self._made(self._pop(), arguments))
            case b"\x81":
                arguments = self._pop()
                self._push(self._object(self._pop(), arguments))
            case b"b":
                state = self._pop()
                self._build(self._top(), state)
            case _:
                self._refuse_operation(code)

    def _refuse_operation(self, code: bytes) -> NoReturn:
        names = [each.name for each in pickletools.opcodes if each.code == code.decode("latin-1")]
        name = f"the operation {names[0]}" if names else f"an unknown operation, {code!r}"
        raise _RefusedError(f"uses {name}, which no file of networks needs")

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise _RefusedError("appends to something that is no list")
        target += values

    def _fill(self, pairs: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(pairs) % 2:
            raise _RefusedError("sets items of something that is no dictionary")
        # Text alone: the hash of a deep tuple would recurse.
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[_text(key)] = value

    def _name(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in _NAMES and full not in self._classes:
            raise _RefusedError(f"asks for {quoted(full)}, which no file of networks needs")
        self._push(_Name(_NAMES.get(full, full)))

    def _object(self, named: Any, arguments: Any) -> Instance:
        """Make an object without content."""
        if not isinstance(named, _Name) or named.name not in self._classes:
            raise _RefusedError("makes an object of something that is no class of networks")
        if not isinstance(arguments, tuple) or arguments:
            raise _RefusedError(f"makes a {named.name} with arguments")
        return Instance(named.name)

    def _made(self, named: Any, arguments: Any) -> Any:
        """Do by hand what the admitted functions of NumPy do."""
        if not isinstance(named, _Name) or not isinstance(arguments, tuple):
            raise _RefusedError("calls something that is no function of NumPy")
        match named.name, arguments:
            case (name, (_Name(name=of), (0,), _)) if name == _RECONSTRUCT and of == _NDARRAY:
                return Array()
            case (name, (code, *_)) if name == _DTYPE:
                return self._dtype(code)
            case (name, (_Dtype() as dtype, memoryview() as data)) if name == _SCALAR:
                if len(data) != dtype.numpy().itemsize:
                    raise _RefusedError("has a number of the wrong length")
                return np.frombuffer(data, dtype.numpy())[0].item()
            case (name, (data, dtype, shape, order)) if name == _FROM_BUFFER:
                return Array(_values(dtype, shape, data, fortran=_text(order) == "F"))
            case (name, (text, how)) if name == _ENCODE and _text(how) in ("latin1", "latin-1"):
                return self._encode(text)
        raise _RefusedError(f"calls {named.name} in a way that NumPy does not")

    def _dtype(self, code: Any) -> _Dtype:
        code = _text(code)
        if len(code) != 2 or code[0] not in _KINDS or code[1] not in "1248":
            raise _RefusedError(f"has an array of the type {quoted(code)}, not of numbers")
        try:
            np.dtype(code)
        except TypeError:
            raise _RefusedError(f"has an array of the unknown type {quoted(code)}") from None
        return _Dtype(code)

    def _encode(self, text: Any) -> memoryview:
        """Give the bytes that protocol 2 wrote as text of the same code points."""
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else None
        if data is None and not isinstance(text, _LongText):
            raise _RefusedError("encodes something that is no text")
        view = memoryview(data) if data is not None else text.data
        self._encoded += len(view)
        if self._encoded > len(self._view):  # each array is told once
            raise _RefusedError("encodes the same text again and again")
        made = bytearray()
        try:
            decoder = codecs.getincrementaldecoder("utf-8")()
            for start in range(0, len(view), _PIECE):
                end = start + _PIECE
                text = decoder.decode(bytes(view[start:end]), end >= len(view))
                made += text.encode("latin-1")
        except UnicodeError:
            raise _RefusedError("has an array whose text is no bytes") from None
        return memoryview(bytes(made))

    def _build(self, target: Any, state: Any) -> None:
        """Give an object, an array or a type its content, once."""
        match target, state:
            case Instance(state=None), dict():
                target.state = state
            case _Dtype(order=None), (int(), order, None, None, None, *_):
                if _text(order) not in ("<", ">", "|", "="):
                    raise _RefusedError("has an array of numbers in an unknown order")
                target.order = _text(order)
            case Array(values=None), (int(), shape, dtype, fortran, data):
                target.values = _values(dtype, shape, data, fortran=fortran is True or fortran == 1)
            case _:
                raise _RefusedError("gives an object a content that does not belong to it")


def _text(value: Any) -> str:
    """Take a value for a text: a str, or the bytes that Python 2 wrote for one."""
    if isinstance(value, str):
        return value
    if isinstance(value, memoryview) and len(value) <= _LONGEST_TEXT:
        return str(value, "latin-1")
    raise _RefusedError("has something else where a text is expected")


def _values(dtype: Any, shape: Any, data: Any, *, fortran: bool) -> NDArray[Any]:
    """Give an array's numbers, as a view of its bytes."""
    if not isinstance(dtype, _Dtype) or not isinstance(data, memoryview):
        raise _RefusedError("has an array that does not hold numbers")
    if not isinstance(shape, tuple) or len(shape) > 4:
        raise _RefusedError("has an array of an impossible shape")
    for side in shape:
        if not isinstance(side, int) or isinstance(side, bool) or not 0 < side < 2**31:
            raise _RefusedError("has an array of an impossible shape")
    found = dtype.numpy()
    if math.prod(shape) * found.itemsize != len(data):
        sides = "×".join(map(str, shape)) or "1"
        raise _RefusedError(
            f"has an array of {sides} numbers of {found.itemsize} bytes in {len(data)} bytes"
        )
    return np.frombuffer(data, found).reshape(shape, order="F" if fortran else "C")
