"""Pictures in tar archives, read in place: nothing is ever unpacked to a disk."""

import tarfile
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError, UnusableError
from datasets.sources.files import File, Stretches
from datasets.sources.links import LONGEST_LINK, NOWHERE, follow
from datasets.sources.selection import Selection
from datasets.sources.signatures import HEAD_BYTES, without_raw_files
from datasets.sources.source import MOST_BYTES, MOST_PICTURES, Source, no_pictures
from datasets.sources.tar_members import members


@dataclass(frozen=True)
class Tar(Source):
    """Image files in a tar archive that is not compressed.

    Names from the archive are labels and nothing else: no path is ever made of them.
    """

    names: tuple[str, ...]
    """Names of the members that are pictures, unique."""
    stretches: Stretches
    """Where they lie."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """Pictures that are hidden, of a kind that is never read, or links that lead nowhere."""

    @without_raw_files
    def load(self, item: int) -> bytes:
        """Read an image file.

        Raises:
            UnusableError: it is too large, or the archive is cut short.
            SourceLostError: the archive cannot be read.
        """
        if self.stretches.sizes[item] > MOST_BYTES:
            raise UnusableError("larger than 1 GiB")
        return self.stretches.read(item)


def open_tar(file: File) -> Tar:
    """Find the pictures in a tar archive.

    Of two with the same name the later counts, as for whoever unpacks the archive. Links are
    further names of pictures: hard ones of what was there before them, symbolic ones of what is
    there in the end.

    Raises:
        DatasetError: the file is no tar archive, is damaged, or holds no picture.
    """
    found = _Members()
    for member in members(file):
        found.add(member)
        if len(found.found) > MOST_PICTURES:
            raise DatasetError(f"{file.name} has more than {MOST_PICTURES} members.")
    selection = Selection.within(file)
    names, places = found.select(selection, file)
    selection.report(file.name)
    if not names:
        raise DatasetError(no_pictures(file.name, selection.listed()))
    stretches = Stretches(file, places[:, 0], places[:, 1])
    return Tar(tuple(names), stretches, selection.listed())


@dataclass(frozen=True)
class _Link:
    """A symbolic link."""

    target: str
    """The path that it holds."""


_Place = tuple[int, int]
"""First byte and number of bytes."""


class _Members:
    """The members of an archive by their names.

    Attributes:
        found: for each name where its bytes lie, or what link it is, or why it has no bytes.
    """

    def __init__(self) -> None:
        self.found: dict[str, _Place | _Link | str] = {}

    def add(self, member: tarfile.TarInfo) -> None:
        """Note the next member."""
        if member.isdir():
            return
        entry: _Place | _Link | str
        if member.issym():
            link = member.linkname
            entry = _Link(link) if len(link) <= LONGEST_LINK else NOWHERE
        elif member.islnk():
            # The same file as an earlier member, even where that name has another one later.
            there = self._at(member.linkname)
            entry = NOWHERE if there is None else there
        elif not member.isreg():
            entry = "not a regular file"
        elif member.issparse():
            entry = "stored with holes in the archive; unpack it"
        else:
            entry = member.offset_data, member.size
        self.found[member.name] = entry

    def select(self, selection: Selection, file: File) -> tuple[list[str], NDArray[np.int64]]:
        """Find the pictures.

        Returns:
            Their names in order, and where they lie: first byte and number of bytes, [N, 2].
        """
        names: list[str] = []
        places: list[_Place] = []
        for name in sorted(self.found):
            place = self._resolve(name)
            if selection.takes(name, partial(_head, file, place)):
                if isinstance(place, str):
                    selection.pass_over(name, place)
                else:
                    names.append(name)
                    places.append(place)
        return names, np.array(places, np.int64).reshape(-1, 2)

    def _resolve(self, name: str) -> _Place | str:
        entry = self.found[name]
        if not isinstance(entry, _Link):
            return entry
        try:
            target = self._at(follow(name, self._link_at))
        except UnusableError as error:
            return str(error)
        return NOWHERE if target is None else self._final(target)

    @staticmethod
    def _final(entry: _Place | _Link | str) -> _Place | str:
        return "a link in a circle" if isinstance(entry, _Link) else entry

    def _link_at(self, path: str) -> str | None:
        entry = self._at(path)
        return entry.target if isinstance(entry, _Link) else None

    def _at(self, path: str) -> _Place | _Link | str | None:
        # As `tar` writes the names of what is in the current folder, or leaves the start away.
        bare = path.removeprefix("./").lstrip("/")
        ways = (path, bare, f"./{bare}", f"/{bare}")
        return next((self.found[way] for way in ways if way in self.found), None)


def _head(file: File, place: _Place | str) -> bytes:
    return b"" if isinstance(place, str) else file.read(place[0], min(place[1], HEAD_BYTES))
