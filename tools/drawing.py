"""Pictures from a generator: in parts that need little memory, with latents of seeds or a file."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.errors import DatasetError
from progan.devices import is_out_of_memory, refuse_unsupported
from progan.networks import Generator
from progan.precision import computing_type
from tools.arrays import open_array

# Numbers that the largest layer gives at once. On a processor so many lie in its caches, and larger
# batches are slower; elsewhere so many keep all of the device busy.
_NUMBERS_AT_ONCE = 2**21
_NUMBERS_AT_ONCE_ELSEWHERE = 2**27
# Layers of that size which lie in a device's memory side by side, with room to spare.
_LAYERS_AT_ONCE = 10


def best_device() -> torch.device:
    """Give the fastest device there is."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def parts(generator: Generator) -> int:
    """Say how many images of the generator's level to make at once.

    On a processor that follows from the network alone, so that the same command gives the same
    bits whatever else the machine does. On a GPU it is less where little memory is free.
    """
    parameter = next(generator.parameters())
    most = _NUMBERS_AT_ONCE
    if parameter.device.type != "cpu":
        most = _NUMBERS_AT_ONCE_ELSEWHERE
    if parameter.device.type == "cuda":
        free = torch.cuda.mem_get_info(parameter.device)[0]
        unused = torch.cuda.memory_reserved(parameter.device)
        unused -= torch.cuda.memory_allocated(parameter.device)
        most = min(most, (free + unused) // (_LAYERS_AT_ONCE * parameter.element_size()))
    return max(1, most // largest_layer(generator))


def largest_layer(generator: Generator) -> int:
    """Count the numbers that the generator's largest layer gives for one image of its level."""
    return max(generator.maps(level - 1) << 2 * level for level in range(2, generator.level + 1))


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
        DatasetError: the device's memory is not enough even for one image.
    """
    for made in _made(generator, points, labels):
        yield made.float().cpu().numpy()


def pixels(
    generator: Generator, points: np.ndarray, labels: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Make pictures part by part, uint8 [n, H, W, C]; arguments and errors as of `images`."""
    for made in _made(generator, points, labels):
        yield as_pixels(made).cpu().numpy()


def as_pixels(images: Tensor) -> Tensor:
    """Turn a network's images into pixels where they are.

    What `datasets.pictures.to_uint8` gives, to the same bits, before they leave the device: it is
    quicker there, and a quarter of the bytes leave.

    Args:
        images: [N, C, H, W], nominally in [-1, 1]; what lies outside is clipped, and what is not
            a number becomes black.

    Returns:
        uint8 [N, H, W, C].
    """
    inside = images.float().clamp(-1, 1).nan_to_num(nan=-1)
    levels = inside.mul_(127.5).add_(127.5).round_()
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def draw(generator: Generator, points: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Make pictures for latents, uint8 [N, H, W, C]; arguments as of `images`."""
    return np.concatenate(list(pixels(generator, points, labels)))


def _made(generator: Generator, points: np.ndarray, labels: np.ndarray | None) -> Iterator[Tensor]:
    """Make images part by part on the generator's device; see `images`."""
    parameter = next(generator.parameters())
    size, start = parts(generator), 0
    while start < len(points):
        z = torch.from_numpy(points[start : start + size]).to(parameter)
        part = None if labels is None else torch.from_numpy(labels[start : start + size])
        try:
            with torch.inference_mode(), generator.shared_weights():
                made = generator(z, None if part is None else part.to(parameter.device))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise DatasetError(
                    f"{parameter.device} has not enough free memory for this generator; take "
                    "--device cpu, or end what else uses it."
                ) from None
            size //= 2
            continue
        start += len(z)
        yield made


def quickest(
    generator: Generator,
    some: Callable[[], tuple[np.ndarray, np.ndarray | None]],
    *,
    precision: str = "auto",
) -> Generator:
    """Give the quickest generator that draws the same pictures, or the one that is asked for.

    Args:
        generator: standing where it is to be looked at; it is left as it is.
        some: gives points and labels, as of `images`, by which pictures are compared; asked only
            where there is a choice.
        precision: float32, bfloat16 or float16; or auto: on a GPU float16 where its pictures are
            as good as the same, else float32.
    """
    if precision == "auto":
        if next(generator.parameters()).device.type != "cuda":
            return generator
        return in_half_precision(generator, *some()) or generator
    return _computing_in(generator, precision)


def in_half_precision(
    generator: Generator, points: np.ndarray, labels: np.ndarray | None = None
) -> Generator | None:
    """Give a quicker copy of a generator, if its pictures are as good as the same.

    Args:
        generator: standing where it is to be looked at; it is left as it is.
        points: some latents [N, latent_size] by which the two are compared.
        labels: as of `images`.

    Returns:
        A copy whose convolutions compute in float16; or None, where its pictures for `points` do
        not agree.
    """
    half = _computing_in(generator, "float16")
    same = agree(draw(generator, points, labels), draw(half, points, labels))
    return half if same else None


def _computing_in(generator: Generator, precision: str) -> Generator:
    computing = computing_type(precision)
    device = next(generator.parameters()).device
    refuse_unsupported(precision, device)
    on_gpu = device.type == "cuda"
    return deepcopy(generator).compute_in(computing, channels_last=on_gpu and computing is not None)


def agree(first: np.ndarray, second: np.ndarray) -> bool:
    """Say whether two computations gave the same pictures to one grey level of 256.

    Rounding errors have no bound, only a size: one value in ten thousand may be two levels off.

    Args:
        first: uint8 [N, H, W, C].
        second: of the same shape.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"pictures {first.shape} and {second.shape} cannot be compared")
    apart = np.maximum(first, second) - np.minimum(first, second)
    return bool(apart.max() <= 2 and np.mean(apart > 1) <= 1e-4)


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
