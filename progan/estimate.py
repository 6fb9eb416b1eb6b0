"""How long training will take: measured where that is quick, extrapolated where it is not."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from progan.config import Config
from progan.devices import is_out_of_memory
from progan.growth import FIRST_LEVEL
from progan.networks import Critic, Generator
from progan.splitting import Split
from progan.training import Trainer

# A level is measured if its first step, judged by the level below, takes no longer than this.
_LONGEST_STEP = 3.0


class _Noise:
    """Images that cost nothing to hand out."""

    def __init__(self, config: Config) -> None:
        self.channels = config.num_channels
        self.labels = np.arange(config.label_size) if config.label_size else None

    def minibatch(
        self, level: int, position: int, count: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        numbers = np.random.default_rng(position)
        pixels = numbers.integers(0, 256, (count, 2**level, 2**level, self.channels), np.uint8)
        return pixels, None if self.labels is None else np.resize(self.labels, count)


def operations(config: Config) -> dict[int, float]:
    """Count the floating-point operations of one image through both networks, by level."""
    shared: dict[str, Any] = {
        "resolution": config.resolution,
        "num_channels": config.num_channels,
        "fmap_base": config.fmap_base,
        "fmap_max": config.fmap_max,
    }
    counts = {}
    with torch.device("meta"), torch.no_grad():
        generator = Generator(**shared, latent_size=config.latent_size)
        critic = Critic(**shared, mbstd_group_size=1)
        for level in range(FIRST_LEVEL, critic.top_level + 1):
            latents = torch.zeros(1, generator.latent_size)
            with FlopCounterMode(display=False) as counter:
                critic.stand(level)(generator.stand(level)(latents))
            counts[level] = float(counter.get_total_flops())
    return counts


def measure(
    config: Config,
    device: torch.device,
    processes: int = 1,
    splits: Mapping[int, Split] | None = None,
) -> Iterator[tuple[int, float, bool]]:
    """Find the seconds that training takes for an image, level by level.

    The real training step runs on noise; where a step would take more than a few seconds, the
    levels from there on are extrapolated by their number of operations. Of several processes, the
    share of one is measured, without what they have to tell one another.

    Args:
        config: the run.
        device: where it will compute.
        processes: how many share the work.
        splits: of a process's share of the minibatch, by level.

    Yields:
        Level, seconds per image, whether that was measured.
    """
    counts = operations(config)
    seconds = 0.0
    measuring = True
    for level in counts:
        minibatch = int(config.schedule.minibatch[level])
        if level > FIRST_LEVEL:
            seconds *= counts[level] / counts[level - 1]
            measuring = measuring and seconds * minibatch < _LONGEST_STEP
        if measuring:
            share = replace(config, minibatch=str(minibatch // processes))
            try:
                seconds = _seconds_of_a_step(share, level, device, splits or {}) / minibatch
            except RuntimeError as error:
                # Beside a run that holds its networks there may be no room for others.
                if level == FIRST_LEVEL or not is_out_of_memory(error):
                    raise
                measuring = False
        yield level, seconds, measuring


def _seconds_of_a_step(
    config: Config, level: int, device: torch.device, splits: Mapping[int, Split]
) -> float:
    """Time the second step of training at a level; the first one warms up."""
    at_once = replace(
        config, resolution=2**level, fade_kimg="0", hold_kimg="0", minibatch_repeats=1
    )
    trainer = Trainer(at_once, _Noise(config), device=device, splits=splits)
    trainer.round()
    trainer.check()
    start = time.perf_counter()
    trainer.round()
    trainer.check()  # waits for the device
    return time.perf_counter() - start


def seconds_left(config: Config, nimg: int, seconds_per_image: dict[int, float]) -> float:
    """Estimate the time from `nimg` images shown to the end of the run.

    Args:
        config: the run.
        nimg: real images shown so far.
        seconds_per_image: by level.
    """
    left = 0.0
    for phase in config.schedule.phases():
        end = config.nimg if phase.end is None else min(phase.end, config.nimg)
        left += max(0, end - max(phase.start, nimg)) * seconds_per_image[phase.level]
    return left
