"""The step with later years' options, against one that is written here in the plainest way."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from progan import draws, step
from progan.adversarial import critic_objective, generator_objective
from progan.augmentation import DRAWS, augment
from progan.config import Config
from progan.draws import Purpose
from progan.errors import ProganError
from progan.networks import Critic, Generator
from progan.objective_settings import ObjectiveSettings
from progan.training import Trainer
from tests.progan.making import Patterns, small_config
from tests.progan.making import one_thread as one_thread
from tests.progan.test_training import PlainTraining, finished

pytestmark = pytest.mark.usefixtures("one_thread")


class PlainAdam:
    """Adam by its formula, with both moments."""

    def __init__(self, config: Config, times: float) -> None:
        self.config, self.times = config, times
        self.state: dict[str, tuple[int, Tensor, Tensor]] = {}

    def step(self, network: Generator | Critic, loss: Tensor, rate: float) -> None:
        one, two = self.config.adam_beta1, self.config.adam_beta2
        named = dict(network.named_parameters())
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
            loss, list(named.values()), allow_unused=True
        )
        for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
            if gradient is None:
                continue
            zeros = torch.zeros_like(parameter)
            count, first, second = self.state.get(name, (0, zeros, zeros))
            count, first = count + 1, one * first + (1 - one) * gradient
            second = two * second + (1 - two) * gradient**2
            self.state[name] = count, first, second
            deviation = (second / (1 - two**count)).sqrt() + self.config.adam_epsilon
            with torch.no_grad():
                parameter.sub_(rate * self.times * first / (1 - one**count) / deviation)


class PlainModern(PlainTraining):
    """The step, spelled out; the probability of augmentations is counted here, too."""

    def __init__(self, config: Config, data: Patterns) -> None:
        super().__init__(config, data)
        self.both = {
            "generator": PlainAdam(config, 1),
            "critic": PlainAdam(config, config.critic_rate),
        }
        self.probability = 0.0 if config.augment_target else config.augment_probability

    def augmented(self, images: Tensor, purpose: str) -> Tensor:
        chances = draws.uniform(
            self.config.seed, Purpose[purpose], self.nimg, len(images) * DRAWS
        ).reshape(len(images), DRAWS)
        return augment(images, chances.double(), self.config.augmentations, self.probability)

    def round(self) -> None:
        config, stage = self.config, self.config.schedule.at(self.nimg)
        gamma = {4: 0.1, 8: 0.2, 16: 0.3}[2**stage.level]
        minibatch = stage.minibatch
        for network in (self.generator, self.critic, self.average):
            network.stand(stage.level, stage.fade)
        signs = []
        for _ in range(config.minibatch_repeats):
            reals, _ = self.reals(stage.level, stage.fade, minibatch)
            reals = self.augmented(reals, "AUGMENTED_REALS")
            fakes = self.generator(self.latents(Purpose.CRITIC_LATENTS, minibatch)).detach()
            fakes = self.augmented(fakes, "AUGMENTED_FAKES")
            due = (self.nimg // minibatch) % config.penalty_interval == 0
            loss, scalars = critic_objective(
                self.critic,
                reals,
                fakes,
                torch.zeros(minibatch),
                ObjectiveSettings(
                    objective=config.objective,
                    gamma=gamma * config.penalty_interval if due else 0.0,
                ),
            )
            signs.append(scalars["scores/sign"].item())
            self.both["critic"].step(self.critic, loss, stage.learning_rate)
            halflife = min(1000 * config.average_halflife_kimg,
                           config.average_rampup * (self.nimg + minibatch))  # fmt: skip
            kept = 0.5 ** (minibatch / halflife)
            now = dict(self.generator.named_parameters())
            with torch.no_grad():
                for name, parameter in self.average.named_parameters():
                    parameter.copy_(kept * parameter + (1 - kept) * now[name])
            fakes = self.generator(self.latents(Purpose.GENERATOR_LATENTS, minibatch))
            fakes = self.augmented(fakes, "AUGMENTED_GENERATED")
            settings = ObjectiveSettings(objective=config.objective)
            loss, _ = generator_objective(self.critic, fakes, settings, reals=reals)
            self.both["generator"].step(self.generator, loss, stage.learning_rate)
            self.nimg += minibatch
        if config.augment_target:
            sure = sum(signs) / len(signs) - config.augment_target
            step = minibatch * config.minibatch_repeats / (1000 * config.augment_kimg)
            self.probability += step * ((sure > 0) - (sure < 0))
            self.probability = min(max(self.probability, 0.0), 0.8)
        if config.schedule.at(self.nimg).phase != stage.phase:
            for adam in self.both.values():
                adam.state.clear()


MODERN: dict[str, Any] = {
    "gamma": "0.3,4:0.1,8:0.2",
    "average_halflife_kimg": 0.05,
    "average_rampup": 0.5,
    "critic_rate": 1.5,
    "adam_beta1": 0.4,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "logistic", "penalty_interval": 2},
        {"objective": "relativistic", "augment": "colour,translation,cutout"},
        {"objective": "logistic", "augment": "cutout,translation", "augment_probability": 0.5},
        {"objective": "logistic", "augment": "colour", "augment_target": 0.1, "augment_kimg": 0.1},
    ],
)
def test_training_is_the_step_that_is_spelled_out(changes: dict[str, Any]) -> None:
    config = small_config(adam_epsilon=0.1, **MODERN, **changes)
    data = Patterns()
    trainer, plain = Trainer(config, data), PlainModern(config, data)
    pairs = [
        (trainer.generator, plain.generator),
        (trainer.critic, plain.critic),
        (trainer.average, plain.average),
    ]
    probabilities = []
    while trainer.nimg < config.nimg:
        for ours, theirs in pairs:
            theirs.load_state_dict(ours.state_dict())
        standing = plain.average.stand(trainer.stage.level, trainer.stage.fade).active_parameters()
        trainer.round()
        plain.round()
        if trainer.adaptation is not None:
            probabilities.append(trainer.adaptation.probability.item())
            assert probabilities[-1] == pytest.approx(plain.probability, abs=1e-5)
        for ours, theirs in pairs:
            for (name, tensor), expected in zip(
                ours.named_parameters(), theirs.parameters(), strict=True
            ):
                if ours is not trainer.average or any(expected is p for p in standing):
                    wrong = (tensor - expected).abs().max().item()
                    assert wrong < 2e-4, (trainer.nimg, name)  # a step is about 0.01
    if trainer.adaptation is not None:
        assert min(probabilities) < 0.4 and max(probabilities) > 0.1  # it moves, both ways
        assert min(b - a for a, b in pairwise(probabilities)) < 0


def test_a_run_whose_augmentation_adapts_goes_on_bit_for_bit() -> None:
    config = small_config(
        objective="relativistic",
        augment="colour,translation,cutout",
        augment_target=0.2,
        augment_kimg=0.2,
        **MODERN,
    )
    undisturbed = finished(Trainer(config, Patterns()))
    first = Trainer(config, Patterns())
    for _ in range(7):
        first.round()
    saved = {name: tensor.clone() for name, tensor in first.state().items()}
    assert 0 < saved["augmentation.probability"].item() <= 0.8
    first.round()
    second = Trainer(config, Patterns())
    second.restore(saved, 7 * 16)
    continued = finished(second)
    assert continued.keys() == undisturbed.keys()
    assert all(torch.equal(continued[name], tensor) for name, tensor in undisturbed.items())

    damaged = saved | {"augmentation.probability": torch.zeros(2)}
    with pytest.raises(ProganError, match=r"augmentation\.probability"):
        Trainer(config, Patterns()).restore(damaged, 7 * 16)
    del damaged["augmentation.probability"]
    with pytest.raises(ProganError, match=r"augmentation\.probability"):
        Trainer(config, Patterns()).restore(damaged, 7 * 16)


def test_a_failed_step_does_not_end_the_adaptation(monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config(objective="logistic", augment="cutout", augment_target=0.5)
    trainer = Trainer(config, Patterns())
    usual = critic_objective

    def failing(*given: Any, **options: Any) -> tuple[Tensor, dict[str, Tensor]]:
        loss, scalars = usual(*given, **options)
        return loss, scalars | {"scores/sign": torch.tensor(float("nan"))}

    monkeypatch.setattr(step, "critic_objective", failing)
    trainer.round()
    assert trainer.adaptation is not None
    assert trainer.adaptation.probability.item() == 0


def test_the_average_makes_pictures_that_were_never_augmented() -> None:
    # With this cutout, every image that the critic sees has a hole; the generator's have none.
    config = small_config(objective="logistic", augment="cutout")
    trainer = Trainer(config, Patterns())
    trainer.round()
    images = trainer.average(torch.ones(1, trainer.average.latent_size))
    holes = (images == 0).all(dim=1)
    assert not holes.any()
