"""What is computed again is what would have been kept, in first and second derivatives."""

import pytest
import torch
from torch import Tensor

from progan.memory_need import Count
from progan.networks import Critic, Generator
from progan.recomputing import recomputed
from tests.progan.making import one_thread as one_thread

pytestmark = pytest.mark.usefixtures("one_thread")


def numbers(*shape: int) -> Tensor:
    numbers = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return numbers.requires_grad_()


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_derivatives_of_what_is_computed_again(at_once: int) -> None:
    # Bent in x and in both weights, one of which meets only some samples' results.
    first, second, x = numbers(3, 4), numbers(4), numbers(5, 3)

    def run(some: Tensor) -> Tensor:
        return torch.tanh(some @ first).square() * second.sin() + some.sum(1, keepdim=True) ** 3

    def again(x: Tensor, *weights: Tensor) -> Tensor:
        return recomputed(run, x, weights, at_once)

    torch.testing.assert_close(again(x, first, second), run(x), rtol=0, atol=0)
    assert torch.autograd.gradcheck(again, (x, first, second))
    assert torch.autograd.gradgradcheck(again, (x, first, second))


def test_what_takes_no_part_in_a_second_derivative_has_zeros() -> None:
    weight, other, x = numbers(3, 2), numbers(2), numbers(4, 3)
    y = recomputed(lambda some: some @ weight + other, x, (weight, other), 2)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    found = torch.autograd.grad(slope.square().sum(), (x, weight, other), allow_unused=True)
    expected = 2 * 4 * weight.sum(1, keepdim=True).expand(3, 2)
    torch.testing.assert_close(found[1], expected)
    assert all(t is None or not t.any() for t in (found[0], found[2]))


def networks() -> tuple[Generator, Critic]:
    shared = {"resolution": 32, "fmap_base": 256, "fmap_max": 16}
    with torch.device("meta"):
        return Generator(**shared), Critic(**shared)  # type: ignore[arg-type]


def peak(at_once: int | None, *, penalty: bool) -> int:
    """Count what a pass through the networks keeps, with its gradients."""
    generator, critic = networks()
    with (
        Count() as count,
        generator.shared_weights(at_once) as of_generator,
        critic.shared_weights(at_once) as of_critic,
    ):
        images = generator(torch.empty(8, 16, device="meta"))
        if penalty:
            images = images.detach().requires_grad_()
            (slope,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
            torch.autograd.grad(slope.square().sum(), of_critic.used, allow_unused=True)
        else:
            torch.autograd.grad(critic(images).sum(), of_generator.used)
    return int(count.peak)


@pytest.mark.parametrize("penalty", [False, True])
def test_memory_is_saved_in_first_and_in_second_derivatives(penalty: bool) -> None:
    whole, halves, single = (peak(n, penalty=penalty) for n in (None, 4, 1))
    assert halves < 0.8 * whole
    assert single < 0.4 * whole
