"""Truncation: fewer odd pictures for less variation, by drawing features toward their mean."""

import torch
from torch import Tensor, nn

from progan.draws import Purpose, normal
from progan.errors import ProganError
from progan.growth import FIRST_LEVEL
from progan.layers import normalize_pixels
from progan.networks import Generator

# Latents whose mean is taken: it is then known to a thirtieth of the spread.
_LATENTS = 1024
_AT_ONCE = 64


def truncate(generator: Generator, psi: float) -> None:
    """Make a generator draw all its pictures toward the average one, from now on.

    The features of 4×4 pixels that the first block gives become mean + psi · (features − mean),
    brought back to unit root mean square in each pixel as they were. It is what StyleGAN (Karras,
    Laine, Aila 2019, section B) does to its intermediate latents, done to the first features that
    this network has in their place. The latents themselves can be drawn toward nothing: only their
    direction counts, and it is as often one as another, so that no direction is the mean. And to
    redraw their large components, as BigGAN does (Brock, Donahue, Simonyan 2019), changes little
    where the vector is brought to unit length afterwards.

    Args:
        generator: with psi 1 it is left as it is, to the last bit. Classes keep means of their own,
            and between two classes the mean is between theirs.
        psi: from 0, where all pictures of a class are one, to 1.

    Raises:
        ProganError: psi is out of range.
    """
    if not 0 <= psi <= 1:
        raise ProganError(f"truncation must be from 0 to 1, not {psi}")
    if psi == 1:
        return
    block = generator.blocks[str(FIRST_LEVEL)]
    means = _Means(generator)

    def shrink(_: nn.Module, inputs: tuple[Tensor], features: Tensor) -> Tensor:
        mean = means.of(inputs[0]).to(features.dtype)
        return normalize_pixels(mean + psi * (features - mean))

    block.register_forward_hook(shrink)


class _Means:
    """Mean features of the first block, one for each class, taken when they are first needed."""

    def __init__(self, generator: Generator) -> None:
        self._block = generator.blocks[str(FIRST_LEVEL)]
        self._latent_size, self._label_size = generator.latent_size, generator.label_size
        self._of_class: dict[int, Tensor] = {}

    def of(self, inputs: Tensor) -> Tensor:
        """Give the mean for each of the block's inputs.

        Args:
            inputs: latents with labels, to a common length, [N, latent_size + label_size].

        Returns:
            [N or 1, maps, 4, 4].
        """
        if not self._label_size:
            return self._mean(0)[None]
        # Weights of the classes on the great circle between them: their squares add up to one.
        shares = inputs[:, self._latent_size :].float().square()
        shares = shares / shares.sum(dim=1, keepdim=True)
        present = [int(number) for number in shares.sum(dim=0).nonzero()[:, 0]]
        means = torch.stack([self._mean(number) for number in present])
        return torch.einsum("nk,kchw->nchw", shares[:, present], means)

    def _mean(self, number: int) -> Tensor:
        if number not in self._of_class:
            self._of_class[number] = self._take(number)
        return self._of_class[number]

    def _take(self, number: int) -> Tensor:
        """Take the mean over random latents of a class, float32 [maps, 4, 4]."""
        parameter = next(self._block.parameters())
        latents = normal(0, Purpose.TRUNCATION, 0, (_LATENTS, self._latent_size))
        labels = torch.zeros(_LATENTS, self._label_size)
        labels[:, number : number + 1] = 1
        inputs = normalize_pixels(torch.cat([latents, labels], dim=1)).to(parameter)
        # Not as a module that is called: that would truncate these as well.
        means = [
            self._block.forward(inputs[start : start + _AT_ONCE]).float().mean(dim=0)
            for start in range(0, _LATENTS, _AT_ONCE)
        ]
        return torch.stack(means).mean(dim=0)
