"""Files of every kind of source, written from what their formats say and by none of our code."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from datasets.errors import UnusableError
from datasets.pyramid import Dataset
from datasets.sources import Source, open_source
from tests.datasets.making import Pixels, file_bytes, noise

COUNT = 8


def pictures(side: int = 8, channels: int = 3, count: int = COUNT) -> list[Pixels]:
    return [noise(side, side, channels, seed=number) for number in range(count)]


def png(pixels: Pixels) -> bytes:
    return file_bytes(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def opened(place: Path | str, classes: str | None = None, **options: Any) -> Source:
    settings: dict[str, Any] = {"resolution": 8, "channels": 3, "seed": 0} | options
    return open_source(str(place), classes=classes, **settings)


def loaded(source: Source) -> list[bytes | Pixels | str]:
    """Every picture, or why it is none."""
    found: list[bytes | Pixels | str] = []
    for item in range(len(source.names)):
        try:
            found.append(source.load(item))
        except UnusableError as error:
            found.append(str(error))
    return found


def write_zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tar_bytes(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.write_bytes(tar_bytes([(tarfile.TarInfo(name), data) for name, data in members.items()]))
    return path


def write_lmdb(folder: Path, entries: Mapping[bytes, bytes]) -> Path:
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=2**24) as database, database.begin(write=True) as writing:
        for key, value in entries.items():
            writing.put(key, value)
    return folder


def slow_crc32c(data: bytes) -> int:
    """Bit by bit, from the definition."""
    register = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            carry = (register ^ byte >> bit) & 1
            register >>= 1
            if carry:
                register ^= 0x82F63B78
    return register ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    total = slow_crc32c(data)
    turned = (total >> 15 | total << 17) & 0xFFFFFFFF
    return struct.pack("<I", (turned + 0xA282EAD8) % 2**32)


def message(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer."""
    size, head = len(content), bytes([number << 3 | 2])
    while size > 127:
        head += bytes([size % 128 + 128])
        size //= 128
    return head + bytes([size]) + content


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def example(shape: Sequence[int], pixels: bytes) -> bytes:
    """A tf.train.Example, as TensorFlow lays it out."""
    # Numbers below 128 are one byte each.
    features = message(1, message(1, b"data") + message(2, message(1, message(1, pixels))))
    features += message(1, message(1, b"shape") + message(2, message(3, message(1, bytes(shape)))))
    return message(1, features)


def write_tfrecords(folder: Path, levels: Mapping[int, Sequence[Pixels]]) -> Path:
    folder.mkdir()
    for level, images in levels.items():
        data = b"".join(
            record(example((i.shape[2], *i.shape[:2]), np.moveaxis(i, 2, 0).tobytes()))
            for i in images
        )
        (folder / f"faces-r{level:02d}.tfrecords").write_bytes(data)
    return folder


def write_idx(path: Path, array: Pixels) -> None:
    data = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def cifar_rows(images: Sequence[Pixels], prefixes: Sequence[bytes]) -> bytes:
    """Red plane, green plane, blue plane, after what stands before them."""
    return b"".join(
        prefix + image[..., 0].tobytes() + image[..., 1].tobytes() + image[..., 2].tobytes()
        for image, prefix in zip(images, prefixes, strict=True)
    )


def write_cifar10(folder: Path, images: Sequence[Pixels], labels: Sequence[int]) -> Path:
    folder.mkdir()
    rows = cifar_rows(images, [bytes([label]) for label in labels])
    half = len(rows) // 2
    (folder / "data_batch_1.bin").write_bytes(rows[:half])
    (folder / "test_batch.bin").write_bytes(rows[half:])
    (folder / "batches.meta.txt").write_text("plane\ncar\nbird\n\n")
    return folder


def write_cifar_python(
    folder: Path, images: Sequence[Pixels], labels: Sequence[int], protocol: int = 2
) -> Path:
    folder.mkdir()
    rows = np.frombuffer(cifar_rows(images, [b""] * len(images)), np.uint8)
    batch = {b"data": rows.reshape(len(images), -1), b"labels": list(labels)}
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch, protocol))
    names = {b"label_names": [b"plane", b"car", b"bird"]}
    (folder / "batches.meta").write_bytes(pickle.dumps(names, protocol))
    return folder


def ffhq_json(faces: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """FFHQ's file, with the same four points repeated where dlib has many."""
    entries = {}
    for number, (name, (left, right, mouth_left, mouth_right)) in enumerate(faces.items()):
        marks = [(0.0, 0.0)] * 36 + [left] * 6 + [right] * 6 + [mouth_left] + [(0.0, 0.0)] * 5
        marks += [mouth_right] + [(0.0, 0.0)] * 13
        path = f"in-the-wild-images/00000/{name}"
        entries[str(number)] = {
            "image": {"file_path": f"images1024x1024/00000/{name}", "face_landmarks": marks},
            "in_the_wild": {"file_path": path, "face_landmarks": marks},
        }
    return json.dumps(entries)


def check(
    dataset: Dataset, images: Mapping[str, Pixels], classes: Mapping[str, str] | None = None
) -> None:
    """Compare rows with what their names stand for."""
    assert sorted(dataset.names) == sorted(images)
    top = dataset.level(dataset.levels[-1])
    for row, name in enumerate(dataset.names):
        assert np.array_equal(top[row], images[name]), name
        assert dataset.entries[row].class_name == (None if classes is None else classes[name])


def write_parquet(
    path: Path,
    files: Sequence[bytes | None],
    *,
    paths: Sequence[str | None] | None = None,
    labels: Sequence[object] | None = None,
    class_names: Sequence[str] | None = None,
    **options: Any,
) -> Path:
    """A table as the hub lays it out: image {bytes, path} and, perhaps, label."""
    told = paths or [None] * len(files)
    rows = [{"bytes": data, "path": name} for data, name in zip(files, told, strict=True)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(rows, kind)}
    features: dict[str, object] = {"image": {"_type": "Image"}}
    if labels is not None:
        columns["label"] = pa.array(labels)
        features["label"] = {"_type": "Value"}
    if class_names is not None:
        features["label"] = {"_type": "ClassLabel", "names": list(class_names)}
    notes = json.dumps({"info": {"features": features}})
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns).replace_schema_metadata({"huggingface": notes})
    pq.write_table(table, path, **options)
    return path


def write_shard(path: Path, samples: Mapping[str, Mapping[str, bytes]]) -> Path:
    """A shard of WebDataset's: for each sample, its parts by what comes after the first dot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_tar(
        path,
        {f"{key}.{end}": data for key, parts in samples.items() for end, data in parts.items()},
    )


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member of a zip archive as other programs than Python write it."""

    name: bytes
    data: bytes
    flags: int = 0
    local_extra: bytes = b""
    """What only the header before the data has behind the name."""
    extra: bytes = b""
    """What only the table of contents has there."""
    descriptor: bool = False
    """Whether checksum and sizes come after the data, and are 0 before it."""
    large: bool = False
    """Whether sizes and place stand in fields of 64 bits."""
    mode: int = 0
    """Of a file on Unix; 0 for a file from DOS."""


def zip_of(members: Sequence[Member], before: bytes = b"") -> bytes:
    """Lay a zip archive out, with every member deflated, from PKWARE's description of the format.

    Args:
        members: what it holds.
        before: another program's bytes, which places are not counted from.
    """
    body = table = b""
    for member in members:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = packer.compress(member.data) + packer.flush()
        crc, sizes = zlib.crc32(member.data), (len(packed), len(member.data))
        flags = member.flags | (8 if member.descriptor else 0)
        start, extra = len(body), member.extra
        known = (0, 0, 0) if member.descriptor else (crc, *sizes)
        head = (20, flags, 8, 0, 0, *known, len(member.name), len(member.local_extra))
        body += struct.pack("<4s5H3I2H", b"PK\3\4", *head) + member.name + member.local_extra
        body += packed
        if member.descriptor:
            body += struct.pack("<4s3I", b"PK\7\10", crc, *sizes)
        place: int = start
        if member.large:
            extra += struct.pack("<HHQQQ", 1, 24, sizes[1], sizes[0], start)
            sizes, place = (2**32 - 1, 2**32 - 1), 2**32 - 1
        system = 3 if member.mode else 0
        lengths = (len(member.name), len(extra), 0, 0, 0)
        table += struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", system << 8 | 45, 45, flags, 8, 0, 0, crc, *sizes, *lengths,
            member.mode << 16, place,
        )  # fmt: skip
        table += member.name + extra
    count = len(members)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(table), len(body), 0)
    return before + body + table + end
