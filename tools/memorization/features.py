"""Feature spaces: in which sense two images are near.

Every space turns images into vectors of which Euclidean distances are taken; those of `pixels` and
`structure` are of length one, so that distances lie from 0 to 2.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from datasets.errors import DatasetError
from datasets.framing import fit
from tools.detectors import CriticDetector, ScriptDetector

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]

_USUAL_SIDE = 32
LEAST_STRUCTURE = 8
_ORIENTATIONS = 8
# The middle of a portrait, half of the side: without hair, clothes and background.
_INNER_TOP, _INNER_LEFT = 0.3, 0.25
# Vectors longer than this are shortened: they would fill any memory.
_LONGEST = 2**14
_SHORT = 2**13
_IMAGES_AT_ONCE = 256


class Space(Protocol):
    """A feature space."""

    name: str
    """What it is called on the command line."""
    says: str
    """What it compares, in a few words for the reader of a report."""
    side: int
    """Height and width of the images that it takes."""
    moves: bool
    """Whether the nearest of these vectors are then compared once more, moved in the best way."""

    def vectors(self, images: Pixels) -> Vectors:
        """Turn images, uint8 [N, side, side, C], into float32 [N, D], each image by itself."""
        ...

    def crop(self, images: Pixels) -> Pixels:
        """Give what it looks at of images, uint8 [N, side, side, C] -> [N, h, w, C]."""
        ...


class _Whole:
    """A space that looks at whole images."""

    moves = False

    def crop(self, images: Pixels) -> Pixels:
        """Give the images."""
        return images


class PixelSpace(_Whole):
    """Pixels, without mean brightness and contrast.

    The vector is the picture minus its mean, at length one: the squared distance of two is
    2 − 2·correlation.

    Args:
        side: height and width in pixels at which images are compared.
    """

    name = "pixels"

    def __init__(self, side: int) -> None:
        self.side = side
        self.says = f"pixels at {side}×{side}, after removing mean brightness and contrast"

    def vectors(self, images: Pixels) -> Vectors:
        """Turn images, uint8 [N, side, side, C], into float32 [N, side² · C] of length one."""
        flat = images.reshape(len(images), -1).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        lengths = np.sqrt(np.square(flat).sum(axis=1, keepdims=True))
        # A picture of one colour has no direction; it stays zero.
        return np.asarray(flat / np.maximum(lengths, 1e-6), np.float32)


class StructureSpace(_Whole):
    """Directions of edges in cells, and then fine detail, moved in the best way (`moves`).

    The vectors are histograms of oriented gradients (Dalal and Triggs 2005) of luminance at two
    scales, eight directions in overlapping cells, measured against the gradients nearby, so that
    light does not matter; then square roots (Arandjelović and Zisserman 2012), so that the
    strongest edges do not decide alone. They find the few training images that are worth comparing
    more closely, small moves or not.

    Args:
        side: height and width in pixels at which images are compared; at least 8.
    """

    name = "structure"
    moves = True

    def __init__(self, side: int) -> None:
        self.side = side
        self.says = f"fine detail at {side}×{side}, the image shifted and scaled to fit best"
        angles = torch.arange(_ORIENTATIONS) * (2 * torch.pi / _ORIENTATIONS)
        self._directions = torch.stack([angles.cos(), angles.sin()])

    def vectors(self, images: Pixels) -> Vectors:
        """Turn images, uint8 [N, side, side, C], into float32 [N, 640] of length one."""
        found = []
        for start in range(0, len(images), _IMAGES_AT_ONCE):
            part = images[start : start + _IMAGES_AT_ONCE].astype(np.float32)
            luminance = torch.from_numpy(part.mean(axis=3))[:, None] / 255
            fine = self._cells(_blurred(luminance), 8)
            coarse = self._cells(_blurred(F.avg_pool2d(luminance, 2)), 4)
            found.append(torch.cat([fine, coarse], dim=1).numpy() / np.float32(np.sqrt(2)))
        return np.concatenate(found)

    def _cells(self, images: Tensor, grid: int) -> Tensor:
        """Gather gradients of [N, 1, H, W] in grid × grid cells: [N, 8 · grid²] of length one."""
        padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
        across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        gradients = torch.cat([across, down], dim=1)
        along = torch.einsum("nchw,cd->ndhw", gradients, self._directions).clamp(min=0)
        shared = along.square() / (gradients.square().sum(dim=1, keepdim=True).sqrt() + 1e-6)
        # Two box averages make overlapping cells with soft edges.
        size = max(1, images.shape[2] // grid)
        soft = F.avg_pool2d(shared, size | 1, stride=1, padding=size // 2)
        cells = F.adaptive_avg_pool2d(soft, grid)
        nearby = F.avg_pool2d(cells, 3, stride=1, padding=1, count_include_pad=False)
        energy = nearby.sum(dim=1, keepdim=True) + 0.01
        return F.normalize((cells / energy).sqrt().flatten(1), dim=1)


class CriticSpace(_Whole):
    """What a run's trained critic sees."""

    def __init__(self, run: Path, device: torch.device) -> None:
        self.name = f"critic:{run}"
        self.says = f"features of the trained critic of {run}"
        self._critic = CriticDetector(self.name, run, device)
        self.side = self._critic.side

    def vectors(self, images: Pixels) -> Vectors:
        """Turn images, uint8 [N, side, side, C], into float32 [N, D]."""
        return self._critic.features(images)


class ScriptSpace(_Whole):
    """What a TorchScript network sees; the field's VGG16 gives its five perceptual layers.

    Long vectors, as such layers are, are shortened by a count sketch (Charikar, Chen and
    Farach-Colton 2002): each number is added to, or subtracted from, one of 8192 sums. Squared
    distances stay right on average and are off by about 1.6 %; equal vectors stay equal.
    """

    def __init__(self, path: Path, side: int, device: torch.device, *, trust: bool) -> None:
        self.name = str(path)
        self.says = f"features of the network {path.name} at {side}×{side}"
        self.side = side
        self.detector = ScriptDetector(self.name, path, device, perceptual=True, trust=trust)

    def vectors(self, images: Pixels) -> Vectors:
        """Turn images, uint8 [N, side, side, C], into float32 [N, D], D at most 16384."""
        size = 64
        return np.concatenate(
            [
                sketch(self.detector.features(images[start : start + size]))
                for start in range(0, len(images), size)
            ]
        )


class InnerFace:
    """Another space, on the middle of the image only, where a framed portrait has its face.

    Args:
        space: the other one.
        side: height and width of the images to cut it out of.
    """

    def __init__(self, space: Space, side: int) -> None:
        self.name, self.moves = space.name, space.moves
        self.says = f"{space.says}, inner face only"
        self.side = side
        self._space = space

    def crop(self, images: Pixels) -> Pixels:
        """Give the inner faces, uint8 [N, side, side, C] -> what the other space takes."""
        top, left = round(_INNER_TOP * self.side), round(_INNER_LEFT * self.side)
        size = self.side // 2
        inner = images[:, top : top + size, left : left + size]
        return resized(inner, self._space.side)

    def vectors(self, images: Pixels) -> Vectors:
        """Turn images, uint8 [N, side, side, C], into vectors of their inner faces."""
        return self._space.vectors(self.crop(images))


def resized(images: Pixels, side: int) -> Pixels:
    """Bring images, uint8 [N, H, W, C], to a side, as `datasets.framing.fit` does."""
    if images.shape[1:3] == (side, side):
        return images
    return np.stack([fit(image, side) for image in images])


def sketch(vectors: Vectors) -> Vectors:
    """Shorten float32 [N, D] to [N, 8192] if D is over 16384; distances stay nearly the same."""
    length = vectors.shape[1]
    if length <= _LONGEST:
        return vectors
    numbers = np.random.default_rng(length)
    places = torch.from_numpy(numbers.integers(0, _SHORT, length))
    signs = torch.from_numpy(numbers.integers(0, 2, length).astype(np.float32) * 2 - 1)
    sums = torch.zeros(len(vectors), _SHORT)
    sums.index_add_(1, places, torch.from_numpy(vectors) * signs)
    return sums.numpy()


def open_space(
    text: str,
    *,
    side: int,
    resolution: int | None,
    inner_face: bool,
    device: torch.device,
    trust: bool = False,
) -> Space:
    """Find the feature space that `--features` means.

    Args:
        text: `pixels`, `structure`, `critic:RUN`, or the path of a TorchScript file.
        side: height and width of the images, a power of two.
        resolution: pixels at which `pixels` and `structure` compare; None for 32.
        inner_face: compare the middle of the images only.
        device: where networks compute.
        trust: open a TorchScript file, which is a program, whoever it is from.

    Raises:
        DatasetError: there is none, or it cannot be had.
    """
    wanted = resolution or min(_USUAL_SIDE, side // 2 if inner_face else side)
    space: Space
    if text == "pixels":
        space = PixelSpace(wanted)
    elif text == "structure":
        if wanted < LEAST_STRUCTURE:
            raise DatasetError(
                f"structure needs images of {LEAST_STRUCTURE} pixels or more, not {wanted}: "
                "give --features pixels."
            )
        space = StructureSpace(wanted)
    elif text.startswith("critic:"):
        space = CriticSpace(Path(text.removeprefix("critic:")), device)
    elif Path(text).is_file():
        space = ScriptSpace(Path(text), side, device, trust=trust)
    else:
        raise DatasetError(
            f"there are no features {text}: give pixels, structure, critic:RUN or a TorchScript "
            "file."
        )
    if space.side > side:
        raise DatasetError(f"{text} compares {space.side} pixels, and the images have {side}.")
    return InnerFace(space, min(side, 2 * space.side)) if inner_face else space


def _blurred(images: Tensor) -> Tensor:
    """Blur [N, 1, H, W] by a binomial kernel of five, whose standard deviation is one pixel."""
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.reshape(1, 1, 1, 5)), kernel.reshape(1, 1, 5, 1))
