"""From the bytes of an image file to a picture of 8 bits, whatever kind of file it is."""

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from datasets.colour import opaque
from datasets.errors import UnusableError
from datasets.formats import png_chunks
from datasets.formats.boxes import is_avif, is_heic
from datasets.formats.heif import read_avif, read_heic
from datasets.formats.jpeg import is_jpeg, undecodable
from datasets.formats.png import read_png
from datasets.formats.tiff import read_tiff
from datasets.formats.tiff_directory import is_tiff
from datasets.stored import MOST_PIXELS, Stored, require_size, turn_of_exif

Pixels = NDArray[np.uint8]
Choose = Callable[[int, int], int]

# The content decides, not the suffix. Formats that nobody photographs in stay shut: each is a
# decoder that strangers' files would reach.
_FORMATS = ("JPEG", "WEBP", "BMP", "GIF")
UNKNOWN = "not a picture of a known format"
DAMAGED = "damaged or cut short"

# Pillow logs what it also raises; without a handler, Python would print it between our lines.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def decode(picture: bytes | Pixels, choose: Choose = lambda width, height: 1) -> Stored:
    """Decode a picture, a JPEG at the fraction of its size that `choose` gives for its size.

    Args:
        picture: the bytes of an image file, of which the first frame counts; or pixels [H, W, C]
            with C 1 or 3.
        choose: from width and height to 1, 2, 4 or 8: how many times smaller to decode a JPEG.

    Raises:
        UnusableError: the picture cannot be read.
    """
    if not isinstance(picture, bytes):
        grey = picture.shape[-1] == 1
        whole = Image.fromarray(picture[..., 0] if grey else picture)
        return Stored(whole, whole.size)
    try:
        if picture.startswith(png_chunks.SIGNATURE):
            return read_png(picture)
        if is_tiff(picture):
            return read_tiff(picture)
        if is_avif(picture):
            return read_avif(picture)
        if is_heic(picture):
            return read_heic(picture)
        return _read_by_pillow(picture, choose)
    except UnusableError:
        raise
    except UnidentifiedImageError:
        raise UnusableError(_why_damaged(picture) if _is_known(picture) else UNKNOWN) from None
    except Image.DecompressionBombError:
        raise UnusableError(f"more than {MOST_PIXELS // 10**6} million pixels") from None
    except MemoryError:
        raise UnusableError("needs more memory than there is") from None
    except Exception:
        # On damaged files, decoders raise whatever the damage happens to lead to: OSError,
        # ValueError, SyntaxError, struct.error, KeyError … No list of them would be complete, and
        # one bad file must not end the work on a hundred thousand good ones.
        raise UnusableError(_why_damaged(picture)) from None


def _is_known(picture: bytes) -> bool:
    """Check whether a file begins as one of a format that is read."""
    return (
        is_jpeg(picture)
        or picture.startswith((png_chunks.SIGNATURE, b"GIF87a", b"GIF89a"))
        or picture[8:12] == b"WEBP"
        or is_avif(picture)
    )


def _why_damaged(picture: bytes) -> str:
    return (undecodable(picture) if is_jpeg(picture) else None) or DAMAGED


def _read_by_pillow(picture: bytes, choose: Choose) -> Stored:
    with Image.open(BytesIO(picture), formats=_FORMATS) as image:
        require_size(*image.size)
        size, reduction = image.size, choose(*image.size)
        if reduction > 1:
            # Only decoders of JPEG can, and answer with the size as it would be if whole.
            width, height = (max(1, edge // reduction) for edge in size)
            answer = image.draft(None, (width, height))
            reduction = 1 if answer is None else round(size[0] / answer[1][2])
        image.load()
        profile = image.info.get("icc_profile") or None
        return Stored(opaque(image), size, reduction, turn_of_exif(image), profile)


_setting_up = threading.Lock()
_users = 0
_usual = ExitStack()


@contextmanager
def pillow_set_up() -> Iterator[None]:
    """Leave limits on the size of a picture to `decode`, and silence Pillow's warnings.

    Both are settings of the whole process, and there may be several threads in here: the last one
    that leaves puts them back.
    """
    global _users
    with _setting_up:
        if _users == 0:
            _usual.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            _usual.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            # Before a format of ours decodes anything, it compares sizes with `MOST_PIXELS`; this
            # is for frames that are larger than their file tells. Pillow refuses at twice its
            # limit, and some samples take several of its pixels.
            Image.MAX_IMAGE_PIXELS = 2 * MOST_PIXELS
        _users += 1
    try:
        yield
    finally:
        with _setting_up:
            _users -= 1
            if _users == 0:
                _usual.close()
