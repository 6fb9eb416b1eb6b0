"""Half precision: what computes in which type, that results stay near float32's, loss scaling."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from progan.layers import minibatch_deviation, normalize_pixels
from progan.networks import Critic, Generator
from progan.objective_settings import ObjectiveSettings
from progan.objectives import critic_objective, generator_objective, gradient_norms
from progan.precision import LossScale, computing_type
from tests.progan.making import one_thread as one_thread

pytestmark = pytest.mark.usefixtures("one_thread")

HALVES = [torch.bfloat16, torch.float16]
# The size of a rounding error, relative.
ROUNDING = {torch.bfloat16: 2**-8, torch.float16: 2**-11}
# How far gradients may turn.
NEAR = {torch.bfloat16: 0.015, torch.float16: 0.004}


def networks(resolution: int = 32, **changes: Any) -> tuple[Generator, Critic]:
    torch.manual_seed(3)
    shared: dict[str, Any] = {"resolution": resolution, "fmap_base": 256, "fmap_max": 32, **changes}
    generator, critic = Generator(**shared), Critic(**shared)
    with torch.no_grad():
        for parameter in [*generator.parameters(), *critic.parameters()]:
            if parameter.ndim == 1:  # biases of zero would hide mistakes
                parameter.normal_(std=0.3)
    return generator, critic


def gradients(
    generator: Generator, critic: Critic, **options: Any
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Both objectives' gradients by name, and their terms."""
    numbers = torch.Generator().manual_seed(7)
    side = 2**critic.level
    stored = critic.active_parameters()[0].dtype
    reals = (torch.rand(8, 3, side, side, generator=numbers) * 2 - 1).to(stored)
    latents = torch.randn(8, generator.latent_size, generator=numbers).to(stored)
    mixing = torch.rand(8, generator=numbers).to(stored)
    fakes = generator(latents)
    with critic.shared_weights():
        loss, scalars = critic_objective(
            critic, reals, fakes.detach(), mixing, ObjectiveSettings(**options)
        )
    found = {}
    for network, objective in (
        (critic, loss),
        (generator, generator_objective(critic, fakes)[0]),
    ):
        parameters = dict(network.named_parameters())
        of = torch.autograd.grad(objective, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, of, strict=True):
            if gradient is not None:
                found[f"{type(network).__name__}.{name}"] = gradient
    return found, {name: value.item() for name, value in scalars.items()}


class Recorded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the type and order in memory of what convolutions and products take."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.convolutions: list[tuple[tuple[int, ...], torch.dtype, bool]] = []
        self.products: list[torch.dtype] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        if func is aten.convolution.default:
            x, weight = args[:2]
            assert x.dtype == weight.dtype
            last = all(t.is_contiguous(memory_format=torch.channels_last) for t in (x, weight))
            self.convolutions.append((tuple(weight.shape), x.dtype, last))
        elif func in (aten.addmm.default, aten.mm.default):
            self.products.append(args[-1].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(("level", "fade"), [(2, 1.0), (4, 0.3), (5, 1.0)])
def test_wide_convolutions_compute_in_half_precision_and_nothing_else(
    half: torch.dtype, level: int, fade: float
) -> None:
    generator, critic = networks()
    for network in (generator, critic):
        network.stand(level, fade).compute_in(half)
    with torch.no_grad(), Recorded() as made:
        images = generator(torch.randn(4, generator.latent_size))
    assert images.dtype == torch.float32
    for shape, dtype, _ in made.convolutions:
        assert dtype == (torch.float32 if shape[0] == 3 else half), shape  # colours come out exact
    with torch.no_grad(), Recorded() as judged:
        scores = critic(images)
    assert scores.dtype == torch.float32
    assert {dtype for _, dtype, _ in judged.convolutions} == {half}
    assert {*made.products, *judged.products} == {torch.float32}
    for network in (generator, critic):
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        network.compute_in(None)
    with torch.no_grad(), Recorded() as again:
        critic(generator(torch.randn(4, generator.latent_size)))
    assert {dtype for _, dtype, _ in again.convolutions} == {torch.float32}


@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_maps_of_a_pixel_lie_together_where_that_is_asked_for(half: torch.dtype | None) -> None:
    generator, critic = networks(64)
    if half is None:
        generator, critic = generator.double(), critic.double()
    expected, _ = gradients(generator, critic)
    for network in (generator, critic):
        network.compute_in(half, channels_last=True)
    with Recorded() as made, torch.no_grad():
        stored = critic.active_parameters()[0].dtype
        critic(generator(torch.randn(4, generator.latent_size).to(stored)))
    wide = [entry for entry in made.convolutions if min(entry[0][:2]) > 3]
    assert len(wide) == 18 and all(last for _, _, last in wide)
    found, _ = gradients(generator, critic)
    for parameter in [*generator.parameters(), *critic.parameters()]:
        assert parameter.is_contiguous()  # the fused optimizer walks through memory
    if half is None:  # the same numbers in another order
        for name, gradient in found.items():
            close = 1e-9 * float(expected[name].abs().max())
            assert torch.allclose(gradient, expected[name], rtol=1e-9, atol=close), name


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(("level", "fade"), [(3, 1.0), (5, 0.4)])
@pytest.mark.parametrize("curvature", [True, False])
def test_gradients_in_half_precision_are_near_those_in_float32(
    half: torch.dtype, level: int, fade: float, curvature: bool
) -> None:
    generator, critic = networks()
    for network in (generator, critic):
        network.stand(level, fade)
    expected, terms = gradients(generator, critic, penalty_curvature=curvature)
    for network in (generator, critic):
        network.compute_in(half)
    scale = 2.0**level if half is torch.float16 else 1.0
    found, half_terms = gradients(
        generator, critic, penalty_curvature=curvature, penalty_scale=scale
    )
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        if expected[name].norm() > 1e-6:  # the last bias has no gradient but the drift's
            like = F.cosine_similarity(gradient.flatten(), expected[name].flatten(), dim=0)
            # Where rounding moves a feature to the other side of zero, its slope is another.
            assert like > 1 - NEAR[half], (name, like.item())
            ratio = gradient.norm() / expected[name].norm()
            assert abs(ratio - 1) < 8 * NEAR[half], (name, ratio.item())
    for name, value in terms.items():
        assert half_terms[name] == pytest.approx(value, rel=0.05, abs=0.01), name


@pytest.mark.parametrize("half", HALVES)
def test_the_pixel_norm_sums_squares_in_float32(half: torch.dtype) -> None:
    # The square of 300 is beyond float16, and bfloat16 cannot add 1 to 256.
    x = torch.full((2, 512, 3, 3), 300.0)
    x[:, 1:] = 1.0
    exact = normalize_pixels(x.double())
    found = normalize_pixels(x.to(half))
    assert found.dtype == half
    assert torch.allclose(found.double(), exact, rtol=2 * ROUNDING[half], atol=1e-4)
    nothing = torch.zeros(1, 4, 1, 1, dtype=half, requires_grad=True)
    (gradient,) = torch.autograd.grad(normalize_pixels(nothing).sum(), nothing)
    assert bool(torch.isfinite(gradient).all())
    # In float16 the release adds 1e-4: a smaller number would give derivatives beyond its reach.
    tiny = torch.full((1, 4, 1, 1), 1e-3, dtype=half)
    expected = 1e-3 / math.sqrt(1e-6 + (1e-4 if half is torch.float16 else 1e-8))
    assert normalize_pixels(tiny)[0, 0].item() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("half", HALVES)
def test_the_pixel_norms_derivative_is_that_of_float32(half: torch.dtype) -> None:
    x, direction = torch.randn(4, 32, 5, 5), torch.randn(4, 32, 5, 5)
    found = []
    for dtype in (half, torch.float32):
        at = x.to(half).to(dtype).requires_grad_()
        found.append(torch.autograd.grad(normalize_pixels(at), at, direction.to(dtype))[0].float())
    assert torch.allclose(found[0], found[1], rtol=0.05, atol=0.03)


@pytest.mark.parametrize("half", HALVES)
def test_the_minibatch_deviation_is_computed_in_float32(half: torch.dtype) -> None:
    # Features that differ by one rounding step of their type, around a large mean.
    x = torch.full((8, 4, 4, 4), 1.0)
    x[::2] += ROUNDING[half] * 2
    exact = minibatch_deviation(x, 4)[:, -1].double()
    assert exact.max() > 0
    found = minibatch_deviation(x.to(half), 4)[:, -1]
    assert torch.allclose(found.double(), exact, rtol=0.01, atol=0)


def test_small_gradients_survive_in_float16_because_they_are_scaled() -> None:
    _, critic = networks(64)
    with torch.no_grad():  # a critic that hardly slopes
        critic.get_parameter("blocks.2.dense1.weight").mul_(1e-4)
    images = torch.randn(4, 3, 64, 64)
    exact = gradient_norms(critic, images)
    critic.compute_in(torch.float16)
    found = gradient_norms(critic, images, scale=64.0)
    assert torch.allclose(found, exact, rtol=0.01)
    assert not torch.allclose(gradient_norms(critic, images), exact, rtol=0.01)


def test_a_gradient_norms_scale_changes_nothing_in_float32() -> None:
    _, critic = networks()
    images = torch.randn(4, 3, 32, 32)
    parameters = critic.active_parameters()[:3]
    found = [gradient_norms(critic, images, scale=scale) for scale in (1.0, 32.0)]
    assert torch.allclose(found[0], found[1], rtol=1e-6)
    for one, other in zip(*[torch.autograd.grad(n.sum(), parameters) for n in found], strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-7)


FINE, FAILED = torch.tensor(0.0), torch.tensor(1.0)
LOSS, BROKEN = torch.tensor(3.0), torch.tensor(float("nan"))


def test_the_loss_scale_halves_on_overflow_and_doubles_after_many_good_steps() -> None:
    scale = LossScale(torch.device("cpu"))
    assert scale.scale.item() == 65536
    assert scale.update_(FAILED, LOSS).item() == 1
    assert scale.scale.item() == 32768
    for _ in range(1999):
        assert scale.update_(FINE, LOSS).item() == 0
    assert (scale.scale.item(), scale.good_steps.item()) == (32768, 1999)
    scale.update_(FINE, LOSS)
    assert (scale.scale.item(), scale.good_steps.item()) == (65536, 0)
    for _ in range(1999):
        scale.update_(FINE, LOSS)
    scale.update_(FAILED, LOSS)  # one failure, and the count begins again
    for _ in range(1999):
        scale.update_(FINE, LOSS)
    assert scale.scale.item() == 32768


def test_the_loss_scale_has_bounds_at_which_failures_are_no_longer_its_own() -> None:
    scale = LossScale(torch.device("cpu"))
    excused = [scale.update_(FAILED, LOSS).item() for _ in range(20)]
    assert excused == [1.0] * 16 + [0.0] * 4
    assert scale.scale.item() == 1
    scale.scale.fill_(2.0**24)
    scale.good_steps.fill_(1999)
    scale.update_(FINE, LOSS)
    assert scale.scale.item() == 2.0**24
    # A loss that is no number is not mended by a smaller scale.
    assert LossScale(torch.device("cpu")).update_(FAILED, BROKEN).item() == 0


def test_to_unscale_is_exact() -> None:
    scale = LossScale(torch.device("cpu"))
    gradients = [torch.randn(5), torch.randn(2, 3)]
    scaled = [gradient * scale.scale for gradient in gradients]
    scale.unscale_(scaled)
    assert all(torch.equal(a, b) for a, b in zip(scaled, gradients, strict=True))


def test_precisions_have_the_names_of_the_field() -> None:
    types = [computing_type(name) for name in ("float32", "bfloat16", "float16")]
    assert types == [None, torch.bfloat16, torch.float16]
    with pytest.raises(ValueError, match="float32, bfloat16, float16, not 'fp16'"):
        computing_type("fp16")


def test_a_fade_in_a_tensor_gives_the_same_bits() -> None:
    generator, critic = networks()
    points = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 32), np.float32))
    for fade in (0.0, 0.1, 1 / 3, 0.77):
        for network in (generator, critic):
            network.stand(4, fade)
        images = generator(points)
        scores = critic(images)
        for network in (generator, critic):
            network.stand(4, 0.5)
        with generator.faded_by(torch.tensor(fade)), critic.faded_by(torch.tensor(fade)):
            assert torch.equal(generator(points), images)
            assert torch.equal(critic(images), scores)
        assert not torch.equal(generator(points), images)


@pytest.mark.parametrize("half", HALVES)
def test_passes_that_are_computed_again_are_the_same_in_half_precision(half: torch.dtype) -> None:
    generator, critic = networks()
    images = torch.randn(8, 3, 32, 32)
    for network in (generator, critic):
        network.compute_in(half)
    found = []
    for at_once in (None, 4):
        with critic.shared_weights(at_once) as weights:
            gradients = torch.autograd.grad(gradient_norms(critic, images).sum(), weights.used,
                                            allow_unused=True)  # fmt: skip
        found.append(gradients)
    for one, other in zip(*found, strict=True):
        if one is None or other is None:  # a zero that one of the two leaves out
            assert not any(gradient.any() for gradient in (one, other) if gradient is not None)
            continue
        assert one.dtype == torch.float32
        assert (one - other).norm() <= 4 * ROUNDING[half] * one.norm()
