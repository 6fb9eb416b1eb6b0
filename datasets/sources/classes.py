"""Which class each picture belongs to, from wherever that is said."""

import re
from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

from datasets.errors import DatasetError
from datasets.names import folders_and_file
from datasets.progress import progress
from datasets.sources.contradictions import collect, warn_of_unclear
from datasets.sources.matching import find_all
from datasets.sources.source import Label, Source
from datasets.sources.tables import read_table

_SOME_FILE = re.compile(r".*[./\\].*", re.DOTALL)


def find_classes(source: Source, name: str, classes: str, attributes: Path | None) -> list[Label]:
    """Tell which class each picture of a source belongs to.

    Args:
        source: the pictures.
        name: how the source is called, for errors.
        classes: `folders`, the first-level folder that a picture is in (inside of a folder that
            all of them are in, as there often is in archives); `labels`, what the source
            itself says; a CSV file with columns `name` and `class`; or, with `attributes`, names of
            attributes joined by "+", of which every combination is a class.
        attributes: a list of CelebA, or a CSV file with one column for each attribute, which holds
            1 where a picture has it, and -1 or 0 where not.

    Returns:
        The name of the class of each picture; None for a picture without, and `Unclear` for one of
        which two different things are said, of which a warning tells.

    Raises:
        DatasetError: these are no classes of that source.
    """
    found: list[Label]
    if attributes is not None:
        found = _from_attributes(source, name, classes.split("+"), attributes)
    elif classes == "folders":
        folders = _folders(source.names)
        if not any(folders):
            raise DatasetError(f"{name} has no folders to take as classes; leave out --classes.")
        called = source.folder_classes
        found = [
            None if folder is None else called.get(normalize("NFC", folder), folder)
            for folder in folders
        ]
    elif classes == "labels":
        if source.labels is None:
            raise DatasetError(f"{name} has no labels of its own; leave out --classes labels.")
        found = []
        with progress("Reading labels", total=len(source.names), unit="pictures") as bar:
            for label in source.labels:
                found.append(label)
                bar.advance()
        warn_of_unclear(found, source.names, name)
    elif _SOME_FILE.fullmatch(classes):
        path = Path(classes)
        rows = read_table(path, ["class"], source.names)
        table = collect((key, row[0]) for key, row in rows if row[0])
        found = find_all(table, source.names, file=path, source=name)
    else:
        raise DatasetError(
            f"--classes {classes}: write folders, labels or a CSV file; attributes need the file "
            "that lists them, too: --attributes FILE."
        )
    _check(found)
    return found


def _folders(names: Sequence[str]) -> list[str | None]:
    paths = [folders_and_file(name) for name in names]
    depth = 0
    while True:
        firsts = [path[depth] if len(path) > depth + 1 else None for path in paths]
        deeper = any(len(path) > depth + 2 for path in paths)
        if len(set(firsts)) > 1 or firsts[:1] == [None] or not deeper:
            return firsts
        depth += 1


def _from_attributes(
    source: Source, name: str, attributes: Sequence[str], path: Path
) -> list[Label]:
    if not all(attributes):
        raise DatasetError("--classes: write the attributes like this: Eyeglasses+Male.")
    pairs: list[tuple[str, str]] = []
    for picture, row in read_table(path, attributes, source.names):
        if not set(row) <= {"1", "-1", "0"}:
            raise DatasetError(f"{path}: the attributes of {picture[:100]} are neither 1 nor -1.")
        combination = "+".join(
            attribute if value == "1" else f"not-{attribute}"
            for attribute, value in zip(attributes, row, strict=True)
        )
        pairs.append((picture, combination))
    return find_all(collect(pairs), source.names, file=path, source=name)


def _check(classes: Sequence[Label]) -> None:
    # What cannot be written to the index must not be noticed after hours of work.
    for name in {label for label in classes if isinstance(label, str)}:
        try:
            name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise DatasetError(f"The class {name[:100]!a} has a name that is no text.") from None
