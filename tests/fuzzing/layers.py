"""What lies within a file: taken out, so that it can be damaged, and put back as it must be.

A reader that checks a checksum first would otherwise see nothing but wrong checksums.
"""

import gzip
import hashlib
import io
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

from datasets.records import FOOTER_BYTES, HEADER_BYTES
from tests.datasets.sources.making import record

# The checksum of a model file or checkpoint, in JSON within JSON.
_SEAL = re.compile(rb'\\"checksum\\": \\"([0-9a-f]{64})\\"')
# Gives the parts of a file, and what makes a file of such parts again.
Layer = Callable[[bytes], tuple[list[bytes], Callable[[list[bytes]], bytes]]]


def safetensors(data: bytes) -> tuple[list[bytes], Callable[[list[bytes]], bytes]]:
    """The header, a JSON text, and the tensors; the header's length and checksum are put right."""
    length = struct.unpack_from("<Q", data)[0]

    def together(parts: list[bytes]) -> bytes:
        whole = struct.pack("<Q", len(parts[0])) + parts[0] + parts[1]
        seal = re.search(_SEAL, whole[: 8 + len(parts[0])])
        if seal is None:
            return whole
        blank = whole[: seal.start(1)] + b"0" * 64 + whole[seal.end(1) :]
        digits = hashlib.sha256(blank).hexdigest().encode()
        return whole[: seal.start(1)] + digits + whole[seal.end(1) :]

    return [data[8 : 8 + length], data[8 + length :]], together


def zipped(data: bytes) -> tuple[list[bytes], Callable[[list[bytes]], bytes]]:
    """The members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        parts = [archive.read(name) for name in names]

    def together(parts: list[bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, part in zip(names, parts, strict=True):
                archive.writestr(name, part)
        return buffer.getvalue()

    return parts, together


def gzipped(data: bytes) -> tuple[list[bytes], Callable[[list[bytes]], bytes]]:
    """What was compressed."""
    return [gzip.decompress(data)], lambda parts: gzip.compress(parts[0], 1)


def tar(data: bytes) -> tuple[list[bytes], Callable[[list[bytes]], bytes]]:
    """The blocks; checksums of headers are put right."""
    size = tarfile.BLOCKSIZE
    blocks = [data[place : place + size] for place in range(0, len(data), size)]
    headers = [number for number, block in enumerate(blocks) if block[257:262] == b"ustar"]

    def together(parts: list[bytes]) -> bytes:
        for number, part in zip(headers, parts, strict=True):
            block = part[:size].ljust(size, b"\0")
            total = sum(block[:148]) + 8 * 32 + sum(block[156:])
            blocks[number] = block[:148] + b"%06o\0 " % total + block[156:]
        return b"".join(blocks)

    return [blocks[number] for number in headers], together


def parquet(data: bytes) -> tuple[list[bytes], Callable[[list[bytes]], bytes]]:
    """The pages and the table of contents; the length of the latter is put right."""
    length = int.from_bytes(data[-8:-4], "little")
    pages, table = data[4 : -8 - length], data[-8 - length : -8]

    def together(parts: list[bytes]) -> bytes:
        mark = b"PAR1"
        return mark + parts[0] + parts[1] + struct.pack("<I", len(parts[1])) + mark

    return [pages, table], together


def tfrecords(data: bytes) -> tuple[list[bytes], Callable[[list[bytes]], bytes]]:
    """The records; lengths and checksums are put right."""
    parts, place = [], 0
    while place < len(data):
        length = struct.unpack_from("<Q", data, place)[0]
        parts.append(data[place + HEADER_BYTES : place + HEADER_BYTES + length])
        place += HEADER_BYTES + length + FOOTER_BYTES
    return parts, lambda parts: b"".join(record(part) for part in parts)


def png(data: bytes) -> tuple[list[bytes], Callable[[list[bytes]], bytes]]:
    """The chunks; lengths and checksums are put right."""
    kinds, parts, place = [], [], 8
    while place < len(data):
        length = struct.unpack_from(">I", data, place)[0]
        kinds.append(data[place + 4 : place + 8])
        parts.append(data[place + 8 : place + 8 + length])
        place += length + 12

    def together(parts: list[bytes]) -> bytes:
        chunks = [data[:8]]
        for kind, part in zip(kinds, parts, strict=True):
            chunks.append(struct.pack(">I", len(part)) + kind + part)
            chunks.append(struct.pack(">I", zlib.crc32(kind + part)))
        return b"".join(chunks)

    return parts, together


def array(data: bytes) -> tuple[list[bytes], Callable[[list[bytes]], bytes]]:
    """The header of a .npy file, a text, and the numbers; the header's length is put right."""
    length = struct.unpack_from("<H", data, 8)[0]

    def together(parts: list[bytes]) -> bytes:
        header = parts[0][: 2**16 - 1]
        return data[:8] + struct.pack("<H", len(header)) + header + parts[1]

    return [data[10 : 10 + length], data[10 + length :]], together
