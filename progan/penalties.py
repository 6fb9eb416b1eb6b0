"""Zero-centred gradient penalties R1 and R2 (Mescheder et al. 2018, section 4.1).

R1 = γ/2 · ‖∇D(real)‖²        R2 = γ/2 · ‖∇D(fake)‖²

The squared norm is over all pixels and colours of a sample; means over the minibatch. Where images
were augmented, the gradient is by the augmented images, as the critic sees them: augmentations need
no second derivative.
"""

import torch
from torch import Tensor

from progan.networks import Critic


def judge_with_slopes(
    critic: Critic,
    images: Tensor,
    minibatches: int = 1,
    *,
    curvature: bool = True,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Judge images, and measure how steep the score is at each; one pass serves both.

    Args:
        critic: standing at the images' level.
        images: [N, C, H, W]; what they were made from gets no gradient.
        minibatches: how many minibatches of equal size the images are, one after the other.
        curvature: whether the derivative of the slopes by the weights sees how the slopes of the
            minibatch standard deviation change; all else in the critic is linear in pieces.
        scale: as for `objectives.gradient_norms`.

    Returns:
        What the critic gives, [N, 1 + label_size], and ‖∇D‖² by each image, [N], of float32 at
        least; both differentiable by the critic's weights.
    """
    images = images.detach().requires_grad_()
    judged: Tensor = critic(images, minibatches, flat=not curvature)
    # No sample's score depends on another but through the minibatch standard deviation, whose part
    # in the gradient of the sum is meant, as in the paper's penalty.
    (gradient,) = torch.autograd.grad(judged[:, 0].sum() * scale, images, create_graph=True)
    precise = gradient.to(torch.promote_types(gradient.dtype, torch.float32)) / scale
    return judged, precise.square().sum(dim=(1, 2, 3))
