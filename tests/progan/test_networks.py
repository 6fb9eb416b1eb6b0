"""Generator and critic against an independent NumPy evaluation, and their doors against misuse."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from progan.networks import Critic, Generator
from tests.progan import reference
from tests.progan.making import one_thread as one_thread
from tests.progan.reference import Array

# With these, nf differs from level to level: 16, 16, 16, 8, 4.
SMALL: dict[str, Any] = {"fmap_base": 64, "fmap_max": 16}
LATENT_SIZE = 16
RESOLUTION = 32
STANDINGS = [(2, 1.0), (3, 1.0), (4, 1.0), (5, 1.0), (3, 0.3), (4, 0.3), (5, 0.7), (4, 0.0)]
SAMPLES = 8
SEED = 20180226

Network = TypeVar("Network", bound=torch.nn.Module)


pytestmark = pytest.mark.usefixtures("one_thread")


def randomized(network: Network) -> Network:
    """`network` in float64 with all parameters drawn anew; biases of zero would hide mistakes."""
    random = torch.Generator().manual_seed(SEED)
    network.double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = 0.5 if name.endswith(".bias") else 1.0
            parameter.copy_(scale * torch.randn(parameter.shape, generator=random).double())
    return network


def small_generator(**changes: Any) -> Generator:
    return randomized(Generator(**{"resolution": RESOLUTION, **SMALL, **changes}))


def small_critic(**changes: Any) -> Critic:
    return randomized(Critic(**{"resolution": RESOLUTION, **SMALL, **changes}))


def weights_of(network: torch.nn.Module) -> dict[str, Array]:
    return {name: value.double().numpy() for name, value in network.state_dict().items()}


def drawn(*shape: int, seed: int = SEED) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def images_at(level: int, channels: int = 3, count: int = SAMPLES) -> Array:
    return drawn(count, channels, 2**level, 2**level)


def assert_agrees(ours: torch.Tensor, expected: Array, tolerance: float = 1e-9) -> None:
    """Equal within `tolerance` of each number, or of the typical number where it is near zero."""
    assert tuple(ours.shape) == expected.shape
    typical = float(np.sqrt(np.mean(expected**2)))
    np.testing.assert_allclose(
        ours.detach().double().numpy(), expected, rtol=tolerance, atol=tolerance * typical
    )


def assert_refused(call: Callable[[], object], *mentions: object) -> None:
    """A ValueError whose message is a sentence that mentions what it is about."""
    with pytest.raises(ValueError) as refusal:
        call()
    message = str(refusal.value)
    assert len(message.split()) >= 4, f"not a sentence: {message!r}"
    for mention in mentions:
        assert str(mention) in message


# ---- the reference itself ----


@pytest.mark.parametrize("kernel", [1, 3])
def test_reference_convolution_is_scipy_correlation(kernel: int) -> None:
    x, weight, bias = drawn(2, 3, 6, 6), drawn(4, 3, kernel, kernel, seed=1), drawn(4, seed=2)
    value, _ = reference.convolution({"c.weight": weight, "c.bias": bias}, "c", gain=1.0)(x)
    for sample in range(2):
        for output in range(4):
            correlated = sum(
                signal.correlate(x[sample, i], weight[output, i], mode="same") for i in range(3)
            )
            expected = correlated / math.sqrt(3 * kernel * kernel) + bias[output]
            np.testing.assert_allclose(value[sample, output], expected, rtol=1e-12, atol=1e-12)


def central_difference(function: Callable[[Array], float], x: Array, direction: Array) -> float:
    step = 1e-6
    return (function(x + step * direction) - function(x - step * direction)) / (2 * step)


@pytest.mark.parametrize(("level", "fade"), STANDINGS)
@pytest.mark.parametrize("group_size", [2, 4])
def test_reference_critic_gradient_is_that_of_its_scores(
    level: int, fade: float, group_size: int
) -> None:
    weights = weights_of(small_critic())
    images = images_at(level)
    standing: dict[str, Any] = {"level": level, "fade": fade, "group_size": group_size}
    gradient = reference.critic_input_gradient(weights, images, **standing)

    def total_score(at: Array) -> float:
        outputs, _ = reference.critic(weights, at, **standing)
        return float(outputs[:, 0].sum())

    for seed in range(3):
        direction = drawn(*images.shape, seed=seed)
        measured = central_difference(total_score, images, direction)
        scale = float(np.linalg.norm(gradient))
        assert measured == pytest.approx(float((gradient * direction).sum()), abs=1e-6 * scale)


def test_reference_critic_gradient_pixel_by_pixel() -> None:
    weights = weights_of(small_critic(num_channels=1))
    images = images_at(2, channels=1, count=4)
    gradient = reference.critic_input_gradient(weights, images, level=2)

    def total_score(at: Array) -> float:
        return float(reference.critic(weights, at, level=2)[0][:, 0].sum())

    for pixel in np.ndindex(images.shape):
        direction = np.zeros_like(images)
        direction[pixel] = 1.0
        measured = central_difference(total_score, images, direction)
        assert measured == pytest.approx(gradient[pixel], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(("level", "fade"), [(2, 1.0), (4, 1.0), (4, 0.3)])
def test_reference_generator_gradient_is_that_of_its_images(level: int, fade: float) -> None:
    weights = weights_of(small_generator(label_size=3))
    latents, labels = drawn(SAMPLES, LATENT_SIZE), np.arange(SAMPLES) % 3
    images, back = reference.generator(weights, latents, labels, level=level, fade=fade)
    towards = drawn(*images.shape, seed=1)
    gradient = back(towards)
    direction = drawn(*latents.shape, seed=2)

    def number(at: Array) -> float:
        images, _ = reference.generator(weights, at, labels, level=level, fade=fade)
        return float((images * towards).sum())

    measured = central_difference(number, latents, direction)
    assert measured == pytest.approx(float((gradient * direction).sum()), rel=1e-6)


# ---- generator ----


def check_generator(
    network: Generator, level: int, fade: float, labels: npt.NDArray[np.int64] | None = None
) -> None:
    latents = drawn(SAMPLES, network_latent_size(network, labels))
    network.stand(level, fade)
    given_latents = torch.from_numpy(latents).requires_grad_()
    images = (
        network(given_latents)
        if labels is None
        else network(given_latents, torch.from_numpy(labels))
    )
    expected, back = reference.generator(
        weights_of(network), latents, labels, level=level, fade=fade
    )
    assert_agrees(images, expected)
    towards = drawn(*expected.shape, seed=1)
    (gradient,) = torch.autograd.grad(images, given_latents, torch.from_numpy(towards))
    assert_agrees(gradient, back(towards))


def network_latent_size(network: Generator, labels: npt.NDArray[np.int64] | None) -> int:
    inputs: int = network.state_dict()["blocks.2.dense.weight"].shape[1]
    return inputs if labels is None else inputs - int(labels.max()) - 1


@pytest.mark.parametrize(("level", "fade"), STANDINGS)
@pytest.mark.parametrize("fused_scale", [True, False])
def test_generator_images(level: int, fade: float, fused_scale: bool) -> None:
    check_generator(small_generator(fused_scale=fused_scale), level, fade)


@pytest.mark.parametrize("changes", [{"num_channels": 1}, {"latent_size": 7}])
def test_generator_variants(changes: dict[str, Any]) -> None:
    check_generator(small_generator(**changes), 4, 0.3)


@pytest.mark.parametrize(("level", "fade"), [(2, 1.0), (4, 0.3)])
def test_generator_with_labels(level: int, fade: float) -> None:
    check_generator(small_generator(label_size=3), level, fade, np.arange(SAMPLES) % 3)


@pytest.mark.parametrize("size", [4, 8, 16, 32])
def test_networks_stand_at_the_top_at_first(size: int) -> None:
    for network in (small_generator(resolution=size), small_critic(resolution=size)):
        assert (2**network.level, network.fade) == (size, 1.0)
    assert small_generator(resolution=size)(torch.zeros(1, LATENT_SIZE).double()).shape[-1] == size


def test_a_fade_of_zero_is_the_level_below() -> None:
    network = small_generator()
    latents = torch.from_numpy(drawn(SAMPLES, LATENT_SIZE))
    network.stand(3, 1.0)
    below = network(latents)
    network.stand(4, 0.0)
    assert_agrees(network(latents), np.kron(below.detach().numpy(), np.ones((2, 2))))


def test_standing_changes_no_parameter() -> None:
    for network in (small_generator(), small_critic()):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        network.stand(3, 0.5)
        assert (network.level, network.fade) == (3, 0.5)
        after = network.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


# ---- critic ----

# Without fused scaling, the release averages after the activation; runs of old, before it.
CRITICS: list[dict[str, bool]] = [
    {"fused_scale": True},
    {"fused_scale": False},
    {"fused_scale": False, "pool_first": True},
]


def check_critic(network: Critic, level: int, fade: float, images: Array, group_size: int) -> None:
    network.stand(level, fade)
    given_images = torch.from_numpy(images).requires_grad_()
    outputs = network(given_images)
    pool_last = not (network.fused_scale or network.pool_first)
    standing: dict[str, Any] = {"level": level, "fade": fade, "group_size": group_size}
    standing["pool_last"] = pool_last
    weights = weights_of(network)
    expected, back = reference.critic(weights, images, **standing)
    assert_agrees(outputs, expected)

    (gradient,) = torch.autograd.grad(outputs[:, 0].sum(), given_images, retain_graph=True)
    expected_gradient = reference.critic_input_gradient(weights, images, **standing)
    assert_agrees(gradient, expected_gradient)

    # Class outputs have gradients as well.
    towards = drawn(*expected.shape, seed=1)
    (gradient,) = torch.autograd.grad(outputs, given_images, torch.from_numpy(towards))
    assert_agrees(gradient, back(towards))


@pytest.mark.parametrize(("level", "fade"), STANDINGS)
@pytest.mark.parametrize("form", CRITICS)
def test_critic_scores_and_input_gradient(level: int, fade: float, form: dict[str, bool]) -> None:
    check_critic(small_critic(**form), level, fade, images_at(level), 4)


@pytest.mark.parametrize(("level", "fade"), [(2, 1.0), (4, 0.3)])
def test_critic_with_labels(level: int, fade: float) -> None:
    network = small_critic(label_size=3)
    check_critic(network, level, fade, images_at(level), 4)
    assert network(torch.from_numpy(images_at(level))).shape == (SAMPLES, 4)


def test_critic_of_grey_images() -> None:
    check_critic(small_critic(num_channels=1), 4, 0.3, images_at(4, channels=1), 4)


@pytest.mark.parametrize(
    ("group_size", "count"), [(1, 4), (2, 8), (4, 8), (16, 8), (16, 32), (3, 3), (4, 3), (4, 1)]
)
def test_critic_group_sizes(group_size: int, count: int) -> None:
    network = small_critic(mbstd_group_size=group_size)
    check_critic(network, 3, 1.0, images_at(3, count=count), group_size)


@given(
    group_size=st.integers(1, 6),
    groups=st.integers(1, 4),
    level=st.integers(2, 3),
    fade=st.floats(0.0, 1.0),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_critic_of_any_whole_groups(group_size: int, groups: int, level: int, fade: float) -> None:
    fade = 1.0 if level == 2 else fade
    images = images_at(level, count=groups * group_size)
    check_critic(small_critic(mbstd_group_size=group_size), level, fade, images, group_size)


def test_a_sample_sways_its_own_group_only() -> None:
    network = small_critic()
    network.stand(2, 1.0)
    images = torch.from_numpy(images_at(2))
    before = network(images)
    images[0] *= 2.0
    changed = (network(images) - before).abs()[:, 0] > 1e-9
    assert changed.tolist() == [True, False] * 4


@pytest.mark.parametrize(("group_size", "count"), [(4, 6), (16, 24), (3, 8)])
def test_a_minibatch_must_fall_into_whole_groups(group_size: int, count: int) -> None:
    network = small_critic(mbstd_group_size=group_size)
    images = torch.from_numpy(images_at(5, count=count))
    assert_refused(lambda: network(images), count, group_size)


def test_gradient_of_equal_samples_is_finite() -> None:
    # Deviations of zero: without the epsilon inside the square root the gradient would be NaN.
    network = small_critic()
    images = torch.zeros(4, 3, RESOLUTION, RESOLUTION, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(images)[:, 0].sum(), images)
    assert torch.isfinite(gradient).all()


# ---- gradients with respect to the weights ----


def nudged(
    weights: dict[str, Array], directions: dict[str, Array], step: float
) -> dict[str, Array]:
    return {name: value + step * directions[name] for name, value in weights.items()}


def assert_slope(
    network: torch.nn.Module, number: torch.Tensor, expected: Callable[[dict[str, Array]], float]
) -> None:
    """The gradient of `number` by all parameters is the slope of `expected` along a direction."""
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(number, parameters, allow_unused=True)
    directions = {
        name: drawn(*parameter.shape, seed=seed)
        for seed, (name, parameter) in enumerate(zip(names, parameters, strict=True))
    }
    slope = sum(
        float((gradient.numpy() * directions[name]).sum())
        for name, gradient in zip(names, gradients, strict=True)
        if gradient is not None
    )
    weights, step = weights_of(network), 1e-6
    ahead = expected(nudged(weights, directions, step))
    behind = expected(nudged(weights, directions, -step))
    assert number.item() == pytest.approx(expected(weights), rel=1e-9)
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("form", CRITICS)
@pytest.mark.parametrize(("level", "fade"), [(2, 1.0), (4, 0.3)])
def test_gradient_penalty_by_the_weights(level: int, fade: float, form: dict[str, bool]) -> None:
    # The penalty of the paper differentiates the critic twice.
    network = small_critic(**form)
    network.stand(level, fade)
    images = images_at(level)
    given_images = torch.from_numpy(images).requires_grad_()
    (gradient,) = torch.autograd.grad(
        network(given_images)[:, 0].sum(), given_images, create_graph=True
    )
    penalty = ((gradient.square().sum(dim=(1, 2, 3)).sqrt() - 1.0) ** 2).sum()

    def expected(weights: dict[str, Array]) -> float:
        gradient = reference.critic_input_gradient(
            weights, images, level=level, fade=fade, pool_last=form == {"fused_scale": False}
        )
        norms = np.sqrt((gradient**2).sum(axis=(1, 2, 3)))
        return float(((norms - 1.0) ** 2).sum())

    assert_slope(network, penalty, expected)


@pytest.mark.parametrize("fused_scale", [True, False])
@pytest.mark.parametrize(("level", "fade"), [(2, 1.0), (4, 0.3)])
def test_images_by_the_weights(level: int, fade: float, fused_scale: bool) -> None:
    network = small_generator(fused_scale=fused_scale)
    network.stand(level, fade)
    latents = drawn(SAMPLES, LATENT_SIZE)
    images = network(torch.from_numpy(latents))
    towards = drawn(*images.shape, seed=1)

    def expected(weights: dict[str, Array]) -> float:
        images, _ = reference.generator(weights, latents, level=level, fade=fade)
        return float((images * towards).sum())

    assert_slope(network, (images * torch.from_numpy(towards)).sum(), expected)


# ---- fused scaling ----


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize(("level", "fade"), [(3, 1.0), (4, 0.3), (5, 1.0)])
def test_fused_and_plain_agree(
    dtype: torch.dtype, tolerance: float, level: int, fade: float
) -> None:
    def both_ways(network: Generator | Critic, given_input: Array) -> list[torch.Tensor]:
        network.to(dtype)
        network.stand(level, fade)
        x = torch.from_numpy(given_input).to(dtype).requires_grad_()
        value = network(x)
        towards = torch.from_numpy(drawn(*value.shape, seed=1)).to(dtype)
        results = [value, *torch.autograd.grad(value, x, towards)]
        assert all(result.dtype == dtype for result in results)
        return results

    latents, images = drawn(SAMPLES, LATENT_SIZE), images_at(level)
    generated = [both_ways(small_generator(fused_scale=fused), latents) for fused in (True, False)]
    judged = [
        both_ways(small_critic(fused_scale=fused, pool_first=not fused), images)
        for fused in (True, False)
    ]
    for fused_results, plain_results in (generated, judged):
        for fused, plain in zip(fused_results, plain_results, strict=True):
            assert_agrees(fused, plain.detach().double().numpy(), tolerance)


@pytest.mark.parametrize(("level", "fade"), [(2, 1.0), (5, 1.0), (4, 0.3)])
def test_float32_is_float64_to_rounding(level: int, fade: float) -> None:
    generator, critic = small_generator().float(), small_critic().float()
    latents, images = drawn(SAMPLES, LATENT_SIZE), images_at(level)
    generator.stand(level, fade)
    critic.stand(level, fade)
    expected_images, _ = reference.generator(weights_of(generator), latents, level=level, fade=fade)
    assert_agrees(generator(torch.from_numpy(latents).float()), expected_images, 1e-4)
    expected_scores, _ = reference.critic(weights_of(critic), images, level=level, fade=fade)
    assert_agrees(critic(torch.from_numpy(images).float()), expected_scores, 1e-4)


# ---- parameters ----


@pytest.mark.parametrize(
    "changes",
    [
        {"resolution": 4},
        {"resolution": 32, "num_channels": 1, "label_size": 5, **SMALL},
        {"resolution": 1024},
    ],
)
def test_names_and_shapes(changes: dict[str, Any]) -> None:
    sizes = {name: value for name, value in changes.items() if name != "resolution"}
    top_level = int(math.log2(changes["resolution"]))
    with torch.device("meta"):  # shapes alone need no memory
        networks = Generator(**changes), Critic(**changes)
    expected = (
        reference.generator_shapes(top_level=top_level, **sizes),
        reference.critic_shapes(top_level=top_level, **sizes),
    )
    for network, shapes in zip(networks, expected, strict=True):
        assert {n: tuple(p.shape) for n, p in network.named_parameters()} == shapes
        # Model files hold the state: weights and biases, and nothing that has to be explained.
        assert {n: tuple(p.shape) for n, p in network.state_dict().items()} == shapes


def test_paper_sizes() -> None:
    assert [reference.feature_maps(level - 1) for level in range(2, 11)] == [
        512, 512, 512, 512, 256, 128, 64, 32, 16,
    ]  # fmt: skip
    with torch.device("meta"):
        generator, critic = Generator(resolution=1024), Critic(resolution=1024)

    def convolution(inputs: int, outputs: int, kernel: int = 3) -> int:
        return kernel * kernel * inputs * outputs + outputs

    widths = [512, 512, 512, 512, 256, 128, 64, 32, 16]
    steps = list(itertools.pairwise(widths))
    expected = 512 * 16 * 512 + 512 + convolution(512, 512)
    expected += sum(convolution(old, new) + convolution(new, new) for old, new in steps)
    expected += sum(convolution(width, 3, kernel=1) for width in widths)
    assert expected == 23_079_115  # "23.1 M" in the paper
    assert sum(parameter.numel() for parameter in generator.parameters()) == expected

    expected = convolution(513, 512) + 512 * 16 * 512 + 512 + 512 + 1
    expected += sum(convolution(new, new) + convolution(new, old) for old, new in steps)
    expected += sum(convolution(3, width, kernel=1) for width in widths)
    assert sum(parameter.numel() for parameter in critic.parameters()) == expected


def test_weights_start_as_standard_normal_numbers_and_biases_at_zero() -> None:
    torch.manual_seed(SEED)
    networks = (
        Generator(resolution=RESOLUTION, label_size=3, **SMALL),
        Critic(resolution=RESOLUTION, label_size=3, **SMALL),
    )
    for network in networks:
        weights = []
        for name, parameter in network.named_parameters():
            assert parameter.dtype == torch.float32
            if name.endswith(".bias"):
                assert not parameter.any(), name
            else:
                values = parameter.detach().double().numpy().ravel()
                assert stats.kstest(values, "norm").pvalue > 1e-4, name
                weights.append(values)
        everything = np.concatenate(weights)
        assert len(everything) > 10_000
        assert stats.kstest(everything, "norm").pvalue > 1e-3


# ---- misuse ----


@pytest.mark.parametrize("network", [Generator, Critic])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resolution", 48),
        ("resolution", 2),
        ("resolution", 2048),
        ("resolution", 0),
        ("resolution", -4),
        ("num_channels", 0),
        ("num_channels", 2),
        ("num_channels", 4),
        ("fmap_base", 0),
        ("fmap_max", 0),
        ("label_size", -1),
    ],
)
def test_impossible_settings(
    network: Callable[..., torch.nn.Module], name: str, value: int
) -> None:
    assert_refused(lambda: network(**{"resolution": 16, **SMALL, name: value}), name, value)


def test_impossible_settings_of_one_network() -> None:
    assert_refused(lambda: Generator(resolution=16, latent_size=0, **SMALL), "latent_size", 0)
    assert_refused(
        lambda: Critic(resolution=16, mbstd_group_size=0, **SMALL), "mbstd_group_size", 0
    )


@pytest.mark.parametrize(
    ("level", "fade"), [(1, 1.0), (6, 1.0), (0, 1.0), (3, -0.1), (3, 1.1), (3, math.nan)]
)
@pytest.mark.parametrize("make", [small_generator, small_critic])
def test_impossible_standings(
    make: Callable[[], Generator | Critic], level: int, fade: float
) -> None:
    network = make()
    network.stand(4, 0.5)
    assert_refused(lambda: network.stand(level, fade))
    assert (network.level, network.fade) == (4, 0.5)


def test_labels_condition_the_images() -> None:
    network = small_generator(label_size=3)
    latents = torch.from_numpy(drawn(2, LATENT_SIZE))
    with torch.no_grad():
        images = [network(latents, torch.tensor([label, label])) for label in range(3)]
    for one, other in itertools.combinations(images, 2):
        # The same latents, and no picture of one class is that of another.
        assert (one - other).abs().amax(dim=(1, 2, 3)).min() > 1e-2


def test_weights_of_classes_lead_from_one_class_to_another() -> None:
    network = small_generator(label_size=3)
    latents = drawn(4, LATENT_SIZE)
    given_latents = torch.from_numpy(latents)
    weights = np.array([[0, 1, 0], [0.8, 0.6, 0], [0.6, 0, 0.8], [0, 0, 1]], np.float32)
    with torch.no_grad():
        images = network(given_latents, torch.from_numpy(weights))
        ends = network(given_latents[[0, 3]], torch.tensor([1, 2]))
        assert torch.allclose(images[[0, 3]], ends, atol=1e-12)
        # Weights are nothing but more latents: a network without classes shows it.
        plain = Generator(
            resolution=RESOLUTION, **(SMALL | {"latent_size": LATENT_SIZE + 3})
        ).double()
        plain.load_state_dict(network.state_dict())
        plain.stand(network.level, network.fade)
        joined = np.concatenate([latents, weights], axis=1)
        assert torch.allclose(plain(torch.from_numpy(joined)), images, atol=1e-12)
    for shape in ((4, 2), (3, 3), (4,)):
        assert_refused(partial(network, given_latents, torch.ones(shape)), "label")


def test_a_labelled_generator_needs_labels() -> None:
    network = small_generator(label_size=3)
    assert_refused(lambda: network(torch.zeros(2, LATENT_SIZE).double()), "label")


@pytest.mark.parametrize("shape", [(2, LATENT_SIZE + 1), (2, LATENT_SIZE - 1), (LATENT_SIZE,)])
@pytest.mark.parametrize("label_size", [0, 1])
def test_latents_of_a_wrong_shape(shape: tuple[int, ...], label_size: int) -> None:
    # With one class too many numbers must not pass for latents and labels together.
    network = small_generator(label_size=label_size)
    labels = [torch.zeros(2, dtype=torch.int64)] * label_size
    assert_refused(lambda: network(torch.zeros(shape).double(), *labels), "latent")


@pytest.mark.parametrize(
    "shape", [(2, 3, 16, 16), (2, 3, 64, 64), (2, 3, 32, 16), (2, 1, 32, 32), (3, 32, 32)]
)
def test_images_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    assert_refused(lambda: small_critic()(torch.zeros(shape).double()), 32)


def test_images_must_be_of_the_level_that_the_critic_stands_at() -> None:
    network = small_critic()
    network.stand(3, 1.0)
    assert network(torch.zeros(4, 3, 8, 8).double()).shape == (4, 1)
    assert_refused(lambda: network(torch.zeros(4, 3, 32, 32).double()), 8)
