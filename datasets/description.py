"""dataset.json: what a dataset is, how it was made, and the hashes that guard it."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from datasets.codecs import CODECS, Codec
from datasets.errors import DatasetError
from datasets.levels import file_names
from datasets.mistaken import instead_of_a_dataset
from datasets.symmetry import MirrorDifference

FILE_NAME = "dataset.json"
# 1 knew neither near duplicates nor landmarks, 2 no coded levels.
PLAIN_VERSION, CODED_VERSION = 2, 3
SKIPPED_NAME = "skipped.csv"
NEAR_DUPLICATES_NAME = "near-duplicates.csv"
LANDMARKS_NAME = "landmarks.csv"
RESOLUTIONS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
# Far more than thousands of class names need; a larger file is something else.
_MOST_BYTES = 16 * 2**20


def sides_of(resolution: int) -> list[int]:
    """List the sides of all levels: 4, 8 … `resolution`."""
    return [side for side in RESOLUTIONS if side <= resolution]


def level_files(resolution: int, codecs: Mapping[int, Codec]) -> list[str]:
    """Name the files of all levels, from the smallest: 0004.npy, 0008.npy … 1024.bin …"""
    return [name for side in sides_of(resolution) for name in file_names(side, codecs.get(side))]


@dataclass(frozen=True, kw_only=True)
class Description:
    """The content of dataset.json, apart from its two checksums, which follow from it."""

    resolution: int
    """Side of the largest level in pixels."""
    channels: int
    """3 (colour) or 1 (grey)."""
    count: int
    """Pictures, at least 1."""
    held_out: int
    """How many of these are held out of training; fewer than `count`."""
    classes: tuple[str, ...] | None = None
    """Class names in the order of their numbers; None for a dataset without classes."""
    framing: Mapping[str, str | bool]
    """How pictures were cropped and resampled."""
    source: str
    """Where the pictures came from, as it was given."""
    seed: int
    """What the order of the rows was drawn from."""
    choices: Mapping[str, str | bool] = field(default_factory=dict)
    """How pictures were chosen, classed and split, where that was not the usual way."""
    versions: Mapping[str, str]
    """Versions of the libraries that decoded and resampled."""
    sha256: Mapping[str, str] = field(repr=False)
    """By file name: hash of the files of each level (without header) and of the tables."""
    codecs: Mapping[int, Codec] = field(default_factory=dict)
    """How levels are coded, by side; those that are not there hold plain pixels."""
    mirror: MirrorDifference | None = None
    """How far the training pictures differ from their mirror images; None in older datasets."""
    format_version: int = 0
    """What programs must know to read it; found out unless given: coded levels came with 3."""

    def __post_init__(self) -> None:
        if not self.format_version:
            version = CODED_VERSION if self.codecs else PLAIN_VERSION
            object.__setattr__(self, "format_version", version)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that training sees: pixels, names, classes and the split.

        It does not depend on where the pictures lay, nor on what was skipped, nor on the versions
        of the libraries: two datasets with the same fingerprint train the same network.
        """
        fields = self._fields()
        for name in ("framing", "source", "seed", "versions", "choices", "mirror"):
            fields.pop(name, None)
        aside = (SKIPPED_NAME, NEAR_DUPLICATES_NAME, LANDMARKS_NAME)
        fields["sha256"] = {k: v for k, v in self.sha256.items() if k not in aside}
        return _hash(fields)

    def text(self) -> str:
        """Give the text of dataset.json, the only one that a description has."""
        fields = self._fields()
        fields["fingerprint"] = self.fingerprint
        fields["checksum"] = _hash(fields)
        return json.dumps(fields, indent=2, sort_keys=True) + "\n"

    def _fields(self) -> dict[str, Any]:
        fields = asdict(self)
        for late in ("choices", "codecs", "mirror"):  # Older datasets keep their text.
            if not fields[late]:
                del fields[late]
        return fields

    @classmethod
    def read(cls, folder: Path) -> "Description":
        """Read and check the dataset.json of a folder.

        The file's own checksums are not looked at: whoever verifies compares it with `text()`.

        Raises:
            DatasetError: there is none, or it does not describe a dataset that this program reads.
        """
        path = folder / FILE_NAME
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise DatasetError(f"{path} is too large to describe a dataset.")
            fields = json.loads(path.read_bytes().decode("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise DatasetError(instead_of_a_dataset(folder, FILE_NAME)) from None
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}.") from None
        except (ValueError, RecursionError):
            raise DatasetError(f"{path} is damaged: it is not JSON.") from None
        try:
            return _parse(fields)
        except _WrongError as wrong:
            raise DatasetError(f"{path} is damaged or of another kind: {wrong}.") from None


class _WrongError(Exception):
    """Something in the file is not as it must be."""


def _parse(fields: object) -> Description:
    if not isinstance(fields, dict):
        raise _WrongError("it holds no fields")
    given = cast(dict[str, Any], fields)
    version = _integer(given, "format_version", 1, 2**31)
    if version > CODED_VERSION:
        raise _WrongError(f"format_version {version} needs a newer version of this program")
    resolution = _integer(given, "resolution", RESOLUTIONS[0], RESOLUTIONS[-1])
    if resolution not in RESOLUTIONS:
        raise _WrongError(f"resolution {resolution} is not a power of two")
    channels = _integer(given, "channels", 1, 3)
    if channels == 2:
        raise _WrongError("channels is 2, neither 1 nor 3")
    count = _integer(given, "count", 1, 2**40)
    versions = _words(given, "versions")
    sha256 = _words(given, "sha256")
    codecs = _codecs(given, resolution) if version == CODED_VERSION else {}
    needed = {*level_files(resolution, codecs), "index.csv", SKIPPED_NAME}
    optional = {NEAR_DUPLICATES_NAME, LANDMARKS_NAME} if version > 1 else set()
    if not needed <= set(sha256) <= needed | optional:
        raise _WrongError("sha256 does not name the files of the dataset")
    for name, value in sha256.items():
        if not _SHA256.fullmatch(value):
            raise _WrongError(f"the hash of {name} is none")
    return Description(
        resolution=resolution,
        channels=channels,
        count=count,
        held_out=_integer(given, "held_out", 0, count - 1),
        classes=_classes(given),
        framing=_settings(given, "framing"),
        choices=_settings(given, "choices") if "choices" in given else {},
        source=_word(given, "source"),
        seed=_integer(given, "seed", 0, 2**64 - 1),
        versions=versions,
        sha256=sha256,
        codecs=codecs,
        mirror=_mirror(given),
        format_version=version,
    )


# Of each number in the entry on the mirror image, the least and the most that it can be.
_MIRROR_RANGES = {
    "difference": (0, 1),
    "left_brighter": (-255, 255),
    "largest": (0, 255),
    "largest_x": (0, 0.5),
    "largest_y": (0, 1),
}


def _mirror(given: dict[str, Any]) -> MirrorDifference | None:
    if "mirror" not in given:
        return None
    found = _mapping(given, "mirror")
    numbers: dict[str, float] = {}
    for name, (least, most) in _MIRROR_RANGES.items():
        value = found.get(name)
        if not isinstance(value, float) or not math.isfinite(value) or not least <= value <= most:
            raise _WrongError(f"{name} of mirror is no number from {least} to {most}")
        numbers[name] = value
    return MirrorDifference(**numbers)


def _codecs(fields: dict[str, Any], resolution: int) -> dict[int, Codec]:
    # JSON has no numbers for names.
    sides = {str(side): side for side in sides_of(resolution)}
    codecs = _words(fields, "codecs")
    if not codecs or not set(codecs) <= set(sides) or not set(codecs.values()) <= set(CODECS):
        raise _WrongError("codecs does not tell how levels are coded")
    return {sides[side]: cast(Codec, codec) for side, codec in codecs.items()}


def _classes(fields: dict[str, Any]) -> tuple[str, ...] | None:
    names = fields.get("classes")
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise _WrongError("classes is no list of names")
    if not names or len(set(names)) != len(names):
        raise _WrongError("classes is empty or names a class twice")
    return tuple(names)


def _integer(fields: dict[str, Any], name: str, least: int, most: int) -> int:
    value = fields.get(name)
    # A bool is an int to Python, but not to anyone who wrote this file.
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _WrongError(f"{name} is no whole number from {least} to {most}")
    return value


def _word(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _WrongError(f"{name} is no text")
    return value


def _mapping(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise _WrongError(f"{name} holds no fields")
    return value


def _settings(fields: dict[str, Any], name: str) -> dict[str, str | bool]:
    settings = _mapping(fields, name)
    if not all(isinstance(value, str | bool) for value in settings.values()):
        raise _WrongError(f"{name} holds something else than words")
    return settings


def _words(fields: dict[str, Any], name: str) -> dict[str, str]:
    words = _mapping(fields, name)
    if not all(isinstance(value, str) for value in words.values()):
        raise _WrongError(f"{name} holds something else than words")
    return words


def _hash(fields: Mapping[str, Any]) -> str:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
