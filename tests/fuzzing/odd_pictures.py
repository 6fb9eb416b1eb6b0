"""Good image files of kinds that the project reads itself, to be damaged."""

import zlib
from io import BytesIO

import pillow_heif
from PIL import Image

from tests.datasets import hand_made
from tests.datasets.making import file_bytes, noise


def made_by_hand() -> dict[str, bytes]:
    """Build a file of each kind that is not left to Pillow alone, by name."""
    few, many = noise(16, 24, 1).astype(int), noise(16, 24, 4).astype(int)
    palette = hand_made.shorts("<", list(range(3 * 256)))
    colours = [(b"cICP", b"\x0c\x0d\0\1"), (b"gAMA", b"\0\0\xb1\x8f"), (b"cHRM", bytes(32))]
    text = [(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 8\n" + b"00" * 8))]
    photo = Image.fromarray(noise(16, 24, 3))
    files = {
        "tiff-12": hand_made.Tiff(few * 16, 12, 0, ">", compression=8, rows_per_strip=5),
        "tiff-tiles": hand_made.Tiff(few * 257, 16, 0, compression=5, predictor=2, tile=(16, 16)),
        "tiff-planes": hand_made.Tiff(many * 257, 16, 2, separate=True, extra=(1,)),
        "tiff-large": hand_made.Tiff(few, 8, 3, big=True, tags={320: palette}),
    }
    buffer = BytesIO()
    pillow_heif.from_pillow(photo).save(buffer, quality=50)
    return {name: tiff.to_bytes() for name, tiff in files.items()} | {
        "png-grey": hand_made.png(few % 4, 2, 0, [(b"tRNS", b"\0\1"), colours[1]], text),
        "png-deep": hand_made.png(many[..., :3] * 257, 16, 2, [*colours, (b"tRNS", bytes(6))]),
        "png-alpha": hand_made.png(many * 257, 16, 6, colours[1:], text),
        "heic": buffer.getvalue(),
        "avif": file_bytes(photo, "AVIF"),
    }
