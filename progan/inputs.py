"""What a step learns from: images, latents, classes and mixing weights of one minibatch.

Everything is drawn for the whole minibatch and then handed out part by part, so that what a sample
meets depends on its place in the minibatch and not on who computes it, or with which others.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from progan import draws
from progan.ahead import Ahead, Place, Tensors
from progan.attempts import Attempts
from progan.augmentation import DRAWS
from progan.config import Config
from progan.draws import Purpose
from progan.growth import Stage
from progan.layers import downscale, upscale

_AUGMENTED = (Purpose.AUGMENTED_REALS, Purpose.AUGMENTED_FAKES, Purpose.AUGMENTED_GENERATED)


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


@runtime_checkable
class DataByRows(Protocol):
    """What a process need not read, it does not: a second way to ask for images, where there is."""

    def rows_of_minibatch(
        self, level: int, position: int, count: int, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Give some of the images that `minibatch` would give.

        Args:
            level: as of `Data.minibatch`, like the next two.
            position: of the minibatch.
            count: of the minibatch.
            rows: which of its images, in this order, int64 [n].

        Returns:
            uint8 [n, H, W, C], and class numbers [n] or None.
        """
        ...


class Inputs:
    """Hands out a step's inputs, for parts of the minibatch that are given by their rows.

    They are made on the processor, and go to the device as few and as small as they can: images as
    bytes, and only the rows that are asked for. On a graphics card, those of the next step are made
    and sent while it is busy with this one.

    Args:
        config: the run.
        data: hands out the real images.
        latent_size: length of a latent.
        device: where the inputs are wanted.

    Attributes:
        attempts: where the run went back and tried again, with other draws.
    """

    def __init__(
        self, config: Config, data: Data, *, latent_size: int, device: torch.device
    ) -> None:
        self.config = config
        self.data = data
        self.latent_size = latent_size
        self.device = device
        self.attempts = Attempts()
        self._ahead = Ahead(self._made, device)

    def reals(
        self, stage: Stage, nimg: int, parts: Sequence[Tensor]
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Give real images [n, C, H, W] in [-1, 1], faded as the level is, and labels [n].

        Args:
            stage: where training stands.
            nimg: images shown before the step.
            parts: rows of the minibatch, int64 [n].
        """
        for part in self._parts(stage, nimg, parts):
            images = part["pixels"].permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            if self.config.mirror:
                flips = part["flips"].reshape(-1, 1, 1, 1)
                images = torch.where(flips, images.flip(3), images)
            if stage.fade < 1:
                images = torch.lerp(upscale(downscale(images)), images, stage.fade)
            yield images.contiguous(), part.get("labels")

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
        for part in self._parts(stage, nimg, parts):
            yield part[purpose.name], part.get(label_purpose.name)

    def mixing(self, stage: Stage, nimg: int, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """Draw where between real and fake the penalty looks: u in [0, 1), [n]."""
        for part in self._parts(stage, nimg, parts):
            yield part["mixing"]

    def chances(
        self, purpose: Purpose, stage: Stage, nimg: int, parts: Sequence[Tensor]
    ) -> Iterator[Tensor]:
        """Draw what decides how images are augmented: in [0, 1), [n, DRAWS]."""
        for part in self._parts(stage, nimg, parts):
            yield part[purpose.name]

    def _parts(self, stage: Stage, nimg: int, parts: Sequence[Tensor]) -> Iterator[Tensors]:
        """Give the tensors of each part, on the device."""
        rows = torch.cat(list(parts))
        place = self._place(stage, nimg, rows)
        after = self._place(stage, nimg + stage.minibatch, rows)
        whole = self._ahead.take(place, after)
        divided = {
            name: torch.split(tensor, [len(part) for part in parts])
            for name, tensor in whole.items()
        }
        for number in range(len(parts)):
            yield {name: pieces[number] for name, pieces in divided.items()}

    def _place(self, stage: Stage, nimg: int, rows: Tensor) -> Place:
        """Name what `_made` depends on; with it, what was made ahead for another attempt."""
        made_for = (stage.level, nimg, stage.minibatch, tuple(rows.tolist()))
        return (*made_for, self.attempts.at(nimg))

    def _made(
        self, level: int, nimg: int, minibatch: int, rows: tuple[int, ...], attempt: int
    ) -> Tensors:
        """Read and draw all that a step needs, on the processor."""
        config, seed, chosen = self.config, self.config.seed, torch.tensor(rows)
        uniform = partial(draws.uniform, seed, attempt=attempt)
        normal = partial(draws.normal, seed, attempt=attempt)
        whole = partial(draws.whole, seed, attempt=attempt)
        pixels, labels = self._read(level, nimg, minibatch, chosen.numpy())
        made = {"pixels": torch.from_numpy(pixels)}
        if config.mirror:
            made["flips"] = uniform(Purpose.MIRROR, nimg, minibatch)[chosen] < 0.5
        made["mixing"] = uniform(Purpose.MIXING, nimg, minibatch)[chosen]
        for purpose in _AUGMENTED if config.augmentations else ():
            chances = uniform(purpose, nimg, minibatch * DRAWS).reshape(-1, DRAWS)
            made[purpose.name] = chances[chosen]
        wanted = [(Purpose.CRITIC_LATENTS, Purpose.CRITIC_LABELS)]
        if not config.share_fakes:
            wanted.append((Purpose.GENERATOR_LATENTS, Purpose.GENERATOR_LABELS))
        for purpose, label_purpose in wanted:
            made[purpose.name] = normal(purpose, nimg, (minibatch, self.latent_size))[chosen]
            if config.label_size == 0 or self.data.labels is None:
                continue
            if labels is not None and config.share_labels and purpose is Purpose.CRITIC_LATENTS:
                made[label_purpose.name] = torch.from_numpy(labels)
            else:
                # Drawn from the training labels, so that fakes have the classes as often as reals.
                which = whole(label_purpose, nimg, minibatch, len(self.data.labels))
                made[label_purpose.name] = torch.from_numpy(self.data.labels)[which][chosen]
        if labels is not None and config.label_size > 0:
            made["labels"] = torch.from_numpy(labels)
        return made

    def _read(
        self, level: int, nimg: int, minibatch: int, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if isinstance(self.data, DataByRows):
            return self.data.rows_of_minibatch(level, nimg, minibatch, rows)
        pixels, labels = self.data.minibatch(level, nimg, minibatch)
        return pixels[rows], None if labels is None else labels[rows]
