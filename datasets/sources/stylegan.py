"""Labels as StyleGAN's tools write them: a dataset.json among the pictures."""

import json
from collections.abc import Sequence
from dataclasses import replace

from datasets.errors import DatasetError, UnusableError
from datasets.sources.folders import Folder
from datasets.sources.source import MOST_BYTES
from datasets.sources.tables import Lookup
from datasets.sources.tfrecords import numbered_classes
from datasets.sources.zips import Zip, member_names, read_member

FILE_NAME = "dataset.json"


def with_labels(source: Folder | Zip) -> Folder | Zip:
    """Read the labels that lie beside the pictures of a folder or zip archive, if there are some.

    The file holds `{"labels": [[name, class number], …]}`, or null in the place of the list; and,
    where this program wrote it, `"classes"`: the names of the classes in the order of the numbers.

    Raises:
        DatasetError: the file is damaged, or its labels are no class numbers.
    """
    data = _read(source)
    if data is None:
        return source
    place = f"{source.root if isinstance(source, Folder) else source.path}: its {FILE_NAME}"
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise DatasetError(f"{place} is damaged: it is not JSON.") from None
    if not isinstance(content, dict) or content.get("labels") is None:
        return source
    pairs = content["labels"]
    if not isinstance(pairs, list) or not all(map(_is_label, pairs)):
        raise DatasetError(f"{place} holds labels that are no pairs of a name and a class number.")
    names = _class_names([number for _, number in pairs], content.get("classes"))
    lookup = Lookup(dict(zip((name for name, _ in pairs), names, strict=True)))
    return replace(source, labels=tuple(lookup.find(name) for name in source.names))


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


def _read(source: Folder | Zip) -> bytes | None:
    if isinstance(source, Folder):
        path = source.root / FILE_NAME
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        return path.read_bytes()
    if FILE_NAME not in member_names(source.path):
        return None
    try:
        return read_member(source.path, FILE_NAME, MOST_BYTES)
    except UnusableError as error:
        raise DatasetError(f"{source.path}: its {FILE_NAME} is unusable: {error}.") from None
