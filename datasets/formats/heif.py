"""Photographs as telephones take them: HEIC through pillow-heif, AVIF through Pillow."""

from io import BytesIO
from typing import Any

from PIL import Image, ImageChops, features

from datasets.colour import fits, opaque
from datasets.colour_codes import space_of_codes
from datasets.errors import UnusableError
from datasets.formats.boxes import read_primary
from datasets.stored import Stored, require_size, turn_of_exif

NO_HEIC = "a HEIC photograph, which pillow-heif reads: pip install pillow-heif==1.8.1"
NO_AVIF = "an AVIF picture, which this Pillow cannot read: pip install --upgrade pillow"
# The libraries themselves refuse larger ones, and do not tell why.
_MOST_AVIF_PIXELS, _LONGEST_AVIF_SIDE = 2**28, 2**15


def read_heic(data: bytes) -> Stored:
    """Decode the primary picture of a HEIC file.

    Args:
        data: the whole file.

    Raises:
        UnusableError: pillow-heif is not installed, or the picture is too large or of high dynamic
            range. A damaged file raises whatever the damage leads to.
    """
    try:
        import pillow_heif
    except ImportError:
        raise UnusableError(NO_HEIC) from None
    told = read_primary(data)
    if told.size is not None:
        require_size(*told.size)
    try:
        file = pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
        require_size(*file.size)
        # Turned and cut as the file tells: what Exif says of that is of the camera's own use.
        image = file.to_pillow()
    except (ValueError, SyntaxError, RuntimeError, OSError) as error:
        if "limit" in str(error).lower():
            raise UnusableError("larger than the reader of HEIC photographs allows") from None
        raise
    return _stored(image, file.info.get("icc_profile"), _codes(file.info) or told.codes)


def read_avif(data: bytes) -> Stored:
    """Decode the primary picture of an AVIF file; one of a film, the first.

    Args:
        data: the whole file.

    Raises:
        UnusableError: this Pillow reads no AVIF, or the picture is too large or of high dynamic
            range. A damaged file raises whatever the damage leads to.
    """
    if not features.check("avif"):
        raise UnusableError(NO_AVIF)
    told = read_primary(data)
    if told.size is not None:
        require_size(*told.size)
        if told.size[0] * told.size[1] > _MOST_AVIF_PIXELS or max(told.size) > _LONGEST_AVIF_SIDE:
            raise UnusableError("larger than the reader of AVIF pictures allows")
    with Image.open(BytesIO(data), formats=["AVIF"]) as image:
        require_size(*image.size)
        image.load()
        stored = _stored(image, image.info.get("icc_profile"), told.codes)
        return Stored(stored.image, stored.size, turn=turn_of_exif(image), profile=stored.profile)


def _codes(info: dict[str, Any]) -> tuple[int, int] | None:
    told = info.get("nclx_profile")
    if not told:
        return None
    return int(told["color_primaries"]), int(told["transfer_characteristics"])


def _stored(image: Image.Image, icc: bytes | None, codes: tuple[int, int] | None) -> Stored:
    # Even where a profile tells the colours, the codes tell whether it is of high dynamic range.
    space = None if codes is None else space_of_codes(*codes)
    shown = opaque(image)
    if icc is not None and shown.mode == "RGB" and fits(icc, "L") and _is_grey(shown):
        # Decoders of these formats make three bands of one.
        shown = shown.getchannel(0)
    if icc is None or not fits(icc, shown.mode):
        icc = None if space is None else space.profile(grey=shown.mode == "L")
    return Stored(shown, shown.size, profile=icc)


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = image.split()
    return all(ImageChops.difference(red, band).getbbox() is None for band in (green, blue))
