"""Folders of large files that hold many pictures each, as big collections are published."""

import os
from collections.abc import Iterator
from pathlib import Path

from datasets.errors import DatasetError
from datasets.sources.signatures import is_picture

SUFFIXES = {
    "webdataset": (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"),
    "parquet": (".parquet",),
}
"""By kind of source, how its files end; compressed archives count, so as to be refused aloud."""


def shards_in(folder: Path, kind: str) -> list[tuple[str, Path]]:
    """List the files of a kind in a folder and the folders in it, hidden ones aside.

    Returns:
        Their paths below the folder, with forward slashes and in order, and where they are.

    Raises:
        DatasetError: there is none.
    """
    found = {
        path.relative_to(folder).as_posix(): path
        for path in _files(folder)
        if path.name.lower().endswith(SUFFIXES[kind]) and path.is_file()
    }
    if not found:
        raise DatasetError(f"{folder} holds no shards: no name in it ends in {SUFFIXES[kind][0]}.")
    return sorted(found.items())


def kind_of_shards(folder: Path) -> str | None:
    """Tell which kind of shards a folder holds; None where it holds none, or pictures as well.

    Raises:
        DatasetError: it holds both kinds.
    """
    found = set()
    for path in _files(folder):
        name = path.name.lower()
        if is_picture(name):
            return None
        found |= {kind for kind, suffixes in SUFFIXES.items() if name.endswith(suffixes)}
    if len(found) > 1:
        raise DatasetError(
            f"{folder} holds both tar archives and Parquet files; say which are meant: "
            "--source-kind webdataset or --source-kind parquet."
        )
    return found.pop() if found else None


def _files(root: Path) -> Iterator[Path]:
    visited: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        # Symbolic links may lead in a circle.
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
