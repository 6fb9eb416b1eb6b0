"""From whatever colours an image file has to those of a screen: sRGB."""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageChops, ImageCms

from datasets.errors import UnusableError

# Printers' profiles have up to 3 MB.
_MOST_PROFILE_BYTES = 8 * 2**20
# Converted at a time: a picture may have 300 million of them, and what is large for a moment takes
# longer to be handed out by the system than to be computed.
_PIXELS_AT_ONCE = 2**18
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def opaque(image: Image.Image) -> Image.Image:
    """Bring a picture to 8 bits without transparency, in its own colours.

    Args:
        image: as it was decoded, in any mode.

    Returns:
        Mode RGB, L or CMYK. What was transparent is white.

    Raises:
        UnusableError: its numbers have no meaning as brightness.
    """
    if image.mode.startswith("I;16"):
        return _from_16_bits(image)
    if image.mode in ("I", "F"):
        return _from_wide_numbers(image)
    if image.mode == "La" or image.has_transparency_data:
        return _on_white(image)
    if image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        # Adobe's programs store inks inverted, and leave a mark; Pillow believes that all do.
        return ImageChops.invert(image)
    if image.mode in ("RGB", "CMYK"):
        return image
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert a picture to sRGB.

    Args:
        image: mode RGB, L or CMYK.
        profile: the ICC profile that came with it. One that is damaged, or meant for something
            else, counts as none: then RGB is taken for sRGB.

    Returns:
        Mode RGB.
    """
    if profile is not None:
        space, transform = _transform(profile)
        mode = _MODE_OF_SPACE.get(space)
        if transform is not None and (mode == "CMYK") == (image.mode == "CMYK"):
            # What can be opened need not work: then too, it counts as none.
            with suppress(ImageCms.PyCMSError, ValueError):
                return transform.apply(image.convert(mode))
    return image if image.mode == "RGB" else image.convert("RGB")


# A folder has pictures of a few cameras; each profile is held in memory.
@lru_cache(maxsize=8)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """Give a profile's colour space and the way from there to sRGB, if there is one to go."""
    if len(profile) > _MOST_PROFILE_BYTES:
        return "", None
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        # Most photographs: to convert these would only add rounding errors.
        if "sRGB" in (opened.profile.profile_description or ""):
            return space, None
        return space, ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            _MODE_OF_SPACE[space],
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except Exception:
        # Like decoders, the colour library raises whatever the damage leads to.
        return "", None


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Give a picture piece by piece from above, each with the row that it begins at."""
    rows = max(1, _PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _on_white(image: Image.Image) -> Image.Image:
    result = Image.new("RGB", image.size)
    for top, band in _bands(image):
        # Through RGBA whatever the mode: there, Pillow applies palettes and transparent colours.
        # It knows no way there from La, but from LA.
        colours = (band.convert("LA") if band.mode == "La" else band).convert("RGBA")
        white = Image.new("RGBA", colours.size, "white")
        result.paste(Image.alpha_composite(white, colours).convert("RGB"), (0, top))
    return result


def _from_16_bits(image: Image.Image) -> Image.Image:
    transparent = image.info.get("transparency")
    result = Image.new("L", image.size)
    for top, band in _bands(image):
        numbers = np.asarray(band).astype(np.uint32)
        # Pillow's own conversion clips at 255, which turns nearly every picture white. 65535 / 257
        # is 255, and adding half of 257 rounds to the nearest.
        grey = ((numbers + 128) // 257).astype(np.uint8)
        if isinstance(transparent, int):
            grey[numbers == transparent] = 255
        result.paste(Image.fromarray(grey), (0, top))
    return result


def _from_wide_numbers(image: Image.Image) -> Image.Image:
    """Scale 32-bit numbers, whole or not, by the range that their largest one shows."""
    # So that a number that is none (NaN) counts as out of range too: it is not kept in order.
    least, most = np.inf, -np.inf
    for _, band in _bands(image):
        numbers = np.asarray(band)
        least, most = np.minimum(least, numbers.min()), np.maximum(most, numbers.max())
    if not (least >= 0 and most <= 65535):
        raise UnusableError("brightness outside 0 to 65535")
    factor = 1.0 if most <= 255 else 1 / 257
    if image.mode == "F" and most <= 1:
        factor = 255.0
    result = Image.new("L", image.size)
    for top, band in _bands(image):
        grey = np.rint(np.asarray(band).astype(np.float32) * np.float32(factor)).astype(np.uint8)
        result.paste(Image.fromarray(grey), (0, top))
    return result
