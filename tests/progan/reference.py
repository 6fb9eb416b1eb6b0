"""The paper's networks in float64 NumPy: the yardstick for `progan.networks`.

Written from the facts of the paper and its release, never from the code under test, in the plainest
form: nothing is fused, convolutions as a sum over the taps of the kernel. Weights come as the torch
network names and lays them out, before their run-time scaling.

Every operation returns its value and its *pullback*: the function that takes the gradient of some
number with respect to the value and returns the gradient with respect to the operation's input.
Pullbacks are derived by hand; the tests compare them with central differences of the values.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Weights: TypeAlias = Mapping[str, Array]
Pullback: TypeAlias = Callable[[Array], Array]
Step: TypeAlias = tuple[Array, Pullback]
Operation: TypeAlias = Callable[[Array], Step]

EPSILON = 1e-8
SLOPE = 0.2
SQRT2 = math.sqrt(2.0)


# ---- what holds the operations together ----


def chain(*operations: Operation) -> Operation:
    """One operation after another."""

    def run(x: Array) -> Step:
        pullbacks: list[Pullback] = []
        for operation in operations:
            x, pullback = operation(x)
            pullbacks.append(pullback)

        def back(gradient: Array) -> Array:
            for pullback in reversed(pullbacks):
                gradient = pullback(gradient)
            return gradient

        return x, back

    return run


def lerp(old: Operation, new: Operation, fade: float) -> Operation:
    """Two ways for the same input, the new one with weight `fade`."""

    def run(x: Array) -> Step:
        old_value, old_back = old(x)
        new_value, new_back = new(x)
        value = (1.0 - fade) * old_value + fade * new_value
        return value, lambda gradient: old_back((1.0 - fade) * gradient) + new_back(fade * gradient)

    return run


# ---- operations ----


def convolution(weights: Weights, name: str, gain: float = SQRT2) -> Operation:
    """Same-size convolution of odd kernel [out, in, kh, kw], zeros outside, with bias."""
    stored = weights[f"{name}.weight"]
    bias = weights[f"{name}.bias"]
    outputs, inputs, kernel_height, kernel_width = stored.shape
    kernel = stored * (gain / math.sqrt(inputs * kernel_height * kernel_width))
    top, left = kernel_height // 2, kernel_width // 2

    def run(x: Array) -> Step:
        count, _, height, width = x.shape
        padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
        value = np.zeros((count, outputs, height, width))
        for row in range(kernel_height):
            for column in range(kernel_width):
                seen = padded[:, :, row : row + height, column : column + width]
                value += np.einsum("oi,nihw->nohw", kernel[:, :, row, column], seen, optimize=True)

        def back(gradient: Array) -> Array:
            spread = np.zeros_like(padded)
            for row in range(kernel_height):
                for column in range(kernel_width):
                    spread[:, :, row : row + height, column : column + width] += np.einsum(
                        "oi,nohw->nihw", kernel[:, :, row, column], gradient, optimize=True
                    )
            return spread[:, :, top : top + height, left : left + width]

        return value + bias[:, None, None], back

    return run


def product(stored: Array, gain: float = SQRT2) -> Operation:
    """Multiplication by a dense weight [out, in], without bias."""
    matrix = stored * (gain / math.sqrt(stored.shape[1]))
    return lambda x: (x @ matrix.T, lambda gradient: gradient @ matrix)


def added(bias: Array) -> Operation:
    """A bias along axis 1, of [N, out] and of [N, maps, H, W] alike."""

    def run(x: Array) -> Step:
        return x + bias.reshape(1, -1, *([1] * (x.ndim - 2))), lambda gradient: gradient

    return run


def reshaped(*shape: int) -> Operation:
    """Each sample in another shape, its numbers in the same order."""

    def run(x: Array) -> Step:
        return x.reshape(len(x), *shape), lambda gradient: gradient.reshape(x.shape)

    return run


def leaky_relu(x: Array) -> Step:
    slope = np.where(x > 0.0, 1.0, SLOPE)
    return x * slope, lambda gradient: gradient * slope


def unit_rms(x: Array) -> Step:
    """Every vector along axis 1 to unit RMS: normalized latents, and pixel norm of feature maps."""
    rms: Array = np.sqrt(np.mean(x * x, axis=1, keepdims=True) + EPSILON)
    value: Array = x / rms

    def back(gradient: Array) -> Array:
        # d rms / dx = x / (count · rms), hence the share of the gradient along the vector goes.
        along: Array = value * np.mean(gradient * value, axis=1, keepdims=True)
        return (gradient - along) / rms

    return value, back


def upscale(x: Array) -> Step:
    """Nearest neighbour, twice as high and wide."""
    return _spread(x), lambda gradient: 4.0 * _box(gradient)


def downscale(x: Array) -> Step:
    """Average of each 2×2 box."""
    return _box(x), lambda gradient: _spread(gradient) / 4.0


def _spread(x: Array) -> Array:
    return x.repeat(2, axis=2).repeat(2, axis=3)


def _box(x: Array) -> Array:
    count, maps, height, width = x.shape
    boxes = x.reshape(count, maps, height // 2, 2, width // 2, 2)
    averages: Array = boxes.mean(axis=(3, 5))
    return averages


def minibatch_stddev(group_size: int) -> Operation:
    """One more map at the end: how much the samples of a group differ, one number per group."""

    def run(x: Array) -> Step:
        count, maps, height, width = x.shape
        size = min(group_size, count)
        if count % size:
            raise ValueError(f"{count} samples do not fall into groups of {size}")
        members = [np.arange(count) % (count // size) == group for group in range(count // size)]
        appended = np.zeros((count, 1, height, width))
        slopes = np.zeros_like(x)
        for chosen in members:
            centred = x[chosen] - x[chosen].mean(axis=0)
            deviation = np.sqrt(np.mean(centred**2, axis=0) + EPSILON)
            appended[chosen] = deviation.mean()
            # The mean's own derivative drops out, since the centred values add up to zero.
            slopes[chosen] = centred / (size * deviation * maps * height * width)

        def back(gradient: Array) -> Array:
            through = gradient[:, :-1].copy()
            for chosen in members:
                through[chosen] += gradient[chosen, -1].sum() * slopes[chosen]
            return through

        return np.concatenate([x, appended], axis=1), back

    return run


# ---- networks ----


def generator(
    weights: Weights,
    latents: Array,
    labels: npt.NDArray[np.int64] | None = None,
    *,
    level: int,
    fade: float = 1.0,
) -> Step:
    """Images [N, C, 2**level, 2**level]; the pullback leads to the latents [N, latent_size]."""
    maps = len(weights["blocks.2.dense.bias"])
    # What the first weight takes besides the latents are the classes.
    label_size = weights["blocks.2.dense.weight"].shape[1] - latents.shape[1]

    def with_labels(x: Array) -> Step:
        if labels is None:
            assert label_size == 0, "a labelled generator needs labels"
            return x, lambda gradient: gradient
        one_hot = np.eye(label_size)[labels]
        joined = np.concatenate([x, one_hot], axis=1)
        return joined, lambda gradient: gradient[:, : x.shape[1]]

    def to_rgb(at: int) -> Operation:
        return convolution(weights, f"to_rgb.{at}", gain=1.0)

    def block(at: int) -> Operation:
        if at == 2:
            return chain(
                product(weights["blocks.2.dense.weight"], gain=SQRT2 / 4.0),
                reshaped(maps, 4, 4),
                added(weights["blocks.2.dense.bias"]),
                leaky_relu,
                unit_rms,
                convolution(weights, "blocks.2.conv"),
                leaky_relu,
                unit_rms,
            )
        return chain(
            upscale,
            convolution(weights, f"blocks.{at}.conv0"),
            leaky_relu,
            unit_rms,
            convolution(weights, f"blocks.{at}.conv1"),
            leaky_relu,
            unit_rms,
        )

    top = chain(block(level), to_rgb(level))
    if level > 2:
        top = lerp(chain(to_rgb(level - 1), upscale), top, fade)
    lower = [block(at) for at in range(2, level)]
    return chain(with_labels, unit_rms, *lower, top)(latents)


def critic(
    weights: Weights,
    images: Array,
    *,
    level: int,
    fade: float = 1.0,
    group_size: int = 4,
    pool_last: bool = False,
) -> Step:
    """Scores and class outputs [N, 1 + label_size]; the pullback leads to the images.

    `pool_last` is the release's unfused critic: convolution, activation, and then the averages.
    """

    def from_rgb(at: int) -> Operation:
        return chain(convolution(weights, f"from_rgb.{at}"), leaky_relu)

    def block(at: int) -> Operation:
        return chain(
            convolution(weights, f"blocks.{at}.conv0"),
            leaky_relu,
            convolution(weights, f"blocks.{at}.conv1"),
            *((leaky_relu, downscale) if pool_last else (downscale, leaky_relu)),
        )

    head = chain(
        minibatch_stddev(group_size),
        convolution(weights, "blocks.2.conv"),
        leaky_relu,
        reshaped(-1),
        product(weights["blocks.2.dense0.weight"]),
        added(weights["blocks.2.dense0.bias"]),
        leaky_relu,
        product(weights["blocks.2.dense1.weight"], gain=1.0),
        added(weights["blocks.2.dense1.bias"]),
    )
    if level == 2:
        return chain(from_rgb(2), head)(images)
    old = chain(downscale, from_rgb(level - 1))
    new = chain(from_rgb(level), block(level))
    lower = [block(at) for at in range(level - 1, 2, -1)]
    return chain(lerp(old, new, fade), *lower, head)(images)


def critic_input_gradient(weights: Weights, images: Array, **standing: Any) -> Array:
    """Gradient of the sum of all scores with respect to the images, in the images' shape."""
    outputs, back = critic(weights, images, **standing)
    towards = np.zeros_like(outputs)
    towards[:, 0] = 1.0
    return back(towards)


# ---- what the networks are made of ----


def feature_maps(stage: int, fmap_base: int = 8192, fmap_max: int = 512) -> int:
    """nf(stage); a block at level L works with nf(L - 1) maps."""
    return min(fmap_base >> stage, fmap_max)


def generator_shapes(
    *,
    top_level: int,
    num_channels: int = 3,
    label_size: int = 0,
    fmap_base: int = 8192,
    fmap_max: int = 512,
    latent_size: int | None = None,
) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight and bias of the generator."""
    first = feature_maps(1, fmap_base, fmap_max)
    latents = feature_maps(0, fmap_base, fmap_max) if latent_size is None else latent_size
    shapes: dict[str, tuple[int, ...]] = {
        "blocks.2.dense.weight": (first * 16, latents + label_size),
        "blocks.2.dense.bias": (first,),
        "blocks.2.conv.weight": (first, first, 3, 3),
        "blocks.2.conv.bias": (first,),
    }
    for level in range(2, top_level + 1):
        below = feature_maps(level - 2, fmap_base, fmap_max)
        maps = feature_maps(level - 1, fmap_base, fmap_max)
        if level > 2:
            shapes[f"blocks.{level}.conv0.weight"] = (maps, below, 3, 3)
            shapes[f"blocks.{level}.conv0.bias"] = (maps,)
            shapes[f"blocks.{level}.conv1.weight"] = (maps, maps, 3, 3)
            shapes[f"blocks.{level}.conv1.bias"] = (maps,)
        shapes[f"to_rgb.{level}.weight"] = (num_channels, maps, 1, 1)
        shapes[f"to_rgb.{level}.bias"] = (num_channels,)
    return shapes


def critic_shapes(
    *,
    top_level: int,
    num_channels: int = 3,
    label_size: int = 0,
    fmap_base: int = 8192,
    fmap_max: int = 512,
) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight and bias of the critic."""
    first = feature_maps(1, fmap_base, fmap_max)
    dense = feature_maps(0, fmap_base, fmap_max)
    shapes: dict[str, tuple[int, ...]] = {
        "blocks.2.conv.weight": (first, first + 1, 3, 3),
        "blocks.2.conv.bias": (first,),
        "blocks.2.dense0.weight": (dense, first * 16),
        "blocks.2.dense0.bias": (dense,),
        "blocks.2.dense1.weight": (1 + label_size, dense),
        "blocks.2.dense1.bias": (1 + label_size,),
    }
    for level in range(2, top_level + 1):
        below = feature_maps(level - 2, fmap_base, fmap_max)
        maps = feature_maps(level - 1, fmap_base, fmap_max)
        if level > 2:
            shapes[f"blocks.{level}.conv0.weight"] = (maps, maps, 3, 3)
            shapes[f"blocks.{level}.conv0.bias"] = (maps,)
            shapes[f"blocks.{level}.conv1.weight"] = (below, maps, 3, 3)
            shapes[f"blocks.{level}.conv1.bias"] = (below,)
        shapes[f"from_rgb.{level}.weight"] = (maps, num_channels, 1, 1)
        shapes[f"from_rgb.{level}.bias"] = (maps,)
    return shapes
