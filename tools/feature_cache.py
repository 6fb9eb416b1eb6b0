"""Features of real images, kept in the user's cache: they are the same every time."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from datasets.landing import landing
from tools.detectors import cache_folder

Features = NDArray[np.float32]


def entry(parts: Iterable[object]) -> Path:
    """Name the cache entry for what determines its features: dataset, images, detector …"""
    key = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()
    return cache_folder() / "features" / f"{key}.safetensors"


def read(path: Path, count: int) -> Features | None:
    """Read an entry; None if there is none, or if it is not what was written.

    Args:
        path: what `entry` gave.
        count: images that it must hold the features of.

    Returns:
        float32 [count, D].
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            features = file.get_tensor("features")
            expected = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError, ValueError):
        return None
    good = features.ndim == 2 and len(features) == count and features.dtype == np.float32
    return features if good and _hash(features) == expected else None


def write(path: Path, features: Features) -> None:
    """Keep features; a cache that cannot be written is no cache, and no reason to fail."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with landing(path, overwrite=True) as part:
            save_file({"features": features}, part, {"sha256": _hash(features)})
    except (OSError, SafetensorError, ValueError):  # the last: its name is not UTF-8
        return


def _hash(features: Features) -> str:
    return hashlib.sha256(np.ascontiguousarray(features).tobytes()).hexdigest()
