"""The training loop (PAPER: section 2, appendix A.1).

Growth is evaluated again after every round of a few steps; between two rounds a run is nothing but
tensors and the number of images shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from progan.adaptation import Adaptation
from progan.attempts import Attempts
from progan.config import Config
from progan.devices import refuse_unsupported
from progan.divergence import Diverged, Divergence
from progan.errors import ProganError
from progan.inputs import Data, Inputs
from progan.networks import Critic, Generator
from progan.objectives import Scalars
from progan.parallel import Processes
from progan.passes import Passes
from progan.precision import computing_type
from progan.splitting import Split
from progan.step import Step

MAX_SKIPPED_IN_A_ROW = 20
_PROBABILITY = "augmentation.probability"


class Observer(Protocol):
    """What looks on while a network learns; called after every round, and once at the end."""

    def __call__(self, trainer: "Trainer", before: int, finished: bool) -> None:
        """Look at the trainer; `before` is the number of images shown before this round."""
        ...


def crossed(before: int, now: int, kimg: float) -> bool:
    """Say whether a multiple of `kimg` thousand images lies in (before, now]."""
    interval = max(1, round(1000 * kimg))
    return now // interval > before // interval


def build(
    config: Config, device: torch.device | None = None
) -> tuple[Generator, Critic, Generator]:
    """Build generator, critic and average generator; their weights follow from the seed.

    Args:
        config: the run.
        device: where to move them; by default they stay where they are made.

    Raises:
        ProganError: the networks cannot be built.
    """
    shared: dict[str, Any] = {
        "resolution": config.resolution,
        "num_channels": config.num_channels,
        "label_size": config.label_size,
        "fmap_base": config.fmap_base,
        "fmap_max": config.fmap_max,
        "fused_scale": config.fused_scale,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            generator = Generator(**shared, latent_size=config.latent_size)
            critic = Critic(
                **shared,
                mbstd_group_size=config.mbstd_group_size,
                pool_first=config.pool_first,
            )
        except ValueError as error:
            raise ProganError(str(error)) from None
        average = Generator(**shared, latent_size=config.latent_size)
    half = computing_type(config.precision)
    # What multiplies matrices of half precision in graphics cards wants the maps together.
    last = half is not None and device is not None and device.type == "cuda"
    for network in (generator, critic):
        network.compute_in(half, channels_last=last)
    average.load_state_dict(generator.state_dict())
    average.requires_grad_(False)
    if device is not None:
        for network in (generator, critic, average):
            network.to(device)
    return generator, critic, average


class Trainer:
    """Two networks that learn from each other, the average of one, and where they are.

    Args:
        config: what the run is a function of.
        data: hands out the real images.
        device: where to compute.
        processes: the processes that share the work.
        splits: how this process splits its share of the minibatch to need less memory, by level;
            not at all where none is named. No weight changes but for rounding.
        passes: how passes through the networks are done; likewise.

    Attributes:
        nimg: real images shown so far.
        stage: where training stands.
        generator, critic, average: the networks, standing at that stage.
        step: what trains them on one minibatch.
        splits: how a minibatch is split, by level.
        skipped: steps that were not applied because something was not finite.
    """

    def __init__(
        self,
        config: Config,
        data: Data,
        *,
        device: torch.device | None = None,
        processes: Processes | None = None,
        splits: Mapping[int, Split] | None = None,
        passes: Passes | None = None,
    ) -> None:
        self.config = config
        self.data = data
        self.device = device or torch.device("cpu")
        refuse_unsupported(config.precision, self.device)
        self.processes = processes or Processes()
        self.splits = dict(splits or {})
        self.generator, self.critic, self.average = build(config, self.device)
        self.generator_adam = self._adam(self.generator)
        self.critic_adam = self._adam(self.critic)
        for phase in config.schedule.phases():  # refuse now what would fail days later
            minibatch = int(config.schedule.minibatch[phase.level])
            self.processes.share(minibatch, config.mbstd_group_size)
        self.adaptation: Adaptation | None = None
        if config.augment_target > 0:
            self.adaptation = Adaptation(config.augment_target, config.augment_kimg, self.device)
        self.step = Step(
            config,
            Inputs(config, data, latent_size=self.generator.latent_size, device=self.device),
            self.generator,
            self.critic,
            self.average,
            generator_adam=self.generator_adam,
            critic_adam=self.critic_adam,
            processes=self.processes,
            splits=self.splits,
            passes=passes,
            adaptation=self.adaptation,
        )
        self.skipped = 0
        self._skipped_in_a_row = torch.zeros((), device=self.device)
        self._skipped_now = torch.zeros((), device=self.device)
        self._worst_row = torch.zeros((), device=self.device)
        self._steps_since_check = 0
        self._sums: Scalars = {}
        self._counts: dict[str, int] = {}
        self._move_to(0)

    def _adam(self, network: Generator | Critic) -> torch.optim.Adam:
        return torch.optim.Adam(
            network.parameters(),
            betas=(self.config.adam_beta1, self.config.adam_beta2),
            eps=self.config.adam_epsilon,
            fused=True,
        )

    @property
    def attempts(self) -> Attempts:
        """Where the run went back and tried again, with other draws."""
        return self.step.inputs.attempts

    @attempts.setter
    def attempts(self, attempts: Attempts) -> None:
        self.step.inputs.attempts = attempts

    @property
    def class_counts(self) -> tuple[int, ...]:
        """How many training images of each class there are; empty without classes."""
        if self.config.label_size == 0 or self.data.labels is None:
            return ()
        counts = np.bincount(self.data.labels, minlength=self.config.label_size)
        return tuple(int(count) for count in counts)

    def _move_to(self, nimg: int) -> None:
        """Stand where the schedule says for a number of images shown."""
        self.nimg = nimg
        self.stage = self.config.schedule.at(nimg)
        for network in (self.generator, self.critic, self.average):
            network.stand(self.stage.level, self.stage.fade)
        self.generator_adam.param_groups[0]["lr"] = self.stage.learning_rate
        self.critic_adam.param_groups[0]["lr"] = self.stage.learning_rate * self.config.critic_rate

    def round(self) -> None:
        """Train on a few minibatches, then grow.

        Raises:
            Diverged: too many steps in a row had to be skipped.
        """
        stage = self.stage
        nimg = self.nimg
        for _ in range(self.config.minibatch_repeats):
            self._note(*self.step(stage, nimg))
            nimg += stage.minibatch
        if self.adaptation is not None:
            self.adaptation.follow(nimg - self.nimg)
        self._move_to(nimg)
        if self.stage.phase != stage.phase:
            # A new or just finished level is another problem; old moments would mislead its start.
            self.generator_adam.state.clear()
            self.critic_adam.state.clear()
        if self._steps_since_check >= MAX_SKIPPED_IN_A_ROW:
            self.check()

    def check(self) -> None:
        """Count the skipped steps, which waits for the device.

        Raises:
            Diverged: too many steps in a row had to be skipped.
        """
        self._steps_since_check = 0
        self.skipped += int(self._skipped_now.item())
        self._skipped_now.zero_()
        if self._worst_row.item() >= MAX_SKIPPED_IN_A_ROW:
            why = (
                f"{MAX_SKIPPED_IN_A_ROW} steps in a row gave losses or gradients that are not "
                "finite, none of which was applied"
            )
            raise Diverged(Divergence(self.nimg, self.nimg, why))

    def scalars(self) -> dict[str, float]:
        """Give the means of all scalars since the last call; waits for the device."""
        means = {name: value.item() / self._counts[name] for name, value in self._sums.items()}
        self._sums.clear()
        self._counts.clear()
        return means

    def _note(self, scalars: Scalars, failed: Tensor) -> None:
        """Add up a step's scalars and whether it was skipped, on the device."""
        for name, value in scalars.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._skipped_now += failed
        self._skipped_in_a_row = (self._skipped_in_a_row + failed) * failed
        self._worst_row = torch.maximum(self._worst_row, self._skipped_in_a_row)
        self._steps_since_check += 1

    def state(self) -> dict[str, Tensor]:
        """Give all tensors that, with `nimg`, are the run's state between two rounds."""
        tensors: dict[str, Tensor] = {}
        for part, network in self._networks().items():
            for name, tensor in network.state_dict().items():
                tensors[f"{part}.{name}"] = tensor.detach()
        for part, network, adam in self._optimizers():
            for name, parameter in network.named_parameters():
                for key, value in adam.state.get(parameter, {}).items():
                    tensors[f"{part}.{name}.{key}"] = value.detach()
        for part, scale in self.step.scales.items():
            for name, tensor in scale.state().items():
                tensors[f"{part}_loss.{name}"] = tensor
        if self.adaptation is not None:
            tensors[_PROBABILITY] = self.adaptation.probability
        return tensors | self.attempts.tensors()

    def restore(self, tensors: dict[str, Tensor], nimg: int) -> None:
        """Take up a state that `state` gave.

        Raises:
            ProganError: the tensors are not those of this configuration.
        """
        left = dict(tensors)
        self.attempts = Attempts.of_tensor(left.pop("attempts", None))
        for part, network in self._networks().items():
            for name, tensor in network.state_dict().items():
                saved = left.pop(f"{part}.{name}", None)
                if saved is None or saved.shape != tensor.shape or saved.dtype != tensor.dtype:
                    raise ProganError(f"the checkpoint does not fit the networks: {part}.{name}")
                tensor.copy_(saved)
        for part, network, adam in self._optimizers():
            adam.state.clear()
            for name, parameter in network.named_parameters():
                keys = {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
                saved_state = {key: left.pop(f"{part}.{name}.{key}", None) for key in keys}
                if all(value is None for value in saved_state.values()):
                    continue
                for key, shape in keys.items():
                    value = saved_state[key]
                    if value is None or value.shape != shape or value.dtype != torch.float32:
                        raise ProganError(f"the checkpoint does not fit: {part}.{name}.{key}")
                    adam.state[parameter][key] = value.to(self.device, copy=True)
        for part, scale in self.step.scales.items():
            for name, tensor in scale.state().items():
                saved = left.pop(f"{part}_loss.{name}", None)
                if saved is None or saved.shape != tensor.shape or saved.dtype != tensor.dtype:
                    raise ProganError(f"the checkpoint does not fit: {part}_loss.{name}")
                tensor.copy_(saved)
        if self.adaptation is not None:
            probability = left.pop(_PROBABILITY, None)
            if probability is None or probability.shape != () or probability.dtype != torch.float32:
                raise ProganError(f"the checkpoint does not fit: {_PROBABILITY}")
            self.adaptation.probability.copy_(probability)
        if left:
            raise ProganError(f"the checkpoint has a tensor too many: {next(iter(left))}")
        for count in (self._skipped_in_a_row, self._skipped_now, self._worst_row):
            count.zero_()
        self._steps_since_check = 0
        self.scalars()  # of what was there before
        self._move_to(nimg)

    def agree(self) -> None:
        """Take up the state of process 0, in all processes.

        Raises:
            ProganError: another process is gone.
        """
        nimg = self.processes.tell(self.nimg)
        tensors = self.processes.hand_out(self.state() if self.processes.rank == 0 else {})
        if self.processes.rank != 0:
            self.restore(tensors, nimg)

    def _networks(self) -> dict[str, Generator | Critic]:
        return {"generator": self.generator, "critic": self.critic, "average": self.average}

    def _optimizers(self) -> list[tuple[str, Generator | Critic, torch.optim.Adam]]:
        return [
            ("generator_adam", self.generator, self.generator_adam),
            ("critic_adam", self.critic, self.critic_adam),
        ]


def train(
    trainer: Trainer,
    observers: Sequence[Observer] = (),
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train to the end of the configuration, or until `stop` says so after a round.

    Args:
        trainer: what to train; it may have been restored from a checkpoint.
        observers: called in their order after every round.
        stop: asked after every round.

    Returns:
        Whether the end was reached.

    Raises:
        Diverged: training has gone bad, by a check of its own or by what an observer says; in all
            processes after the same round. The state is that after it, and no observer has seen
            this round's end.
    """
    finished = trainer.nimg >= trainer.config.nimg
    diverged: Diverged | None = None
    while not finished:
        before = trainer.nimg
        try:
            trainer.round()
        except Diverged as error:
            diverged = error
        finished = trainer.nimg >= trainer.config.nimg
        stopped = trainer.processes.any(stop() or diverged is not None)
        if stopped:
            _end_if_diverged(trainer, diverged)
        with trainer.processes.alone():
            try:
                for observer in observers:
                    observer(trainer, before, finished or stopped)
            except Diverged as error:
                diverged = error  # The others learn of it after the next round.
        if stopped:
            break
    if trainer.processes.any(diverged is not None):
        _end_if_diverged(trainer, diverged)
    return finished


def _end_if_diverged(trainer: Trainer, diverged: Diverged | None) -> None:
    """Let all processes end alike, if process 0 knows of a divergence."""
    if trainer.processes.rank == 0 and diverged is None:
        # Others may have looked earlier, at what is the same everywhere.
        try:
            trainer.check()
        except Diverged as error:
            diverged = error
    told = trainer.processes.tell(None if diverged is None else asdict(diverged.divergence))
    if told is not None:
        raise Diverged(Divergence(**told))
