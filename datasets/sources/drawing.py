"""Faces drawn by program: a source that needs no download."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from datasets.errors import DatasetError
from datasets.sources.source import Pixels, Source

PREFIX = "drawn:"
GLASSES, NO_GLASSES = "glasses", "no glasses"
_DRAWN = re.compile(r"drawn:([1-9][0-9]{0,8})", re.ASCII)


@dataclass(frozen=True)
class Glasses(Sequence[str]):
    """Whether each drawn face wears glasses, found out when it is asked for."""

    faces: int
    """Number of faces."""
    seed: int
    """Which faces."""

    def __len__(self) -> int:
        return self.faces

    @overload
    def __getitem__(self, item: int) -> str: ...

    @overload
    def __getitem__(self, item: slice) -> list[str]: ...

    def __getitem__(self, item: int | slice) -> str | list[str]:
        from datasets import drawn

        if isinstance(item, slice):
            return [self[number] for number in range(self.faces)[item]]
        number = range(self.faces)[item]
        return GLASSES if drawn.Face.random(self.seed, number).bespectacled else NO_GLASSES


@dataclass(frozen=True)
class Drawn(Source):
    """Faces that a program draws; their labels say who wears glasses."""

    names: tuple[str, ...]
    """A number for each."""
    resolution: int
    """Pixels to draw them at."""
    channels: int
    """3 (colour) or 1 (grey)."""
    seed: int
    """Which faces."""
    labels: Glasses
    """The class of each."""

    def load(self, item: int) -> Pixels:
        """Draw a face: [resolution, resolution, channels]."""
        from datasets import drawn

        return drawn.draw(item, self.resolution, seed=self.seed, channels=self.channels)


def open_drawn(text: str, *, resolution: int, channels: int, seed: int) -> Drawn:
    """Prepare to draw faces.

    Args:
        text: `drawn:N`, with the number of faces.
        resolution: pixels to draw them at.
        channels: 3 (colour) or 1 (grey).
        seed: 0 to 2**64 - 1; which faces.

    Raises:
        DatasetError: there is no such number, or faces are not drawn that large.
    """
    from datasets import drawn

    match = _DRAWN.fullmatch(text)
    if match is None:
        raise DatasetError(f"{text}: write drawn:N with the number of faces, such as drawn:4096.")
    if resolution > drawn.MAX_RESOLUTION:
        raise DatasetError(
            f"{text}: faces are drawn up to {drawn.MAX_RESOLUTION} × {drawn.MAX_RESOLUTION} "
            f"pixels; give a smaller --resolution than {resolution}."
        )
    count = int(match[1])
    names = tuple(f"drawn-{number:06d}" for number in range(count))
    return Drawn(names, resolution, channels, seed, Glasses(count, seed))
