"""Safetensors files that carry a checksum of all their bytes, written tensor by tensor.

The format has no checksum of its own, and a flipped bit in a weight is as good a weight. So the
file's metadata has one: SHA-256 of the whole file, header included, with zeros where the checksum's
own digits stand.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

METADATA_KEY = "progan"
_CHECKSUM = "checksum"
_BLANK = "0" * 64
# In the header, the metadata is JSON within a string of JSON, so that its quotes are escaped.
_BEFORE_DIGITS = rf"\"{_CHECKSUM}\": \"".encode()
_LENGTH = struct.Struct("<Q")
_PIECE = 2**20

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a file through to the disk. The same content gives the same bytes.

    Args:
        path: where; what is there is overwritten.
        tensors: by name, on any device. One at a time is brought to the processor.
        metadata: JSON values; the checksum is added.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    # From wide to narrow, so that every number lies at a multiple of its size.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {
        "__metadata__": {METADATA_KEY: json.dumps({**metadata, _CHECKSUM: _BLANK}, sort_keys=True)}
    }
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        digest = hashlib.sha256()
        for piece in (_LENGTH.pack(len(text)), text):
            digest.update(piece)
            file.write(piece)
        for name in names:
            numbers = tensors[name].detach().cpu().contiguous().reshape(-1)
            if numbers.numel():
                data = numbers.view(torch.uint8).numpy().data
                digest.update(data)
                file.write(data)
        file.seek(_LENGTH.size + text.index(_BEFORE_DIGITS) + len(_BEFORE_DIGITS))
        file.write(digest.hexdigest().encode("ascii"))
        file.flush()
        os.fsync(file.fileno())


def has_checksum(metadata: Mapping[str, Any]) -> bool:
    """Say whether a file's metadata holds a checksum."""
    return _CHECKSUM in metadata


def check(path: Path, metadata: Mapping[str, Any]) -> None:
    """Compare a file with the checksum that its metadata holds.

    Args:
        path: a well-formed safetensors file.
        metadata: what it holds under METADATA_KEY.

    Raises:
        ValueError: they differ.
        OSError: the file cannot be read.
    """
    claimed = metadata[_CHECKSUM]
    with path.open("rb") as file:
        length = file.read(_LENGTH.size)
        most = path.stat().st_size - _LENGTH.size
        header = file.read(min(most, int.from_bytes(length, "little")))
        before, mark, after = header.partition(_BEFORE_DIGITS)
        digest = hashlib.sha256(length + before + mark + _BLANK.encode() + after[len(_BLANK) :])
        while piece := file.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != claimed or after[: len(_BLANK)] != claimed.encode():
        raise ValueError("its checksum is not that of its content")
