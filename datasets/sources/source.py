"""What a source is: pictures with names and, perhaps, classes and faces."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from datasets.errors import UnusableError

Pixels = NDArray[np.uint8]
FacePoints = NDArray[np.float32]
"""[4, 2]: left eye, right eye, left and right corner of the mouth, as x, y in pixels of the upright
picture. Left is the viewer's."""


@dataclass(frozen=True)
class Unclear:
    """In the place of a class or of faces: why a picture has none, though something is said."""

    reason: str
    """In a few words, for skipped.csv."""


Label = str | Unclear | None
"""The class of a picture, None for a picture without."""

# A photograph of this size is something else that was named like one.
MOST_BYTES = 2**30
# More pictures than any collection has; a hostile table of contents would fill the memory.
MOST_PICTURES = 20_000_000
# Of a name that is shown.
_SHOWN = 100


class Source(ABC):
    """Pictures with names and, perhaps, classes and faces.

    A source goes to worker processes: it can be pickled, and holds no open files. Its methods may
    be called from several threads.

    Attributes:
        names: the name of every picture, unique, in an order that is the same every time.
        labels: the classes that the source itself gives, in the order of `names`, None for a
            picture without; None as a whole for a source without labels.
        folder_classes: classes of folders in the source that are not called like them, by the
            names of the folders.
        passed_over: name and reason of every file that looks like a picture and is not among
            them: hidden, or of a kind that is never read. They are listed in skipped.csv.
    """

    names: Sequence[str]
    labels: Sequence[Label] | None = None
    folder_classes: Mapping[str, str] = MappingProxyType({})
    passed_over: Sequence[tuple[str, str]] = ()

    @abstractmethod
    def load(self, item: int) -> bytes | Pixels:
        """Give a picture as the bytes of an image file, or as pixels [H, W, C].

        Raises:
            UnusableError: the picture cannot be used.
            OSError: it cannot be read.
        """

    def class_of(self, item: int) -> str | None:
        """Give the name of the picture's class; None in a source without classes.

        Raises:
            UnusableError: the source has classes, but the picture has none.
        """
        return None

    def face_of(self, item: int) -> FacePoints | None:
        """Give where the picture's face is, [4, 2], if that is known."""
        return None

    def photograph_of(self, item: int) -> str:
        """Name the photograph that the picture is a part of: itself, where it is a whole one."""
        return self.names[item]

    def number_of(self, item: int) -> int:
        """Tell which part of its photograph the picture is, counted from 1."""
        return 1


class Annotated(Source):
    """Another source, with classes from elsewhere."""

    def __init__(
        self,
        source: Source,
        *,
        classes: Sequence[Label],
    ) -> None:
        """Add to a source.

        Args:
            source: where the pictures are.
            classes: the class of each, None for a picture without, which is then unusable.
        """
        self.names = source.names
        self.labels = source.labels
        self.passed_over = source.passed_over
        self._source, self._classes = source, classes

    def load(self, item: int) -> bytes | Pixels:
        """Give a picture of the other source."""
        return self._source.load(item)

    def class_of(self, item: int) -> str | None:
        """Give the name of the picture's class."""
        name = self._classes[item]
        if name is None:
            raise UnusableError("has no class")
        if isinstance(name, Unclear):
            raise UnusableError(name.reason)
        return name


def no_pictures(place: object, passed_over: Sequence[tuple[str, str]] = ()) -> str:
    """Return the sentence for a folder or an archive that holds no pictures.

    Args:
        place: how it is called.
        passed_over: those that were passed over, and why.
    """
    if passed_over:
        name, reason = passed_over[0]
        return (
            f"{place} holds no pictures that can be used; of {len(passed_over)} the first, "
            f"{name[:_SHOWN]}: {reason}."
        )
    return f"{place} holds no pictures: no name in it ends in .jpg, .png or the like."
