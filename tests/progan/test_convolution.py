"""Convolutions with fewer multiplications, against plain ones."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from progan import convolution, transforms
from progan.convolution import convolve, convolve_adjoint, plain_convolutions
from progan.networks import Critic, Generator, GeneratorBlock
from progan.objectives import critic_objective, generator_objective
from progan.transforms import HALVES, TILES, Scheme


@pytest.fixture(params=["whole", "in pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Transform images at once, and in parts, groups and bands that do not divide them evenly."""
    if request.param == "in pieces":
        monkeypatch.setattr(convolution, "_PART_BYTES", 40_000)
        monkeypatch.setattr(transforms, "_PIECE_BYTES", 3_000)
    yield


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def plain(scheme: str, x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    if scheme == "up":
        x = F.interpolate(x, scale_factor=2)
    found = F.conv2d(x, kernels, bias, padding=1)
    return F.avg_pool2d(found, 2) if scheme == "halves" else found


def quick(scheme: str, x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    match scheme:
        case "tiles":
            return convolve(TILES, x, TILES.weights(kernels), bias)
        case "halves":
            return convolve(HALVES, x, HALVES.weights(kernels / 4), bias)
        case _:
            turned = kernels.flip(-1, -2).transpose(0, 1)
            return convolve_adjoint(HALVES, x, HALVES.weights(turned), bias)


@pytest.mark.parametrize("scheme", ["tiles", "halves", "up"])
@pytest.mark.parametrize(
    ("count", "maps", "side"), [(3, (4, 6), 8), (5, (7, 3), 16), (1, (8, 8), 32)]
)
def test_results_and_gradients_are_the_plain_ones(
    pieces: None, scheme: str, count: int, maps: tuple[int, int], side: int
) -> None:
    x, kernels = draw(count, maps[0], side, side), draw(maps[1], maps[0], 3, 3)
    bias = draw(maps[1])
    found: list[Tensor] = []
    expected: list[Tensor] = []
    for way, into in ((quick, found), (plain, expected)):
        arguments = [t.clone().requires_grad_() for t in (x, kernels, bias)]
        y = way(scheme, *arguments)
        into += [y, *torch.autograd.grad(y, arguments, draw(*y.shape), create_graph=True)]
        # A second derivative, through the first ones of images and kernels.
        score = into[-3].square().sum() + into[-2].square().sum()
        into += torch.autograd.grad(score, arguments[:2])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11 * other.abs().max().item())


@pytest.mark.parametrize("scheme", [TILES, HALVES])
def test_derivatives(scheme: Scheme) -> None:
    x, kernels = draw(1, 2, 8, 8).requires_grad_(), draw(3, 2, 3, 3).requires_grad_()

    def function(x: Tensor, kernels: Tensor) -> Tensor:
        return convolve(scheme, x, scheme.weights(kernels), draw(3))

    assert torch.autograd.gradcheck(function, (x, kernels))
    assert torch.autograd.gradgradcheck(function, (x, kernels))


@pytest.mark.parametrize("scheme", ["tiles", "halves", "up"])
def test_rounding_in_float32(scheme: str) -> None:
    x, kernels, bias = draw(4, 96, 16, 16), draw(64, 96, 3, 3), draw(64)
    exact = plain(scheme, x, kernels, bias)
    found = quick(scheme, x.float(), kernels.float(), bias.float())
    assert float((found - exact).std() / exact.std()) < 1e-5


def wide(plainly: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Give images and all gradients of a step of networks wide enough for transforms."""
    shape = {"resolution": 16, "fmap_base": 128, "fmap_max": 16}
    torch.manual_seed(7)
    generator = Generator(**shape, latent_size=8).double().stand(4, 0.3)  # type: ignore[arg-type]
    critic = Critic(**shape).double().stand(4, 0.3)  # type: ignore[arg-type]
    last = generator.blocks["4"]
    assert isinstance(last, GeneratorBlock)
    assert last.conv1.transformed is not plainly
    latents, reals = draw(4, 8), draw(4, 3, 16, 16)
    fakes = generator(latents)
    loss, _ = critic_objective(critic, reals, fakes.detach(), draw(4).sigmoid())
    parts = [loss, generator_objective(critic, fakes)[0]]
    gradients = {}
    for network, part in zip((critic, generator), parts, strict=True):
        named = dict(network.named_parameters())
        active = {id(p) for p in network.active_parameters()}
        some = {name: p for name, p in named.items() if id(p) in active}
        for name, gradient in zip(
            some, torch.autograd.grad(part, list(some.values())), strict=True
        ):
            gradients[f"{type(network).__name__}.{name}"] = gradient
    return fakes, gradients


def test_a_training_step_of_wide_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "_FEWEST_MAPS", 4)
    monkeypatch.setattr(convolution, "_FEWEST_MAPS_BY_SIDE", 4)
    fakes, gradients = wide(plainly=False)
    with plain_convolutions():
        plain_fakes, plain_gradients = wide(plainly=True)
    torch.testing.assert_close(fakes, plain_fakes, rtol=0, atol=1e-11)
    for name, expected in plain_gradients.items():
        scale = float(expected.abs().max())
        torch.testing.assert_close(gradients[name], expected, rtol=0, atol=1e-9 * scale, msg=name)


def test_no_gradients_are_computed_but_those_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convolution, "_FEWEST_MAPS", 4)
    monkeypatch.setattr(convolution, "_FEWEST_MAPS_BY_SIDE", 4)
    counts: Counter[str] = Counter()
    for function in (convolution._Convolution, convolution._Adjoint, convolution._Kernel):

        def counted(
            *given: object, forward: Any = function.forward, name: str = function.__name__
        ) -> Tensor:
            counts[name] += 1
            found: Tensor = forward(*given)
            return found

        monkeypatch.setattr(function, "forward", staticmethod(counted))

    def since() -> dict[str, int]:
        found = dict(counts)
        counts.clear()
        return found

    generator = Generator(resolution=8, fmap_base=64, fmap_max=8, latent_size=8)
    critic = Critic(resolution=8, fmap_base=64, fmap_max=8)
    layers = 2  # of each network
    with generator.shared_weights() as of_generator, critic.shared_weights() as of_critic:
        images = draw(4, 3, 8, 8, dtype=torch.float32).requires_grad_()
        scores = critic(images)
        assert since() == {"_Convolution": layers}
        (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
        assert since() == {"_Adjoint": layers}
        torch.autograd.grad(slopes.square().sum(), of_critic.used, allow_unused=True)
        # By the kernels of both directions, since the minibatch standard deviation bends.
        assert since() == {"_Convolution": layers, "_Adjoint": layers, "_Kernel": 2 * layers}
        # What the generator learns takes the way back through the critic, and leaves it alone.
        fakes = generator(draw(4, 8, dtype=torch.float32))
        score = critic(fakes).sum()
        counts.clear()
        torch.autograd.grad(score, of_generator.used)
        assert counts["_Kernel"] == layers


def test_where_it_pays() -> None:
    shape = {"resolution": 32, "fmap_base": 8192, "fmap_max": 128}
    wide = Generator(**shape)  # type: ignore[arg-type]
    last = wide.blocks["5"]
    small = wide.blocks["3"]
    assert isinstance(last, GeneratorBlock) and isinstance(small, GeneratorBlock)
    assert last.conv0.transformed and last.conv1.transformed
    assert small.conv0.transformed and not small.conv1.transformed
    narrow = Generator(resolution=32, fmap_base=8192, fmap_max=64).blocks["5"]
    assert isinstance(narrow, GeneratorBlock)
    assert not narrow.conv0.transformed and not narrow.conv1.transformed
    with plain_convolutions():
        assert not last.conv0.transformed


def test_other_programs_get_operations_that_they_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "_FEWEST_MAPS", 4)
    generator = Generator(resolution=8, fmap_base=256, fmap_max=64, latent_size=8).eval()
    exported = torch.export.export(generator, (draw(2, 8, dtype=torch.float32),))
    names = {str(node.target) for node in exported.graph.nodes}
    assert any("conv_transpose2d" in name for name in names)
    assert not any("mkldnn" in name for name in names)
