"""Labels as StyleGAN's tools write them: a dataset.json among the pictures."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from datasets.errors import DatasetError, UnusableError
from datasets.sources.contradictions import TwiceError, collect, fields_of
from datasets.sources.folders import Folder
from datasets.sources.matching import match
from datasets.sources.remote import RemoteFolder
from datasets.sources.tfrecords import numbered_classes
from datasets.sources.zips import Contents, Zip

FILE_NAME = "dataset.json"
FOLDERS_FIELD = "folders"
"""What this program adds: the classes of folders that could not be called like them."""
# Of a million pictures it has 50 MB; and to read it takes ten times as much memory.
_MOST_BYTES = 2**28

L = TypeVar("L", Folder, RemoteFolder, Zip)


def with_labels(source: L, data: bytes | None, place: str) -> L:
    """Read the labels that lie beside the pictures of a folder or zip archive, if there are some.

    The file holds `{"labels": [[name, class number], …]}`, or null in the place of the list; and,
    where this program wrote it, `"classes"`: the names of the classes in the order of the numbers;
    and `"folders"`: the class of each folder that could not be called like it. A picture that it
    gives two different classes has none.

    Args:
        source: the pictures.
        data: what the file holds; None where there is none.
        place: how the source is called, for errors.

    Raises:
        DatasetError: the file is damaged, or its labels are no class numbers.
    """
    if data is None:
        return source
    place = f"{place}: its {FILE_NAME}"
    if len(data) > _MOST_BYTES:
        raise DatasetError(f"{place} is larger than {_MOST_BYTES >> 20} MiB.")
    try:
        content = json.loads(data, object_pairs_hook=fields_of)
    except TwiceError as error:
        raise DatasetError(f"{place} is damaged: {error}.") from None
    except (ValueError, RecursionError):
        raise DatasetError(f"{place} is damaged: it is not JSON.") from None
    if not isinstance(content, dict) or content.get("labels") is None:
        return source
    pairs = content["labels"]
    if not isinstance(pairs, list) or not all(map(_is_label, pairs)):
        raise DatasetError(f"{place} holds labels that are no pairs of a name and a class number.")
    names = _class_names([number for _, number in pairs], content.get("classes"))
    entries = collect(zip((name for name, _ in pairs), names, strict=True))
    return replace(
        source,
        labels=tuple(match(entries, source.names)),
        folder_classes=_folder_classes(content.get(FOLDERS_FIELD)),
    )


def in_zip(contents: Contents) -> bytes | None:
    """Read the file from a zip archive, None where there is none.

    Raises:
        DatasetError: it cannot be unpacked.
    """
    try:
        return contents.read(FILE_NAME, _MOST_BYTES)
    except UnusableError as error:
        raise DatasetError(f"{contents.file.name}: its {FILE_NAME} is unusable: {error}.") from None


def in_folder(folder: Folder | RemoteFolder) -> bytes | None:
    """Read the file from a folder, None where there is none; no more of it than is allowed."""
    return folder.read_beside(FILE_NAME, _MOST_BYTES)


def _folder_classes(told: object) -> dict[str, str]:
    if not isinstance(told, dict):
        return {}
    return {key: name for key, name in told.items() if isinstance(name, str) and name}


def _is_label(pair: object) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], int)
        and not isinstance(pair[1], bool)
        and 0 <= pair[1] < 2**31
    )


def _class_names(numbers: Sequence[int], names: object) -> list[str]:
    if (
        isinstance(names, list)
        and all(isinstance(name, str) and name for name in names)
        and len(set(names)) == len(names) > max(numbers, default=0)
    ):
        return [names[number] for number in numbers]
    return numbered_classes(numbers)
