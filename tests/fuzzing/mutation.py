"""Damage done to bytes: flipped, cut, repeated, put together anew, and with numbers that lie."""

import json
import random
import re
import struct
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
# Written out where a format has numbers as text.
_WRITTEN = (
    *(b"0", b"-1", b"1", b"2", b"255", b"256", b"65536", b"2147483647", b"2147483648"),
    *(b"4294967296", b"9223372036854775807", b"9223372036854775808", b"99999999999999999999"),
    *(b"-9223372036854775809", b"1e309", b"-1e309", b"1e-400", b"NaN", b"Infinity", b"0.5"),
    *(b"9" * 5000, b"0x10", b"1_0", b"true", b"null", b'""', b"[]"),
    b"[" * 100_000,
)
_DEEP: list[Any] = []
for _ in range(50):
    _DEEP = [_DEEP]
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**62, 2**63, 2**64),
    *(10**30, -(2**63) - 1, 0.5, 1.5, -0.0, 1e308, float("inf"), float("nan"), "", "0", "1e9"),
    *("\0", "\ud800", "../../x", "/etc/passwd", "a" * 5000, [], {}, [[]], [None], {"": 0}, _DEEP),
)


def mutated(
    data: bytes, chance: random.Random, others: Sequence[bytes] = (), words: Sequence[bytes] = ()
) -> bytes:
    """Damage bytes in one to four ways.

    Args:
        data: what is to be damaged.
        chance: what decides.
        others: files of the same kind, to take pieces of.
        words: what has a meaning in the format.
    """
    if chance.random() < 0.5 and data.lstrip()[:1] in (b"{", b"["):
        data = _json(data, chance)
        if chance.random() < 0.7:
            return data
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        data = chance.choice(_WAYS)(data, chance, others, words)
    return data


def _place(data: bytes, chance: random.Random) -> int:
    """Choose a place: often near the beginning, where most formats keep what they say of sizes."""
    most = len(data) if chance.random() < 0.5 else min(len(data), chance.choice((16, 64, 256)))
    return chance.randrange(most + 1)


def _flip(data: bytes, chance: random.Random, *_: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _number in range(chance.choice((1, 1, 2, 8))):
        if changed:
            changed[_place(data, chance) % len(changed)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _set(data: bytes, chance: random.Random, *_: Sequence[bytes]) -> bytes:
    place = _place(data, chance)
    return data[:place] + bytes([chance.choice((0, 1, 127, 128, 255, 10, 46))]) + data[place + 1 :]


def _cut(data: bytes, chance: random.Random, *_: Sequence[bytes]) -> bytes:
    return data[: _place(data, chance)]


def _extend(data: bytes, chance: random.Random, *_: Sequence[bytes]) -> bytes:
    more = chance.choice((b"\0", b"\xff", b"\n", data[-64:])) * chance.choice((1, 7, 512, 5000))
    return data + more


def _remove(data: bytes, chance: random.Random, *_: Sequence[bytes]) -> bytes:
    place = _place(data, chance)
    return data[:place] + data[place + chance.choice((1, 2, 4, 8, 100, 4096)) :]


def _repeat(data: bytes, chance: random.Random, *_: Sequence[bytes]) -> bytes:
    place = _place(data, chance)
    piece = data[place : place + chance.choice((1, 2, 4, 8, 100, 4096))]
    return data[:place] + piece * chance.choice((2, 3, 50)) + data[place:]


def _splice(
    data: bytes, chance: random.Random, others: Sequence[bytes], words: Sequence[bytes]
) -> bytes:
    other = chance.choice([*others, data])
    start = _place(other, chance)
    piece = other[start : start + chance.choice((4, 16, 100, 4096, len(other)))]
    place = _place(data, chance)
    return data[:place] + piece + data[place + chance.choice((0, len(piece))) :]


def _number(data: bytes, chance: random.Random, *_: Sequence[bytes]) -> bytes:
    """Put an extreme or a near number where there may be one."""
    width = chance.choice((1, 2, 4, 4, 8))
    order = chance.choice("<>")
    place = _place(data, chance)
    if place + width > len(data):
        return data
    before = struct.unpack_from(order + _WIDTHS[width], data, place)[0]
    top = 2 ** (8 * width)
    value = chance.choice(
        (0, 1, top - 1, top // 2, top // 2 - 1, top // 4, before + 1, before - 1, len(data),
         len(data) - place, before * 2, before // 2, 2**31 - 1, 2**28)
    )  # fmt: skip
    number = struct.pack(order + _WIDTHS[width], value % top)
    return data[:place] + number + data[place + width :]


def _written(data: bytes, chance: random.Random, *_: Sequence[bytes]) -> bytes:
    """Replace a number that is written as text."""
    found = [match.span() for match in _NUMBER.finditer(data[:65536])]
    if not found:
        return data
    start, end = chance.choice(found)
    return data[:start] + chance.choice(_WRITTEN) + data[end:]


def _word(
    data: bytes, chance: random.Random, others: Sequence[bytes], words: Sequence[bytes]
) -> bytes:
    place = _place(data, chance)
    word = chance.choice(words) if words else chance.randbytes(chance.choice((1, 4, 16)))
    return data[:place] + word + data[place + chance.choice((0, len(word))) :]


def _lines(data: bytes, chance: random.Random, *_: Sequence[bytes]) -> bytes:
    """Leave out, repeat or exchange lines, or the fields of one."""
    lines = data.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            del lines[one]
        case 1:
            lines.insert(one, lines[other])
        case 2:
            lines[one], lines[other] = lines[other], lines[one]
        case _:
            fields = lines[one].split(b",")
            fields[chance.randrange(len(fields))] = chance.choice((*_WRITTEN, b"", b'"', b"\0"))
            lines[one] = b",".join(fields)
    return b"\n".join(lines)


_WAYS: tuple[Callable[[bytes, random.Random, Sequence[bytes], Sequence[bytes]], bytes], ...] = (
    *(_flip, _flip, _set, _cut, _extend, _remove, _repeat, _splice, _number, _number, _number),
    *(_written, _written, _word, _word, _lines),
)


def _json(data: bytes, chance: random.Random) -> bytes:
    """Change values within a JSON text; it stays one."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return data
    for _ in range(chance.choice((1, 1, 2, 3))):
        content = _inside(content, chance)
    text = json.dumps(content)
    return text.encode("utf-8", "surrogatepass")


def _inside(content: Any, chance: random.Random) -> Any:
    """Give the same with one value changed, left out, or put where another one was."""
    if isinstance(content, str) and content[:1] in ("{", "[") and chance.random() < 0.9:
        # JSON within JSON, as the metadata of safetensors files is.
        return _json(content.encode("utf-8", "surrogatepass"), chance).decode("utf-8", "ignore")
    if not isinstance(content, dict | list) or not content or chance.random() < 0.1:
        return deepcopy(chance.choice(_VALUES))
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key = chance.choice(keys)
    if chance.random() < 0.1:
        del content[key]
    elif chance.random() < 0.1 and isinstance(content, dict):
        content[chance.choice(("", "seed", "0", "x" * 300))] = content.pop(key)
    elif chance.random() < 0.1:
        content[key] = deepcopy(content[chance.choice(keys)])
    else:
        content[key] = _inside(content[key], chance)
    return content
