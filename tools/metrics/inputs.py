"""What the metrics accept, checked once at the door."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError

if TYPE_CHECKING:
    import torch

    # A NumPy array or a tensor on any device.
    Array: TypeAlias = NDArray[Any] | torch.Tensor


def as_images(images: "Array", like: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """Take images as a NumPy array.

    Args:
        images: uint8 [N, C, H, W], 0 … 255, with 1 or 3 channels.
        like: [C, H, W] of those that came before.

    Returns:
        The same numbers, uint8 [N, C, H, W]; not copied if they were in main memory.

    Raises:
        DatasetError: the shape differs from `like`.
        TypeError: they are not uint8.
        ValueError: they have no such shape.
    """
    found = _as_numpy(images)
    if found.dtype != np.uint8:
        raise TypeError(f"images are uint8, 0 … 255, and these are {found.dtype}")
    if found.ndim != 4 or found.shape[1] not in (1, 3) or 0 in found.shape[1:]:
        raise ValueError(f"images are [N, 1 or 3, H, W], and these are {list(found.shape)}")
    if like is not None and found.shape[1:] != like:
        raise DatasetError(
            f"Images of {_size(found.shape[1:])} cannot be measured against images of "
            f"{_size(like)}; bring all to one size."
        )
    return found


def as_features(features: "Array", length: int | None = None) -> NDArray[np.float32]:
    """Take features as a NumPy array.

    Args:
        features: real numbers [N, D].
        length: D of those that came before.

    Returns:
        float32 [N, D]; not copied if they were that.

    Raises:
        DatasetError: their length differs, or some are not finite.
        ValueError: they have no such shape.
    """
    found = np.asarray(_as_numpy(features), np.float32)
    if found.ndim != 2 or found.shape[1] == 0:
        raise ValueError(f"features are [N, D], and these are {list(found.shape)}")
    if length is not None and found.shape[1] != length:
        raise DatasetError(
            f"Features of {found.shape[1]} numbers cannot be measured against features of "
            f"{length}; take one detector for all images."
        )
    # A sum is finite only if everything in it is, unless it overflows; so only then look closer.
    if not np.isfinite(found.sum(dtype=np.float64)) and not np.isfinite(found).all():
        raise DatasetError("The detector's features are not all finite numbers; take another one.")
    return found


def at_least(needed: int, reals: int, fakes: int, what: str) -> None:
    """Insist on enough images.

    Args:
        needed: how many it takes on each side.
        reals: how many there are.
        fakes: how many there are.
        what: what needs them, as the start of a sentence.

    Raises:
        DatasetError: there are fewer on a side.
    """
    for count, side in ((reals, "real"), (fakes, "generated")):
        if count < needed:
            raise DatasetError(
                f"{what} needs at least {needed} {side} image{'s' if needed > 1 else ''}, and "
                f"there {'is' if count == 1 else 'are'} {count or 'none'}; give more."
            )


def _as_numpy(array: "Array") -> NDArray[Any]:
    """Bring a tensor to main memory without importing torch, which only its owner needs."""
    if isinstance(array, np.ndarray):
        return array
    found: NDArray[Any] = array.detach().cpu().numpy()
    return found


def _size(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{width}×{height} pixels in {'grey' if channels == 1 else 'colour'}"
