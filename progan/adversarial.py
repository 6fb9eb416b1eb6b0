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
from progan.objective_settings import PAPERS, ObjectiveSettings
from progan.objectives import Scalars


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
        mixing: u in [0, 1), [N]; for `wasserstein` alone.
        settings: which objective it is, what its terms weigh, and how penalties are taken.
        real_labels: class numbers [N], if there are classes.
        fake_labels: class numbers [N] that the fakes were made for.

    Returns:
        The objective, and its terms (without graph) by name. But for `wasserstein`, `scores/sign`
        among them says how sure the critic is of reals: the mean sign in [-1, 1] of a real's score
        for `logistic`, whose mark is 0, and of what it is above its fake's for `relativistic`.
    """
    if settings.objective == "wasserstein":
        return objectives.critic_objective(
            critic,
            reals,
            fakes,
            mixing,
            settings,
            real_labels=real_labels,
            fake_labels=fake_labels,
        )
    alone = settings.objective == "logistic"
    terms_of = logistic.critic_terms if alone else relativistic.critic_terms
    judged, loss, terms = terms_of(critic, reals, fakes, settings)
    real_scores, fake_scores = judged[:, 0].chunk(2)
    clear = real_scores if alone else real_scores - fake_scores
    scalars = terms | {
        "scores/real": real_scores.mean(),
        "scores/fake": fake_scores.mean(),
        "scores/sign": clear.sign().mean(),
    }
    if real_labels is not None and fake_labels is not None:
        on_reals, on_fakes = judged[:, 1:].chunk(2)
        real_class = settings.label_weight * F.cross_entropy(on_reals, real_labels)
        fake_class = settings.label_weight * F.cross_entropy(on_fakes, fake_labels)
        loss = loss + real_class + fake_class
        scalars |= {"loss/class_of_reals": real_class, "loss/class_of_fakes": fake_class}
    scalars["loss/critic"] = loss
    return loss, {name: value.detach() for name, value in scalars.items()}


def generator_objective(
    critic: Critic,
    fakes: Tensor,
    settings: ObjectiveSettings = PAPERS,
    *,
    reals: Tensor | None = None,
    labels: Tensor | None = None,
) -> tuple[Tensor, Scalars]:
    """Give what the generator minimizes.

    Args:
        critic: standing at the images' level.
        fakes: [N, C, H, W], with their graph.
        settings: which objective it is, and what the class term weighs.
        reals: [N, C, H, W], the fakes' partners; for `relativistic` alone.
        labels: class numbers [N] that the fakes were made for, if there are classes.

    Returns:
        The objective, and its terms (without graph) by name.

    Raises:
        ValueError: `relativistic` has no reals.
    """
    if settings.objective == "wasserstein":
        return objectives.generator_objective(critic, fakes, settings, labels=labels)
    judged = critic(fakes)
    if settings.objective == "logistic":
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
        loss = loss + settings.label_weight * F.cross_entropy(judged[:, 1:], labels)
    return loss, {"loss/generator": loss.detach()}
