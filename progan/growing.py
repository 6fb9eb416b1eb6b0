"""What generator and critic share: maps by level, and where a network stands (PAPER: section 2).

A network holds the weights of all its levels from the start and stands at one of them, with the
newest level faded in by a weight between 0 and 1. `stand` moves it; nothing is ever rebuilt, so
growing costs no memory that was not there at the first step.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn

from progan.growth import FIRST_LEVEL, level_of
from progan.layers import Convolution, Scaled
from progan.recomputing import Pass, recomputed


def refuse_fractions(**arguments: object) -> None:
    """Raise ValueError for an argument that is not an int: 16.0 would fail later, in a riddle."""
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name} must be a whole number (int), not {value!r}")


class GrowingNetwork(nn.Module):
    """What the two networks share: the number of maps by level, and where the network stands.

    Attributes:
        level: the level at which the network stands, 2 … `top_level`.
        fade: weight in [0, 1] of that level; below 1 the level beneath still shows through.
        top_level: the highest level for which there are weights.
    """

    def __init__(
        self, *, resolution: int, num_channels: int, label_size: int, fmap_base: int, fmap_max: int
    ) -> None:
        super().__init__()
        refuse_fractions(
            resolution=resolution,
            num_channels=num_channels,
            label_size=label_size,
            fmap_base=fmap_base,
            fmap_max=fmap_max,
        )
        self.top_level = level_of(resolution)
        if num_channels not in (1, 3):
            raise ValueError(f"num_channels must be 1 (grey) or 3 (colour), not {num_channels}")
        if label_size < 0:
            raise ValueError(f"label_size must be 0 (no classes) or more, not {label_size}")
        if fmap_max < 1:
            raise ValueError(f"fmap_max must be at least 1, not {fmap_max}")
        if fmap_base < 2 ** (self.top_level - 1):
            raise ValueError(
                f"fmap_base {fmap_base} leaves no feature map at {resolution} pixels: "
                f"it must be at least {2 ** (self.top_level - 1)}"
            )
        self.resolution = resolution
        self.num_channels = num_channels
        self.label_size = label_size
        self.fmap_base = fmap_base
        self.fmap_max = fmap_max
        self.level = self.top_level
        self.fade = 1.0
        self._fade_as_tensor: Tensor | None = None
        self._shared: SharedWeights | None = None
        self._at_once: int | None = None

    def maps(self, stage: int) -> int:
        """Give nf(stage), the number of feature maps; a block at level L works with nf(L - 1)."""
        return min(self.fmap_base >> stage, self.fmap_max)

    def stand(self, level: int, fade: float = 1.0) -> Self:
        """Move the network to a level, of which `fade` is faded in; gives the network itself.

        Raises:
            ValueError: there is no such level, or the fade is not in [0, 1]; level 2 has nothing
                beneath it, so its fade is 1.
        """
        refuse_fractions(level=level)
        if not FIRST_LEVEL <= level <= self.top_level:
            raise ValueError(f"level must be from 2 to {self.top_level}, not {level}")
        if not 0 <= fade <= 1 or (level == FIRST_LEVEL and fade != 1):
            raise ValueError(f"fade must be in [0, 1], and 1 at level 2, not {fade}")
        self.level = level
        self.fade = float(fade)
        return self

    def compute_in(self, precision: torch.dtype | None, *, channels_last: bool = False) -> Self:
        """Choose the numbers that the convolutions compute in; gives the network itself.

        Weights stay as they are, and so do what loses most by rounding and costs least: dense
        layers, images that come out, scores, the mean of squares of the pixel norm, and the
        minibatch standard deviation.

        Args:
            precision: torch.bfloat16 or torch.float16; None for the weights' own type.
            channels_last: whether features lie in memory with the maps of a pixel together, as
                the units of graphics cards that multiply matrices want them.
        """
        for part in self._wide():
            for layer in part.modules():
                if isinstance(layer, Convolution):
                    layer.precision, layer.channels_last = precision, channels_last
        return self

    @contextmanager
    def faded_by(self, fade: Tensor) -> Iterator[None]:
        """Take the weight of the newest level from a tensor [] within the block.

        What is recorded there can be done again with another weight. The network must be fading.
        """
        self._fade_as_tensor = fade
        try:
            yield
        finally:
            self._fade_as_tensor = None

    def active_parameters(self) -> list[nn.Parameter]:
        """List the parameters that take part where the network stands, in a fixed order."""
        return [parameter for module in self._active() for parameter in module.parameters()]

    @contextmanager
    def shared_weights(self, at_once: int | None = None) -> Iterator["SharedWeights"]:
        """Make the weights to work with once, for all passes within the block.

        The block must not change the stored weights.

        Args:
            at_once: walk through the network with so many samples at a time, keep nothing of that,
                and compute it again for derivatives; by default all together, once.
        """
        self._shared = SharedWeights(self)
        self._at_once = at_once
        try:
            yield self._shared
        finally:
            self._shared.release()
            self._shared = self._at_once = None

    def _walk(self, run: Pass, x: Tensor) -> Tensor:
        """Give `run(x)`, which treats each sample by itself, as `shared_weights` says."""
        if self._shared is None or self._at_once is None:
            return run(x)
        if torch.is_grad_enabled():
            return recomputed(run, x, self._shared.used, self._at_once)
        return torch.cat([run(some) for some in torch.split(x, self._at_once)])

    def _blend(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Mix what the level beneath gives with what the newest level gives."""
        if self._fade_as_tensor is None:
            return torch.lerp(coarse, fine, self.fade)
        return torch.lerp(coarse, fine, self._fade_as_tensor.to(fine.dtype))

    def _active(self) -> list[nn.Module]:
        """List the parts that take part where the network stands, in a fixed order."""
        raise NotImplementedError

    def _wide(self) -> list[nn.Module]:
        """List the parts whose convolutions have many numbers to compute."""
        raise NotImplementedError

    def _colour_levels(self) -> list[int]:
        """List the levels whose conversion to or from RGB takes part now."""
        return [self.level] if self.fade == 1 else [self.level, self.level - 1]

    def _parts(self, blocks: nn.ModuleDict, colours: nn.ModuleDict) -> list[nn.Module]:
        below = [blocks[str(level)] for level in range(FIRST_LEVEL, self.level + 1)]
        return below + [colours[str(level)] for level in self._colour_levels()]


class SharedWeights:
    """The weights that a network works with for several passes, and the way back to stored ones.

    Gradients of all passes meet in the weights that are worked with, and take the way back once.
    They meet, and add up over parts of a minibatch, in the stored weights' type of number.

    Args:
        network: its layers work with the shared weights until they are released.

    Attributes:
        network: whose they are.
        used: what takes part in the passes, in the order of the network's active parameters; where
            gradients are recorded, those of these are to be asked for.
    """

    def __init__(self, network: GrowingNetwork) -> None:
        layers = [m for part in network._active() for m in part.modules() if isinstance(m, Scaled)]
        self.network = network
        self._layers = layers
        self._made = [layer.scaled_weight() for layer in layers]
        place = {parameter: n for n, parameter in enumerate(network.active_parameters())}
        self._places = [place[layer.weight] for layer in layers]
        self._bias_places = [place[layer.bias] for layer in layers]
        self.used: list[Tensor] = list(place)
        for layer, made in zip(layers, self._made, strict=True):
            self.used[place[layer.weight]] = made.detach().requires_grad_(made.requires_grad)
            self.used[place[layer.bias]] = layer.bias.detach().requires_grad_(made.requires_grad)
        self._hand_out(self.used)

    def _hand_out(self, used: Sequence[Tensor]) -> None:
        for layer, at, bias_at in zip(self._layers, self._places, self._bias_places, strict=True):
            layer.shared = layer.cast(used[at])
            layer.shared_bias = layer.cast(used[bias_at])

    @contextmanager
    def replaced(self, used: Sequence[Tensor]) -> Iterator[None]:
        """Let other tensors, shaped as `used`, take its place within the block."""
        before = self.used, [(layer.shared, layer.shared_bias) for layer in self._layers]
        self.used = list(used)
        self._hand_out(self.used)
        try:
            yield
        finally:
            self.used = before[0]
            for layer, (weight, bias) in zip(self._layers, before[1], strict=True):
                layer.shared, layer.shared_bias = weight, bias

    def gradients(self, of_used: Sequence[Tensor]) -> list[Tensor]:
        """Turn gradients of `used` into those of the network's active parameters, once."""
        found = list(of_used)
        stored = [layer.weight for layer in self._layers]
        back = torch.autograd.grad(self._made, stored, [found[at] for at in self._places])
        for at, gradient in zip(self._places, back, strict=True):
            found[at] = gradient
        return found

    def release(self) -> None:
        """Let the network's layers make their weights themselves again."""
        for layer in self._layers:
            layer.shared = layer.shared_bias = None
