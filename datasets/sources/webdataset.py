"""WebDataset's shards: tar archives of samples, whose members share a name up to its first dot.

0001.jpg and 0001.cls are a sample: a picture and its class. What else there is of it, such as
0001.txt or 0001.json, is passed over.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from datasets.errors import DatasetError
from datasets.sources.files import File
from datasets.sources.late_labels import LateLabels
from datasets.sources.source import MOST_PICTURES, Source
from datasets.sources.tar_members import members
from datasets.sources.tars import Tar, open_tar
from datasets.sources.tfrecords import numbered_classes

_CLASS = "cls"
# A class is a number or a name.
_MOST_LABEL_BYTES = 1024
# Samples have few members, and the class is one of them.
_MEMBERS_LOOKED_AT = 64


@dataclass(frozen=True)
class WebDataset(Source):
    """Pictures in one or several shards."""

    names: tuple[str, ...]
    """Names of the members, behind the name of their shard where it is not alone."""
    shards: tuple[Tar, ...]
    """The archives."""
    photographs: tuple[str, ...]
    """For each picture, the name of the first picture in its sample."""
    labels: "Labels"
    """What the members that end in .cls say; read when they are asked for."""

    def load(self, item: int) -> bytes:
        """Read an image file.

        Raises:
            UnusableError: it is too large, or the archive is cut short.
            SourceLostError: the archive cannot be read.
        """
        for shard in self.shards:
            if item < len(shard.names):
                break
            item -= len(shard.names)
        return shard.load(item)

    def photograph_of(self, item: int) -> str:
        """Return the name of the first picture in the same sample."""
        return self.photographs[item]


@dataclass
class Labels(LateLabels):
    """The classes of the pictures in some shards, read when the first is asked for.

    They take another pass over the archives, which not everyone needs.
    """

    files: tuple[File, ...]
    """The archives."""
    names: tuple[tuple[str, ...], ...]
    """The pictures of each."""
    place: str
    """How the source is called, for errors."""

    def __len__(self) -> int:
        return sum(map(len, self.names))

    def read(self) -> list[str | None]:
        """Go through the archives once more.

        Raises:
            DatasetError: one is damaged, or none has classes.
        """
        found: list[str | None] = []
        for file, names in zip(self.files, self.names, strict=True):
            classes = _classes(file)
            found += [classes.get(_sample(name)) for name in names]
        known = [name for name in found if name is not None]
        if not known:
            raise DatasetError(
                f"{self.place} has no classes: none of its samples has a member that ends in .cls; "
                "leave out --classes labels."
            )
        # Numbers as other sources name them, so that their names have the same order.
        if all(name.isascii() and name.isdecimal() and len(name) < 10 for name in known):
            names_of = dict(zip(known, numbered_classes([int(n) for n in known]), strict=True))
            found = [None if name is None else names_of[name] for name in found]
        return found


def has_samples(file: File) -> bool:
    """Check whether a tar archive begins with samples that have classes.

    Raises:
        DatasetError: it is no tar archive, or is damaged at once.
        SourceLostError: it cannot be read.
    """
    with closing(members(file)) as listed:
        return any(
            member.isreg() and _parts(member.name)[1] == _CLASS
            for member in islice(listed, _MEMBERS_LOOKED_AT)
        )


def open_webdataset(files: Sequence[tuple[str, File]], place: str) -> WebDataset:
    """Open some shards.

    Args:
        files: how each is called in the names of its pictures, empty for one that is alone; and
            the tar archives, at least one.
        place: how the source is called, for errors.

    Raises:
        DatasetError: one is no tar archive, is damaged or holds no pictures.
    """
    shards = tuple(open_tar(file) for _, file in files)
    if sum(len(shard.names) for shard in shards) > MOST_PICTURES:
        raise DatasetError(f"{place} has more than {MOST_PICTURES} pictures.")
    pictures: list[str] = []
    photographs: list[str] = []
    for shard, (name, _) in zip(shards, files, strict=True):
        prefix = f"{name}/" if name else ""
        first: dict[str, str] = {}
        for picture in shard.names:
            pictures.append(prefix + picture)
            photographs.append(first.setdefault(_sample(picture), prefix + picture))
    archives = tuple(file for _, file in files)
    labels = Labels(archives, tuple(shard.names for shard in shards), place)
    return WebDataset(tuple(pictures), shards, tuple(photographs), labels)


def _parts(name: str) -> tuple[str, str]:
    """Split a member's name: what names its sample, and what it is of it."""
    path = [part for part in name.split("/") if part not in ("", ".")]
    stem, _, rest = (path[-1] if path else "").partition(".")
    return "/".join([*path[:-1], stem]), rest.lower()


def _sample(name: str) -> str:
    return _parts(name)[0]


def _classes(file: File) -> dict[str, str]:
    """Read the class of every sample in an archive that has one."""
    found: dict[str, str] = {}
    for member in members(file):
        sample, what = _parts(member.name)
        if what != _CLASS or not member.isreg() or not 0 < member.size <= _MOST_LABEL_BYTES:
            continue
        data = file.read(member.offset_data, member.size)
        text = data.decode("utf-8", "surrogateescape").strip()
        if text:
            found[sample] = text
        if len(found) > MOST_PICTURES:
            raise DatasetError(f"{file.name} has more than {MOST_PICTURES} members.")
    return found
