"""The non-saturating logistic objective with R1 (Goodfellow et al. 2014; Mescheder et al. 2018).

Critic:     softplus(D(fake)) + softplus(−D(real)) + γ/2 · ‖∇D(real)‖²
Generator:  softplus(−D(fake))
with softplus(t) = log(1 + exp t); means over the minibatch. It is what StyleGAN2 minimizes.
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
        settings: weight of the penalty, and how it is taken.

    Returns:
        What the critic gives for reals and for fakes, [2N, 1 + label_size]; the objective; and its
        terms by name.
    """
    squares = None
    if settings.gamma > 0:
        on_reals, squares = judge_with_slopes(
            critic, reals, curvature=settings.penalty_curvature, scale=settings.penalty_scale
        )
        judged = torch.cat([on_reals, critic(fakes)])
    else:
        judged = critic(torch.cat([reals, fakes]), minibatches=2)
    real_scores, fake_scores = judged[:, 0].chunk(2)
    loss = F.softplus(fake_scores).mean() + F.softplus(-real_scores).mean()
    terms = {"loss/logistic": loss}
    if squares is not None:
        penalty = settings.gamma / 2 * squares.mean()
        loss = loss + penalty
        terms |= {"loss/r1": penalty, "scores/gradient_norm": squares.sqrt().mean()}
    return judged, loss, terms


def generator_loss(fake_scores: Tensor) -> Tensor:
    """Give what the generator minimizes, of the fakes' scores [N]."""
    return F.softplus(-fake_scores).mean()
