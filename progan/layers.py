"""The layers that both networks are made of (PAPER: appendix A.1 and section 4).

Every weight is stored as drawn from N(0, 1) and multiplied at run time by gain / sqrt(fan-in)
(equalized learning rate, section 4.1): Adam then moves all weights at the same relative speed,
whatever the size of their layer. It is the small weight that is scaled, not the large image.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from progan.convolution import convolve, convolve_adjoint, worthwhile
from progan.transforms import HALVES, TILES, Scheme

LEAK = 0.2
RELU_GAIN = math.sqrt(2)
HALF_PRECISIONS = (torch.bfloat16, torch.float16)


def activate(x: Tensor, *, flat: bool = False) -> Tensor:
    """Apply the leaky ReLU with the paper's slope of 0.2.

    Args:
        x: any shape.
        flat: take the slopes for constants. They are nearly everywhere, so that derivatives are the
            same; but a second one is not sent back as zeros through all layers before.
    """
    if not flat:
        return F.leaky_relu(x, LEAK)
    return x * torch.where(x.detach() > 0, 1.0, LEAK).to(x.dtype)


def normalize_pixels(x: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Bring each pixel's feature vector to unit root mean square (section 4.2).

    Args:
        x: features [N, C, ...]; the mean of squares is taken over axis 1, in float32 at least.
        epsilon: added to the mean of squares; in float16 it is 1e-4 or more, as in the release,
            since the derivative grows with its inverse root.
    """
    if x.dtype not in HALF_PRECISIONS:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + epsilon)
    if x.dtype == torch.float16:
        epsilon = max(epsilon, 1e-4)
    # A sum in float32 without features in float32, which would be kept for the way back.
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32)
    return x * torch.rsqrt(length.square() / x.shape[1] + epsilon).to(x.dtype)


def upscale(x: Tensor) -> Tensor:
    """Double the height and width of [N, C, H, W] by repeating each pixel."""
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def downscale(x: Tensor) -> Tensor:
    """Halve the height and width of [N, C, H, W] by 2×2 averages."""
    return F.avg_pool2d(x, 2)


def minibatch_deviation(x: Tensor, group_size: int, *, flat: bool = False) -> Tensor:
    """Append one map that says how much the samples of a group differ (section 3).

    The group axis is the slow one: sample i belongs to group i mod (N / group size). Computed in
    float32 at least, since the variance of half-precision features loses its small values.

    Args:
        x: features [N, C, H, W].
        group_size: samples compared with one another; at most N samples make a group.
        flat: take the slopes for constants, so that there is a first derivative but no second.

    Returns:
        [N, C + 1, H, W].

    Raises:
        ValueError: N does not divide by the group size.
    """
    n, c, h, w = x.shape
    group = min(group_size, n)
    if n % group:
        raise ValueError(
            f"a minibatch of {n} cannot be divided into groups of {group} for the minibatch "
            f"standard deviation: use a multiple of {group}, or at most {group} samples"
        )
    y = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(group, n // group, c, h, w)
    deviation = _flat_deviation(y) if flat else _deviation(y)
    tiled = deviation.to(x.dtype).repeat(group).reshape(n, 1, 1, 1).expand(n, 1, h, w)
    return torch.cat([x, tiled], dim=1)


def _deviation(y: Tensor) -> Tensor:
    """Give the mean deviation of each group: [group size, groups, C, H, W] to [groups]."""
    # PyTorch's own variance along the first axis takes 18 times as long.
    variance = (y - y.mean(dim=0)).square().mean(dim=0)
    return (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))


def _flat_deviation(y: Tensor) -> Tensor:
    """Give the tangent of `_deviation` where it stands: the same value, and constant slopes."""
    here = y.detach()
    with torch.enable_grad():
        point = here.clone().requires_grad_()
        value = _deviation(point)
        (slopes,) = torch.autograd.grad(value.sum(), point)
    return value.detach() + (slopes * (y - here)).sum(dim=(0, 2, 3, 4))


class Scaled(nn.Module):
    """A layer whose stored weight becomes the weight it works with by a few small operations.

    It computes in the type of number of the weight that it works with, and gives that type.

    Attributes:
        shared: the weight to work with, if somebody keeps it for several passes.
        shared_bias: likewise the bias, in the type to compute in.
        precision: the type to compute in; None for the stored weight's. Weights are stored, and
            learn, in theirs: small steps would be lost in rounding to a smaller one.
        channels_last: whether images and kernels lie in memory with the maps of a pixel together.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        self.shared: Tensor | None = None
        self.shared_bias: Tensor | None = None
        self.precision: torch.dtype | None = None
        self.channels_last = False

    def scaled_weight(self) -> Tensor:
        """Make the weight to work with out of the stored one, in the stored one's type."""
        raise NotImplementedError

    def working_weight(self) -> Tensor:
        """Make the weight to work with out of the stored one."""
        return self.cast(self.scaled_weight())

    def cast(self, scaled: Tensor) -> Tensor:
        """Bring a scaled weight, or a bias, to the type to compute in, and its order in memory."""
        if self.precision is None and not self.channels_last:
            return scaled
        last = self.channels_last and scaled.ndim == 4
        form = torch.channels_last if last else torch.preserve_format
        return scaled.to(self.precision or scaled.dtype, memory_format=form)

    def working_bias(self) -> Tensor:
        """Give the bias in the type to compute in."""
        return self.cast(self.bias) if self.shared_bias is None else self.shared_bias

    def _weight(self) -> Tensor:
        return self.working_weight() if self.shared is None else self.shared

    def _like(self, weight: Tensor, x: Tensor) -> Tensor:
        """Bring what comes in to the weight's type, and to its order in memory."""
        if self.channels_last:
            return x.to(weight.dtype, memory_format=torch.channels_last)
        # Nothing at all where nothing is to be done: also in what is recorded for export.
        return x if x.dtype == weight.dtype else x.to(weight.dtype)


class Dense(Scaled):
    """Fully connected layer with equalized learning rate: [N, inputs] -> [N, outputs].

    Args:
        inputs: features that come in.
        outputs: features that go out.
        gain: the layer's gain; the weight is multiplied by gain / sqrt(inputs).
        biases: length of the bias, which the caller adds when it is not `outputs` long.
    """

    def __init__(
        self, inputs: int, outputs: int, *, gain: float = RELU_GAIN, biases: int | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs if biases is None else biases))
        self.scale = gain / math.sqrt(inputs)

    def scaled_weight(self) -> Tensor:
        """Scale the stored weight."""
        return self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs] to [N, outputs]; a bias of another length is left to the caller."""
        weight = self._weight()
        x = self._like(weight, x)
        if len(self.bias) != len(weight):
            return F.linear(x, weight)
        return F.linear(x, weight, self.working_bias())


class Convolution(Scaled):
    """Convolution that keeps the image's size, with equalized learning rate.

    Args:
        inputs: maps that come in.
        outputs: maps that go out.
        kernel: 1 or 3, the kernel's height and width in pixels.
        gain: the layer's gain; the weight is multiplied by gain / sqrt(kernel² · inputs).
        side: height and width in pixels of the images (of the larger ones, where the layer changes
            the size), where they are known beforehand: on a processor, there may be a quicker way.
    """

    scheme: Scheme = TILES

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        gain: float = RELU_GAIN,
        side: int | None = None,
    ) -> None:
        super().__init__()
        self.side = side if kernel == 3 else None
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(kernel * kernel * inputs)
        self.padding = kernel // 2

    @property
    def transformed(self) -> bool:
        """Whether the layer multiplies less than a plain convolution, between transforms."""
        # A layer that is exported keeps its working weight alone.
        weight = self._parameters.get("weight")
        if weight is None or self.side is None or self.channels_last:
            return False
        if self.precision not in (None, weight.dtype):
            return False
        return worthwhile(self.scheme, weight, self.side)

    def scaled_weight(self) -> Tensor:
        """Scale the stored weight, and transform it where that pays."""
        weight = self.weight * self.scale
        return TILES.weights(weight) if self.transformed else weight

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H, W]."""
        weight = self._weight()
        x, bias = self._like(weight, x), self.working_bias()
        if self.transformed:
            return convolve(TILES, x, weight, bias)
        return F.conv2d(x, weight, bias, padding=self.padding)


# A row of three taps becomes one of four: each lands on its own place and on the next.
_SPREAD = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])


def spread_kernel(weight: Tensor, scale: float = 1.0, *, turned: bool = False) -> Tensor:
    """Widen 3×3 kernels [..., 3, 3] to the 4×4 ones of fused scaling [..., 4, 4].

    The sum of the kernel's four copies, shifted by (0|1, 0|1): what a 3×3 kernel becomes when it
    meets pixels that were repeated, or will be averaged, in pairs. A product of matrices, since a
    narrow network would spend more time on shifting and adding than on convolving.

    Args:
        weight: kernels.
        scale: what to multiply them by.
        turned: whether to turn the kernels by half a turn besides.
    """
    spread = (_SPREAD.flip(0) if turned else _SPREAD).to(weight.dtype)
    spread = torch.kron(spread, spread).mul_(scale)
    if weight.device.type == "cuda":
        # From ordinary memory, the copy would wait until the card has done all that it has to do.
        spread = spread.pin_memory()
    # Metal may read ordinary memory when it is somebody else's already; of others nobody knows.
    at_once = weight.device.type in ("mps", "xpu")
    wide = weight.reshape(-1, 9) @ spread.to(weight.device, non_blocking=not at_once)
    return wide.reshape(*weight.shape[:-2], 4, 4)


class UpConvolution(Convolution):
    """Nearest upscale by two, then a 3×3 convolution: [N, C, H, W] -> [N, D, 2H, 2W].

    Args:
        inputs: maps that come in.
        outputs: maps that go out.
        fused: do both as one transposed convolution of stride 2 with a 4×4 kernel, which needs 4/9
            of the multiplications, or less, and gives the same up to rounding.
        side: height and width of the larger images.
    """

    scheme: Scheme = HALVES

    def __init__(self, inputs: int, outputs: int, *, fused: bool, side: int | None = None) -> None:
        super().__init__(inputs, outputs, side=side if fused else None)
        self.fused = fused

    def scaled_weight(self) -> Tensor:
        """Scale the stored weight, and widen or transform it where scaling is fused."""
        if not self.fused:
            return self.weight * self.scale
        # A transposed convolution scatters, so the kernel of the gathering one is turned round.
        if self.transformed:
            return HALVES.weights((self.weight * self.scale).flip(-1, -2).transpose(0, 1))
        return spread_kernel(self.weight, self.scale, turned=True).transpose(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, 2H, 2W]."""
        weight = self._weight()
        x, bias = self._like(weight, x), self.working_bias()
        if not self.fused:
            return F.conv2d(upscale(x), weight, bias, padding=1)
        if self.transformed:
            return convolve_adjoint(HALVES, x, weight, bias)
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)


class DownConvolution(Convolution):
    """A 3×3 convolution, then 2×2 averages: [N, C, H, W] -> [N, D, H/2, W/2].

    Args:
        inputs: maps that come in.
        outputs: maps that go out.
        fused: do both as one convolution of stride 2 with a 4×4 kernel, which needs 4/9 of the
            multiplications, or less, and gives the same up to rounding.
        side: height and width of the larger images.
    """

    scheme: Scheme = HALVES

    def __init__(self, inputs: int, outputs: int, *, fused: bool, side: int | None = None) -> None:
        super().__init__(inputs, outputs, side=side if fused else None)
        self.fused = fused

    def scaled_weight(self) -> Tensor:
        """Scale the stored weight, and widen or transform it where scaling is fused."""
        if not self.fused:
            return self.weight * self.scale
        if self.transformed:
            return HALVES.weights(self.weight * (self.scale / 4))
        return spread_kernel(self.weight, self.scale / 4)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H/2, W/2]."""
        weight = self._weight()
        x, bias = self._like(weight, x), self.working_bias()
        if not self.fused:
            return downscale(F.conv2d(x, weight, bias, padding=1))
        if self.transformed:
            return convolve(HALVES, x, weight, bias)
        return F.conv2d(x, weight, bias, stride=2, padding=1)
