"""TIFF files: white as zero or not, samples of any depth, palettes and opacity."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from datasets.brightness import Range, find_range, from_bits
from datasets.colour import MOST_PROFILE_BYTES, opaque
from datasets.errors import UnusableError
from datasets.formats.tiff_directory import Directory, read_directory, with_directory
from datasets.formats.tiff_layout import (
    ASSOCIATED,
    INKS,
    LAB,
    PALETTE,
    RGB,
    UNSIGNED,
    WHITE_IS_ZERO,
    Layout,
    find_layout,
    require_pieces,
)
from datasets.formats.tiff_samples import SampleReader
from datasets.stored import Stored, orientation_in_xmp, require_samples, require_size, turn_of

Samples = NDArray[Any]
Shown = NDArray[np.uint8]

# What Pillow is told: all that the samples need, and nothing of what lies beside them.
_OF_THE_PICTURE = (
    *(256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 322, 323, 324, 325),
    *(338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532),
)
_ORIENTATION, _COLOUR_MAP, _XMP, _PROFILE = 274, 320, 700, 34675
_MOST_XMP = 2**20
_MODES = {RGB: "RGB", PALETTE: "RGB", INKS: "CMYK"}


def read_tiff(data: bytes) -> Stored:
    """Decode the first picture of a TIFF file.

    Args:
        data: the whole file.

    Raises:
        UnusableError: it is too large, of a kind that cannot be read, or its numbers have no
            meaning as brightness. A damaged file raises whatever the damage leads to.
    """
    directory = read_directory(data)
    layout = find_layout(directory)
    require_size(layout.width, layout.height)
    require_samples(layout.decoded_bytes)
    require_pieces(layout, directory, len(data))
    if layout.read_by_pillow:
        image = _by_pillow(data, directory, layout)
    else:
        image = _Picture(data, directory, layout).to_8_bits()
    orientation = directory.number(_ORIENTATION, 0)
    if orientation == 0:
        orientation = orientation_in_xmp(directory.content(_XMP, _MOST_XMP))
    # A larger one is cut off, and counts as none.
    profile = directory.content(_PROFILE, MOST_PROFILE_BYTES + 1)
    if layout.photometric == LAB:
        profile = b""
    return Stored(image, image.size, turn=turn_of(orientation), profile=profile or None)


def _by_pillow(data: bytes, directory: Directory, layout: Layout) -> Image.Image:
    entries = {tag: directory.entries[tag] for tag in _OF_THE_PICTURE if tag in directory.entries}
    entries[262] = directory.of_numbers(layout.photometric)
    if layout.extra:
        entries[338] = directory.of_numbers(*layout.extra)
    if layout.photometric == PALETTE:
        entries[_COLOUR_MAP] = directory.entries[_COLOUR_MAP]
    try:
        with Image.open(
            BytesIO(with_directory(data, directory, entries)), formats=["TIFF"]
        ) as image:
            image.load()
            return opaque(image)
    except UnidentifiedImageError:
        raise UnusableError("a TIFF file of a kind that cannot be read") from None


@dataclass(frozen=True)
class _Picture:
    """A picture whose samples are read and interpreted here."""

    data: bytes
    directory: Directory
    layout: Layout

    def to_8_bits(self) -> Image.Image:
        layout = self.layout
        samples = SampleReader(self.data, self.directory, layout)
        show, white = self._scale(samples)
        mode = _MODES.get(layout.photometric, "L")
        result = Image.new(mode, (layout.width, layout.height))
        for top, rows in samples.bands():
            shown = show(rows[..., : layout.colours])
            if layout.alpha is not None:
                shown = self._on_white(shown, rows[..., layout.alpha] / np.float64(white))
            result.paste(Image.fromarray(shown[..., 0] if mode == "L" else shown, mode), (0, top))
        return result

    def _scale(self, samples: SampleReader) -> tuple[Callable[[Samples], Shown], float]:
        """Return what shows colours in 8 bits, and the number that is white, or opaque."""
        layout = self.layout
        inverted = layout.photometric == WHITE_IS_ZERO
        most = 2**layout.bits - 1
        if layout.photometric == PALETTE:
            palette = _palette(self.directory, layout.bits)
            return lambda numbers: palette[numbers[..., 0]], most
        if layout.format == UNSIGNED and layout.bits <= 16:
            brightness = from_bits(layout.bits, inverted=inverted)
            return lambda numbers: brightness[numbers], most
        if layout.format == UNSIGNED and layout.bits < 32:
            found = Range(most)
        else:

            def colours() -> Iterator[Samples]:
                return (rows[..., : layout.colours] for _, rows in samples.bands())

            found = find_range(colours)
        return lambda numbers: found.to_8_bits(numbers, inverted=inverted), found.white

    def _on_white(self, shown: Shown, opacity: NDArray[np.float64]) -> Shown:
        layout = self.layout
        opacity = np.clip(opacity, 0, 1)[..., None]
        white = 0.0 if layout.photometric == INKS else 255.0
        if ASSOCIATED not in layout.extra:
            result = white + (shown - white) * opacity
        elif layout.photometric == WHITE_IS_ZERO:
            # Multiplied by its opacity, what is clear is 0 and white already.
            return shown
        else:
            result = np.minimum(shown + white * (1 - opacity), 255)
        return np.asarray(np.rint(result), np.uint8)


def _palette(directory: Directory, bits: int) -> Shown:
    """Read the colours of a palette: [2**bits, 3]."""
    count = 2**bits
    numbers = np.array(directory.numbers(_COLOUR_MAP), np.int64)
    if len(numbers) < 3 * count or numbers.max() > 65535:
        raise ValueError("no palette for such samples")
    colours = numbers[: 3 * count].reshape(3, count).T
    # They have 16 bits, but some programs write 8.
    return colours.astype(np.uint8) if colours.max() < 256 else from_bits(16)[colours]
