"""What each network minimizes (PAPER: appendix A.1; WGAN-GP of Gulrajani et al. 2017, AC-GAN).

Critic:     D(fake) − D(real) + 10·(‖∇D(x̂)‖₂ − 1)² + 0.001·D(real)²
Generator:  −D(fake)
with x̂ = lerp(real, fake, u), one uniform u a sample; means over the minibatch. With classes, the
softmax cross-entropy of the critic's class logits is added.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from progan.networks import Critic
from progan.objective_settings import PAPERS, ObjectiveSettings

Scalars = dict[str, Tensor]


def gradient_norms(
    critic: Critic, images: Tensor, *, curvature: bool = True, scale: float = 1.0
) -> Tensor:
    """Give ‖∇D‖₂ over all pixels and colours of each sample, [N], itself differentiable.

    Args:
        critic: standing at the images' level.
        images: [N, C, H, W].
        curvature: whether the derivative by the weights sees how the slopes of the minibatch
            standard deviation change. All else in the critic is linear in pieces, so that without
            it, two of the penalty's six passes through the critic are spared.
        scale: a power of two by which gradients are multiplied within the critic, and divided
            again before the norm is taken. Where a critic computes in float16, gradients of single
            pixels would be too small otherwise; to rounding, nothing else changes.
    """
    images = images.detach().requires_grad_()
    scores = critic(images, flat=not curvature)[:, 0].sum()
    if scale != 1:
        scores = scores * scale
    (gradient,) = torch.autograd.grad(scores, images, create_graph=True)
    if scale != 1:
        gradient = gradient / scale
    # The tiny number keeps the square root's derivative finite where the gradient is zero.
    return (gradient.square().sum(dim=(1, 2, 3)) + 1e-16).sqrt()


def critic_objective(
    critic: Critic,
    reals: Tensor,
    fakes: Tensor,
    mixing: Tensor,
    settings: ObjectiveSettings = PAPERS,
    *,
    real_labels: Tensor | None = None,
    fake_labels: Tensor | None = None,
) -> tuple[Tensor, Scalars]:
    """Give what the critic minimizes.

    Args:
        critic: standing at the images' level.
        reals: [N, C, H, W], faded as the level is.
        fakes: [N, C, H, W], without a graph.
        mixing: u in [0, 1), [N].
        settings: what the terms weigh, and how the penalty is taken.
        real_labels: class numbers [N], if there are classes.
        fake_labels: class numbers [N] that the fakes were made for.

    Returns:
        The objective, and its terms (without graph) by name.
    """
    # Together they keep a processor busier than one after the other.
    on_reals, on_fakes = critic(torch.cat([reals, fakes]), minibatches=2).chunk(2)
    real_scores, fake_scores = on_reals[:, 0], on_fakes[:, 0]
    difference = fake_scores.mean() - real_scores.mean()
    drift = settings.drift_weight * real_scores.square().mean()
    loss = difference + drift
    scalars = {
        "loss/wasserstein": -difference,
        "loss/drift": drift,
        "scores/real": real_scores.mean(),
        "scores/fake": fake_scores.mean(),
    }
    if settings.penalty_weight > 0:
        target = settings.penalty_target
        mixed = torch.lerp(reals, fakes, mixing.reshape(-1, 1, 1, 1))
        norms = gradient_norms(
            critic, mixed, curvature=settings.penalty_curvature, scale=settings.penalty_scale
        )
        penalty = settings.penalty_weight * ((norms - target) / target).square().mean()
        loss = loss + penalty
        scalars |= {
            "loss/gradient_penalty": penalty,
            "scores/gradient_norm": norms.mean(),
        }
    if real_labels is not None and fake_labels is not None:
        real_class = F.cross_entropy(on_reals[:, 1:], real_labels)
        fake_class = F.cross_entropy(on_fakes[:, 1:], fake_labels)
        loss = loss + settings.label_weight * (real_class + fake_class)
        scalars |= {
            "loss/class_of_reals": settings.label_weight * real_class,
            "loss/class_of_fakes": settings.label_weight * fake_class,
        }
    scalars["loss/critic"] = loss
    return loss, {name: value.detach() for name, value in scalars.items()}


def generator_objective(
    critic: Critic,
    fakes: Tensor,
    settings: ObjectiveSettings = PAPERS,
    *,
    labels: Tensor | None = None,
) -> tuple[Tensor, Scalars]:
    """Give what the generator minimizes.

    Args:
        critic: standing at the images' level.
        fakes: [N, C, H, W], with their graph.
        settings: what the class term weighs.
        labels: class numbers [N] that the fakes were made for, if there are classes.

    Returns:
        The objective, and its terms (without graph) by name.
    """
    judged = critic(fakes)
    loss = -judged[:, 0].mean()
    if labels is not None:
        loss = loss + settings.label_weight * F.cross_entropy(judged[:, 1:], labels)
    return loss, {"loss/generator": loss.detach()}
