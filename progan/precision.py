"""Half precision: its names, and what keeps its gradients from vanishing (PAPER: half precision).

float16 reaches from 6·10⁻⁸ to 65504, and many gradients are smaller. So the loss is multiplied by a
large number before gradients are taken, and they are divided by it afterwards, in float32. How
large is found by trying: while all is finite it grows, and where it was too large the step is left
out and it shrinks. bfloat16 has the reach of float32 and needs none of this.

A policy of autocast would do less here: it keeps cast weights for leaves of the graph alone, and
those of equalized layers are products; and what it keeps in float32 between two convolutions, such
as the pixel norm, would be read from and written to memory twice as wide.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from progan.config import PRECISIONS

# Powers of two, so that to multiply and to divide by them loses nothing.
_FIRST = 2.0**16
_LARGEST = 2.0**24
_SMALLEST = 1.0
# Good steps in a row after which a larger number is tried.
_PATIENCE = 2000


def computing_type(name: str) -> torch.dtype | None:
    """Give the type that a precision's name means for `compute_in`; None for the weights' own.

    Raises:
        ValueError: there is no such precision.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {name!r}")
    dtype: torch.dtype = getattr(torch, name)
    return None if dtype == torch.float32 else dtype


def penalty_scale(name: str, level: int, target: float) -> float:
    """Give the power of two that gradients by pixels are to be multiplied by in a precision.

    A norm over all pixels of a level is to become `target`, so that single numbers are about
    `target` / 2**level, near the end of float16's reach. By this they become about one.
    """
    return 2.0 ** (level - round(math.log2(target))) if name == "float16" else 1.0


class LossScale:
    """The number by which one network's loss is multiplied; all of it stays on the device.

    Attributes:
        scale: the number, float32 [].
        good_steps: finite steps since it last changed, float32 [].
    """

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), _FIRST, device=device)
        self.good_steps = torch.zeros((), device=device)

    def unscale_(self, gradients: Sequence[Tensor]) -> None:
        """Divide the gradients of a scaled loss by the number, in place."""
        torch._foreach_mul_(list(gradients), 1 / self.scale)

    def update_(self, failed: Tensor, loss: Tensor) -> Tensor:
        """Learn from a step.

        Args:
            failed: 1.0 if its gradients were not finite, else 0.0; [].
            loss: what it minimized, not scaled, [].

        Returns:
            1.0 if nothing was wrong with the step but that the number was too large; else 0.0.
        """
        searching = failed * torch.isfinite(loss) * (self.scale > _SMALLEST)
        self.good_steps += 1
        self.good_steps *= 1 - failed
        grows = (self.good_steps >= _PATIENCE).float()
        # Halved after a failure, doubled after enough good steps.
        self.scale *= 1 - 0.5 * failed + grows
        self.scale.clamp_(_SMALLEST, _LARGEST)
        self.good_steps *= 1 - grows
        return searching

    def state(self) -> dict[str, Tensor]:
        """Give what a checkpoint has to keep."""
        return {"scale": self.scale, "good_steps": self.good_steps}
