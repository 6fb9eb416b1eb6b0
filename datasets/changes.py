"""Whether the pictures of a source are still those that they were."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets.errors import UnusableError
from datasets.sources import Source
from datasets.sources.folders import folders_below, read_head
from datasets.sources.selection import Selection

# LMDB writes it whenever somebody reads.
_WRITTEN_BY_READERS = "lock.mdb"


def hash_of_names(source: Source) -> str:
    """Hash what a source says of its pictures: names, classes and faces."""
    digest = hashlib.sha256()
    for item, name in enumerate(source.names):
        try:
            class_name = source.class_of(item)
        except UnusableError:
            class_name = None
        digest.update(repr((name, class_name)).encode("ascii", "backslashreplace"))
        face = source.face_of(item)
        if face is not None:
            digest.update(face.tobytes())
    return digest.hexdigest()


def hash_of_files(source_name: str) -> str:
    """Hash sizes and times of the files behind a source, which change when the files do.

    Args:
        source_name: SOURCE as it was given. What is no path (such as drawn:N) has no files.
    """
    digest = hashlib.sha256()
    for path in _files(Path(source_name)):
        try:
            status = path.stat()
        except OSError:
            continue  # It cannot be read, so it is skipped; that tells enough.
        mark = (str(path), status.st_size, status.st_mtime_ns)
        digest.update(repr(mark).encode("ascii", "backslashreplace"))
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    if not path.is_dir():
        return
    found = list(_visible(path))
    selection = Selection()
    pictures = [inner for inner in found if selection.takes(inner.name, partial(read_head, inner))]
    # Beside pictures lie notes and logs, which may change.
    yield from pictures or found


def _visible(root: Path) -> Iterator[Path]:
    for folder, files in folders_below(root):
        if not any(part.startswith(".") for part in folder.relative_to(root).parts):
            for name in files:
                if not name.startswith(".") and name != _WRITTEN_BY_READERS:
                    yield folder / name
