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
        x: features [N, C, ...]; the mean of squares is taken over axis 1.
        epsilon: added to the mean of squares.
    """
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + epsilon)


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

    Attributes:
        shared: the weight to work with, if somebody keeps it for several passes.
    """

    weight: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        self.shared: Tensor | None = None

    def working_weight(self) -> Tensor:
        """Make the weight to work with out of the stored one."""
        raise NotImplementedError

    def _weight(self) -> Tensor:
        return self.working_weight() if self.shared is None else self.shared


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

    def working_weight(self) -> Tensor:
        """Scale the stored weight."""
        return self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs] to [N, outputs]; a bias of another length is left to the caller."""
        weight = self._weight()
        if len(self.bias) != len(weight):
            return F.linear(x, weight)
        return F.linear(x, weight, self.bias)


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
        if weight is None or self.side is None:
            return False
        return worthwhile(self.scheme, weight, self.side)

    def working_weight(self) -> Tensor:
        """Scale the stored weight, and transform it where that pays."""
        weight = self.weight * self.scale
        return TILES.weights(weight) if self.transformed else weight

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H, W]."""
        if self.transformed:
            return convolve(TILES, x, self._weight(), self.bias)
        return F.conv2d(x, self._weight(), self.bias, padding=self.padding)


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
    spread = (_SPREAD.flip(0) if turned else _SPREAD).to(weight)
    wide = weight.reshape(-1, 9) @ torch.kron(spread, spread).mul_(scale)
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

    def working_weight(self) -> Tensor:
        """Scale the stored weight, and widen or transform it where scaling is fused."""
        if not self.fused:
            return self.weight * self.scale
        # A transposed convolution scatters, so the kernel of the gathering one is turned round.
        if self.transformed:
            return HALVES.weights((self.weight * self.scale).flip(-1, -2).transpose(0, 1))
        return spread_kernel(self.weight, self.scale, turned=True).transpose(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, 2H, 2W]."""
        if not self.fused:
            return F.conv2d(upscale(x), self._weight(), self.bias, padding=1)
        if self.transformed:
            return convolve_adjoint(HALVES, x, self._weight(), self.bias)
        return F.conv_transpose2d(x, self._weight(), self.bias, stride=2, padding=1)


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

    def working_weight(self) -> Tensor:
        """Scale the stored weight, and widen or transform it where scaling is fused."""
        if not self.fused:
            return self.weight * self.scale
        if self.transformed:
            return HALVES.weights(self.weight * (self.scale / 4))
        return spread_kernel(self.weight, self.scale / 4)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H/2, W/2]."""
        if not self.fused:
            return downscale(F.conv2d(x, self._weight(), self.bias, padding=1))
        if self.transformed:
            return convolve(HALVES, x, self._weight(), self.bias)
        return F.conv2d(x, self._weight(), self.bias, stride=2, padding=1)
