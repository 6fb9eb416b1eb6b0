"""What CIFAR's Python files hold, read without running anything that is in them.

A pickle is a little program. It is gone through instruction by instruction, and only those are
known that build lists, dictionaries, texts and numbers; the few names that these files need become
stand-ins, and everything else is an error. Sizes need not be believed: nothing is made before its
bytes are there.
"""

import pickletools
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class Array:
    """What stands in for a NumPy array."""

    state: object = None

    def rows(self, width: int) -> Pixels | None:
        """Give its bytes as [N, `width`], None where it is no such array."""
        match self.state:
            case (int(), (int(count), int(columns)), Kind() as kind, turned, bytes(data)) if (
                kind.name in ("u1", b"u1") and columns == width and 0 < count == len(data) / width
            ):
                order = np.frombuffer(data, np.uint8)
                return order.reshape(width, count).T if turned else order.reshape(count, width)
        return None


class Kind:
    """What stands in for the type of a NumPy array's numbers."""

    def __init__(self, name: object) -> None:
        self.name = name


_NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "array",
    "numpy dtype": "kind",
    "_codecs encode": "encode",  # how Python 3 writes bytes into old pickles
}


class _Mark:
    """Where on the stack the parts of a list or the like begin."""


class _Name(str):
    """A name that may be called."""


def read(data: bytes) -> object:
    """Read a pickle of lists, tuples, dictionaries, texts, bytes, numbers and `Array`.

    Raises:
        Exception: of some kind, where it is damaged or holds anything else.
    """
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(data):
        machine.step(opcode.name, argument)
    return machine.stack.pop()


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                stack.append(_Mark())
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "DICT":
                stack.append(_pairs(self._to_mark()))
            case "LIST":
                stack.append(self._to_mark())
            case "TUPLE":
                stack.append(tuple(self._to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._pop(int(name[-1]))))
            case "APPEND":
                self._append([stack.pop()])
            case "APPENDS":
                self._append(self._to_mark())
            case "SETITEM":
                self._update(self._pop(2))
            case "SETITEMS":
                self._update(self._to_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memory[argument] = stack[-1]
            case "MEMOIZE":
                self.memory[len(self.memory)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memory[argument])
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument.encode("latin1"))  # Texts of Python 2 are bytes.
            case "GLOBAL":
                stack.append(_Name(_NAMES[argument]))
            case "STACK_GLOBAL":
                stack.append(_Name(_NAMES[" ".join(self._pop(2))]))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_call(stack.pop(), arguments))
            case "BUILD":
                self._build(stack.pop())
            case _ if name in _VALUES:
                stack.append(argument)
            case _:
                _refuse(name)

    def _to_mark(self) -> list[Any]:
        place = max(i for i, value in enumerate(self.stack) if isinstance(value, _Mark))
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def _pop(self, count: int) -> list[Any]:
        values = self.stack[-count:]
        if len(values) < count or any(isinstance(value, _Mark) for value in values):
            _refuse(count)
        del self.stack[-count:]
        return values

    def _append(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            _refuse(values)
        self.stack[-1].extend(values)

    def _update(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            _refuse(values)
        self.stack[-1].update(_pairs(values))

    def _build(self, state: object) -> None:
        target = self.stack[-1]
        if isinstance(target, Array):
            target.state = state
        elif not isinstance(target, Kind):
            _refuse(target)


_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}


def _call(name: object, arguments: object) -> object:
    match name, arguments:
        case _Name("array"), tuple():
            return Array()
        case _Name("kind"), (first, *_):
            return Kind(first)
        case _Name("encode"), (str(text), "latin1" | b"latin1"):
            return text.encode("latin1")
    return _refuse(name)


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))


def _refuse(what: object) -> NoReturn:
    raise ValueError(f"not in a file of CIFAR: {type(what).__name__}")
