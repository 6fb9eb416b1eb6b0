"""The training step as a reader of the paper would write it, beside the real one.

    python -m benchmarks.plain_form speed [--level 3 --level 4 …] [--threads 2]
    python -m benchmarks.plain_form quality DATASET OUT [--kimg 25] [--seeds 3]

The plain form upscales and then convolves, scales every weight at every pass, judges reals and
fakes apart, goes back through all weights, and asks for its losses at every step. `speed` times
both by turns, and the real step with the options that spare passes; `quality` trains both from the
same seeds and measures what they have learned, since a quicker step is worth nothing if it learns
worse.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.pyramid import Dataset
from datasets.stream import Stream
from progan import draws
from progan.config import Config, preset
from progan.draws import Purpose
from progan.inputs import Data
from progan.latents import latents_of_seeds
from progan.layers import LEAK, Convolution, Dense
from progan.memory import keep_freed_memory
from progan.networks import Critic, Generator
from progan.training import Trainer, build, train
from tools.drawing import draw
from tools.metrics.swd import swd

# Networks that a CPU trains; growth is quick, so that most of the time is spent at 32 pixels.
_SMALL: dict[str, Any] = {"fade_kimg": "3", "hold_kimg": "1"}
# All that spares passes, and changes the mathematics.
_FRUGAL: dict[str, Any] = {"penalty_interval": 4, "share_fakes": True, "penalty_curvature": False}


def _convolve(layer: Convolution, x: Tensor) -> Tensor:
    return F.conv2d(x, layer.weight * layer.scale, layer.bias, padding=layer.padding)


def _connect(layer: Dense, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight * layer.scale, layer.bias)


def _leak(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


def _normalize(x: Tensor) -> Tensor:
    return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)


def plain_images(generator: Generator, latents: Tensor) -> Tensor:
    """Make images [N, C, H, W] of latents [N, latent_size] with a generator's weights."""
    first: Any = generator.blocks["2"]
    x = F.linear(_normalize(latents), first.dense.weight * first.dense.scale)
    x = x.reshape(len(x), -1, 4, 4) + first.dense.bias.reshape(1, -1, 1, 1)
    x = _normalize(_leak(_convolve(first.conv, _normalize(_leak(x)))))
    below = x
    for level in range(3, generator.level + 1):
        block: Any = generator.blocks[str(level)]
        below, x = x, F.interpolate(x, scale_factor=2, mode="nearest")
        x = _normalize(_leak(_convolve(block.conv0, x)))
        x = _normalize(_leak(_convolve(block.conv1, x)))
    images = _convolve(_layer(generator.to_rgb, generator.level), x)
    if generator.fade < 1:
        coarse = _convolve(_layer(generator.to_rgb, generator.level - 1), below)
        coarse = F.interpolate(coarse, scale_factor=2, mode="nearest")
        images = coarse + generator.fade * (images - coarse)
    return images


def plain_scores(critic: Critic, images: Tensor) -> Tensor:
    """Judge images [N, C, H, W] with a critic's weights: scores [N]."""
    x = _leak(_convolve(_layer(critic.from_rgb, critic.level), images))
    for level in range(critic.level, 2, -1):
        block: Any = critic.blocks[str(level)]
        x = _leak(_convolve(block.conv0, x))
        x = _leak(F.avg_pool2d(_convolve(block.conv1, x), 2))
        if level == critic.level and critic.fade < 1:
            coarse = _convolve(_layer(critic.from_rgb, level - 1), F.avg_pool2d(images, 2))
            x = _leak(coarse) + critic.fade * (x - _leak(coarse))
    last: Any = critic.blocks["2"]
    group = min(critic.mbstd_group_size, len(x))
    grouped = x.reshape(group, -1, *x.shape[1:])
    deviation = torch.sqrt(grouped.var(dim=0, unbiased=False) + 1e-8).mean(dim=(1, 2, 3))
    deviation = deviation.repeat(group).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    x = _leak(_convolve(last.conv, torch.cat([x, deviation], dim=1)))
    return _connect(last.dense1, _leak(_connect(last.dense0, x.flatten(1))))[:, 0]


def _layer(layers: torch.nn.ModuleDict, level: int) -> Convolution:
    layer = layers[str(level)]
    assert isinstance(layer, Convolution)
    return layer


class PlainTraining:
    """The paper's procedure, with the draws of the real one, so that both see the same."""

    def __init__(self, config: Config, data: Data) -> None:
        self.config, self.data, self.nimg = config, data, 0
        self.generator, self.critic, self.average = build(config, torch.device("cpu"))
        self.adams = self._adams()
        self.losses: dict[str, float] = {}

    def _adams(self) -> dict[str, torch.optim.Adam]:
        settings: dict[str, Any] = {
            "lr": float(self.config.schedule.at(self.nimg).learning_rate),
            "betas": (0.0, self.config.adam_beta2),
            "eps": self.config.adam_epsilon,
        }
        return {
            "generator": torch.optim.Adam(self.generator.parameters(), **settings),
            "critic": torch.optim.Adam(self.critic.parameters(), **settings),
        }

    def round(self) -> None:
        """Train on a few minibatches, then grow."""
        stage = self.config.schedule.at(self.nimg)
        for network in (self.generator, self.critic, self.average):
            network.stand(stage.level, stage.fade)
        for _ in range(self.config.minibatch_repeats):
            self._step(stage.level, stage.fade, stage.minibatch)
            self.nimg += stage.minibatch
        if self.config.schedule.at(self.nimg).phase != stage.phase:
            self.adams = self._adams()

    def _step(self, level: int, fade: float, minibatch: int) -> None:
        config = self.config
        reals = self._reals(level, fade, minibatch)
        fakes = plain_images(self.generator, self._latents(Purpose.CRITIC_LATENTS, minibatch))
        mixing = draws.uniform(config.seed, Purpose.MIXING, self.nimg, minibatch)
        mixed = reals + mixing.reshape(-1, 1, 1, 1) * (fakes.detach() - reals)
        mixed.requires_grad_()
        on_reals = plain_scores(self.critic, reals)
        on_fakes = plain_scores(self.critic, fakes.detach())
        scores = plain_scores(self.critic, mixed).sum()
        (gradient,) = torch.autograd.grad(scores, mixed, create_graph=True)
        norms = torch.sqrt(gradient.square().sum(dim=(1, 2, 3)) + 1e-16)
        # By the full-size image, where each pixel of this level is so many in a row.
        repeats = config.resolution / 2**level if config.penalty_full_size else 1.0
        penalty = torch.mean((norms / repeats - 1) ** 2)
        loss = on_fakes.mean() - on_reals.mean() + config.penalty_weight * penalty
        loss = loss + config.drift_weight * torch.mean(on_reals**2)
        self.critic.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.adams["critic"].step()

        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
            for average, now in pairs:
                average.mul_(config.average_decay).add_(now, alpha=1 - config.average_decay)

        fakes = plain_images(self.generator, self._latents(Purpose.GENERATOR_LATENTS, minibatch))
        generator_loss = -plain_scores(self.critic, fakes).mean()
        self.generator.zero_grad()
        generator_loss.backward()  # type: ignore[no-untyped-call]
        self.adams["generator"].step()
        self.losses = {"critic": loss.item(), "generator": generator_loss.item()}

    def _latents(self, purpose: Purpose, minibatch: int) -> Tensor:
        shape = (minibatch, self.generator.latent_size)
        return draws.normal(self.config.seed, purpose, self.nimg, shape)

    def _reals(self, level: int, fade: float, minibatch: int) -> Tensor:
        pixels, _ = self.data.minibatch(level, self.nimg, minibatch)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        if self.config.mirror:
            flips = draws.uniform(self.config.seed, Purpose.MIRROR, self.nimg, minibatch) < 0.5
            images = torch.where(flips.reshape(-1, 1, 1, 1), images.flip(3), images)
        if fade < 1:
            coarse = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")
            images = coarse + fade * (images - coarse)
        return images.contiguous()


def _planes(pictures: np.ndarray) -> np.ndarray:
    """Turn pictures [N, H, W, C] into what metrics look at, [N, C, H, W]."""
    return pictures.transpose(0, 3, 1, 2)


class _Noise:
    """Training images that cost nothing to read."""

    labels: np.ndarray | None = None

    def __init__(self) -> None:
        self._made: dict[tuple[int, int], np.ndarray] = {}

    def minibatch(
        self, level: int, position: int, count: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Give the same images each time."""
        if (level, count) not in self._made:
            shape = (count, 2**level, 2**level, 3)
            self._made[level, count] = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        return self._made[level, count], None


@click.group()
def main() -> None:
    """Compare the real training step with its plain form."""
    keep_freed_memory()


@main.command()
@click.option("--level", "levels", multiple=True, type=click.IntRange(2, 10), default=(3, 4, 5))
@click.option("--preset", "preset_name", default="small", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=9, show_default=True)
def speed(levels: tuple[int, ...], preset_name: str, threads: int, repeats: int) -> None:
    """Time both by turns, and the real one with less to do: medians of images a second."""
    torch.set_num_threads(threads)
    for level in levels:
        held: dict[str, Any] = {"resolution": 2**level, "fade_kimg": "0", "hold_kimg": "0"}
        config = preset(preset_name, **held)
        trainers: dict[str, Trainer | PlainTraining] = {
            "plain": PlainTraining(config, _Noise()),
            "real": Trainer(config, _Noise()),
            "frugal": Trainer(preset(preset_name, **held, **_FRUGAL), _Noise()),
        }
        # Whole turns of the penalty, where it is evaluated at every fourth step.
        rounds = -(-_FRUGAL["penalty_interval"] // config.minibatch_repeats)
        seconds: dict[str, list[float]] = {name: [] for name in trainers}
        for _ in range(repeats + 1):
            for name, trainer in trainers.items():
                before, start = trainer.nimg, time.perf_counter()
                for _ in range(rounds):
                    trainer.round()
                seconds[name].append((time.perf_counter() - start) / (trainer.nimg - before))
        rates = {name: 1 / statistics.median(each[1:]) for name, each in seconds.items()}
        others = ", ".join(
            f"{name} {rates[name]:.0f} ({rates[name] / rates['plain']:.2f} times)"
            for name in ("real", "frugal")
        )
        click.echo(f"{2**level}×{2**level}, images/s: plain {rates['plain']:.0f}, {others}")


@main.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--kimg", type=float, default=25, show_default=True)
@click.option("--seeds", type=click.IntRange(2), default=3, show_default=True)
@click.option("--fmap-base", type=int, default=512, show_default=True)
@click.option("--fmap-max", type=int, default=64, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
def quality(
    dataset: Path, out: Path, kimg: float, seeds: int, fmap_base: int, fmap_max: int, threads: int
) -> None:
    """Train both from each seed, and measure the sliced Wasserstein distance of the averages.

    Finished ones are kept in the JSON file OUT, so that it goes on where it was.
    """
    torch.set_num_threads(threads)
    data = Dataset.open(dataset)
    found: dict[str, Any] = json.loads(out.read_text("utf-8")) if out.exists() else {}
    top = data.resolution.bit_length() - 1
    photographs = np.asarray(data.level(top)[data.rows("train")])
    settings = _SMALL | {"fmap_base": fmap_base, "fmap_max": fmap_max, "kimg": kimg}
    for seed in range(seeds):
        config = preset("small", resolution=data.resolution, seed=seed, **settings)
        for form in ("real", "plain"):
            if f"{form} {seed}" in found:
                continue
            stream = Stream(data, seed=seed)
            start = time.process_time()
            if form == "real":
                trainer = Trainer(config, stream)
                train(trainer)
                average = trainer.average
            else:
                plain = PlainTraining(config, stream)
                while plain.nimg < config.nimg:
                    plain.round()
                average = plain.average.stand(top)
            spent = time.process_time() - start
            latents = latents_of_seeds(range(len(photographs)), average.latent_size)
            distance = swd(_planes(photographs), _planes(draw(average, latents)))
            found[f"{form} {seed}"] = {"swd": distance, "processor seconds": spent}
            out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
            click.echo(f"{form} form, seed {seed}: SWD×10³ {distance}, {spent:.0f} s")


if __name__ == "__main__":
    main()
