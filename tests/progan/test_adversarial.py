"""The later objectives against their equations, worked out in float64 from scores and slopes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from progan.adversarial import critic_objective, generator_objective
from progan.networks import Critic
from progan.objective_settings import ObjectiveSettings
from progan.objectives import critic_objective as papers_critic_objective
from progan.penalties import judge_with_slopes
from tests.progan.test_objectives import cross_entropy, material, numerical_norms, small_critic


def softplus(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0))


def scores(critic: Critic, images: Tensor) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return np.asarray(critic(images)[:, 0].numpy())


@pytest.mark.parametrize("curvature", [True, False])
@pytest.mark.parametrize("objective", ["logistic", "relativistic"])
def test_the_critic_minimizes_the_published_formula(objective: str, curvature: bool) -> None:
    critic = small_critic()
    reals, fakes, mixing = material()
    settings = ObjectiveSettings(objective=objective, gamma=0.3, penalty_curvature=curvature)
    loss, scalars = critic_objective(critic, reals, fakes, mixing, settings)
    real, fake = scores(critic, reals), scores(critic, fakes)
    r1, r2 = (np.mean(numerical_norms(critic, x) ** 2) * 0.3 / 2 for x in (reals, fakes))
    if objective == "logistic":
        expected = np.mean(softplus(fake)) + np.mean(softplus(-real)) + r1
        sure = np.mean(np.sign(real))
    else:
        expected = np.mean(softplus(fake - real)) + r1 + r2
        sure = np.mean(np.sign(real - fake))
        assert scalars["loss/r2"].item() == pytest.approx(r2, rel=1e-6)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert scalars["loss/r1"].item() == pytest.approx(r1, rel=1e-6)
    assert scalars["scores/sign"].item() == pytest.approx(sure)
    assert not any(value.requires_grad for value in scalars.values())


@pytest.mark.parametrize("objective", ["logistic", "relativistic"])
def test_the_generator_minimizes_the_published_formula(objective: str) -> None:
    critic = small_critic()
    reals, fakes, _ = material()
    real, fake = scores(critic, reals), scores(critic, fakes)
    settings = ObjectiveSettings(objective=objective)
    loss, _ = generator_objective(critic, fakes, settings, reals=reals)
    margin = -fake if objective == "logistic" else real - fake
    assert loss.item() == pytest.approx(np.mean(softplus(margin)))


@pytest.mark.parametrize("objective", ["logistic", "relativistic"])
def test_without_gamma_the_objective_is_the_same_without_the_penalty(objective: str) -> None:
    critic = small_critic()
    reals, fakes, mixing = material()
    settings = ObjectiveSettings(objective=objective, gamma=0.0)
    without, scalars = critic_objective(critic, reals, fakes, mixing, settings)
    settings = ObjectiveSettings(objective=objective, gamma=2.0)
    penalized, more = critic_objective(critic, reals, fakes, mixing, settings)
    penalties = more["loss/r1"] + more.get("loss/r2", torch.zeros(()))
    assert (penalized - without).item() == pytest.approx(penalties.item())
    assert "loss/r1" not in scalars


def test_the_papers_objective_is_handed_on_to_the_bit() -> None:
    critic = small_critic(label_size=3)
    reals, fakes, mixing = material()
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    settings = ObjectiveSettings(
        gamma=5.0,
        penalty_weight=3.0,
        penalty_target=2.0,
        penalty_curvature=False,
        drift_weight=0.1,
        label_weight=0.7,
    )
    given = (critic, reals, fakes, mixing, settings)
    expected, _ = papers_critic_objective(*given, real_labels=labels, fake_labels=labels.flip(0))
    found, _ = critic_objective(*given, real_labels=labels, fake_labels=labels.flip(0))
    assert torch.equal(found, expected)


def test_the_squared_slopes_gradient_passes_gradcheck_for_every_weight_of_the_critic() -> None:
    critic = small_critic(fmap_max=2)
    images = torch.cat([part[:2] for part in material()[:2]])
    named = dict(critic.named_parameters())
    active = [n for n, p in named.items() if any(p is q for q in critic.active_parameters())]

    def penalty(*values: Tensor) -> Tensor:
        given = named | dict(zip(active, values, strict=True))
        of_the_module = {f"critic.{name}": value for name, value in given.items()}
        found: Tensor = torch.func.functional_call(_Slopes(critic), of_the_module, (images,))
        return found

    copies = [named[name].detach().clone().requires_grad_() for name in active]
    assert sum(p.numel() for p in copies) > 200
    assert torch.autograd.gradcheck(penalty, copies, atol=1e-4)


class _Slopes(torch.nn.Module):
    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, images: Tensor) -> Tensor:
        return judge_with_slopes(self.critic, images, minibatches=2)[1].mean()


def test_judging_gives_the_same_scores_and_first_derivatives_with_and_without_curvature() -> None:
    critic = small_critic()
    images = material()[0]
    expected = critic(images, minibatches=2)
    wanted = torch.autograd.grad(expected.square().sum(), critic.active_parameters())
    for curvature in (True, False):
        judged, squares = judge_with_slopes(critic, images, minibatches=2, curvature=curvature)
        torch.testing.assert_close(judged, expected)
        found = torch.autograd.grad(
            judged.square().sum(), critic.active_parameters(), retain_graph=True
        )
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other)
        assert squares.dtype == torch.float64


@pytest.mark.parametrize("objective", ["logistic", "relativistic"])
def test_class_terms_are_added_for_reals_and_for_fakes(objective: str) -> None:
    critic = small_critic(label_size=3)
    reals, fakes, mixing = material()
    of_reals, of_fakes = [0, 1, 2, 0, 1, 2, 0, 1], [2, 2, 1, 1, 0, 0, 2, 1]
    with torch.no_grad():
        on_reals, on_fakes = critic(reals), critic(fakes)
    settings = ObjectiveSettings(objective=objective, gamma=0.2, label_weight=0.5)
    without = critic_objective(critic, reals, fakes, mixing, settings)[0]
    loss, scalars = critic_objective(
        critic,
        reals,
        fakes,
        mixing,
        settings,
        real_labels=torch.tensor(of_reals),
        fake_labels=torch.tensor(of_fakes),
    )
    real_class = cross_entropy(on_reals[:, 1:], of_reals)
    fake_class = cross_entropy(on_fakes[:, 1:], of_fakes)
    assert (loss - without).item() == pytest.approx(0.5 * (real_class + fake_class))
    assert scalars["loss/class_of_reals"].item() == pytest.approx(0.5 * real_class)
    plain = generator_objective(critic, fakes, settings, reals=reals)[0]
    generated = generator_objective(
        critic, fakes, settings, reals=reals, labels=torch.tensor(of_fakes)
    )[0]
    assert (generated - plain).item() == pytest.approx(0.5 * fake_class)


def test_relativistic_fakes_need_partners() -> None:
    settings = ObjectiveSettings(objective="relativistic")
    with pytest.raises(ValueError, match="paired with"):
        generator_objective(small_critic(), material()[1], settings)


def test_large_scores_stay_finite() -> None:
    critic = small_critic()
    with torch.no_grad():
        critic.blocks["2"].dense1.weight.mul_(1e6)  # type: ignore[union-attr, operator]
    reals, fakes, mixing = material()
    for objective in ("logistic", "relativistic"):
        settings = ObjectiveSettings(objective=objective)
        loss, _ = critic_objective(critic, reals, fakes, mixing, settings)
        assert math.isfinite(loss.item())
