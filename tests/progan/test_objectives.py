"""What the networks minimize, against the formulas worked out in float64."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from progan import networks
from progan.layers import minibatch_deviation
from progan.networks import Critic
from progan.objective_settings import ObjectiveSettings
from progan.objectives import critic_objective, generator_objective, gradient_norms

SAMPLES = 8


def small_critic(label_size: int = 0, fmap_max: int = 4) -> Critic:
    random = torch.Generator().manual_seed(3)
    critic = Critic(resolution=8, fmap_base=16, fmap_max=fmap_max, label_size=label_size).double()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return critic.stand(3, 0.6)


def material() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    reals = torch.randn(SAMPLES, 3, 8, 8, generator=random, dtype=torch.float64)
    fakes = torch.randn(SAMPLES, 3, 8, 8, generator=random, dtype=torch.float64)
    return reals, fakes, torch.rand(SAMPLES, generator=random, dtype=torch.float64)


def numerical_norms(critic: Critic, images: torch.Tensor) -> np.ndarray[Any, Any]:
    """Gradient norms of the sum of scores by central differences, sample by sample."""
    step = 1e-5
    flat = images.reshape(SAMPLES, -1)
    slopes = torch.empty_like(flat)
    with torch.no_grad():
        for pixel in range(flat.shape[1]):
            for sample in range(SAMPLES):
                moved = flat.clone()
                moved[sample, pixel] += step
                above = critic(moved.reshape(images.shape))[:, 0].sum()
                moved[sample, pixel] -= 2 * step
                below = critic(moved.reshape(images.shape))[:, 0].sum()
                slopes[sample, pixel] = (above - below) / (2 * step)
    return np.asarray(np.sqrt(np.square(slopes.numpy()).sum(axis=1)))


@pytest.mark.parametrize("target", [1.0, 750.0])
def test_the_critic_minimizes_the_papers_formula(target: float) -> None:
    critic = small_critic()
    reals, fakes, mixing = material()
    settings = ObjectiveSettings(penalty_target=target)
    loss, scalars = critic_objective(critic, reals, fakes, mixing, settings)

    with torch.no_grad():
        real, fake = (critic(x)[:, 0].numpy() for x in (reals, fakes))
    u = mixing.numpy().reshape(-1, 1, 1, 1)
    mixed = torch.from_numpy(reals.numpy() * (1 - u) + fakes.numpy() * u)
    norms = numerical_norms(critic, mixed)
    penalty = 10 * (norms - target) ** 2 / target**2
    assert loss.item() == pytest.approx(np.mean(fake - real + penalty + 0.001 * real**2), rel=1e-6)
    assert scalars["loss/wasserstein"].item() == pytest.approx(np.mean(real) - np.mean(fake))
    assert scalars["scores/gradient_norm"].item() == pytest.approx(norms.mean(), rel=1e-6)
    assert scalars["loss/drift"].item() == pytest.approx(0.001 * np.mean(real**2))


def test_every_weight_of_an_objectives_term_counts() -> None:
    critic = small_critic()
    reals, fakes, mixing = material()

    def weighed(penalty: float, drift: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        settings = ObjectiveSettings(penalty_weight=penalty, drift_weight=drift)
        return critic_objective(critic, reals, fakes, mixing, settings)

    plain, drifting = weighed(0, 0)[0], weighed(0, 2)[0]
    penalized, scalars = weighed(3, 0)
    norms = scalars["loss/gradient_penalty"]
    assert (penalized - plain).item() == pytest.approx(norms.item())
    squares = critic(reals)[:, 0].square().mean()
    assert (drifting - plain).item() == pytest.approx(2 * squares.item())


def test_the_penaltys_gradient_passes_gradcheck_for_every_weight_of_the_critic() -> None:
    critic = small_critic(fmap_max=2)
    images = material()[0][:4]
    parameters = critic.active_parameters()

    def penalty(*values: torch.Tensor) -> torch.Tensor:
        names = [n for n, p in critic.named_parameters() if any(p is q for q in parameters)]
        given = dict(critic.named_parameters()) | dict(zip(names, values, strict=True))
        leaf = images.detach().requires_grad_()
        scores = torch.func.functional_call(critic, given, (leaf,))[:, 0].sum()
        (gradient,) = torch.autograd.grad(scores, leaf, create_graph=True)
        return (gradient.square().sum(dim=(1, 2, 3)).sqrt() - 1).square().mean()

    in_named_order = [p for p in critic.parameters() if any(p is q for q in parameters)]
    copies = [p.detach().clone().requires_grad_() for p in in_named_order]
    assert sum(p.numel() for p in copies) > 200
    assert torch.autograd.gradcheck(penalty, copies, atol=1e-4)


class Frozen:
    """Stands for what bends in the critic: as it was at the first pass, whatever the weights do."""

    def __init__(self) -> None:
        self.slopes: list[torch.Tensor] = []
        self.deviations: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.place = 0

    def activate(self, x: torch.Tensor, **_: bool) -> torch.Tensor:
        self.place += 1
        if len(self.slopes) < self.place:
            self.slopes.append(torch.where(x.detach() > 0, 1.0, 0.2).double())
        return x * self.slopes[self.place - 1]

    def deviation(self, x: torch.Tensor, group_size: int, **_: bool) -> torch.Tensor:
        if not self.deviations:
            here = x.detach()
            jacobian = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
                lambda y: minibatch_deviation(y, group_size)[:, -1, 0, 0], here
            )
            assert isinstance(jacobian, torch.Tensor)
            self.deviations.append((minibatch_deviation(here, group_size)[:, -1, 0, 0], jacobian))
        value, jacobian = self.deviations[0]
        moved = torch.einsum("iNCHW,NCHW->i", jacobian, x)
        moved = moved - moved.detach() + value
        return torch.cat([x, moved.reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], dim=1)


def test_without_curvature_slopes_are_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    critic, images = small_critic(), material()[0]
    parameters = critic.active_parameters()

    def penalty_and_gradient(**how: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
        norms = gradient_norms(critic, images, **how)
        asked = torch.autograd.grad(
            (norms - 1).square().mean(), parameters, allow_unused=True, materialize_grads=True
        )
        return norms, list(asked)

    bent_norms, bent = penalty_and_gradient()
    norms, found = penalty_and_gradient(curvature=False)
    frozen = Frozen()
    monkeypatch.setattr(networks, "activate", frozen.activate)
    monkeypatch.setattr(networks, "minibatch_deviation", frozen.deviation)
    frozen_norms, expected = penalty_and_gradient()
    torch.testing.assert_close(norms, bent_norms)
    torch.testing.assert_close(norms, frozen_norms)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    different = [not torch.allclose(one, other) for one, other in zip(found, bent, strict=True)]
    assert any(different)


def test_the_norms_are_differentiable_where_the_gradient_is_zero() -> None:
    critic = small_critic()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.zero_()
    norms = gradient_norms(critic, material()[0])
    gradients = torch.autograd.grad(
        (norms - 1).square().sum(), critic.active_parameters(), allow_unused=True
    )
    assert all(g is None or bool(torch.isfinite(g).all()) for g in gradients)


def cross_entropy(logits: torch.Tensor, labels: list[int]) -> float:
    terms = []
    for row, label in zip(logits.tolist(), labels, strict=True):
        terms.append(math.log(sum(math.exp(x - row[label]) for x in row)))
    return sum(terms) / len(terms)


def test_class_terms_are_added_for_reals_and_for_fakes() -> None:
    critic = small_critic(label_size=3)
    reals, fakes, mixing = material()
    of_reals, of_fakes = [0, 1, 2, 0, 1, 2, 0, 1], [2, 2, 1, 1, 0, 0, 2, 1]
    with torch.no_grad():
        on_reals, on_fakes = critic(reals), critic(fakes)
    expected_reals = cross_entropy(on_reals[:, 1:], of_reals)
    expected_fakes = cross_entropy(on_fakes[:, 1:], of_fakes)
    without = critic_objective(critic, reals, fakes, mixing)[0]
    loss, scalars = critic_objective(
        critic,
        reals,
        fakes,
        mixing,
        ObjectiveSettings(label_weight=0.5),
        real_labels=torch.tensor(of_reals),
        fake_labels=torch.tensor(of_fakes),
    )
    added = 0.5 * (expected_reals + expected_fakes)
    assert (loss - without).item() == pytest.approx(added)
    assert scalars["loss/class_of_reals"].item() == pytest.approx(0.5 * expected_reals)

    generated = generator_objective(critic, fakes, labels=torch.tensor(of_fakes))[0]
    score = -on_fakes[:, 0].mean().item()
    assert generated.item() == pytest.approx(score + expected_fakes)


def test_the_generator_wants_high_scores() -> None:
    critic = small_critic()
    fakes = material()[1].requires_grad_()
    loss, scalars = generator_objective(critic, fakes)
    assert loss.item() == pytest.approx(-critic(fakes)[:, 0].mean().item())
    assert scalars["loss/generator"].item() == loss.item()
    (slope,) = torch.autograd.grad(loss, fakes)
    with torch.no_grad():
        better = critic(fakes - 1e-4 * slope)[:, 0].mean()
    assert better > -loss
