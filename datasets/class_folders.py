"""Folders named after classes, whatever these are called."""

import hashlib
import unicodedata
from collections.abc import Sequence

# Besides letters and digits; all else becomes its bytes, as in addresses.
_PLAIN = frozenset(" _-+.,()=&@")
# Names that Windows keeps for itself, that are hidden from `prepare`, or that lie beside the
# folders.
_PORTS = tuple(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))
_DEVICES = ("con", "prn", "aux", "nul", *_PORTS)
_TAKEN = ("__macosx", "index.csv", "dataset.json")
_LONGEST = 100


def folders_of(classes: Sequence[str]) -> dict[str, str]:
    """Choose a folder for each class: its own name wherever every system takes that.

    Folders differ by more than capital letters, are no paths, not hidden, and have at most 255
    bytes.

    Args:
        classes: different names that are not empty.
    """
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    # First those that stay as they are, so that none of them gives way to another.
    for name in sorted(classes, key=lambda name: (_folder(name) != name, name)):
        folder, number = _folder(name), 1
        while _folded(folder) in taken:
            number += 1
            folder = f"{_folder(name)}~{number}"
        chosen[name] = folder
        taken.add(_folded(folder))
    return chosen


def _folder(name: str) -> str:
    folder = "".join(
        character if character in _PLAIN or character.isalnum() else _escaped(character)
        for character in unicodedata.normalize("NFC", name)
    )
    stem = folder.partition(".")[0].rstrip().lower()
    if folder[0] in " ." or stem in _DEVICES or folder.lower() in _TAKEN:
        folder = _escaped(folder[0]) + folder[1:]
    if folder[-1] in " .":
        folder = folder[:-1] + _escaped(folder[-1])
    if len(folder) > _LONGEST or len(folder.encode()) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        folder = f"{_cut(folder)}~{digest}"
    return folder


def _escaped(character: str) -> str:
    data = character.encode("utf-8", "surrogateescape")
    return "".join(f"%{byte:02X}" for byte in data)


def _cut(folder: str) -> str:
    return folder.encode()[:_LONGEST].decode("utf-8", "ignore").rstrip(" .")


def _folded(folder: str) -> str:
    return unicodedata.normalize("NFC", folder).casefold()
