"""Coding pictures, so that the large levels of a dataset take less room."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Codec = Literal["webp", "jpeg"]
CODECS: tuple[Codec, ...] = get_args(Codec)
Choice = Literal["raw", "webp", "jpeg"]

# Of smaller pictures, a GPU takes more a second than one would like to decode, and there is little
# to gain: 98 of 100 bytes of a dataset of 1024 pixels lie in these levels.
_SMALLEST_CODED = 256


@dataclass(frozen=True)
class _Format:
    """How a codec is called and set."""

    name: str
    """Pillow's name of the format."""
    share: float
    """Of the pixels' bytes, what coded photographs take at most."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What Pillow is told when it encodes."""


_FORMATS: Mapping[Codec, _Format] = {
    # The least effort: more would take many times longer, and save hardly a twentieth.
    "webp": _Format("WEBP", 0.6, {"lossless": True, "method": 0, "quality": 0}),
    "jpeg": _Format("JPEG", 0.3, {"quality": 95, "subsampling": "4:4:4"}),
}


def codecs_of_levels(choice: Choice, resolution: int) -> dict[int, Codec]:
    """Say which levels are coded, and how.

    Args:
        choice: `raw` for none; `webp` (lossless) or `jpeg` (lossy, quality 95 without chroma
            subsampling) for those from 256 pixels up.
        resolution: side of the largest level.

    Returns:
        By side; levels that are not there lie in the dataset as plain pixels.
    """
    if choice == "raw":
        return {}
    sides = (_SMALLEST_CODED, 2 * _SMALLEST_CODED, 4 * _SMALLEST_CODED)
    return {side: choice for side in sides if side <= resolution}


def share_of_bytes(codec: Codec) -> float:
    """Estimate, with caution, what part of the pixels' bytes coded photographs take."""
    return _FORMATS[codec].share


def encode(picture: Pixels, codec: Codec) -> bytes:
    """Code a picture.

    Args:
        picture: [S, S, C], C 3 (colour) or 1 (grey).
        codec: how.

    Returns:
        A file of that format. With the same library, the same picture gives the same bytes.
    """
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    if codec == "webp":
        image = image.convert("RGB")  # The format knows no grey; it costs next to nothing.
    buffer = BytesIO()
    image.save(buffer, _FORMATS[codec].name, **_FORMATS[codec].options)
    return buffer.getvalue()


def decode(data: bytes, codec: Codec, side: int, channels: int) -> Pixels:
    """Decode a picture.

    Args:
        data: what `encode` gave, or what a stranger put there.
        codec: how it is coded.
        side: its height and width.
        channels: 3 or 1.

    Returns:
        uint8 [side, side, channels].

    Raises:
        ValueError: it is no picture of that codec and size.
    """
    mode = "L" if channels == 1 and codec == "jpeg" else "RGB"
    # Opening a WebP file takes the memory that its header asks for, opening a JPEG file none.
    if codec == "webp" and data[:30][8:] != _webp_header(data, side):
        raise ValueError("no such picture")
    try:
        with Image.open(BytesIO(data), formats=[_FORMATS[codec].name]) as image:
            if image.size != (side, side) or image.mode != mode:
                raise ValueError(f"a picture of {image.size} pixels, {image.mode}")
            pixels = np.asarray(image)
    except ValueError:
        raise
    except Exception as error:
        # On damaged files, decoders raise whatever the damage happens to lead to.
        raise ValueError(str(error)) from error
    if mode == "L":
        return pixels[..., None]
    return pixels if channels == 3 else np.ascontiguousarray(pixels[..., :1])


def _webp_header(data: bytes, side: int) -> bytes:
    """Give the 22 bytes that stand after the first 8 of a lossless file of some size."""
    # WebP Lossless Bitstream Specification, section 3: width and height less 1, 14 bits each, then
    # a bit for transparency and three for the version, all 0.
    size = (side - 1) | (side - 1) << 14
    return b"WEBPVP8L" + data[16:20] + b"\x2f" + size.to_bytes(4, "little") + data[25:30]
