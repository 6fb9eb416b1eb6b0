"""Find latents for given photographs: what can a generator draw that looks like them?

A search by gradient descent over latents (as Abdal et al. 2019 and StyleGAN2's projector do). Only
the direction of a latent counts for this network, so that the search moves on the sphere. It begins
at the best of many random latents, since the way from a bad one may not lead over the hills.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from progan.layers import downscale
from progan.networks import Critic, Generator

# Random latents among which each search looks for its beginnings.
_CANDIDATES = 1024
_AT_ONCE = 64
_LEARNING_RATE = 0.1
# Parts of the search in which the step grows, and shrinks to nothing, as StyleGAN2's does.
_RAMP_UP, _RAMP_DOWN = 0.05, 0.25
# Noise on the latents, as part of their length, which is gone after three quarters of the search.
_NOISE, _NOISE_UNTIL = 0.05, 0.75
_COARSEST = 4


@dataclass(frozen=True)
class Found:
    """Where a search stands.

    Attributes:
        latents: the best of those without noise so far, for each photograph, float32
            [N, latent_size], of length sqrt(latent_size).
        distances: what they reach, [N]; the smaller, the more alike.
        images: what the generator makes of where the search is now, [N, C, H, W].
    """

    latents: np.ndarray
    distances: np.ndarray
    images: Tensor


class Space(Protocol):
    """In which sense pictures are alike."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Turn images [N, C, H, W] in [-1, 1] into what is compared: tensors [N, ...]."""
        ...

    def distances(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Compare features of N images with those of N others, or of one: [N]."""
        ...


class PixelSpace:
    """Pixels at every scale, from the images' own down to 4×4."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Give the images of every scale."""
        found = [images]
        while found[-1].shape[-1] > _COARSEST:
            found.append(downscale(found[-1]))
        return found

    def distances(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Give the mean over scales of the mean absolute difference, 0 … 2."""
        each = [
            (one - other).abs().mean(dim=(1, 2, 3))
            for one, other in zip(first, second, strict=True)
        ]
        return torch.stack(each).mean(dim=0)


class CriticSpace:
    """What a critic sees, and pixels.

    At every size, the critic's features of a place are brought to unit length and their squared
    difference is averaged over places, as LPIPS does (Zhang et al. 2018) with another network.

    Args:
        critic: standing at the images' level, its weights without gradients.
    """

    def __init__(self, critic: Critic) -> None:
        self._critic = critic
        self._pixels = PixelSpace()

    def features(self, images: Tensor) -> list[Tensor]:
        """Give unit features of every size, and then the images of every scale."""
        seen = [F.normalize(found, dim=1) for found in self._critic.activations(images)]
        return seen + self._pixels.features(images)

    def distances(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Give the mean over sizes, 0 … 4, and a tenth of the distance of pixels.

        A critic may care little for the colour of a background.
        """
        sizes = len(first) // 2
        each = [
            (one - other).square().sum(dim=1).mean(dim=(1, 2))
            for one, other in zip(first[:sizes], second[:sizes], strict=True)
        ]
        pixels = self._pixels.distances(first[sizes:], second[sizes:])
        return torch.stack(each).mean(dim=0) + 0.1 * pixels


def search(
    generator: Generator,
    space: Space,
    targets: Tensor,
    *,
    steps: int,
    seed: int,
    label: int | None = None,
) -> Iterator[Found]:
    """Look for the latents of photographs, each by itself.

    Args:
        generator: standing at the photographs' level, its weights without gradients.
        space: says how far pictures are apart.
        targets: photographs [N, C, H, W] in [-1, 1], on the generator's device.
        steps: of the descent.
        seed: of the random latents and of the noise.
        label: class number, if the generator has classes.

    Yields:
        Where the search begins, and where it stands after every step: steps + 1 times.
    """
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        wanted = space.features(targets)
        latents = _beginnings(generator, space, wanted, numbers, label)
    labels = _labels(label, len(latents), latents.device)
    latents.requires_grad_()
    adam = torch.optim.Adam([latents], betas=(0.9, 0.999))
    best = torch.full((len(targets),), math.inf, device=targets.device)
    kept = latents.detach().clone()
    for step in range(steps + 1):
        place = step / steps
        adam.param_groups[0]["lr"] = _LEARNING_RATE * _course(place)
        strength = _NOISE * max(0.0, 1 - place / _NOISE_UNTIL) ** 2 if step else 0.0
        noise = torch.randn(latents.shape, generator=numbers).to(latents.device)
        images = generator(latents + strength * noise, labels)
        distances = space.distances(space.features(images), wanted)
        if strength == 0:  # With noise, the distance is that of another latent.
            better = distances.detach() < best
            best = torch.where(better, distances.detach(), best)
            # Not in place: who was given an earlier state has this very memory.
            kept = torch.where(better[:, None], latents.detach(), kept)
        yield Found(kept.cpu().numpy(), best.cpu().numpy(), images.detach())
        if step == steps:
            return
        (latents.grad,) = torch.autograd.grad(distances.sum(), latents)
        adam.step()
        with torch.no_grad():
            latents.mul_(math.sqrt(generator.latent_size) / latents.norm(dim=1, keepdim=True))


def _course(place: float) -> float:
    """Give the share of the learning rate at a place from 0 to 1 in the search."""
    down = min(1.0, (1 - place) / _RAMP_DOWN)
    return min(1.0, place / _RAMP_UP + 0.1) * (0.5 - 0.5 * math.cos(math.pi * down))


def _beginnings(
    generator: Generator,
    space: Space,
    wanted: list[Tensor],
    numbers: torch.Generator,
    label: int | None,
) -> Tensor:
    """Choose the best of many random latents for each photograph, [N, latent_size]."""
    candidates = torch.randn((_CANDIDATES, generator.latent_size), generator=numbers)
    candidates *= math.sqrt(generator.latent_size) / candidates.norm(dim=1, keepdim=True)
    candidates = candidates.to(wanted[0].device)
    found = []
    for start in range(0, _CANDIDATES, _AT_ONCE):
        part = candidates[start : start + _AT_ONCE]
        seen = space.features(generator(part, _labels(label, len(part), part.device)))
        each = [
            space.distances(seen, [one[number : number + 1] for one in wanted])
            for number in range(len(wanted[0]))
        ]
        found.append(torch.stack(each))
    return candidates[torch.cat(found, dim=1).argmin(dim=1)]


def _labels(label: int | None, count: int, device: torch.device) -> Tensor | None:
    return None if label is None else torch.full((count,), label, device=device)
