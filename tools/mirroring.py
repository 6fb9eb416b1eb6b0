"""Mirrored photographs, for a generator that was trained with them.

Training with `mirror` shows the critic every real image flipped left to right with probability ½.
What the generator learns is that doubled collection, so it is compared with it: as the paper's
authors do, each real image is flipped with probability ½ when such a generator is measured. Against
photographs as they are, whatever is lopsided in them (light from one side, a flag) would count as
the generator's fault.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tools.images import Batch, Images
from tools.metrics import draws
from tools.metrics.draws import Purpose


def flipped(count: int, seed: int) -> NDArray[np.bool_]:
    """Draw which of `count` images are flipped, each with probability ½, bool [count].

    An image's draw depends on the seed and its number alone, not on `count`.

    Raises:
        DatasetError: the seed does not lie from 0 to 2**64 - 1.
    """
    return (draws.bits(seed, Purpose.MIRROR, count) >> np.uint64(63)).astype(np.bool_)


def decide(fakes: Images, asked: bool | None) -> tuple[bool, str]:
    """Decide whether reals are mirrored to be compared with these fakes.

    Args:
        fakes: generated images.
        asked: what `--mirror/--no-mirror` says; None where neither was given.

    Returns:
        The decision, and its reason in a few words. What is asked for holds; else a model's
        training decides, and for images of unknown training reals stay as they are.
    """
    trained = fakes.mirrored_in_training
    if asked is not None:
        option = "--mirror" if asked else "--no-mirror"
        against = trained is not None and trained != asked
        done = "with" if trained else "without"
        return asked, option + (f", though the training was {done} mirroring" if against else "")
    if trained is not None:
        return trained, f"the generator was trained {'with' if trained else 'without'} mirroring"
    return False, "not known how the fakes' generator was trained; --mirror if with mirroring"


class Mirrored(Images):
    """Other pictures, each of them flipped left to right with probability ½.

    Args:
        images: the pictures.
        seed: with a picture's number, decides whether it is flipped; 0 to 2**64 - 1.
    """

    def __init__(self, images: Images, seed: int) -> None:
        self._images, self._seed = images, seed
        self._flipped = flipped(images.count, seed)
        self.name, self.kind, self.count = images.name, images.kind, images.count
        self.resolution, self.channels = images.resolution, images.channels
        self.details = images.details | {"mirror_seed": seed}

    def at(self, resolution: int) -> Images:
        """Return the same pictures at another size, the same ones flipped."""
        return Mirrored(self._images.at(resolution), self._seed)

    def name_of(self, number: int) -> str:
        """Return what the picture is called."""
        return self._images.name_of(number)

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read some pictures; those that cannot be used are left out."""
        batch = self._images.read(numbers)
        which = self._flipped[batch.numbers]
        pixels = batch.pixels.copy()
        pixels[which] = batch.pixels[which, :, ::-1]
        return replace(batch, pixels=pixels)
