"""Faces drawn by program: a source that needs no download."""

import re
from dataclasses import dataclass

from datasets.errors import DatasetError
from datasets.sources.source import Pixels, Source

PREFIX = "drawn:"
_DRAWN = re.compile(r"drawn:([1-9][0-9]{0,8})", re.ASCII)


@dataclass(frozen=True)
class Drawn(Source):
    """Faces that a program draws."""

    names: tuple[str, ...]
    """A number for each."""
    resolution: int
    """Pixels to draw them at."""
    channels: int
    """3 (colour) or 1 (grey)."""
    seed: int
    """Which faces."""

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
    names = tuple(f"drawn-{number:06d}" for number in range(int(match[1])))
    return Drawn(names, resolution, channels, seed)
