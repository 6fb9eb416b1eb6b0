"""Generator and Critic: two networks that grow level by level (PAPER: table 2, section 2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from progan.growing import GrowingNetwork, refuse_fractions
from progan.growth import FIRST_LEVEL
from progan.layers import (
    RELU_GAIN,
    Convolution,
    Dense,
    DownConvolution,
    UpConvolution,
    activate,
    downscale,
    minibatch_deviation,
    normalize_pixels,
    upscale,
)


class FirstGeneratorBlock(nn.Module):
    """Latents (with labels) [N, inputs] -> features [N, maps, 4, 4]."""

    def __init__(self, inputs: int, maps: int) -> None:
        super().__init__()
        self.maps = maps
        # The release's gain of √2/4 here keeps the first pixel norm's input near unit size.
        self.dense = Dense(inputs, maps * 16, gain=RELU_GAIN / 4, biases=maps)
        self.conv = Convolution(maps, maps)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs] to [N, maps, 4, 4]."""
        x = self.dense(x).reshape(-1, self.maps, 4, 4) + self.dense.working_bias().reshape(-1, 1, 1)
        x = normalize_pixels(activate(x))
        return normalize_pixels(activate(self.conv(x)))


class GeneratorBlock(nn.Module):
    """One level of the generator: [N, inputs, side / 2, side / 2] -> [N, maps, side, side]."""

    def __init__(self, inputs: int, maps: int, *, side: int, fused: bool) -> None:
        super().__init__()
        self.conv0 = UpConvolution(inputs, maps, fused=fused, side=side)
        self.conv1 = Convolution(maps, maps, side=side)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, maps, 2H, 2W]."""
        x = normalize_pixels(activate(self.conv0(x)))
        return normalize_pixels(activate(self.conv1(x)))


class Generator(GrowingNetwork):
    """Makes images from latents.

    Args:
        resolution: height and width in pixels of the top level's images, 4 … 1024.
        num_channels: 3 for colour, 1 for grey.
        label_size: number of classes; 0 for none.
        fmap_base: nf(s) = min(fmap_base / 2**s, fmap_max) feature maps; see `maps`.
        fmap_max: see `fmap_base`.
        latent_size: length of a latent vector; by default nf(0).
        fused_scale: upscale and convolve in one operation: the same up to rounding, less work.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        resolution: int,
        num_channels: int = 3,
        label_size: int = 0,
        fmap_base: int = 8192,
        fmap_max: int = 512,
        latent_size: int | None = None,
        fused_scale: bool = True,
    ) -> None:
        super().__init__(
            resolution=resolution,
            num_channels=num_channels,
            label_size=label_size,
            fmap_base=fmap_base,
            fmap_max=fmap_max,
        )
        self.latent_size = self.maps(0) if latent_size is None else latent_size
        refuse_fractions(latent_size=self.latent_size)
        if self.latent_size < 1:
            raise ValueError(f"latent_size must be at least 1, not {latent_size}")
        self.fused_scale = fused_scale

        first = FirstGeneratorBlock(self.latent_size + label_size, self.maps(1))
        self.blocks = nn.ModuleDict({str(FIRST_LEVEL): first})
        self.to_rgb = nn.ModuleDict()
        for level in range(FIRST_LEVEL, self.top_level + 1):
            if level > FIRST_LEVEL:
                self.blocks[str(level)] = GeneratorBlock(
                    self.maps(level - 2), self.maps(level - 1), side=2**level, fused=fused_scale
                )
            self.to_rgb[str(level)] = Convolution(self.maps(level - 1), num_channels, 1, gain=1)

    @property
    def architecture(self) -> dict[str, int | bool]:
        """Give the arguments that build this network again."""
        return {
            "resolution": self.resolution,
            "num_channels": self.num_channels,
            "label_size": self.label_size,
            "fmap_base": self.fmap_base,
            "fmap_max": self.fmap_max,
            "latent_size": self.latent_size,
            "fused_scale": self.fused_scale,
        }

    def _active(self) -> list[nn.Module]:
        return self._parts(self.blocks, self.to_rgb)

    def _wide(self) -> list[nn.Module]:
        return [self.blocks]

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Make images of the level at which the network stands.

        Args:
            latents: [N, latent_size], standard normal; only their direction counts, since they are
                brought to unit root mean square.
            labels: class numbers [N], needed if there are classes and only then; or the weights of
                all classes, float [N, label_size], which lead from class to class. Training knows
                one-hot weights alone.

        Returns:
            Images [N, num_channels, 2**level, 2**level], nominally in [-1, 1] but not clipped.

        Raises:
            ValueError: a shape does not fit, or labels are missing, not wanted or out of range.
        """
        if latents.ndim != 2 or latents.shape[1] != self.latent_size:
            raise ValueError(
                f"latents must have the shape [N, {self.latent_size}], not {list(latents.shape)}"
            )
        return self._walk(self._images, self._with_labels(latents, labels))

    def _images(self, x: Tensor) -> Tensor:
        """Make images from latents with labels [N, latent_size + label_size]."""
        x = normalize_pixels(x)
        below = x
        for level in range(FIRST_LEVEL, self.level + 1):
            below, x = x, self.blocks[str(level)](x)
        images: Tensor = self.to_rgb[str(self.level)](x)
        if self.fade < 1:
            coarse = self.to_rgb[str(self.level - 1)](below)
            images = self._blend(upscale(coarse), images)
        return images

    def _with_labels(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        if self.label_size == 0:
            if labels is not None:
                raise ValueError("this generator has no classes: call it with latents alone")
            return latents
        if labels is None:
            raise ValueError(
                f"this generator has {self.label_size} classes: call it with latents and labels"
            )
        if labels.is_floating_point() and labels.shape == (len(latents), self.label_size):
            return torch.cat([latents, labels.to(latents.dtype)], dim=1)
        if labels.shape != latents.shape[:1] or labels.is_floating_point():
            raise ValueError(
                f"labels must be whole class numbers [{len(latents)}], or weights of the classes "
                f"[{len(latents)}, {self.label_size}], not {labels.dtype} {list(labels.shape)}"
            )
        # Elsewhere than on the CPU, to look at the numbers would stop the device at every step; and
        # there are none to look at while the network is recorded for export or compilation.
        looked_at = labels.is_cpu and not torch.compiler.is_exporting() and type(labels) is Tensor
        if looked_at and not bool(((labels >= 0) & (labels < self.label_size)).all()):
            raise ValueError(f"labels must lie from 0 to {self.label_size - 1}")
        one_hot = F.one_hot(labels.long(), self.label_size).to(latents.dtype)
        return torch.cat([latents, one_hot], dim=1)


class LastCriticBlock(nn.Module):
    """Features [N, maps, 4, 4] -> score and class logits [N, outputs]."""

    def __init__(self, maps: int, hidden: int, outputs: int, *, group_size: int) -> None:
        super().__init__()
        self.group_size = group_size
        self.conv = Convolution(maps + 1, maps)
        self.dense0 = Dense(maps * 16, hidden)
        self.dense1 = Dense(hidden, outputs, gain=1)

    def forward(self, x: Tensor, *, flat: bool = False) -> Tensor:
        """Map [N, maps, 4, 4] to [N, outputs]; see `Critic.forward` for `flat`."""
        x = activate(self.conv(minibatch_deviation(x, self.group_size, flat=flat)), flat=flat)
        scores: Tensor = self.dense1(activate(self.dense0(x.flatten(1)), flat=flat))
        return scores


class CriticBlock(nn.Module):
    """One level of the critic: [N, maps, side, side] -> [N, outputs, side / 2, side / 2]."""

    def __init__(
        self, maps: int, outputs: int, *, side: int, fused: bool, pool_first: bool
    ) -> None:
        super().__init__()
        self.conv0 = Convolution(maps, maps, side=side)
        # A fused layer halves before the activation; what halves after it is another critic.
        self.pools_last = not (fused or pool_first)
        if self.pools_last:
            self.conv1 = Convolution(maps, outputs, side=side)
        else:
            self.conv1 = DownConvolution(maps, outputs, fused=fused, side=side)

    def forward(self, x: Tensor, *, flat: bool = False) -> Tensor:
        """Map [N, maps, H, W] to [N, outputs, H/2, W/2]; see `Critic.forward` for `flat`."""
        x = activate(self.conv1(activate(self.conv0(x), flat=flat)), flat=flat)
        return downscale(x) if self.pools_last else x


class Critic(GrowingNetwork):
    """Says how real images look; with classes, also which class they show (AC-GAN).

    Args:
        resolution: height and width in pixels of the top level's images, 4 … 1024.
        num_channels: 3 for colour, 1 for grey.
        label_size: number of classes; 0 for none.
        fmap_base: nf(s) = min(fmap_base / 2**s, fmap_max) feature maps; see `maps`.
        fmap_max: see `fmap_base`.
        mbstd_group_size: samples compared with one another by the minibatch standard deviation.
        fused_scale: halve each level by one strided convolution, before its activation. Otherwise
            2×2 averages follow the activation, as in the release: another critic with the same
            weights.
        pool_first: without fused scaling, average before the activation all the same: the fused
            critic up to rounding, as runs of earlier versions have it.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        resolution: int,
        num_channels: int = 3,
        label_size: int = 0,
        fmap_base: int = 8192,
        fmap_max: int = 512,
        mbstd_group_size: int = 4,
        fused_scale: bool = True,
        pool_first: bool = False,
    ) -> None:
        super().__init__(
            resolution=resolution,
            num_channels=num_channels,
            label_size=label_size,
            fmap_base=fmap_base,
            fmap_max=fmap_max,
        )
        refuse_fractions(mbstd_group_size=mbstd_group_size)
        if mbstd_group_size < 1:
            raise ValueError(f"mbstd_group_size must be at least 1, not {mbstd_group_size}")
        self.mbstd_group_size = mbstd_group_size
        self.fused_scale = fused_scale
        self.pool_first = pool_first

        last = LastCriticBlock(
            self.maps(1), self.maps(0), 1 + label_size, group_size=mbstd_group_size
        )
        self.blocks = nn.ModuleDict({str(FIRST_LEVEL): last})
        self.from_rgb = nn.ModuleDict()
        for level in range(FIRST_LEVEL, self.top_level + 1):
            if level > FIRST_LEVEL:
                self.blocks[str(level)] = CriticBlock(
                    self.maps(level - 1),
                    self.maps(level - 2),
                    side=2**level,
                    fused=fused_scale,
                    pool_first=pool_first,
                )
            self.from_rgb[str(level)] = Convolution(num_channels, self.maps(level - 1), 1)

    def _active(self) -> list[nn.Module]:
        return self._parts(self.blocks, self.from_rgb)

    def _wide(self) -> list[nn.Module]:
        return [self.blocks, self.from_rgb]

    def forward(self, images: Tensor, minibatches: int = 1, *, flat: bool = False) -> Tensor:
        """Judge images of the level at which the network stands.

        Args:
            images: [N, num_channels, 2**level, 2**level], nominally in [-1, 1].
            minibatches: how many minibatches of equal size the images are, one after the other;
                the minibatch standard deviation compares within each.
            flat: take the slopes of all that bends for constants: scores and first derivatives are
                the same, second derivatives by images are zero. Only the minibatch standard
                deviation has others.

        Returns:
            [N, 1 + label_size]: the score (unbounded, higher is more real), then class logits.

        Raises:
            ValueError: the images' shape does not fit, or N does not divide by the group size.
        """
        last = self.blocks[str(FIRST_LEVEL)]
        seen = self._walk(lambda some: self.activations(some, flat=flat)[-1], images)
        return torch.cat([last(part, flat=flat) for part in seen.chunk(minibatches)])

    def activations(self, images: Tensor, *, flat: bool = False) -> list[Tensor]:
        """Give what the critic sees in images: its features at every size, image by image.

        The minibatch standard deviation comes after all of these, so that an image's features do
        not depend on those beside it.

        Args:
            images: as for `forward`; any number.
            flat: as for `forward`.

        Returns:
            From the images' level down to level 2: [N, maps, H, W].

        Raises:
            ValueError: the images' shape does not fit.
        """
        size = 2**self.level
        shape = (self.num_channels, size, size)
        if images.ndim != 4 or images.shape[1:] != shape or len(images) == 0:
            raise ValueError(
                f"images must have the shape [N, {self.num_channels}, {size}, {size}] at level "
                f"{self.level}, not {list(images.shape)}"
            )
        found = [activate(self.from_rgb[str(self.level)](images), flat=flat)]
        for level in range(self.level, FIRST_LEVEL, -1):
            x = self.blocks[str(level)](found[-1], flat=flat)
            if level == self.level and self.fade < 1:
                coarse = activate(self.from_rgb[str(level - 1)](downscale(images)), flat=flat)
                x = self._blend(coarse, x)
            found.append(x)
        return found
