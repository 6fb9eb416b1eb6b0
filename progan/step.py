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
from progan.objective_settings import ObjectiveSettings
from progan.objectives import Scalars
from progan.parallel import Processes
from progan.passes import Direct, Found, Passes
from progan.precision import LossScale, penalty_scale
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
        self._gradients: Sequence[Tensor] = ()
        self.loss = torch.zeros(())
        self.scalars: Scalars = {}

    def share(self, samples: int) -> float:
        """Say by what a part's gradients are to be multiplied, which are means over its samples."""
        return samples / self._samples

    def add(self, part: Found, samples: int) -> None:
        """Add those of a part: gradients that were multiplied by its share, and plain terms."""
        share = self.share(samples)
        gradients, loss, scalars = part
        value = loss * share
        scaled = {name: scalar * share for name, scalar in scalars.items()}
        if not self._gradients:
            self._gradients, self.loss, self.scalars = gradients, value, scaled
            return
        self._gradients = torch._foreach_add(list(self._gradients), list(gradients))
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
        passes: how passes through the networks are done; likewise.
        adaptation: decides how strongly to augment, where that follows the critic.

    Attributes:
        scales: in float16, what the losses of the networks are multiplied by, by name.
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
        passes: Passes | None = None,
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
        self.passes = passes or Direct()
        self.adaptation = adaptation
        self._gamma = ByResolution.parse(config.gamma)
        self.scales: dict[str, LossScale] = {}
        if config.precision == "float16":
            self.scales = {name: LossScale(inputs.device) for name in ("generator", "critic")}

    def __call__(self, stage: Stage, nimg: int) -> tuple[Scalars, Tensor]:
        """Train both networks.

        Args:
            stage: where training stands.
            nimg: images shown before.

        Returns:
            The objectives' terms by name, and 1.0 if something was not finite, else 0.0: means over
            all processes. Gradients that only a smaller loss scale is needed for do not count.
        """
        rows = self.processes.share(stage.minibatch, self.config.mbstd_group_size)
        split = self.splits.get(stage.level, Split())
        parts = divided(rows, self.config.mbstd_group_size, split.parts)
        once = split.at_once
        with self.generator.shared_weights(once) as weights:
            scalars, critic_failed, fakes, reals = self._teach_critic(
                weights, stage, nimg, parts, once
            )
            self._update_average(stage, nimg)
            found = self._look_at_fakes(weights, stage, nimg, parts, once, fakes, reals)
        generator_failed = self._descend("generator", self.generator_adam, found)
        scalars |= found.scalars
        self.processes.average_(list(scalars.values()))
        if self.adaptation is not None:
            self.adaptation.note(scalars["scores/sign"])
        return scalars, torch.maximum(critic_failed, generator_failed)

    def _teach_critic(
        self,
        makers: SharedWeights,
        stage: Stage,
        nimg: int,
        parts: Sequence[Tensor],
        at_once: int | None,
    ) -> tuple[Scalars, Tensor, Tensor | None, list[Tensor]]:
        """Train the critic; gives its fakes with their graph, too, if they are to be used again.

        At the end come the reals of each part, as the critic saw them.
        """
        config = self.config
        settings = self._settings(stage, nimg)
        # The graphs of several parts' fakes together are what was to be avoided: these are made
        # again from the same latents when the generator's turn comes.
        keep = config.share_fakes and len(parts) == 1 and self.passes.keeps_graphs
        fakes: Tensor | None = None
        seen: list[Tensor] = []

        def objective(
            reals: Tensor,
            fakes: Tensor,
            mixing: Tensor,
            real_labels: Tensor | None,
            fake_labels: Tensor | None,
        ) -> tuple[Tensor, Scalars]:
            return critic_objective(
                self.critic,
                reals,
                fakes,
                mixing,
                settings,
                real_labels=real_labels,
                fake_labels=fake_labels,
            )

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
                fakes = self.passes.images(makers, latents, labels, graph=keep)
                probability = self._probability()
                seen.append(self._augmented(reals, of_reals, probability))
                shown = self._augmented(fakes.detach(), of_fakes, probability)
                tensors = (seen[-1], shown, mixing, real_labels, labels)
                factor = self._factor("critic", found.share(len(reals)))
                part = self.passes.gradients(
                    ("critic", settings), weights, (), objective, tensors, factor
                )
                found.add(part, len(reals))
        failed = self._descend("critic", self.critic_adam, found)
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
        settings = self._settings(stage, nimg)
        found = _Sum(weights, sum(map(len, parts)))

        def objective(
            latents: Tensor,
            labels: Tensor | None,
            partners: Tensor,
            chances: Tensor | None,
            probability: Tensor | None,
        ) -> tuple[Tensor, Scalars]:
            images = self.generator(latents, labels) if fakes is None else fakes
            return generator_objective(
                self.critic,
                self._augmented(images, chances, probability),
                settings,
                reals=partners,
                labels=labels,
            )

        with self.critic.shared_weights(at_once) as judges:
            for (latents, labels), partners, chances in zip(
                self.inputs.latents(*of, stage, nimg, parts),
                reals,
                self._chances(Purpose.AUGMENTED_GENERATED, stage, nimg, parts),
                strict=True,
            ):
                tensors = (latents, labels, partners, chances, self._probability())
                factor = self._factor("generator", found.share(len(latents)))
                part = self.passes.gradients(
                    "generator", weights, [judges], objective, tensors, factor
                )
                found.add(part, len(latents))
        return found

    def _settings(self, stage: Stage, nimg: int) -> ObjectiveSettings:
        """Say what both networks minimize at this step."""
        config = self.config
        # A penalty that is evaluated more rarely weighs more, so that its pull is the same.
        lazily = config.penalty_interval
        times = lazily if nimg // stage.minibatch % lazily == 0 else 0
        target = config.penalty_target
        if config.penalty_full_size:
            # Where k×k pixels of the full-size image are one pixel here, each has a k²th of its
            # gradient, and the norm over all of them is a kth of that by the level's own.
            target *= 2 ** (self.critic.top_level - stage.level)
        return ObjectiveSettings(
            objective=config.objective,
            gamma=self._gamma[stage.level] * times,
            penalty_weight=config.penalty_weight * times,
            penalty_target=target,
            penalty_curvature=config.penalty_curvature,
            penalty_scale=penalty_scale(config.precision, stage.level, target),
            drift_weight=config.drift_weight,
            label_weight=config.label_weight,
        )

    def _chances(
        self, purpose: Purpose, stage: Stage, nimg: int, parts: Sequence[Tensor]
    ) -> Iterator[Tensor | None]:
        """Draw how each part's images are augmented, if they are."""
        if not self.config.augmentations:
            return repeat(None, len(parts))
        return self.inputs.chances(purpose, stage, nimg, parts)

    def _probability(self) -> Tensor | None:
        """Give the probability of each augmentation, where it follows the critic."""
        return None if self.adaptation is None else self.adaptation.probability

    def _augmented(
        self, images: Tensor, chances: Tensor | None, probability: Tensor | None
    ) -> Tensor:
        """Augment images on their way to the critic."""
        if chances is None:
            return images
        config = self.config
        strength = config.augment_probability if probability is None else probability
        return augment(images, chances, config.augmentations, strength)

    def _factor(self, name: str, share: float) -> Tensor | float:
        """Say by what a network's loss is multiplied before gradients are taken."""
        return self.scales[name].scale * share if name in self.scales else share

    def _descend(self, name: str, adam: torch.optim.Adam, found: _Sum) -> Tensor:
        """Take one step of Adam, unless something is not finite; gives 1.0 then, else 0.0.

        Where that is the loss scale's doing, which changes then, 0.0 is given nevertheless.
        """
        network = self.generator if name == "generator" else self.critic
        gradients = found.gradients()
        value = found.loss.clone()
        # The loss goes along, so that all processes agree on whether to skip the step.
        self.processes.average_([*gradients, value])
        if name in self.scales:
            self.scales[name].unscale_(gradients)
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
        if name in self.scales:
            return failed - self.scales[name].update_(failed, value)
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
