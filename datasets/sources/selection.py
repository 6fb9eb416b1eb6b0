"""Which files of a source are pictures: those that are taken, and those passed over aloud."""

from collections.abc import Callable

import click

from datasets.errors import DatasetError, UnusableError
from datasets.names import plain
from datasets.sources.files import File, LocalFile
from datasets.sources.signatures import (
    OTHER_SUFFIXES,
    PICTURE_SUFFIXES,
    RAW_REASON,
    RAW_SUFFIXES,
    UNREAD_SUFFIXES,
    is_apple_double,
    kind_of,
    suffix_of,
)
from datasets.sources.source import MOST_PICTURES

LONGEST_NAME = 4096
# Each is a question to a server, and takes as long.
GLANCES_ELSEWHERE = 100
# Raw files that earlier versions listed among the pictures, from which the order of the rows is
# drawn; so they are still, and it stays the same.
_LISTED_RAW = {".dng", ".cr2", ".cr3", ".nef", ".arw"}
_MACOSX = "__MACOSX"


class Selection:
    """Sorts the files of a source into pictures, pictures that are passed over, and other things.

    Most files are known by the ends of their names. Where a name does not tell, the first bytes do.

    Attributes:
        passed_over: each file that looks like a picture and is not taken, and why.
        unseen: how many files were not looked into, because that would have taken too long.
    """

    def __init__(self, glances: int | None = None, *, backslashes: bool = False) -> None:
        """Begin with nothing.

        Args:
            glances: how many files may be looked into; None for any number.
            backslashes: whether these part folders, too, as in archives from Windows. In a folder
                they are letters of a name.
        """
        self.passed_over: dict[str, str] = {}
        self.unseen = 0
        self._glances, self._backslashes = glances, backslashes

    @classmethod
    def within(cls, archive: File) -> "Selection":
        """Begin with nothing, for the files in an archive."""
        glances = None if isinstance(archive, LocalFile) else GLANCES_ELSEWHERE
        return cls(glances, backslashes=True)

    def takes(self, name: str, read_head: Callable[[], bytes]) -> bool:
        """Check whether a file is taken as a picture, and note it if it is passed over.

        Args:
            name: its path in the source.
            read_head: reads its first `HEAD_BYTES`; called only where the name does not tell.
        """
        if len(name) > LONGEST_NAME:
            if suffix_of(name[-LONGEST_NAME:].strip()) in PICTURE_SUFFIXES | RAW_SUFFIXES:
                self.pass_over(name, f"a name of more than {LONGEST_NAME} letters")
            return False
        *folders, own = (plain(name) if self._backslashes else name).split("/")
        suffix = suffix_of(own.strip())
        if own.startswith("."):
            # A dot alone before the suffix is all of the name, to Python.
            self._judge_hidden(
                name, suffix_of("x" + own.strip()), read_head, is_double=own[:2] == "._"
            )
            return False
        if any(_is_hidden(folder) for folder in folders):
            if suffix in PICTURE_SUFFIXES | RAW_SUFFIXES:
                self.pass_over(name, "in a hidden folder")
            return False
        if suffix in PICTURE_SUFFIXES | _LISTED_RAW:
            return True
        if suffix in OTHER_SUFFIXES:
            return False
        return self._judge_content(name, suffix, read_head)

    def pass_over(self, name: str, reason: str) -> None:
        """Note a file that looks like a picture and is not taken.

        Raises:
            DatasetError: there are more than any collection has.
        """
        self.passed_over[name[:LONGEST_NAME]] = reason
        if len(self.passed_over) > MOST_PICTURES:
            raise DatasetError(f"More than {MOST_PICTURES} files of SOURCE would be passed over.")

    def listed(self) -> tuple[tuple[str, str], ...]:
        """Return name and reason of what is passed over, in order."""
        return tuple(sorted(self.passed_over.items()))

    def report(self, place: object) -> None:
        """Print how many files were not looked into, if there are some."""
        if self.unseen:
            click.echo(
                f"Warning: {self.unseen} files of {place} whose names end in nothing known were "
                "not looked into; if they are pictures, copy them to this computer first, or "
                "rename them.",
                err=True,
            )

    def _judge_content(self, name: str, suffix: str, read_head: Callable[[], bytes]) -> bool:
        raw = suffix in RAW_SUFFIXES
        head = self._look(read_head, count=not raw and suffix not in UNREAD_SUFFIXES)
        kind = kind_of(head)
        if raw:
            # Somebody may have named a JPEG file so; but many raw files begin as TIFF files do.
            if kind not in (None, "tiff", "raw"):
                return True
            self.pass_over(name, RAW_REASON)
        elif suffix in UNREAD_SUFFIXES:
            if kind is not None:
                return True
            self.pass_over(name, f"a {suffix} file; convert it to PNG or JPEG")
        elif kind is not None and suffix:
            self.pass_over(name, f"a picture, but named {suffix}; rename it")
        elif kind is not None and not name:
            self.pass_over(name, "without a name")
        else:
            return kind is not None
        return False

    def _judge_hidden(
        self, name: str, suffix: str, read_head: Callable[[], bytes], *, is_double: bool
    ) -> None:
        named = suffix in PICTURE_SUFFIXES | RAW_SUFFIXES
        if named and not is_double:
            self.pass_over(name, "hidden: its name begins with a dot")
        elif is_double and self._glances is not None:
            return  # There is one for every picture: too many to look into.
        elif named or suffix not in OTHER_SUFFIXES:
            # What a Mac writes beside a picture has the same suffix, and is none.
            head = self._look(read_head, count=False)
            if kind_of(head) is not None and not is_apple_double(head):
                self.pass_over(name, "hidden: its name begins with a dot")

    def _look(self, read_head: Callable[[], bytes], *, count: bool) -> bytes:
        if self._glances == 0:
            self.unseen += count
            return b""
        if self._glances is not None:
            self._glances -= 1
        try:
            return read_head()
        except (UnusableError, OSError):
            return b""  # Of a file that cannot be read nothing says that it is a picture.


def _is_hidden(folder: str) -> bool:
    return folder == _MACOSX or (folder.startswith(".") and folder not in (".", ".."))
