"""The relativistic pairing objective with R1 and R2 (R3GAN: Huang et al. 2024, section 2).

Critic:     softplus(D(fake) − D(real)) + γ/2 · (‖∇D(real)‖² + ‖∇D(fake)‖²)
Generator:  softplus(D(real) − D(fake))
with softplus(t) = log(1 + exp t), each fake paired with the real of its place; means over the
minibatch. A fake has to look more real than its partner, and not only more than a fixed mark.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from progan.networks import Critic
from progan.objective_settings import ObjectiveSettings
from progan.penalties import judge_with_slopes


def critic_terms(
    critic: Critic, reals: Tensor, fakes: Tensor, settings: ObjectiveSettings
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Give what the critic minimizes by its scores alone.

    Args:
        critic: standing at the images' level.
        reals: [N, C, H, W].
        fakes: [N, C, H, W], without a graph.
        settings: weight of the penalties, and how they are taken.

    Returns:
        What the critic gives for reals and for fakes, [2N, 1 + label_size]; the objective; and its
        terms by name.
    """
    both = torch.cat([reals, fakes])
    squares = None
    if settings.gamma > 0:
        judged, squares = judge_with_slopes(
            critic,
            both,
            minibatches=2,
            curvature=settings.penalty_curvature,
            scale=settings.penalty_scale,
        )
    else:
        judged = critic(both, minibatches=2)
    real_scores, fake_scores = judged[:, 0].chunk(2)
    loss = F.softplus(fake_scores - real_scores).mean()
    terms = {"loss/relativistic": loss}
    if squares is not None:
        on_reals, on_fakes = squares.chunk(2)
        weight = settings.gamma / 2
        r1, r2 = weight * on_reals.mean(), weight * on_fakes.mean()
        loss = loss + r1 + r2
        terms |= {"loss/r1": r1, "loss/r2": r2, "scores/gradient_norm": squares.sqrt().mean()}
    return judged, loss, terms


def generator_loss(fake_scores: Tensor, real_scores: Tensor) -> Tensor:
    """Give what the generator minimizes, of the scores [N] of fakes and of their partners."""
    return F.softplus(real_scores - fake_scores).mean()
