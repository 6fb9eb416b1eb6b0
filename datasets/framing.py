"""From an image file of any kind to a square of pixels."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.alignment import cut_out, face_square
from datasets.colour import to_srgb
from datasets.decoding import decode, pillow_set_up
from datasets.errors import UnusableError
from datasets.resampling import lanczos
from datasets.stored import Stored

Pixels = NDArray[np.uint8]

# A JPEG is decoded at 1/8, 1/4 or 1/2 where that leaves its square so many times larger than the
# result. Then the two differ from what decoding it in full gives by less than two thirds of a step
# of 255 on average, which docs/datasets.md tells more of. Smaller fractions need more: at 1/8, a
# pixel is just the average of 8 × 8.
_MARGINS = {8: 2.0, 4: 1.5, 2: 1.3}


@dataclass(frozen=True)
class Box:
    """A square in pixels of the upright picture."""

    x: int
    """Pixels left of it."""
    y: int
    """Pixels above it."""
    size: int
    """Its side."""

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.size}"


UnturnedCrop = Literal["centre", "top"] | Box
Crop = UnturnedCrop | Literal["face"]


def parse_crop(text: str) -> Crop:
    """Read `centre`, `top`, `face` or `x,y,size`; `ValueError` where it is none of these."""
    match text.split(","):
        case ["centre"]:
            return "centre"
        case ["top"]:
            return "top"
        case ["face"]:
            return "face"
        case [x, y, size] if all(n.isascii() and n.isdigit() and len(n) < 6 for n in (x, y, size)):
            if int(size) > 0:
                return Box(int(x), int(y), int(size))
    raise ValueError(text)


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How every picture of a dataset becomes a square."""

    resolution: int
    """Side of the result in pixels."""
    channels: int = 3
    """3 (colour) or 1 (grey, by luminance)."""
    crop: Crop = "centre"
    """`centre`: the largest square in the middle. `top`: the largest square at the upper edge, in
    the middle from left to right; it frames portraits. `face`: the oriented crop of CelebA-HQ, a
    square that may be turned and leave the picture. Or a box."""
    upscale: bool = False
    """Whether a square smaller than `resolution` is enlarged rather than refused."""
    decoding: Literal["scaled", "full"] = "scaled"
    """Whether JPEG files are decoded at a fraction of their size where that is enough, or in full.
    Only the latter gives the last bit of every pixel; for the crop `face` it is always done."""


def frame(
    picture: bytes | Pixels, framing: Framing, face: NDArray[np.float32] | None = None
) -> Pixels:
    """Turn a picture upright, crop a square and resample it by Lanczos.

    Args:
        picture: the bytes of an image file, of which the first frame counts; or pixels [H, W, C]
            with C 1 or 3. What is transparent becomes white; colours become those of sRGB.
        framing: what to do.
        face: where the face is, for the crop "face": [4, 2], left eye, right eye, left and right
            corner of the mouth, as x and y in pixels of the upright picture.

    Returns:
        uint8 [resolution, resolution, channels].

    Raises:
        UnusableError: the picture cannot be read, is not large enough, or has no face.
    """
    with pillow_set_up():
        if framing.crop == "face":
            stored = decode(picture)
            square = _cut_face(stored.upright(), framing, face)
        else:
            crop = framing.crop
            stored = decode(picture, lambda width, height: reduction(width, height, framing))
            square = _cut_square(stored, framing, crop)
        # Colours last, where there are the fewest pixels.
        square = to_srgb(square, stored.profile)
        if framing.channels == 1:
            square = square.convert("L")
        side = framing.resolution
        return np.asarray(square).reshape(side, side, framing.channels)


def upright(picture: bytes, channels: int) -> Pixels:
    """Decode an image file and turn it upright, without cropping or resampling.

    Args:
        picture: the bytes of an image file; what is transparent becomes white.
        channels: 3 for colour, 1 for grey (luminance).

    Returns:
        uint8 [H, W, channels].

    Raises:
        UnusableError: the picture cannot be read.
    """
    with pillow_set_up():
        stored = decode(picture)
        image = to_srgb(stored.upright(), stored.profile)
        if channels == 1:
            image = image.convert("L")
        return np.asarray(image).reshape(image.height, image.width, channels)


def fit(picture: Pixels, resolution: int) -> Pixels:
    """Bring pixels to a square of some size; what is not square loses its longer ends.

    Where the size is a power-of-two multiple, by box averages, as the levels of a dataset are
    made; else by Lanczos.

    Args:
        picture: [H, W, C].
        resolution: wanted height and width.

    Returns:
        uint8 [resolution, resolution, C].
    """
    left, top, size = _square("centre", picture.shape[1], picture.shape[0])
    square = picture[top : top + size, left : left + size]
    if size == resolution:
        return square
    factor, rest = divmod(size, resolution)
    if rest == 0 and factor & (factor - 1) == 0:
        blocks = square.reshape(resolution, factor, resolution, factor, -1)
        return np.asarray(np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)), np.uint8)
    grey = square.shape[-1] == 1
    image = Image.fromarray(square[..., 0] if grey else square)
    resized = image.resize((resolution, resolution), Image.Resampling.LANCZOS)
    return np.asarray(resized).reshape(resolution, resolution, -1)


def _cut_face(
    image: Image.Image, framing: Framing, face: NDArray[np.float32] | None
) -> Image.Image:
    if face is None:
        raise UnusableError("no face was found")
    square = face_square(face)
    _require_size(square.side, framing)
    return cut_out(image, square, framing.resolution)


def _cut_square(stored: Stored, framing: Framing, crop: UnturnedCrop) -> Image.Image:
    left, top, size = _square(crop, *stored.upright_size)
    _require_size(size, framing)
    left, top = stored.place(left, top, size)
    image, side = stored.image, framing.resolution
    # In pixels as they were decoded; whatever does not lie inside is never looked at.
    across = left / stored.reduction, (left + size) / stored.reduction
    down = top / stored.reduction, (top + size) / stored.reduction
    first = math.floor(across[0]), math.floor(down[0])
    square = image.crop((*first, math.ceil(across[1]), math.ceil(down[1])))
    if size != side:
        pixels = np.asarray(square)
        resampled = lanczos(
            pixels.reshape(*pixels.shape[:2], -1),
            across=(across[0] - first[0], across[1] - first[0]),
            down=(down[0] - first[1], down[1] - first[1]),
            side=side,
        )
        square = Image.fromarray(resampled.reshape(side, side, *pixels.shape[2:]), image.mode)
    # Turned last, where there are the fewest pixels; a Lanczos filter is symmetric.
    return square if stored.turn is None else square.transpose(stored.turn)


def reduction(width: int, height: int, framing: Framing) -> int:
    """Choose at which fraction of its size to decode a JPEG file.

    Args:
        width: of the whole picture.
        height: of the whole picture.
        framing: what is to become of it.

    Returns:
        1, 2, 4 or 8: how many times smaller.
    """
    if framing.decoding == "full" or framing.crop == "face":
        return 1
    size = framing.crop.size if isinstance(framing.crop, Box) else min(width, height)
    enough = (
        times for times, margin in _MARGINS.items() if size >= margin * framing.resolution * times
    )
    return next(enough, 1)


def _require_size(size: float, framing: Framing) -> None:
    if size < framing.resolution and not framing.upscale:
        raise UnusableError(f"smaller than {framing.resolution} pixels")


def _square(crop: UnturnedCrop, width: int, height: int) -> tuple[int, int, int]:
    """Give left, top and size of the square to cut out."""
    if isinstance(crop, Box):
        if crop.x + crop.size > width or crop.y + crop.size > height:
            raise UnusableError("smaller than the crop")
        return crop.x, crop.y, crop.size
    size = min(width, height)
    return (width - size) // 2, (height - size) // 2 if crop == "centre" else 0, size
