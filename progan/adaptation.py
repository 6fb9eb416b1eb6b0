"""How strongly to augment, by how much the critic overfits (ADA: Karras et al. 2020, section 3).

The more of the training images the critic knows by heart, the surer it is of them: r = E[sign of
its score on reals] nears 1. The probability of each augmentation rises a little while r is above a
target, and falls a little while it is below.
"""

import torch
from torch import Tensor

# An augmentation that always meets may be taken for a part of the faces; where some images are left
# as they are, the generator can tell (section 2.2 finds 0.8 to be safe).
MOST_PROBABLE = 0.8


class Adaptation:
    """The probability of augmentations, which follows the critic.

    Args:
        target: the r to keep, in (0, 1); the authors took 0.6.
        kimg: thousand images in which the probability can go from 0 to 1.
        device: where the probability lives.

    Attributes:
        probability: in [0, MOST_PROBABLE], a float32 scalar; between two rounds the only state.
    """

    def __init__(self, target: float, kimg: float, device: torch.device) -> None:
        self.target = target
        self.kimg = kimg
        self.probability = torch.zeros((), dtype=torch.float32, device=device)
        self._signs: list[Tensor] = []

    def note(self, sign: Tensor) -> None:
        """Take notice of r over a minibatch, of all processes: a scalar in [-1, 1].

        It is not a number where the step failed, which then changes nothing.
        """
        self._signs.append(sign.detach().clone())

    def follow(self, images: int) -> None:
        """Move the probability by what was noted, without waiting for the device.

        Args:
            images: how many reals the minibatches held.
        """
        sure = torch.stack(self._signs).mean() - self.target
        self._signs.clear()
        step = torch.sign(sure).nan_to_num() * (images / (1000 * self.kimg))
        self.probability.add_(step.to(self.probability)).clamp_(0, MOST_PROBABLE)
