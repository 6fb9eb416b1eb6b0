"""From arrays to image files: grids, enlargements, labelled sheets and the files themselves."""

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from datasets.errors import DatasetError
from datasets.landing import landing

Format = Literal["png", "jpeg", "webp"]
Pixels = NDArray[np.uint8]

_FORMATS: dict[str, Format] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
}
# Pixels a side that a format can hold, or the library that writes it.
LONGEST_SIDES: dict[Format, int] = {"png": 2**31 - 1, "jpeg": 65500, "webp": 16383}
_SHEET_GAP = 4
_WHITE = 255


def to_uint8(images: NDArray[np.floating[Any]]) -> Pixels:
    """Turn a network's images into pixels.

    Args:
        images: [N, C, H, W], nominally in [-1, 1]; what lies outside is clipped, and what is not
            a number becomes black.

    Returns:
        [N, H, W, C]: -1 is 0, +1 is 255, rounded to the nearest (half to even).
    """
    channels_last = np.moveaxis(images.astype(np.float32), 1, -1)
    inside = np.nan_to_num(np.clip(channels_last, -1, 1), nan=-1)
    scaled = inside * np.float32(127.5) + np.float32(127.5)
    return np.ascontiguousarray(np.rint(scaled).astype(np.uint8))


def grid(images: Pixels, columns: int, *, gap: int = 0, background: int = _WHITE) -> Pixels:
    """Lay pictures out in rows, left to right and top to bottom.

    Args:
        images: [N, H, W, C], N at least 1.
        columns: pictures a row, at least 1. The last row may stay incomplete.
        gap: pixels between neighbouring pictures.
        background: grey value, 0 to 255, of gaps and empty places.

    Returns:
        [rows * H + (rows - 1) * gap, columns * W + (columns - 1) * gap, C].
    """
    count, height, width, channels = images.shape
    if count < 1 or columns < 1 or gap < 0:
        raise ValueError(f"no grid of {count} pictures in {columns} columns with gap {gap}")
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, channels),
        background,
        dtype=np.uint8,
    )
    for number, image in enumerate(images):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def zoom(image: Pixels, factor: int) -> Pixels:
    """Enlarge [H, W, C] to [factor * H, factor * W, C], each pixel becoming a square."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def encode(image: Pixels, format: Format, *, quality: int = 95) -> bytes:
    """Make the bytes of an image file.

    Args:
        image: [H, W, C] with C 3 (colour) or 1 (grey).
        format: "png" or "webp" (both lossless) or "jpeg" (full colour resolution).
        quality: of a JPEG, 1 to 100.

    Raises:
        DatasetError: the format holds no picture of this size.
    """
    if max(image.shape[:2]) > LONGEST_SIDES[format]:
        raise DatasetError(
            f"{image.shape[1]}×{image.shape[0]} pixels are too many for a {format.upper()} file."
        )
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    buffer = BytesIO()
    if format == "png":
        picture.save(buffer, "PNG")
    elif format == "webp":
        picture.save(buffer, "WEBP", lossless=True, exact=True)
    else:
        picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def save(path: str | os.PathLike[str], image: Pixels, *, quality: int = 95) -> None:
    """Write an image file in the format of its suffix; a file of that name is replaced.

    Args:
        path: ends in .png, .jpg, .jpeg or .webp.
        image: [H, W, C] with C 3 (colour) or 1 (grey).
        quality: of a JPEG, 1 to 100.

    Raises:
        DatasetError: another suffix, too many pixels, or no folder to write into.
    """
    path = Path(path)
    data = encode(image, format_of(path), quality=quality)
    with landing(path, overwrite=True) as temporary:
        temporary.write_bytes(data)


def format_of(path: Path) -> Format:
    """Give the image format that a file name asks for; `DatasetError` where it names none."""
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise DatasetError(f"{path} must end in {', '.join(_FORMATS)}.") from None


def contact_sheet(rows: Sequence[tuple[str, Pixels]], *, height: int = 128) -> Pixels:
    """Lay out rows of pictures, each with a caption at its left, on white.

    Args:
        rows: caption (in ASCII: the font has little else) and pictures [N, H, W, C], all with the
            same C. Small ones are enlarged to `height` in squares, so that single pixels show;
            larger ones are averaged down.
        height: pixels of every row.

    Returns:
        [total height, total width, C].
    """
    strips = [(caption, _strip(images, height)) for caption, images in rows]
    font = ImageFont.load_default(size=max(10, height // 7))
    margin = 2 * _SHEET_GAP
    left = margin + max(round(font.getlength(caption)) for caption, _ in strips) + margin
    width = left + max(strip.shape[1] for _, strip in strips) + margin
    sheet = Image.new(
        "L" if strips[0][1].shape[-1] == 1 else "RGB",
        (width, margin + len(strips) * (height + _SHEET_GAP) - _SHEET_GAP + margin),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    for number, (caption, strip) in enumerate(strips):
        top = margin + number * (height + _SHEET_GAP)
        draw.text((margin, top + height // 2), caption, fill="black", font=font, anchor="lm")
        sheet.paste(Image.fromarray(strip[..., 0] if strip.shape[-1] == 1 else strip), (left, top))
    return np.asarray(sheet).reshape(sheet.height, sheet.width, -1)


def _strip(images: Pixels, height: int) -> Pixels:
    resized = [_to_height(image, height) for image in images]
    return grid(np.stack(resized), len(resized), gap=_SHEET_GAP)


def _to_height(image: Pixels, height: int) -> Pixels:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    width = max(1, round(picture.width * height / picture.height))
    method = Image.Resampling.NEAREST if picture.height <= height else Image.Resampling.BOX
    return np.asarray(picture.resize((width, height), method)).reshape(height, width, -1)
