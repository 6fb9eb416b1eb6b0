"""Where results land: whole or not at all, and never in place of anything but an older result."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.errors import DatasetError
from datasets.landing import landing

# What systems put into any folder that is looked at, and make anew when it is missing.
_OF_THE_SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini"}


@contextmanager
def landing_file(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Write one file beside its final place, where it goes when the block has ended well.

    What would keep it from its place is found before the block begins.

    Args:
        out: the final place.
        overwrite: whether a file that is there gives way.

    Yields:
        An empty file, to be written.

    Raises:
        DatasetError: the place is taken, or the folder to write into is missing.
        OSError: it cannot be written.
    """
    _refuse_existing(out, overwrite=overwrite)
    if out.exists() and not out.is_file():
        kind = "a folder" if out.is_dir() else "no plain file"
        raise DatasetError(f"{out} is {kind}, and a file is to be written; choose another name.")
    with landing(out, overwrite=overwrite) as path:
        # Where this is not allowed, it is found now and not after minutes of work.
        path.touch()
        yield path


@contextmanager
def landing_folder(out: Path, *, overwrite: bool, ours: re.Pattern[str]) -> Iterator[Path]:
    """Fill a folder beside its final place, where it goes when the block has ended well.

    Args:
        out: the final place.
        overwrite: whether a folder that is there gives way; only one that holds nothing but files
            of the names `ours` does, so that no typing error costs a folder of other things.
        ours: matches the names of the files that are to be written.

    Yields:
        An empty folder.

    Raises:
        DatasetError: the place is taken, or the folder to write into is missing.
        OSError: it cannot be written.
    """
    _refuse_existing(out, overwrite=overwrite)
    _refuse_strangers(out, ours)
    with landing(out, overwrite=overwrite) as folder:
        folder.mkdir()
        yield folder
        # Once more, for what came while the block ran.
        _refuse_strangers(out, ours)


def _refuse_existing(out: Path, *, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise DatasetError(f"{out} exists already; choose another name, or give --overwrite.")


def _refuse_strangers(out: Path, ours: re.Pattern[str]) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise DatasetError(f"{out} is a file, and a folder is to be written; choose another name.")
    for path in out.iterdir():
        known = ours.fullmatch(path.name) or path.name in _OF_THE_SYSTEM
        if not known or path.is_symlink() or not path.is_file():
            raise DatasetError(
                f"{out} holds {path.name}, which is none of what would be written there; choose "
                "another name, or remove the folder first."
            )
