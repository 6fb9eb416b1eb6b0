"""What a step learns from: images, latents, classes and mixing weights of one minibatch.

Everything is drawn for the whole minibatch and then handed out part by part, so that what a sample
meets depends on its place in the minibatch and not on who computes it, or with which others.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from progan import draws
from progan.augmentation import DRAWS
from progan.config import Config
from progan.draws import Purpose
from progan.growth import Stage
from progan.layers import downscale, upscale


class Data(Protocol):
    """What hands out training images: any object with these two members."""

    labels: np.ndarray | None
    """Class numbers of all training images, int64 [count]; None without classes."""

    def minibatch(
        self, level: int, position: int, count: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Give `count` images from a position of the endless stream, as a pure function.

        Returns:
            uint8 [count, H, W, C] with H = W = 2**level, and class numbers [count] or None.
        """
        ...


class Inputs:
    """Hands out a step's inputs, for parts of the minibatch that are given by their rows.

    Args:
        config: the run.
        data: hands out the real images.
        latent_size: length of a latent.
        device: where the inputs are wanted.
    """

    def __init__(
        self, config: Config, data: Data, *, latent_size: int, device: torch.device
    ) -> None:
        self.config = config
        self.data = data
        self.latent_size = latent_size
        self.device = device

    def reals(
        self, stage: Stage, nimg: int, parts: Sequence[Tensor]
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Give real images [n, C, H, W] in [-1, 1], faded as the level is, and labels [n].

        Args:
            stage: where training stands.
            nimg: images shown before the step.
            parts: rows of the minibatch, int64 [n].
        """
        config = self.config
        pixels, labels = self.data.minibatch(stage.level, nimg, stage.minibatch)
        whole = torch.from_numpy(pixels)
        flipped = draws.uniform(config.seed, Purpose.MIRROR, nimg, stage.minibatch) < 0.5
        for rows in parts:
            images = whole[rows].to(self.device)
            images = images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            if config.mirror:
                flips = flipped[rows].to(self.device).reshape(-1, 1, 1, 1)
                images = torch.where(flips, images.flip(3), images)
            if stage.fade < 1:
                images = torch.lerp(upscale(downscale(images)), images, stage.fade)
            if labels is None or config.label_size == 0:
                yield images.contiguous(), None
            else:
                yield images.contiguous(), torch.from_numpy(labels)[rows].to(self.device)

    def latents(
        self,
        purpose: Purpose,
        label_purpose: Purpose,
        stage: Stage,
        nimg: int,
        parts: Sequence[Tensor],
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Draw latents [n, latent_size] and, if there are classes, labels [n].

        Args:
            purpose: of the latents.
            label_purpose: of the labels.
            stage: where training stands.
            nimg: images shown before the step.
            parts: rows of the minibatch, int64 [n].
        """
        seed, minibatch = self.config.seed, stage.minibatch
        latents = draws.normal(seed, purpose, nimg, (minibatch, self.latent_size))
        labels = None
        if self.config.label_size > 0 and self.data.labels is not None:
            # Drawn from the training labels, so that fakes have the classes as often as reals.
            which = draws.whole(seed, label_purpose, nimg, minibatch, len(self.data.labels))
            labels = torch.from_numpy(self.data.labels)[which]
        for rows in parts:
            some = None if labels is None else labels[rows].to(self.device)
            yield latents[rows].to(self.device), some

    def mixing(self, stage: Stage, nimg: int, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """Draw where between real and fake the penalty looks: u in [0, 1), [n]."""
        mixing = draws.uniform(self.config.seed, Purpose.MIXING, nimg, stage.minibatch)
        for rows in parts:
            yield mixing[rows].to(self.device)

    def chances(
        self, purpose: Purpose, stage: Stage, nimg: int, parts: Sequence[Tensor]
    ) -> Iterator[Tensor]:
        """Draw what decides how images are augmented: in [0, 1), [n, DRAWS]."""
        count = stage.minibatch * DRAWS
        chances = draws.uniform(self.config.seed, purpose, nimg, count).reshape(-1, DRAWS)
        for rows in parts:
            yield chances[rows].to(self.device)
