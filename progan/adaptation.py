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
        probability: in [0, MOST_PROBABLE], a float32 scalar; the only state.
    """

    def __init__(self, target: float, kimg: float, device: torch.device) -> None:
        self.target = target
        self.kimg = kimg
        self.probability = torch.zeros((), device=device)

    def follow(self, sign: Tensor, images: int) -> None:
        """Take notice of some minibatches, without waiting for the device.

        Args:
            sign: r over these minibatches, a scalar in [-1, 1]; not a number where steps failed,
                which changes nothing.
            images: how many reals they held.
        """
        step = torch.sign(sign - self.target).nan_to_num() * (images / (1000 * self.kimg))
        self.probability.add_(step).clamp_(0, MOST_PROBABLE)
