"""PNG files: transparent samples of every depth, 16 bits, and the colours that chunks tell."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.brightness import from_bits
from datasets.colour import MOST_PROFILE_BYTES, fits, opaque
from datasets.colour_codes import ColourSpace, encoded_as_srgb, space_of_codes, space_of_gamma
from datasets.formats.png_chunks import (
    GREY,
    GREY_ALPHA,
    RGB,
    RGB_ALPHA,
    Header,
    PngChunks,
    inflated,
    take_apart,
    with_header,
)
from datasets.stored import Stored, require_samples, require_size, turn_of_exif

Samples = NDArray[np.uint16]
Brightness = NDArray[np.uint8]

_PIXELS_AT_ONCE = 2**18
_CHANNELS = {GREY: 1, RGB: 3, GREY_ALPHA: 2, RGB_ALPHA: 4}
_RGB_IDENTITY, _FULL_RANGE = 0, 1


def read_png(data: bytes) -> Stored:
    """Decode a PNG file.

    Args:
        data: the whole file.

    Raises:
        UnusableError: it is too large, or its colours are of high dynamic range. A damaged file
            raises whatever the damage leads to.
    """
    chunks = take_apart(data)
    if chunks is None:
        raise ValueError("no header")
    header = chunks.header
    require_size(header.width, header.height)
    colours = _colours(chunks)
    if header.depth == 16:
        require_samples(2 * _CHANNELS[header.colour_type] * header.width * header.height)
        # Along sRGB's curve, 8 bits show all that an eye can tell apart; along others they do not.
        image = _sixteen_bits(chunks, _brightness(16, colours))
        if colours.space is not None:
            colours = replace(colours, space=colours.space.with_srgb_curve())
    else:
        image = _eight_bits(chunks, colours)
    profile = colours.of_pictures(image.mode)
    return Stored(image, image.size, turn=_turn_by(chunks), profile=profile)


@dataclass(frozen=True)
class _Colours:
    """What the samples mean."""

    space: ColourSpace | None = None
    """None where a profile tells it."""
    icc: bytes | None = None
    narrow: bool = False
    """Whether black and white are 16 and 235, as in films."""

    def of_pictures(self, mode: str) -> bytes | None:
        """Return the profile of pictures of mode L or RGB."""
        return self.icc if self.space is None else self.space.profile(grey=mode == "L")


def _colours(chunks: PngChunks) -> _Colours:
    """Find what the samples mean: the first of cICP, iCCP, sRGB, and gAMA with cHRM that tells."""
    beside = chunks.beside
    if len(cicp := beside.get(b"cICP", b"")) == 4:
        primaries, transfer, matrix, full = cicp
        space = space_of_codes(primaries, transfer)
        if space is not None and matrix == _RGB_IDENTITY and full <= _FULL_RANGE:
            return _Colours(space, narrow=full != _FULL_RANGE)
    icc = _profile(beside.get(b"iCCP", b""))
    if icc is not None and fits(icc, _mode(chunks.header)):
        return _Colours(icc=icc)
    if b"sRGB" in beside:
        return _Colours(ColourSpace())
    gamma, points = beside.get(b"gAMA", b""), beside.get(b"cHRM", b"")
    return _Colours(
        space_of_gamma(
            int.from_bytes(gamma, "big") if len(gamma) == 4 else None,
            struct.unpack(">8I", points) if len(points) == 32 else None,
        )
    )


def _profile(chunk: bytes) -> bytes | None:
    """Read the chunk iCCP: a name, the number 0 for how it is compressed, and the profile."""
    name, _, rest = chunk.partition(b"\0")
    if not name or rest[:1] != b"\0":
        return None
    return inflated(rest[1:], MOST_PROFILE_BYTES)


def _mode(header: Header) -> str:
    return "L" if header.colour_type in (GREY, GREY_ALPHA) else "RGB"


def _turn_by(chunks: PngChunks) -> Image.Transpose | None:
    image = Image.new("L", (1, 1))
    if b"eXIf" in chunks.beside:
        image.info["exif"] = b"Exif\0\0" + chunks.beside[b"eXIf"]
    for keyword, text in chunks.texts.items():
        image.info[keyword.decode("ascii")] = text.decode("latin-1")
    return turn_of_exif(image) if image.info else None


def _brightness(bits: int, colours: _Colours) -> Brightness:
    """Compute what 8 bits, along sRGB's curve if they are made of more, a sample becomes."""
    if not colours.narrow and (colours.space is None or colours.space.curve == "srgb" or bits == 8):
        return from_bits(bits)
    samples = np.arange(2**bits) / (2**bits - 1)
    if colours.narrow:
        unit = 2 ** (bits - 8)
        samples = np.clip((np.arange(2**bits) / unit - 16) / 219, 0, 1)
    if bits > 8 and colours.space is not None:
        samples = encoded_as_srgb(colours.space.linear(samples))
    return np.asarray(np.rint(255 * samples), np.uint8)


def _eight_bits(chunks: PngChunks, colours: _Colours) -> Image.Image:
    header = chunks.header
    with Image.open(BytesIO(chunks.picture), formats=["PNG"]) as image:
        image.load()
        clear = _clear_colour(chunks)
        if clear is not None:
            # As Pillow holds them: every depth fills 8 bits.
            scaled = tuple(255 * sample // (2**header.depth - 1) for sample in clear)
            image.info["transparency"] = scaled[0] if len(scaled) == 1 else scaled
        if not colours.narrow:
            return opaque(image)
        brightness = _brightness(8, colours).tolist()
        if image.mode in ("LA", "RGBA"):
            # White, which what is transparent becomes, is 255.
            bands = len(image.getbands()) - 1
            return opaque(image.point(brightness * bands + list(range(256))))
        whole = opaque(image)
        return whole.point(brightness * len(whole.getbands()))


def _clear_colour(chunks: PngChunks) -> tuple[int, ...] | None:
    """Return the one colour that is transparent in a picture without a palette, if one is."""
    header, content = chunks.header, chunks.beside.get(b"tRNS", b"")
    count = {GREY: 1, RGB: 3}.get(header.colour_type)
    if count is None or len(content) < 2 * count:
        return None
    # Each has two bytes, of which the lowest bits count.
    return tuple(
        sample & (2**header.depth - 1) for sample in struct.unpack_from(f">{count}H", content)
    )


def _sixteen_bits(chunks: PngChunks, brightness: Brightness) -> Image.Image:
    """Decode a picture of 16 bits; `brightness` tells what they become: uint8 [65536]."""
    mode = _mode(chunks.header)
    alpha = chunks.header.colour_type in (GREY_ALPHA, RGB_ALPHA)
    clear = _clear_colour(chunks)
    result = Image.new(mode, (chunks.header.width, chunks.header.height))
    for top, samples in _sample_bands(chunks):
        colours = samples[..., :-1] if alpha else samples
        shown = brightness[colours]
        if alpha and samples[..., -1].min() < 65535:
            opacity = samples[..., -1:] / np.float32(65535)
            shown = np.rint(255 + (shown - np.float32(255)) * opacity).astype(np.uint8)
        if clear is not None:
            shown[(colours == np.array(clear, np.uint16)).all(axis=-1)] = 255
        result.paste(Image.fromarray(shown[..., 0] if mode == "L" else shown), (0, top))
    return result


def _sample_bands(chunks: PngChunks) -> Iterator[tuple[int, Samples]]:
    """Decode a picture of 16 bits, and go through it from above: rows [n, W, C], and their first.

    Pillow itself keeps but the upper 8 bits, except of grey.
    """
    header, picture = chunks.header, chunks.picture
    if header.colour_type == GREY:
        for top, (rows,) in _bands(_open(picture)):
            yield top, rows[..., None]
    elif header.colour_type == GREY_ALPHA:
        # The same bytes as of four samples of 8 bits, filters included.
        disguised = with_header(picture, replace(header, depth=8, colour_type=RGB_ALPHA))
        for top, (rows,) in _bands(_open(disguised)):
            pairs = np.ascontiguousarray(rows).view(">u2")
            yield top, pairs.astype(np.uint16)
    else:
        raw = "RGB" if header.colour_type == RGB else "RGBA"
        # Read once as what they are, and once as if the lower byte came last: it is the upper then.
        images = (_open(picture), _open(picture, f"{raw};16L"))
        for top, (upper, lower) in _bands(*images):
            # Little-endian, whatever the processor is.
            yield top, np.stack([lower, upper], axis=-1).view("<u2")[..., 0]


def _open(picture: bytes, layout: str | None = None) -> Image.Image:
    """Decode a file as Pillow does, or as if its samples were laid out in another way."""
    image = Image.open(BytesIO(picture), formats=["PNG"])
    if layout is not None:
        image.tile = [tile._replace(args=layout) for tile in image.tile]
    image.load()
    return image


def _bands(*images: Image.Image) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    width, height = images[0].size
    rows = max(1, _PIXELS_AT_ONCE // width)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        yield top, [np.asarray(image.crop(box)) for image in images]
