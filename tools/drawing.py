"""Pictures from a generator: in parts that need little memory, with latents of seeds or a file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from datasets import pictures
from datasets.errors import DatasetError
from progan.networks import Generator
from tools.arrays import open_array

# Pixels made at once: enough to keep a processor busy, little enough for any memory.
_PIXELS_AT_ONCE = 2**18


def best_device() -> torch.device:
    """Give the fastest device there is."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def parts(generator: Generator) -> int:
    """Say how many images of the generator's level to make at once."""
    return max(1, _PIXELS_AT_ONCE >> 2 * generator.level)


def images(
    generator: Generator, points: np.ndarray, labels: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Make a generator's own images, part by part.

    Args:
        generator: standing where it is to be looked at.
        points: latents float32 [N, latent_size].
        labels: if the generator has classes: class numbers int64 [N], or weights of the classes
            float32 [N, label_size].

    Yields:
        float32 [n, C, H, W], nominally in [-1, 1] and not clipped; the n add up to N.

    Raises:
        DatasetError: the device's memory is not enough.
    """
    device = next(generator.parameters()).device
    size = parts(generator)
    for start in range(0, len(points), size):
        z = torch.from_numpy(points[start : start + size]).to(device)
        part = None if labels is None else torch.from_numpy(labels[start : start + size]).to(device)
        try:
            with torch.inference_mode():
                made = generator(z, part).float().cpu().numpy()
        except torch.OutOfMemoryError:
            raise DatasetError(
                f"{device} has not enough free memory for this generator; take --device cpu, or "
                "end what else uses it."
            ) from None
        yield made


def draw(generator: Generator, points: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Make pictures for latents, uint8 [N, H, W, C]; arguments as of `images`."""
    return np.concatenate([pictures.to_uint8(part) for part in images(generator, points, labels)])


def read_latents(path: Path, latent_size: int) -> np.ndarray:
    """Read latents from a `.npy` file.

    Args:
        path: holds numbers [N, latent_size].
        latent_size: what the generator takes.

    Returns:
        float32 [N, latent_size].

    Raises:
        DatasetError: the file is no such array; one with Python objects is never unpickled.
    """
    found = open_array(path)
    if found.ndim != 2 or found.shape[1] != latent_size or len(found) == 0:
        raise DatasetError(
            f"{path} has the shape {list(found.shape)}, and this generator takes latents of the "
            f"shape [N, {latent_size}]."
        )
    with np.errstate(over="ignore"):
        latents = np.array(found, np.float32)
    if not np.isfinite(latents).all():
        raise DatasetError(f"{path} holds numbers that are not finite in 32 bits.")
    return latents
