"""A picture for each face, where photographs have several."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError, UnusableError
from datasets.sources.source import FacePoints, Label, Pixels, Source, Unclear

FaceList = NDArray[np.float32]
"""[F, 4, 2]: the faces of a photograph."""

_NOWHERE: FaceList = np.empty((0, 4, 2), np.float32)


class Faces(Source):
    """The faces of another source, each a picture of its own.

    A photograph's first face has its name, further ones that with their number: photo.jpg#2,
    photo.jpg#3. A photograph without a face is one picture all the same, so that it is accounted
    for.
    """

    def __init__(self, source: Source, faces: Sequence[FaceList | Unclear]) -> None:
        """Tell the faces of a source.

        Args:
            source: the photographs.
            faces: the faces of each, [F, 4, 2], first that which is the first; or why it is not
                known where they are, which makes the photograph unusable.

        Raises:
            DatasetError: the name of a further face is that of a photograph.
        """
        names, self._items, self._numbers = [], [], []
        points: list[FacePoints | None] = []
        self._unclear: dict[int, Unclear] = {}
        for item, found in enumerate(faces):
            name = source.names[item]
            if isinstance(found, Unclear):
                self._unclear[item] = found
                found = _NOWHERE
            for number, face in enumerate(found, start=1):
                names.append(name if number == 1 else face_name(name, number))
                points.append(face)
                self._numbers.append(number)
                self._items.append(item)
            if not len(found):
                names.append(name)
                points.append(None)
                self._numbers.append(1)
                self._items.append(item)
        if len(names) > len(source.names):
            photographs = set(source.names)
            for name, number in zip(names, self._numbers, strict=True):
                if number > 1 and name in photographs:
                    raise DatasetError(
                        f"{name} is the name of a photograph and of another one's further face; "
                        "rename the photograph."
                    )
        self.names = names
        labels = source.labels
        self.labels: Sequence[Label] | None = None
        if labels is not None:
            self.labels = [labels[photograph] for photograph in self._items]
        self.passed_over = source.passed_over
        self._source, self._points = source, points

    def load(self, item: int) -> bytes | Pixels:
        """Give the photograph that the face is in."""
        photograph = self._items[item]
        if photograph in self._unclear:
            raise UnusableError(self._unclear[photograph].reason)
        return self._source.load(photograph)

    def class_of(self, item: int) -> str | None:
        """Give the name of the photograph's class."""
        return self._source.class_of(self._items[item])

    def face_of(self, item: int) -> FacePoints | None:
        """Give where the face is; None for a photograph without one."""
        return self._points[item]

    def photograph_of(self, item: int) -> str:
        """Name the photograph that the face is in."""
        return self._source.names[self._items[item]]

    def number_of(self, item: int) -> int:
        """Tell which of the photograph's faces this is, counted from 1."""
        return self._numbers[item]


def firsts(faces: Sequence[FaceList | Unclear]) -> list[FaceList | Unclear]:
    """Return of the faces of each photograph only the first."""
    return [found if isinstance(found, Unclear) else found[:1] for found in faces]


def face_name(photograph: str, number: int) -> str:
    """Name a further face of a photograph: number 2 of photo.jpg is photo.jpg#2."""
    return f"{photograph}#{number}"
