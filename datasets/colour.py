"""From whatever colours an image file has to those of a screen: sRGB."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageChops, ImageCms

from datasets.brightness import find_range, from_bits
from datasets.colour_codes import HIGH_DYNAMIC_RANGE
from datasets.errors import UnusableError
from datasets.icc_profiles import is_high_dynamic_range

# Printers' profiles have up to 3 MB.
MOST_PROFILE_BYTES = 8 * 2**20
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
        profile: the ICC profile that came with it. One that is damaged, or that is for other
            pictures than this one (a grey scale's in a coloured picture, an RGB space's in a grey
            one, inks in light), counts as none: then RGB is taken for sRGB.

    Returns:
        Mode RGB.

    Raises:
        UnusableError: the profile is one of high dynamic range.
    """
    if profile is not None:
        way = _way(profile)
        if way.transform is not None and way.mode == image.mode:
            # What can be opened need not work: then too, it counts as none.
            with suppress(ImageCms.PyCMSError, ValueError):
                return way.transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def fits(profile: bytes, mode: str) -> bool:
    """Check whether a colour profile works, and is for pictures of mode RGB, L or CMYK."""
    return _way(profile).mode == mode


@dataclass(frozen=True)
class _Way:
    """The way from the colours of a profile to sRGB."""

    mode: str | None = None
    """Of the pictures that the profile is for; None where it is of no use."""
    transform: ImageCms.ImageCmsTransform | None = None
    """None where there is no way to go."""


# A folder has pictures of a few cameras; each profile is held in memory.
@lru_cache(maxsize=16)
def _way(profile: bytes) -> _Way:
    if len(profile) > MOST_PROFILE_BYTES:
        return _Way()
    if is_high_dynamic_range(profile):
        raise UnusableError(HIGH_DYNAMIC_RANGE)
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = _MODE_OF_SPACE[opened.profile.xcolor_space.strip()]
        transform = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        # Most photographs: to convert these would only add rounding errors, and take time. What a
        # profile is called does not tell: "Linear sRGB" is far from it.
        return _Way(mode, None if _changes_nothing(transform, mode) else transform)
    except Exception:
        # Like decoders, the colour library raises whatever the damage leads to.
        return _Way()


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Check whether what comes out is what goes in, but for rounding."""
    if mode == "CMYK":
        return False
    ramp = np.arange(256, dtype=np.uint8)
    if mode == "L":
        samples = ramp[None]
        expected = np.repeat(samples[..., None], 3, axis=-1)
    else:
        # Every grey, every shade of the primaries and their mixtures, and a grid between them.
        corners = np.array(np.meshgrid(*[[0, 1]] * 3)).reshape(3, -1).T
        grid = np.array(np.meshgrid(*[np.arange(0, 256, 15)] * 3)).reshape(3, -1).T
        shades = (ramp[:, None, None] * corners).reshape(-1, 3)
        samples = expected = np.concatenate([shades, grid]).astype(np.uint8)[None]
    result = np.asarray(transform.apply(Image.fromarray(samples)))
    return bool(np.abs(result.astype(int) - expected).max() <= 1)


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Give a picture piece by piece from above, each with the row that it begins at."""
    rows = max(1, _PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _on_white(image: Image.Image) -> Image.Image:
    # Grey stays grey: its profile, if it has one, is that of a grey scale.
    grey = image.mode in ("1", "L", "LA", "La")
    result = Image.new("L" if grey else "RGB", image.size)
    for top, band in _bands(image):
        # Through RGBA whatever the mode: there, Pillow applies palettes and transparent colours.
        # It knows no way there from La, but from LA.
        colours = (band.convert("LA") if band.mode == "La" else band).convert("RGBA")
        white = Image.new("RGBA", colours.size, "white")
        result.paste(Image.alpha_composite(white, colours).convert(result.mode), (0, top))
    return result


def _from_16_bits(image: Image.Image) -> Image.Image:
    transparent = image.info.get("transparency")
    # Pillow's own conversion clips at 255, which turns nearly every picture white.
    brightness = from_bits(16)
    result = Image.new("L", image.size)
    for top, band in _bands(image):
        samples = np.asarray(band).astype(np.uint16)
        grey = brightness[samples]
        if isinstance(transparent, int):
            grey[samples == transparent] = 255
        result.paste(Image.fromarray(grey), (0, top))
    return result


def _from_wide_numbers(image: Image.Image) -> Image.Image:
    """Scale 32-bit numbers, whole or not, by the range that all of them show."""
    found = find_range(lambda: (np.asarray(band) for _, band in _bands(image)))
    result = Image.new("L", image.size)
    for top, band in _bands(image):
        result.paste(Image.fromarray(found.to_8_bits(np.asarray(band))), (0, top))
    return result
