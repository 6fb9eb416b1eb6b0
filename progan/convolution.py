"""3×3 convolutions with a quarter of the multiplications, for processors.

A 3×3 convolution multiplies 36 times for four pixels. Where a graphics card has units for nothing
but products, a processor gains by trading products for sums: images and kernels are transformed
(`progan.transforms`), multiplied as matrices, and transformed back.

All of it is linear in the image and in the kernel, so each way to convolve is three functions that
are one another's derivatives: the convolution, its adjoint, and the gradient of its kernel. They
can be derived as often as wanted, keep nothing but their arguments, and compute no gradient that a
pass back through them is not made for. In float32, rounding errors are about ten times those of the
direct sum, 3·10⁻⁶ of the result's size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from progan.transforms import HALVES, Scheme
from progan.wanted import link, wanted

# What is transformed before it is multiplied: products are efficient when they are large.
_PART_BYTES = 2**26
# With fewer maps, the transforms cost more than the multiplications that they save; tiles need more
# in small images (maps times side), for their 36 products are small there. Measured with
# `python -m benchmarks.convolutions`.
_FEWEST_MAPS = 128
_FEWEST_MAPS_BY_SIDE = 4096

_enabled = True


def worthwhile(scheme: Scheme, weight: Tensor, side: int) -> bool:
    """Say whether a 3×3 convolution is quicker this way: what was measured on processors.

    Args:
        scheme: the way.
        weight: its kernels [D, C, 3, 3].
        side: of the larger of the images before and after it.
    """
    maps = min(weight.shape[:2])
    return (
        _enabled
        and side >= 8
        and maps >= _FEWEST_MAPS
        and (scheme is HALVES or maps * side >= _FEWEST_MAPS_BY_SIDE)
        and weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.float64)
        # Others' programs shall get operations that they know.
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[no-untyped-call, attr-defined]
    )


@contextmanager
def plain_convolutions() -> Iterator[None]:
    """Do all convolutions directly within the block, for comparison and for export."""
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


def convolve(scheme: Scheme, x: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """Convolve images, keeping their size (`TILES`) or halving it (`HALVES`).

    Args:
        scheme: how.
        x: [N, C, H, W]; best in channels-last memory, as the result is.
        weights: what `scheme.weights` made of the kernels.
        bias: [D].

    Returns:
        [N, D, H', W'].
    """
    found = _apply(_Convolution, scheme, _channels_last(x), link(weights))
    return found.add_(bias).permute(0, 3, 1, 2)


def convolve_adjoint(scheme: Scheme, y: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """Do the adjoint of a convolution: with `HALVES`, an upscale and a 3×3 convolution.

    Args:
        scheme: how.
        y: [N, D, H, W]; best in channels-last memory, as the result is.
        weights: what `scheme.weights` made of the kernels [D, C, 3, 3].
        bias: [C].

    Returns:
        [N, C, H', W'].
    """
    found = _apply(_Adjoint, scheme, _channels_last(y), link(weights))
    return found.add_(bias).permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()


class _Convolution(torch.autograd.Function):
    """y(x, w), linear in both."""

    @staticmethod
    def forward(ctx: Any, scheme: Scheme, x: Tensor, weights: Tensor) -> Tensor:
        ctx.scheme = scheme
        ctx.save_for_backward(x, weights)
        side = scheme.output_side(x.shape[1])
        y = x.new_empty(len(x), side, side, weights.shape[1])
        for part in _parts(scheme, x):
            made = scheme.spread(x[part])
            scheme.collect([_product(m, w) for m, w in zip(made, weights, strict=True)], y[part])
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        x, weights = ctx.saved_tensors
        y = gradients[0].contiguous()
        of_x, of_weights = wanted(ctx)
        return (
            None,
            _apply(_Adjoint, ctx.scheme, y, weights) if of_x else None,
            _apply(_Kernel, ctx.scheme, x, y) if of_weights else None,
        )


class _Adjoint(torch.autograd.Function):
    """x(y, w): the adjoint of the convolution in x, linear in both."""

    @staticmethod
    def forward(ctx: Any, scheme: Scheme, y: Tensor, weights: Tensor) -> Tensor:
        ctx.scheme = scheme
        ctx.save_for_backward(y, weights)
        side = scheme.input_side(y.shape[1])
        maps = weights.shape[2] // scheme.width
        x = y.new_empty(len(y), side, side, maps)
        for part in _parts(scheme, x):
            made = scheme.scatter(y[part])
            scheme.gather([_product(m, w.t()) for m, w in zip(made, weights, strict=True)], x[part])
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        y, weights = ctx.saved_tensors
        x = gradients[0].contiguous()
        of_y, of_weights = wanted(ctx)
        return (
            None,
            _apply(_Convolution, ctx.scheme, x, weights) if of_y else None,
            _apply(_Kernel, ctx.scheme, x, y) if of_weights else None,
        )


class _Kernel(torch.autograd.Function):
    """w(x, y): the gradient of the convolution's kernel, linear in both."""

    @staticmethod
    def forward(ctx: Any, scheme: Scheme, x: Tensor, y: Tensor) -> Tensor:
        ctx.scheme = scheme
        ctx.save_for_backward(x, y)
        found: Tensor | None = None
        for part in _parts(scheme, x):
            pairs = zip(scheme.scatter(y[part]), scheme.spread(x[part]), strict=True)
            some = torch.stack([_product(of_y.t(), of_x.t()) for of_y, of_x in pairs])
            found = some if found is None else found.add_(some)
        assert found is not None
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        weights = gradients[0].contiguous()
        of_x, of_y = wanted(ctx)
        return (
            None,
            _apply(_Adjoint, ctx.scheme, y, weights) if of_x else None,
            _apply(_Convolution, ctx.scheme, x, weights) if of_y else None,
        )


def _apply(
    function: type[torch.autograd.Function], scheme: Scheme, first: Tensor, second: Tensor
) -> Tensor:
    found: Tensor = function.apply(scheme, first, second)  # type: ignore[no-untyped-call]
    return found


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Give first · secondᵀ: [T, C] and [D, C] make [T, D]."""
    if first.dtype == torch.float32 and _ONEDNN:
        # Of two libraries that torch brings for this, the one that it does not take by itself is
        # twice as fast on processors that are not made by the other's maker.
        found: Tensor = torch.ops.mkldnn._linear_pointwise(first, second, None, "none", [], "")
        return found
    return first @ second.t()


_ONEDNN = (
    torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def _parts(scheme: Scheme, x: Tensor) -> list[slice]:
    """Divide images into parts that are transformed and multiplied at once."""
    each = x[0].numel() * x.element_size() * scheme.growth
    at_once = max(1, int(_PART_BYTES / each))
    return [slice(start, min(start + at_once, len(x))) for start in range(0, len(x), at_once)]
