"""A picture as a file stores it: decoded, but perhaps not upright, and perhaps reduced."""

import re
from dataclasses import dataclass

from PIL import ExifTags, Image

from datasets.errors import UnusableError

# Larger than the largest sensor of a phone or camera (200 megapixels), smaller than what a
# computer cannot hold: the header of a few hostile bytes may promise any size.
MOST_PIXELS = 300_000_000
# As many as four samples of 8 bits of the largest picture.
_MOST_BYTES = 4 * MOST_PIXELS

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)
_ORIENTATION_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


@dataclass(frozen=True)
class Stored:
    """A picture as it was decoded: perhaps not upright, and perhaps at a fraction of its size."""

    image: Image.Image
    """Mode RGB, L or CMYK."""
    size: tuple[int, int]
    """Width and height of the whole picture, before any reduction."""
    reduction: int = 1
    """A pixel of `image` stands for so many, squared, of the whole picture."""
    turn: Image.Transpose | None = None
    """What makes it upright."""
    profile: bytes | None = None
    """Its colour profile."""

    def upright(self) -> Image.Image:
        """Return the picture upright."""
        return self.image if self.turn is None else self.image.transpose(self.turn)

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the whole upright picture."""
        width, height = self.size
        return (height, width) if self.turn in _SIDEWAYS else (width, height)

    def place(self, left: int, top: int, size: int) -> tuple[int, int]:
        """Find left and top of a square of the whole upright picture in the one that is stored."""
        right, bottom = self.size[0] - size, self.size[1] - size
        match self.turn:
            case Image.Transpose.FLIP_LEFT_RIGHT:
                return right - left, top
            case Image.Transpose.ROTATE_180:
                return right - left, bottom - top
            case Image.Transpose.FLIP_TOP_BOTTOM:
                return left, bottom - top
            case Image.Transpose.TRANSPOSE:
                return top, left
            case Image.Transpose.ROTATE_270:
                return top, bottom - left
            case Image.Transpose.TRANSVERSE:
                return right - top, bottom - left
            case Image.Transpose.ROTATE_90:
                return right - top, left
            case _:
                return left, top


def require_size(width: int, height: int) -> None:
    """Raise `UnusableError` unless a picture of this size may be decoded."""
    if width * height > MOST_PIXELS:
        raise UnusableError(f"more than {MOST_PIXELS // 10**6} million pixels")


def require_samples(count: int) -> None:
    """Raise `UnusableError` unless a picture may have so many bytes of samples."""
    if count > _MOST_BYTES:
        raise UnusableError(f"more than {_MOST_BYTES // 10**6} million bytes of samples")


def turn_of(orientation: object) -> Image.Transpose | None:
    """Return what makes a picture upright, by its tag Orientation (TIFF 6.0)."""
    return _UPRIGHT.get(orientation) if isinstance(orientation, int) else None


def turn_of_exif(image: Image.Image) -> Image.Transpose | None:
    """Return what makes a picture upright, by what Pillow knows of it."""
    try:
        return turn_of(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        # Whatever a camera wrote beside a picture, the picture itself has been decoded.
        return None


def orientation_in_xmp(packet: bytes) -> int:
    """Find the tag Orientation in XMP, where a file tells it nowhere else; 1 if it is not there."""
    found = _ORIENTATION_IN_XMP.search(packet)
    return int(found[1]) if found else 1
