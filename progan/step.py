"""One step of training: what both networks learn from one minibatch (PAPER: section 2, A.1).

Critic on reals and fakes, then the average generator, then the generator with fresh latents. Where
memory is short, the minibatch is taken in parts, one after the other, whose gradients add up to
those of the whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat

import torch
from torch import Tensor

from progan.adaptation import Adaptation
from progan.adversarial import critic_objective, generator_objective
from progan.augmentation import augment
from progan.averaging import kept_share
from progan.config import Config
from progan.draws import Purpose
from progan.growing import SharedWeights
from progan.growth import ByResolution, Stage
from progan.inputs import Inputs
from progan.networks import Critic, Generator
from progan.objectives import Scalars
from progan.parallel import Processes
from progan.splitting import Split, divided


class _Sum:
    """Gradients, loss and scalars of a minibatch, added up from those of its parts.

    Args:
        weights: what gradients are wanted of.
        samples: in all parts together.
    """

    def __init__(self, weights: SharedWeights, samples: int) -> None:
        self._weights = weights
        self._samples = samples
        self._gradients: tuple[Tensor, ...] = ()
        self.loss = torch.zeros(())
        self.scalars: Scalars = {}

    def add(self, loss: Tensor, scalars: Scalars, samples: int) -> None:
        """Add those of a part, which are means over so many samples."""
        share = samples / self._samples
        # Asking for these alone spares the other network's weight gradients.
        gradients = torch.autograd.grad(loss * share, self._weights.used)
        value = loss.detach() * share
        scaled = {name: scalar * share for name, scalar in scalars.items()}
        if not self._gradients:
            self._gradients, self.loss, self.scalars = gradients, value, scaled
            return
        self._gradients = torch._foreach_add(self._gradients, gradients)
        self.loss = self.loss + value
        self.scalars = {name: self.scalars[name] + scalar for name, scalar in scaled.items()}

    def gradients(self) -> list[Tensor]:
        """Give the gradients of the network's active parameters."""
        return self._weights.gradients(self._gradients)


class Step:
    """Trains both networks on one minibatch.

    Args:
        config: the run.
        inputs: hands out what is learned from.
        generator, critic, average: the networks, which stand where the step's stage says.
        generator_adam, critic_adam: their optimizers.
        processes: those that share the minibatch.
        splits: how this process splits its share, by level; not at all where none is named.
            Weights do not depend on it, but for rounding.
        adaptation: decides how strongly to augment, where that follows the critic.
    """

    def __init__(
        self,
        config: Config,
        inputs: Inputs,
        generator: Generator,
        critic: Critic,
        average: Generator,
        *,
        generator_adam: torch.optim.Adam,
        critic_adam: torch.optim.Adam,
        processes: Processes,
        splits: Mapping[int, Split],
        adaptation: Adaptation | None = None,
    ) -> None:
        self.config = config
        self.inputs = inputs
        self.generator = generator
        self.critic = critic
        self.average = average
        self.generator_adam = generator_adam
        self.critic_adam = critic_adam
        self.processes = processes
        self.splits = splits
        self.adaptation = adaptation
        self._gamma = ByResolution.parse(config.gamma)

    def __call__(self, stage: Stage, nimg: int) -> tuple[Scalars, Tensor]:
        """Train both networks.

        Args:
            stage: where training stands.
            nimg: images shown before.

        Returns:
            The objectives' terms by name, and 1.0 if something was not finite, else 0.0: means over
            all processes.
        """
        rows = self.processes.share(stage.minibatch, self.config.mbstd_group_size)
        split = self.splits.get(stage.level, Split())
        parts = divided(rows, self.config.mbstd_group_size, split.parts)
        once = split.at_once
        with self.generator.shared_weights(once) as weights:
            scalars, critic_failed, fakes, reals = self._teach_critic(stage, nimg, parts, once)
            self._update_average(stage, nimg)
            found = self._look_at_fakes(weights, stage, nimg, parts, once, fakes, reals)
        generator_failed = self._descend(self.generator, self.generator_adam, found)
        scalars |= found.scalars
        self.processes.average_(list(scalars.values()))
        if self.adaptation is not None:
            self.adaptation.note(scalars["scores/sign"])
        return scalars, torch.maximum(critic_failed, generator_failed)

    def _teach_critic(
        self, stage: Stage, nimg: int, parts: Sequence[Tensor], at_once: int | None
    ) -> tuple[Scalars, Tensor, Tensor | None, list[Tensor]]:
        """Train the critic; gives its fakes with their graph, too, if they are to be used again.

        At the end come the reals of each part, as the critic saw them.
        """
        config = self.config
        # A penalty that is evaluated more rarely weighs more, so that its pull is the same.
        lazily = config.penalty_interval
        due = nimg // stage.minibatch % lazily == 0
        # The graphs of several parts' fakes together are what was to be avoided: these are made
        # again from the same latents when the generator's turn comes.
        keep = config.share_fakes and len(parts) == 1
        fakes: Tensor | None = None
        seen: list[Tensor] = []
        with self.critic.shared_weights(at_once) as weights:
            found = _Sum(weights, sum(map(len, parts)))
            for (reals, real_labels), (latents, labels), mixing, of_reals, of_fakes in zip(
                self.inputs.reals(stage, nimg, parts),
                self.inputs.latents(
                    Purpose.CRITIC_LATENTS, Purpose.CRITIC_LABELS, stage, nimg, parts
                ),
                self.inputs.mixing(stage, nimg, parts),
                self._chances(Purpose.AUGMENTED_REALS, stage, nimg, parts),
                self._chances(Purpose.AUGMENTED_FAKES, stage, nimg, parts),
                strict=True,
            ):
                with torch.set_grad_enabled(keep):
                    fakes = self.generator(latents, labels)
                seen.append(self._augmented(reals, of_reals))
                loss, scalars = critic_objective(
                    self.critic,
                    seen[-1],
                    self._augmented(fakes.detach(), of_fakes),
                    mixing,
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
                found.add(loss, scalars, len(reals))
        failed = self._descend(self.critic, self.critic_adam, found)
        return found.scalars, failed, fakes if keep else None, seen

    def _look_at_fakes(
        self,
        weights: SharedWeights,
        stage: Stage,
        nimg: int,
        parts: Sequence[Tensor],
        at_once: int | None,
        fakes: Tensor | None,
        reals: Sequence[Tensor],
    ) -> _Sum:
        """Find what the generator learns from the critic; makes fakes where none are given.

        The reals are those of each part that the critic has seen.
        """
        of = (Purpose.GENERATOR_LATENTS, Purpose.GENERATOR_LABELS)
        if self.config.share_fakes:
            of = (Purpose.CRITIC_LATENTS, Purpose.CRITIC_LABELS)
        found = _Sum(weights, sum(map(len, parts)))
        with self.critic.shared_weights(at_once):
            for (latents, labels), chances, partners in zip(
                self.inputs.latents(*of, stage, nimg, parts),
                self._chances(Purpose.AUGMENTED_GENERATED, stage, nimg, parts),
                reals,
                strict=True,
            ):
                images = self.generator(latents, labels) if fakes is None else fakes
                loss, scalars = generator_objective(
                    self.critic,
                    self._augmented(images, chances),
                    objective=self.config.objective,
                    reals=partners,
                    label_weight=self.config.label_weight,
                    labels=labels,
                )
                found.add(loss, scalars, len(images))
        return found

    def _chances(
        self, purpose: Purpose, stage: Stage, nimg: int, parts: Sequence[Tensor]
    ) -> Iterator[Tensor | None]:
        """Draw how each part's images are augmented, if they are."""
        if not self.config.augmentations:
            return repeat(None, len(parts))
        return self.inputs.chances(purpose, stage, nimg, parts)

    def _augmented(self, images: Tensor, chances: Tensor | None) -> Tensor:
        """Augment images on their way to the critic."""
        if chances is None:
            return images
        probability: Tensor | float = self.config.augment_probability
        if self.adaptation is not None:
            probability = self.adaptation.probability
        return augment(images, chances, self.config.augmentations, probability)

    def _descend(self, network: Generator | Critic, adam: torch.optim.Adam, found: _Sum) -> Tensor:
        """Take one step of Adam, unless something is not finite; gives 1.0 then, else 0.0."""
        gradients = found.gradients()
        value = found.loss.clone()
        # The loss goes along, so that all processes agree on whether to skip the step.
        self.processes.average_([*gradients, value])
        total = torch.stack(torch._foreach_norm(gradients)).sum() + value
        failed = (~torch.isfinite(total)).float()
        for parameter, gradient in zip(network.active_parameters(), gradients, strict=True):
            # The fused optimizer walks through memory and takes no notice of strides, and some
            # convolutions give their gradients in another order than their weights.
            parameter.grad = gradient.contiguous()
        # The fused optimizer leaves everything as it is where this is set, without asking the host.
        adam.found_inf = failed  # type: ignore[attr-defined]
        adam.step()
        adam.zero_grad(set_to_none=True)
        return failed

    @torch.no_grad()
    def _update_average(self, stage: Stage, nimg: int) -> None:
        """Move the average generator toward the generator.

        Weights that take no part stay: those above have not moved yet, and the colours of a level
        that has given way are never looked at again.
        """
        config = self.config
        kept = kept_share(
            stage.minibatch,
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
