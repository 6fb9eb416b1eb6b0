"""Augmentations that images pass on their way to the critic (DiffAugment: Zhao et al. 2020).

Reals and fakes pass the same kinds, each image with its own draws and each kind with a probability,
so that few photographs last longer before the critic knows them by heart. The generator's own
images are never augmented: it learns through the augmentation, and as long as the probability
leaves many images as they are, what is odd about an augmented fake is odd about the fake (Karras et
al. 2020, section 2.2).

Every augmentation is linear in the image or affine, so derivatives of any order pass through it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# Largest shift and side of the square that is cut out, as shares of the image's side.
_SHIFT = 1 / 8
_CUTOUT = 1 / 2


def colour(images: Tensor, chances: Tensor) -> Tensor:
    """Change brightness by up to ±½, saturation by 0 … 2 and contrast by ½ … 1½.

    Args:
        images: [N, C, H, W], nominally in [-1, 1].
        chances: [N, 3] in [0, 1).
    """
    brightness, saturation, contrast = chances.reshape(-1, 3, 1, 1, 1).unbind(1)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (images - middle) * (contrast + 0.5)


def translation(images: Tensor, chances: Tensor) -> Tensor:
    """Shift by up to an eighth of the side, by whole pixels; what comes in is grey (0).

    Args:
        images: [N, C, H, H].
        chances: [N, 2] in [0, 1): down, right.
    """
    side = images.shape[-1]
    most = max(1, round(side * _SHIFT))
    shifts = (chances * (2 * most + 1)).floor().reshape(-1, 2, 1, 1) - most
    places = torch.arange(side, device=images.device)
    # Rows and columns are moved by products with matrices of zeros and ones: unlike gathering, that
    # adds in a fixed order on the way back, on every device.
    moves = (places.reshape(-1, 1) + shifts == places).to(images.dtype)
    rows, columns = moves[:, None].unbind(2)
    return rows @ images @ columns.transpose(2, 3)


def cutout(images: Tensor, chances: Tensor) -> Tensor:
    """Make a square of half the side grey (0); it may lie partly outside.

    Args:
        images: [N, C, H, H].
        chances: [N, 2] in [0, 1): the middle's row and column.
    """
    side = images.shape[-1]
    half = side * _CUTOUT / 2
    middles = (chances * (side + 1)).floor().reshape(-1, 2, 1)
    places = torch.arange(side, device=images.device) + 0.5
    down, right = ((places - middles).abs() < half).unbind(1)
    square = down[:, None, :, None] & right[:, None, None, :]
    return images * (~square).to(images.dtype)


# Kind -> what it does, and how many draws that takes. The order is that in which they are applied.
_KINDS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "colour": (colour, 3),
    "translation": (translation, 2),
    "cutout": (cutout, 2),
}
KINDS = tuple(_KINDS)
# Draws that an image takes, of all kinds and whether each is applied; the same for any choice.
DRAWS = sum(1 + count for _, count in _KINDS.values())


def augment(
    images: Tensor, chances: Tensor, kinds: tuple[str, ...], probability: Tensor | float
) -> Tensor:
    """Augment images.

    Args:
        images: [N, C, H, H], nominally in [-1, 1].
        chances: [N, DRAWS] in [0, 1).
        kinds: some of KINDS.
        probability: of each kind, for each image, in [0, 1].

    Returns:
        [N, C, H, H]; an image that no kind meets is as it was, to the bit.
    """
    chances = chances.to(images.dtype)
    place = 0
    for kind, (change, count) in _KINDS.items():
        if kind in kinds:
            meets = (chances[:, place] < probability).reshape(-1, 1, 1, 1)
            changed = change(images, chances[:, place + 1 : place + 1 + count])
            images = torch.where(meets, changed, images)
        place += 1 + count
    return images
