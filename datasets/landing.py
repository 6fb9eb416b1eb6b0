"""Outputs that arrive whole or not at all."""

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.errors import DatasetError

# The names that `landing` gives to what is not there yet.
_UNLANDED = re.compile(r"\..{1,40}\.[0-9a-f]{8}(\..{0,15})?", re.DOTALL)


@contextmanager
def landing(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Write a file or a folder beside its final place, and move it there when it is whole.

    The block makes a file or a folder at the path that it is given. When the block ends well, that
    is written through to the disk and takes its final name in one step. When the block fails, or
    is interrupted, it is removed and the final place stays as it was.

    To replace a folder takes two steps: the old one steps aside under a hidden name, the new one
    takes its place, then the old one is removed. A crash between these leaves both on the disk;
    what it left behind is removed when something lands there again.

    Args:
        path: the final place. A symbolic link is followed.
        overwrite: whether something that is already there gives way.

    Yields:
        A path in the same folder, with a hidden and unique name and the same suffix.

    Raises:
        DatasetError: the folder to write into is missing, or the place is taken.
        OSError: as writing does, with the name of the final place in the place of the temporary
            one, or where the system gives none.
    """
    final = landing_place(path, overwrite=overwrite)
    # A file name has at most 255 bytes, so a long one is cut to make room for the token.
    temporary = final.parent / f".{final.stem[:40]}.{secrets.token_hex(4)}{final.suffix[:16]}"
    try:
        yield temporary
        settle(temporary, final, overwrite=overwrite)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            raise _named_after(error, temporary, final) from error.__cause__
        raise


def _named_after(error: OSError, temporary: Path, final: Path) -> OSError:
    """Return an error that names the place that the user knows, and not the temporary one."""
    names = [
        os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else None
        for name in (error.filename, error.filename2)
    ]
    ours = [name is not None and name.startswith(str(temporary)) for name in names]
    # A full disk is reported without a name.
    if any(ours) or error.filename is None:
        try:
            error.filename, error.filename2 = str(final), None
        except AttributeError:  # the film library's own kinds of error have names that stay
            return OSError(error.errno, error.strerror, str(final))
    return error


def clear_unlanded(folder: Path) -> None:
    """Remove files that processes were making with `landing` in a folder when they were killed.

    Nobody else may be at work there.
    """
    for path in folder.glob(".*"):
        if _UNLANDED.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def landing_place(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Give the place where an output will land, or refuse it before any work is done.

    Args:
        path: the final place. A symbolic link is followed.
        overwrite: whether something that is already there gives way.

    Raises:
        DatasetError: the folder to write into is missing, or the place is taken.
    """
    final = Path(os.path.realpath(path))
    _refuse_if_taken(final, overwrite=overwrite)
    if not final.parent.is_dir():
        raise DatasetError(f"{final.parent} is not a folder; make it first, to hold {final.name}.")
    return final


def settle(temporary: Path, final: Path, *, overwrite: bool) -> None:
    """Write a file or folder through to the disk and move it to its final place in one step.

    Args:
        temporary: what was made, on the same disk as `final`.
        final: the place from `landing_place`.
        overwrite: whether something that is there by now gives way.

    Raises:
        DatasetError: the place is taken.
    """
    _write_through(temporary)
    _refuse_if_taken(final, overwrite=overwrite)
    aside = _aside(final)
    if temporary.is_dir() and final.is_dir():
        # The place is taken, so what is aside is older still: left behind by a crash.
        shutil.rmtree(aside, ignore_errors=True)
        _swap(temporary, final, aside)
    else:
        temporary.replace(final)
    sync(final.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _refuse_if_taken(final: Path, *, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(final):
        raise DatasetError(f"{final} exists already; choose another name, or remove it first.")


def _aside(final: Path) -> Path:
    """Name the place where an old folder waits until the new one has arrived."""
    digest = hashlib.sha256(os.fsencode(final.name)).hexdigest()[:8]
    return final.parent / f".{final.name[:40]}.{digest}.old"


def _swap(new: Path, final: Path, aside: Path) -> None:
    final.rename(aside)
    try:
        new.rename(final)
    except BaseException:
        aside.rename(final)
        raise


def _write_through(path: Path) -> None:
    if path.is_dir():
        for inner in path.iterdir():
            _write_through(inner)
    sync(path)


def sync(path: Path) -> None:
    """Write a file, or the names in a folder, through to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows does not open folders.
    # Windows syncs only what is open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
