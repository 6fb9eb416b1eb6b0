"""Passes through a network that keep nothing but what went in (activation checkpointing).

What a pass would keep for its derivatives is computed again when they are asked for, for a few
samples at a time, and for second derivatives once more. The networks' parts that do not compare
samples with one another can so be walked through in memory that does not grow with the minibatch.

`torch.utils.checkpoint` is right for second derivatives too, but what the gradient penalty's first
derivative computes again it then keeps for the second, all of it at once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from progan.wanted import link, wanted

Pass = Callable[[Tensor], Tensor]


def recomputed(run: Pass, x: Tensor, weights: Sequence[Tensor], at_once: int) -> Tensor:
    """Give `run(x)`, computed for `at_once` samples at a time, and computed again for derivatives.

    Args:
        run: treats each sample [...] of [N, ...] by itself, and draws nothing at random.
        x: [N, ...].
        weights: all tensors besides x by which `run`'s result shall be derived; they are leaves of
            the graph.
        at_once: samples that are in memory together.

    Returns:
        What can be derived twice.
    """
    apply: Any = _Pass.apply
    links = [link(weight) for weight in weights]
    parts = torch.split(link(x), at_once)
    return torch.cat([apply(run, weights, some, *links) for some in parts])


class _Pass(torch.autograd.Function):
    """y(x, w)."""

    @staticmethod
    def forward(
        ctx: Any, run: Pass, weights: Sequence[Tensor], x: Tensor, *links: Tensor
    ) -> Tensor:
        ctx.run, ctx.weights = run, weights
        ctx.save_for_backward(x, *links)
        return run(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        now = wanted(ctx)
        apply: Any = _Derivatives.apply
        found = iter(apply(ctx.run, ctx.weights, now, gradients[0], *ctx.saved_tensors))
        return None, None, *(next(found) if some else None for some in now)


class _Derivatives(torch.autograd.Function):
    """The derivatives of Σ g·y by some of x and w, as functions of g, x and w."""

    @staticmethod
    def forward(
        ctx: Any,
        run: Pass,
        weights: Sequence[Tensor],
        some: Sequence[bool],
        g: Tensor,
        x: Tensor,
        *links: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.run, ctx.weights, ctx.some = run, weights, some
        ctx.save_for_backward(g, x)
        return _derivatives(run, some, g, x.detach().requires_grad_(some[0]), weights)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        g, x = (tensor.detach().requires_grad_() for tensor in ctx.saved_tensors)
        now = wanted(ctx)
        first = _derivatives(ctx.run, ctx.some, g, x, ctx.weights, again=True)
        # What is piecewise linear has a first derivative that does not know of x.
        pairs = [(f, by) for f, by in zip(first, gradients, strict=True) if f.requires_grad]
        found = iter(
            torch.autograd.grad(
                [f for f, _ in pairs],
                [t for t, some in zip((g, x, *ctx.weights), now, strict=True) if some],
                [by for _, by in pairs],
                allow_unused=True,
            )
        )
        return None, None, None, *(next(found) if some else None for some in now)


def _derivatives(
    run: Pass,
    asked: Sequence[bool],
    g: Tensor,
    x: Tensor,
    weights: Sequence[Tensor],
    *,
    again: bool = False,
) -> tuple[Tensor, ...]:
    """Give those derivatives; `again` if they are to be derived once more."""
    with torch.enable_grad():
        y = run(x)
        by = [t for t, some in zip((x, *weights), asked, strict=True) if some]
        return torch.autograd.grad(y, by, g, create_graph=again, materialize_grads=True)
