"""The training loop (PAPER: section 2, appendix A.1).

A step is: critic on reals and fakes, then the average generator, then the generator with fresh
latents. Growth is evaluated again after every round of a few steps; between two rounds a run is
nothing but tensors and the number of images shown.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from progan import draws
from progan.adaptation import Adaptation
from progan.adversarial import critic_objective, generator_objective
from progan.augmentation import DRAWS, augment
from progan.averaging import kept_share
from progan.config import Config
from progan.draws import Purpose
from progan.errors import ProganError
from progan.growth import ByResolution, Stage
from progan.layers import downscale, upscale
from progan.networks import Critic, Generator
from progan.objectives import Scalars
from progan.parallel import Processes

MAX_SKIPPED_IN_A_ROW = 20
_PROBABILITY = "augmentation.probability"


class Data(Protocol):
    """What hands out training images: any object with these two members."""

    labels: np.ndarray | None
    """Class numbers of all training images, int64 [count]; None without classes."""

    def minibatch(
        self, level: int, position: int, count: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Give `count` images from a position of the endless stream, as a pure function.

        Returns:
            uint8 [count, H, W, C] with H = W = 2**level, and class numbers [count] or None.
        """
        ...


class Observer(Protocol):
    """What looks on while a network learns; called after every round, and once at the end."""

    def __call__(self, trainer: "Trainer", before: int, finished: bool) -> None:
        """Look at the trainer; `before` is the number of images shown before this round."""
        ...


def crossed(before: int, now: int, kimg: float) -> bool:
    """Say whether a multiple of `kimg` thousand images lies in (before, now]."""
    interval = max(1, round(1000 * kimg))
    return now // interval > before // interval


def build(config: Config, device: torch.device) -> tuple[Generator, Critic, Generator]:
    """Build generator, critic and average generator; their weights follow from the seed."""
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
            critic = Critic(**shared, mbstd_group_size=config.mbstd_group_size)
        except ValueError as error:
            raise ProganError(str(error)) from None
        average = Generator(**shared, latent_size=config.latent_size)
    average.load_state_dict(generator.state_dict())
    average.requires_grad_(False)
    return generator.to(device), critic.to(device), average.to(device)


class Trainer:
    """Two networks that learn from each other, the average of one, and where they are.

    Args:
        config: what the run is a function of.
        data: hands out the real images.
        device: where to compute.
        processes: the processes that share the work.

    Attributes:
        nimg: real images shown so far.
        stage: where training stands.
        generator, critic, average: the networks, standing at that stage.
        skipped: steps that were not applied because something was not finite.
    """

    def __init__(
        self,
        config: Config,
        data: Data,
        *,
        device: torch.device | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.config = config
        self.data = data
        self.device = device or torch.device("cpu")
        self.processes = processes or Processes()
        self.generator, self.critic, self.average = build(config, self.device)
        self.generator_adam = self._adam(self.generator)
        self.critic_adam = self._adam(self.critic)
        for phase in config.schedule.phases():  # refuse now what would fail days later
            minibatch = int(config.schedule.minibatch[phase.level])
            self.processes.share(minibatch, config.mbstd_group_size)
        self._gamma = ByResolution.parse(config.gamma)
        self.adaptation: Adaptation | None = None
        if config.augment_target > 0:
            self.adaptation = Adaptation(config.augment_target, config.augment_kimg, self.device)
        self._signs: list[Tensor] = []
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
            ProganError: too many steps in a row had to be skipped.
        """
        stage = self.stage
        nimg = self.nimg
        for _ in range(self.config.minibatch_repeats):
            self._step(stage, nimg)
            nimg += stage.minibatch
        if self.adaptation is not None:
            self.adaptation.follow(torch.stack(self._signs).mean(), nimg - self.nimg)
            self._signs.clear()
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
            ProganError: too many steps in a row had to be skipped.
        """
        self._steps_since_check = 0
        self.skipped += int(self._skipped_now.item())
        self._skipped_now.zero_()
        if self._worst_row.item() >= MAX_SKIPPED_IN_A_ROW:
            raise ProganError(
                f"training has broken down at {self.nimg / 1000:.1f} kimg: "
                f"{MAX_SKIPPED_IN_A_ROW} steps in a row gave losses or gradients that are not "
                "finite. None of them was applied. Continue from the last checkpoint with a "
                "smaller --learning-rate in a new run, or look at the data"
            )

    def scalars(self) -> dict[str, float]:
        """Give the means of all scalars since the last call; waits for the device."""
        means = {name: value.item() / self._counts[name] for name, value in self._sums.items()}
        self._sums.clear()
        self._counts.clear()
        return means

    def _step(self, stage: Stage, nimg: int) -> None:
        """Train both networks on one minibatch."""
        config = self.config
        rows = self.processes.share(stage.minibatch, config.mbstd_group_size)
        reals, real_labels = self._reals(stage, nimg, rows)
        mixing = draws.uniform(config.seed, Purpose.MIXING, nimg, stage.minibatch)[rows]

        # A penalty that is evaluated more rarely weighs more, so that its pull is the same.
        lazily = config.penalty_interval
        due = nimg // stage.minibatch % lazily == 0
        reals = self._augmented(reals, Purpose.AUGMENTED_REALS, nimg, rows)
        with self.generator.shared_weights():
            latents, labels = self._latents(
                Purpose.CRITIC_LATENTS, Purpose.CRITIC_LABELS, nimg, stage.minibatch, rows
            )
            with torch.set_grad_enabled(config.share_fakes):
                fakes = self.generator(latents, labels)
            with self.critic.shared_weights():
                loss, scalars = critic_objective(
                    self.critic,
                    reals,
                    self._augmented(fakes.detach(), Purpose.AUGMENTED_FAKES, nimg, rows),
                    mixing.to(self.device),
                    objective=config.objective,
                    gamma=self._gamma[stage.level] * lazily if due else 0.0,
                    penalty_weight=config.penalty_weight * lazily if due else 0.0,
                    penalty_target=config.penalty_target,
                    penalty_curvature=config.penalty_curvature,
                    drift_weight=config.drift_weight,
                    label_weight=config.label_weight,
                    real_labels=real_labels,
                    fake_labels=labels,
                )
            critic_failed = self._descend(self.critic, self.critic_adam, loss)

            self._update_average(nimg)

            if not config.share_fakes:
                latents, labels = self._latents(
                    Purpose.GENERATOR_LATENTS, Purpose.GENERATOR_LABELS, nimg, stage.minibatch, rows
                )
                fakes = self.generator(latents, labels)
        loss, more = generator_objective(
            self.critic,
            self._augmented(fakes, Purpose.AUGMENTED_GENERATED, nimg, rows),
            objective=config.objective,
            reals=reals,
            label_weight=config.label_weight,
            labels=labels,
        )
        generator_failed = self._descend(self.generator, self.generator_adam, loss)

        self._note(scalars | more, torch.maximum(critic_failed, generator_failed))
        if self.adaptation is not None:
            self._signs.append(scalars["scores/sign"])  # by now the mean over all processes

    def _augmented(self, images: Tensor, purpose: Purpose, nimg: int, rows: Tensor) -> Tensor:
        """Augment this process's images [n, C, H, W], if the run is to."""
        config = self.config
        if not config.augmentations:
            return images
        minibatch = self.stage.minibatch
        chances = draws.uniform(config.seed, purpose, nimg, minibatch * DRAWS)
        chances = chances.reshape(minibatch, DRAWS)[rows].to(self.device)
        if self.adaptation is not None:
            probability: Tensor | float = self.adaptation.probability
        else:
            probability = config.augment_probability
        return augment(images, chances, config.augmentations, probability)

    def _reals(self, stage: Stage, nimg: int, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give this process's real images [n, C, H, W] in [-1, 1], faded as the level is."""
        config = self.config
        pixels, labels = self.data.minibatch(stage.level, nimg, stage.minibatch)
        images = torch.from_numpy(pixels)[rows].to(self.device)
        images = images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        if config.mirror:
            flips = draws.uniform(config.seed, Purpose.MIRROR, nimg, stage.minibatch)[rows] < 0.5
            images = torch.where(flips.to(self.device).reshape(-1, 1, 1, 1), images.flip(3), images)
        if stage.fade < 1:
            images = torch.lerp(upscale(downscale(images)), images, stage.fade)
        if labels is None or config.label_size == 0:
            return images.contiguous(), None
        return images.contiguous(), torch.from_numpy(labels)[rows].to(self.device)

    def _latents(
        self, purpose: Purpose, label_purpose: Purpose, nimg: int, minibatch: int, rows: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Draw this process's latents [n, latent_size] and, if there are classes, labels [n]."""
        seed = self.config.seed
        shape = (minibatch, self.generator.latent_size)
        latents = draws.normal(seed, purpose, nimg, shape)[rows].to(self.device)
        if self.config.label_size == 0 or self.data.labels is None:
            return latents, None
        # Drawn from the training labels, so that fakes have the classes as often as reals.
        which = draws.whole(seed, label_purpose, nimg, minibatch, len(self.data.labels))
        labels = torch.from_numpy(self.data.labels)[which]
        return latents, labels[rows].to(self.device)

    def _descend(self, network: Generator | Critic, adam: torch.optim.Adam, loss: Tensor) -> Tensor:
        """Take one step of Adam, unless something is not finite; gives 1.0 then, else 0.0."""
        parameters = network.active_parameters()
        # Asking for these alone spares the other network's weight gradients.
        gradients = torch.autograd.grad(loss, parameters)
        value = loss.detach().clone()
        # The loss goes along, so that all processes agree on whether to skip the step.
        self.processes.average_([*gradients, value])
        total = torch.stack(torch._foreach_norm(gradients)).sum() + value
        failed = (~torch.isfinite(total)).float()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            # The fused optimizer walks through memory and takes no notice of strides, and some
            # convolutions give their gradients in another order than their weights.
            parameter.grad = gradient.contiguous()
        # The fused optimizer leaves everything as it is where this is set, without asking the host.
        adam.found_inf = failed  # type: ignore[attr-defined]
        adam.step()
        adam.zero_grad(set_to_none=True)
        return failed

    @torch.no_grad()
    def _update_average(self, nimg: int) -> None:
        """Move the average generator toward the generator.

        Weights that take no part stay: those above have not moved yet, and the colours of a level
        that has given way are never looked at again.
        """
        config = self.config
        kept = kept_share(
            self.stage.minibatch,
            nimg,
            decay=config.average_decay,
            halflife_kimg=config.average_halflife_kimg,
            rampup=config.average_rampup,
        )
        torch._foreach_lerp_(
            list[Tensor](self.average.active_parameters()),
            list[Tensor](self.generator.active_parameters()),
            1 - kept,
        )

    def _note(self, scalars: Scalars, failed: Tensor) -> None:
        """Add up a step's scalars and whether it was skipped, on the device."""
        self.processes.average_(list(scalars.values()))
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
        if self.adaptation is not None:
            tensors[_PROBABILITY] = self.adaptation.probability
        return tensors

    def restore(self, tensors: dict[str, Tensor], nimg: int) -> None:
        """Take up a state that `state` gave.

        Raises:
            ProganError: the tensors are not those of this configuration.
        """
        left = dict(tensors)
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
        if self.adaptation is not None:
            probability = left.pop(_PROBABILITY, None)
            if probability is None or probability.shape != () or probability.dtype != torch.float32:
                raise ProganError(f"the checkpoint does not fit: {_PROBABILITY}")
            self.adaptation.probability.copy_(probability)
        if left:
            raise ProganError(f"the checkpoint has a tensor too many: {next(iter(left))}")
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
        ProganError: training has broken down.
    """
    finished = trainer.nimg >= trainer.config.nimg
    while not finished:
        before = trainer.nimg
        trainer.round()
        finished = trainer.nimg >= trainer.config.nimg
        stopped = trainer.processes.any(stop())
        with trainer.processes.alone():
            for observer in observers:
                observer(trainer, before, finished or stopped)
        if stopped:
            break
    return finished
