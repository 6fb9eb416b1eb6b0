"""How the samples of a TIFF file lie in it, and what they mean."""

from dataclasses import dataclass

from datasets.errors import UnusableError
from datasets.formats.tiff_directory import Directory

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
UNSIGNED, SIGNED, FLOAT, VOID = 1, 2, 3, 4
ASSOCIATED, UNASSOCIATED = 1, 2
PREDICTED, PREDICTED_FLOATS = 2, 3
UNCOMPRESSED, PACKBITS = 1, 32773
# Of these, any bytes come out as they went in: uncompressed, LZW, Deflate (twice), PackBits, LZMA,
# Zstandard.
_OF_BYTES = {UNCOMPRESSED, 5, 8, PACKBITS, 32946, 34925, 50000}
# These make pictures of bytes: facsimile, JPEG (old and new), ThunderScan.
_OF_PICTURES = {2, 3, 4, 6, 7, 32771, 32809}
_OLD_JPEG, _FACSIMILE = 6, (2, 3, 4, 32771)
_CMYK = 1
_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, PALETTE: 1, RGB: 3, INKS: 4, YCBCR: 3, LAB: 3}
_BITS = {
    UNSIGNED: {*range(1, 17), 24, 32},
    SIGNED: {16, 32},
    FLOAT: {16, 32, 64},
}
_SEPARATE = 2
_KINDS = {UNSIGNED: "whole", SIGNED: "signed", FLOAT: "floating point"}
# The largest picture in the smallest tiles has a million.
_MOST_PIECES = 2**22
_ROWS_IN_ALL = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the tags of a TIFF file tell of its picture."""

    width: int
    height: int
    photometric: int
    """PhotometricInterpretation."""
    bits: int
    """Of each sample."""
    format: int
    """SampleFormat."""
    samples: int
    """Of each pixel, further ones included."""
    colours: int
    """How many of these are colours."""
    extra: tuple[int, ...]
    """What the others are (ExtraSamples)."""
    separate: bool
    """Whether each sample has a plane of its own."""
    compression: int
    predictor: int
    reversed_bits: bool
    """Whether a byte's lowest bit comes first (FillOrder)."""
    tile: tuple[int, int] | None
    """Width and height of a tile; None where there are strips."""
    rows_per_strip: int

    @property
    def planes(self) -> int:
        """How many planes there are."""
        return self.samples if self.separate else 1

    @property
    def piece_width(self) -> int:
        """Pixels in a row of a strip or tile."""
        return self.tile[0] if self.tile else self.width

    @property
    def piece_height(self) -> int:
        """Rows of a strip or tile."""
        return self.tile[1] if self.tile else self.rows_per_strip

    @property
    def across(self) -> int:
        """Pieces side by side."""
        return -(-self.width // self.piece_width)

    @property
    def down(self) -> int:
        """Pieces above each other."""
        return -(-self.height // self.piece_height)

    @property
    def row_bytes(self) -> int:
        """Bytes in a row of a piece, once decompressed."""
        channels = 1 if self.separate else self.samples
        return -(-self.piece_width * channels * self.bits // 8)

    @property
    def decoded_bytes(self) -> int:
        """Bytes in all pieces, once decompressed."""
        return self.planes * self.across * self.row_bytes * self.down * self.piece_height

    @property
    def tags_of_pieces(self) -> tuple[int, int]:
        """Where it is told where the pieces are, and where it is told how long they are."""
        return (324, 325) if self.tile else (273, 279)

    @property
    def alpha(self) -> int | None:
        """Which sample is the opacity, if one is."""
        for number, kind in enumerate(self.extra):
            if kind in (ASSOCIATED, UNASSOCIATED):
                return self.colours + number
        return None

    @property
    def read_by_pillow(self) -> bool:
        """Whether Pillow is known to read such samples as they are meant."""
        if self.compression in _OF_PICTURES or self.photometric in (YCBCR, LAB):
            return True
        return (
            (self.bits, self.format) == (8, UNSIGNED)
            and self.photometric in (BLACK_IS_ZERO, RGB, INKS)
            and not (self.separate or self.reversed_bits)
            and len(self.extra) <= (0 if self.photometric == INKS else 1)
        )


def find_layout(directory: Directory) -> Layout:
    """Find out what the tags of a TIFF file tell of its picture.

    Raises:
        UnusableError: such pictures cannot be read.
        ValueError: the tags contradict each other.
    """
    width, height = directory.number(256, 0), directory.number(257, 0)
    compression = directory.number(259, UNCOMPRESSED)
    if compression not in _OF_BYTES | _OF_PICTURES:
        raise UnusableError(f"a TIFF file compressed in a way that is not known ({compression})")
    samples = directory.number(277, 3 if compression == _OLD_JPEG else 1)
    photometric = _photometric(directory, compression, samples)
    colours = _COLOURS.get(photometric)
    if colours is None or (photometric == INKS and directory.number(332, _CMYK) != _CMYK):
        raise UnusableError(f"a TIFF file of colours that are not known ({photometric})")
    if width < 1 or height < 1 or not colours <= samples <= 64:
        raise ValueError("a picture of nothing")
    bits, format = _one(directory, 258, 1, samples), _one(directory, 339, UNSIGNED, samples)
    format = UNSIGNED if format == VOID else format
    layout = Layout(
        width=width,
        height=height,
        photometric=photometric,
        bits=bits,
        format=format,
        samples=samples,
        colours=colours,
        extra=_extra(directory, photometric, samples - colours),
        separate=directory.number(284, 1) == _SEPARATE and samples > 1,
        compression=compression,
        predictor=1
        if compression in (UNCOMPRESSED, PACKBITS) or compression in _OF_PICTURES
        else directory.number(317, 1),
        reversed_bits=directory.number(266, 1) == 2,
        tile=(directory.number(322, 0), directory.number(323, 0)) if 324 in directory.entries
        else None,
        rows_per_strip=min(directory.number(278, _ROWS_IN_ALL) or _ROWS_IN_ALL, height),
    )  # fmt: skip
    _refuse(layout, directory)
    return layout


def require_pieces(layout: Layout, directory: Directory, size: int) -> None:
    """Raise `ValueError` unless all pieces of a picture lie in a file of so many bytes."""
    if layout.compression == _OLD_JPEG:
        return  # Whatever its tags tell, there is one JPEG file inside.
    places, sizes = layout.tags_of_pieces
    count = layout.planes * layout.across * layout.down
    starts = directory.numbers(places, most=count)
    lengths = directory.numbers(sizes, most=count)
    if layout.compression == UNCOMPRESSED:
        # Programs tell these wrong, and decoders look at none.
        lengths = tuple(layout.row_bytes * layout.piece_height for _ in starts)
        if not layout.tile:
            rest = layout.height - (layout.down - 1) * layout.piece_height
            last = slice(layout.down - 1, None, layout.down)
            lengths = tuple(
                layout.row_bytes * rest if number in range(count)[last] else length
                for number, length in enumerate(lengths)
            )
    if len(starts) < count or any(
        start + length > size for start, length in zip(starts, lengths, strict=False)
    ):
        raise ValueError("pieces are missing")


def _photometric(directory: Directory, compression: int, samples: int) -> int:
    if compression == _OLD_JPEG:
        return YCBCR if samples == 3 else BLACK_IS_ZERO
    # Where the tag is missing, as the library has it that nearly all programs read TIFF with.
    usual = WHITE_IS_ZERO if compression in _FACSIMILE else BLACK_IS_ZERO
    return directory.number(262, usual if samples < 3 else RGB)


def _one(directory: Directory, tag: int, default: int, samples: int) -> int:
    """Read what is told of each sample and must be the same for all."""
    found = directory.numbers(tag, (default,))[:samples]
    if len(set(found)) != 1:
        raise UnusableError("a TIFF file of samples that differ in kind")
    return found[0]


def _extra(directory: Directory, photometric: int, count: int) -> tuple[int, ...]:
    """Tell what the samples besides the colours are."""
    # A fourth sample of RGB is the opacity even where that is not told, as old programs have it.
    usual = UNASSOCIATED if photometric == RGB and 338 not in directory.entries else 0
    told = directory.numbers(338)
    # Of too many, the last ones count.
    told = told[len(told) - count :] if len(told) > count else told
    # Corel has 999 for the opacity.
    known = [UNASSOCIATED if kind == 999 else kind for kind in told]
    return tuple(known + [usual] * (count - len(known)))


def _refuse(layout: Layout, directory: Directory) -> None:
    """Raise `UnusableError` unless pictures of this layout can be read."""
    if layout.piece_width < 1 or layout.piece_height < 1:
        raise ValueError("pieces of nothing")
    if any(directory.count(tag) > _MOST_PIECES for tag in layout.tags_of_pieces):
        raise UnusableError(f"a TIFF file of more than {_MOST_PIECES} pieces")
    told = f"{_KINDS.get(layout.format, 'unknown')} numbers of {layout.bits} bits"
    if layout.bits not in _BITS.get(layout.format, ()):
        raise UnusableError(f"a TIFF file of {told}, whose white is not known")
    if layout.compression in _OF_PICTURES or layout.photometric in (YCBCR, LAB):
        most = 4 if layout.compression in _FACSIMILE else 8
        if layout.bits > most or layout.format != UNSIGNED:
            raise UnusableError(f"a TIFF file of colours or a compression not known with {told}")
    if (
        layout.photometric == YCBCR
        and layout.compression == UNCOMPRESSED
        and directory.numbers(530, (2, 2)) != (1, 1)
    ):
        raise UnusableError("a TIFF file of reduced colours that are not compressed")
    if layout.predictor == PREDICTED_FLOATS:
        known = layout.format == FLOAT
    else:
        known = layout.predictor == 1 or (
            layout.predictor == PREDICTED and layout.bits in (8, 16, 32, 64)
        )
    if not known:
        raise UnusableError(f"a TIFF file of a predictor not known with {told}")
    if layout.photometric == PALETTE and layout.format != UNSIGNED:
        raise UnusableError("a TIFF file of a palette without whole numbers")
