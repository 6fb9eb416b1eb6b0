"""What a file is by the end of its name, and by its first bytes."""

import re
from collections.abc import Callable
from functools import wraps
from pathlib import PurePosixPath
from typing import TypeVar

from datasets.errors import UnusableError
from datasets.sources.source import Source

S = TypeVar("S", bound=Source)

# As many of a file's first bytes as `kind_of` looks at.
HEAD_BYTES = 32

# What the decoder may read; where it does not, it says why.
PICTURE_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib"),
    *(".tif", ".tiff", ".gif", ".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2"),
}
# Of these, all that a camera's sensor saw, before it was made into a picture. Many begin like a
# TIFF file, with a tiny preview in the place of the picture.
RAW_SUFFIXES = {
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".raf"),
    *(".rw2", ".rwl", ".raw", ".pef", ".srw", ".x3f", ".3fr", ".fff", ".iiq", ".mef", ".mos"),
    *(".mrw", ".dcr", ".kdc", ".erf", ".gpr"),
}
# Pictures all the same, which no decoder here reads.
UNREAD_SUFFIXES = {
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".psd", ".psb", ".exr", ".qoi", ".xcf"),
    *(".dds", ".pcx", ".j2k", ".j2c", ".jpx", ".jpf"),
}
# What often lies beside pictures, and need not be opened to see that it is none.
OTHER_SUFFIXES = {
    *(".txt", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".html", ".htm", ".md", ".yaml", ".yml"),
    *(".npy", ".npz", ".pt", ".pkl", ".h5", ".py", ".pdf", ".doc", ".docx", ".zip", ".tar", ".gz"),
    *(".mp4", ".mov", ".avi", ".mkv", ".mp3", ".wav", ".m4a", ".db", ".ini", ".log", ".lock"),
    *(".aae", ".xmp", ".thm", ".mdb", ".labels", ".tfrecords", ".safetensors"),
}
RAW_REASON = "a camera's raw file; convert it to JPEG or TIFF"

# A number or a word with blanks behind the last dot, as in "Mr. Smith" or "IMG.0001", is no suffix.
_SUFFIX = re.compile(r"\.[a-z0-9]*[a-z][a-z0-9_~]*")
# Kinds of ISO media files: photographs of phones, and of cameras that keep raw files in them.
_PHOTOGRAPHS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2",
                b"avif", b"avis", b"heif"}  # fmt: skip
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_STARTS = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\0\0\0\x0cJXL \r\n\x87\n": "jxl",
    b"\0\0\0\x0cjP  \r\n\x87\n": "jp2",
}
# Sizes of the header of a bitmap: its first two letters begin many a text.
_BITMAP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
# What a Mac writes beside a file, on disks that have no place for it.
_APPLE_DOUBLE = (b"\0\5\x16\7", b"\0\5\x16\0")


def suffix_of(name: str) -> str:
    """Return the suffix of a file's own name in small letters; empty where it has none."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def is_picture(name: str) -> bool:
    """Check whether a path with forward slashes names a picture that is not hidden."""
    *folders, own = name.split("/")
    hidden = any(part.startswith(".") for part in (*folders, own))
    return suffix_of(own) in PICTURE_SUFFIXES and not hidden


def kind_of(head: bytes) -> str | None:
    """Return what kind of picture a file is by its first bytes, None if it seems to be none.

    Args:
        head: its first `HEAD_BYTES`, or all of it.

    Returns:
        `jpeg`, `png`, `gif`, `tiff`, `webp`, `bmp`, `heif`, `jxl`, `jp2` or `raw`.
    """
    if head.startswith(_RAW_STARTS) or (head.startswith(b"II*\0") and head[8:10] == b"CR"):
        return "raw"
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return "raw" if head[8:12] == b"crx " else "heif" if head[8:12] in _PHOTOGRAPHS else None
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "bmp" if int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS else None
    return None


def is_apple_double(head: bytes) -> bool:
    """Check whether a file is what a Mac writes beside another one, and named almost like it."""
    return head.startswith(_APPLE_DOUBLE)


def without_raw_files(load: Callable[[S, int], bytes]) -> Callable[[S, int], bytes]:
    """Let `load` of a source refuse raw files of cameras, which would be taken for their previews.

    Their content decides. Only where that begins as TIFF files do, too, or like nothing that is
    known, their names do.
    """

    @wraps(load)
    def checked(self: S, item: int) -> bytes:
        data = load(self, item)
        kind = kind_of(data[:HEAD_BYTES])
        suffix = suffix_of(self.names[item].strip())
        if kind == "raw" or (kind in (None, "tiff") and suffix in RAW_SUFFIXES):
            raise UnusableError(RAW_REASON)
        return data

    return checked
