"""The objective of a run, chosen by its name: one pair of functions for all of them.

`wasserstein` is the paper's (`objectives`); `logistic` and `relativistic`, of later years, have
files of their own. With classes, the softmax cross-entropy of the critic's class logits is added to
each of them in the same way (AC-GAN).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from progan import logistic, objectives, relativistic
from progan.networks import Critic
from progan.objectives import Scalars


def critic_objective(
    critic: Critic,
    reals: Tensor,
    fakes: Tensor,
    mixing: Tensor,
    *,
    objective: str = "wasserstein",
    gamma: float = 0.0,
    penalty_weight: float = 10.0,
    penalty_target: float = 1.0,
    penalty_curvature: bool = True,
    penalty_scale: float = 1.0,
    drift_weight: float = 0.001,
    label_weight: float = 1.0,
    real_labels: Tensor | None = None,
    fake_labels: Tensor | None = None,
) -> tuple[Tensor, Scalars]:
    """Give what the critic minimizes.

    Args:
        critic: standing at the images' level.
        reals: [N, C, H, W], faded as the level is.
        fakes: [N, C, H, W], without a graph.
        mixing: u in [0, 1), [N]; for `wasserstein` alone, as are the weights of penalty and drift.
        objective: one of `config.OBJECTIVES`.
        gamma: weight of R1 and R2, for the other two; where it is 0, they are not evaluated.
        penalty_weight: weight of the paper's gradient penalty.
        penalty_target: gradient norm that the paper's penalty asks for.
        penalty_curvature: as for `objectives.gradient_norms`; for all penalties.
        penalty_scale: as for `objectives.gradient_norms`; for all penalties.
        drift_weight: weight of the real scores' mean square.
        label_weight: weight of the class terms.
        real_labels: class numbers [N], if there are classes.
        fake_labels: class numbers [N] that the fakes were made for.

    Returns:
        The objective, and its terms (without graph) by name. But for `wasserstein`, `scores/sign`
        among them says how sure the critic is of reals: the mean sign in [-1, 1] of a real's score
        for `logistic`, whose mark is 0, and of what it is above its fake's for `relativistic`.
    """
    if objective == "wasserstein":
        return objectives.critic_objective(
            critic,
            reals,
            fakes,
            mixing,
            penalty_weight=penalty_weight,
            penalty_target=penalty_target,
            penalty_curvature=penalty_curvature,
            penalty_scale=penalty_scale,
            drift_weight=drift_weight,
            label_weight=label_weight,
            real_labels=real_labels,
            fake_labels=fake_labels,
        )
    terms_of = logistic.critic_terms if objective == "logistic" else relativistic.critic_terms
    judged, loss, terms = terms_of(
        critic, reals, fakes, gamma=gamma, curvature=penalty_curvature, scale=penalty_scale
    )
    real_scores, fake_scores = judged[:, 0].chunk(2)
    clear = real_scores if objective == "logistic" else real_scores - fake_scores
    scalars = terms | {
        "scores/real": real_scores.mean(),
        "scores/fake": fake_scores.mean(),
        "scores/sign": clear.sign().mean(),
    }
    if real_labels is not None and fake_labels is not None:
        on_reals, on_fakes = judged[:, 1:].chunk(2)
        real_class = label_weight * F.cross_entropy(on_reals, real_labels)
        fake_class = label_weight * F.cross_entropy(on_fakes, fake_labels)
        loss = loss + real_class + fake_class
        scalars |= {"loss/class_of_reals": real_class, "loss/class_of_fakes": fake_class}
    scalars["loss/critic"] = loss
    return loss, {name: value.detach() for name, value in scalars.items()}


def generator_objective(
    critic: Critic,
    fakes: Tensor,
    *,
    objective: str = "wasserstein",
    reals: Tensor | None = None,
    label_weight: float = 1.0,
    labels: Tensor | None = None,
) -> tuple[Tensor, Scalars]:
    """Give what the generator minimizes.

    Args:
        critic: standing at the images' level.
        fakes: [N, C, H, W], with their graph.
        objective: one of `config.OBJECTIVES`.
        reals: [N, C, H, W], the fakes' partners; for `relativistic` alone.
        label_weight: weight of the class term.
        labels: class numbers [N] that the fakes were made for, if there are classes.

    Returns:
        The objective, and its terms (without graph) by name.

    Raises:
        ValueError: `relativistic` has no reals.
    """
    if objective == "wasserstein":
        return objectives.generator_objective(
            critic, fakes, label_weight=label_weight, labels=labels
        )
    judged = critic(fakes)
    if objective == "logistic":
        loss = logistic.generator_loss(judged[:, 0])
    else:
        if reals is None:
            raise ValueError(
                "the relativistic objective needs the reals that fakes are paired with"
            )
        with torch.no_grad():  # nothing of the generator's is in them
            real_scores = critic(reals)[:, 0]
        loss = relativistic.generator_loss(judged[:, 0], real_scores)
    if labels is not None:
        loss = loss + label_weight * F.cross_entropy(judged[:, 1:], labels)
    return loss, {"loss/generator": loss.detach()}
