"""How much memory a training step needs, without taking it.

The real step runs on tensors that have shapes and no memory, and the bytes that would be in use are
counted as tensors come and go: weights, Adam's moments, gradients, and all that is kept for
derivatives. What kernels take for themselves meanwhile is an allowance.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from progan.config import Config
from progan.growth import FIRST_LEVEL, Stage
from progan.inputs import Inputs
from progan.networks import Critic, Generator
from progan.parallel import Processes
from progan.splitting import Split
from progan.step import Step
from progan.training import build


class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that are alive, while it is active.

    Attributes:
        now: bytes of those made since it was.
        peak: the most that there were at a time.
        largest: bytes of the largest one.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = self.largest = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_iter(found):
            if isinstance(tensor, Tensor):
                self._meet(tensor.untyped_storage())
        return found

    def _meet(self, storage: torch.UntypedStorage) -> None:
        # Views share their storage, whose address is its name as long as it lives.
        name = storage._cdata
        if name in self._known:
            return
        self._known[name] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        self.largest = max(self.largest, storage.nbytes())
        weakref.finalize(storage, self._forget, name)

    def _forget(self, name: int) -> None:
        self.now -= self._known.pop(name)


class _Adam(torch.optim.Adam):
    """Has the moments of all weights, and leaves these as they are."""

    def __init__(self, network: Generator | Critic) -> None:
        super().__init__(network.parameters())
        for parameter in network.parameters():
            for name in ("exp_avg", "exp_avg_sq"):
                self.state[parameter][name] = torch.empty_like(parameter)

    def step(self, closure: Any = None) -> Any:
        return None


class Blank:
    """Images that cost nothing to hand out."""

    def __init__(self, config: Config) -> None:
        self.channels = config.num_channels
        self.labels = np.arange(config.label_size) if config.label_size else None

    def minibatch(
        self, level: int, position: int, count: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Give black ones."""
        pixels = np.zeros((count, 2**level, 2**level, self.channels), np.uint8)
        return pixels, None if self.labels is None else np.resize(self.labels, count)


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a step needs, in bytes.

    Attributes:
        tensors: that are alive at a time, at most, with all that stands between two steps.
        largest: the largest of them.
    """

    tensors: int
    largest: int

    def on(self, device: torch.device) -> int:
        """Give what a device must have free, with an allowance for what was not counted.

        On processors, it was fitted to what processes really took (`python -m benchmarks.memory`):
        libraries lay images out anew to convolve them, freed blocks are not always where the next
        tensor would fit, and code and caches come to a fixed amount. On GPUs it is a guess, and a
        step is tried before it counts.
        """
        if device.type == "cpu":
            return int(1.6 * self.tensors + 5 * self.largest + 2**27)
        return int(1.1 * self.tensors + 2 * self.largest + 2**28)


class Needs:
    """Says what a step needs, level by level.

    Args:
        config: the run.
        processes: how many share the minibatch; what one of them needs is counted.
    """

    def __init__(self, config: Config, processes: int = 1) -> None:
        self.config = config
        self.processes = processes
        meta = torch.device("meta")
        with Count() as standing, meta:
            self._networks = build(config)
            self._adams = [_Adam(network) for network in self._networks[:2]]
        self._standing = standing.now
        self._known: dict[tuple[int, Split], Need] = {}
        self._inputs = Inputs(
            config, Blank(config), latent_size=self._networks[0].latent_size, device=meta
        )

    def samples(self, level: int) -> int:
        """Give the size of a process's share of the minibatch."""
        return int(self.config.schedule.minibatch[level]) // self.processes

    def heaviness(self, level: int) -> int:
        """Give a number by which levels can be ordered: of the share's features at full size."""
        maps: int = self._networks[1].maps(level - 1)
        return self.samples(level) * maps * int(4**level)

    def stage(self, level: int, samples: int | None = None) -> Stage:
        """Give the stage at which a level needs most.

        Args:
            level: in the midst of its fade, if it has one, which needs more than to hold it.
            samples: by default those of the share.
        """
        fading = level > FIRST_LEVEL and self.config.schedule.fade_kimg[level] > 0
        return Stage(
            level=level,
            fade=0.5 if fading else 1.0,
            fading=fading,
            minibatch=samples or self.samples(level),
            learning_rate=0.0,
        )

    def __call__(self, level: int, split: Split) -> Need:
        """Count what a step at a level needs."""
        if (level, split) not in self._known:
            self._known[level, split] = self._count(level, split)
        return self._known[level, split]

    def _count(self, level: int, split: Split) -> Need:
        samples = self.samples(level)
        group = min(self.config.mbstd_group_size, samples)
        if split.parts > 2:
            # The third part needs what the second needed.
            samples = 2 * group * -(-(samples // group) // split.parts)
            split = Split(2, split.at_once)
        stage = self.stage(level, samples)
        generator, critic, average = self._networks
        for network in self._networks:
            network.stand(stage.level, stage.fade)
        step = Step(
            self.config,
            self._inputs,
            generator,
            critic,
            average,
            generator_adam=self._adams[0],
            critic_adam=self._adams[1],
            processes=Processes(),
            splits={level: split},
        )
        with Count() as count:
            step(stage, 0)
        return Need(tensors=self._standing + count.peak, largest=count.largest)
