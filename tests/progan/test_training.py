"""The training loop: what a step does, that runs continue bit for bit, what happens when it fails.

The step is compared with a second one that is written here in the plainest way: Adam and average
by their formulas, networks of float64.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from progan import draws, step, training
from progan.config import Config
from progan.draws import Purpose
from progan.errors import ProganError
from progan.networks import Critic, Generator
from progan.objective_settings import ObjectiveSettings
from progan.objectives import critic_objective, generator_objective
from progan.training import Trainer, crossed, train
from tests.progan.making import Patterns, small_config
from tests.progan.making import one_thread as one_thread

pytestmark = pytest.mark.usefixtures("one_thread")


# Each level with a minibatch and a learning rate of its own; a round of the first is 32 images.
BY_LEVEL: dict[str, Any] = {"minibatch": "8,4:16", "learning_rate": "0.01,4:0.004,16:0.02"}


class PlainAdam:
    """Adam by its formula, with β1 = 0, one state a parameter."""

    def __init__(self, config: Config) -> None:
        self.beta, self.epsilon = config.adam_beta2, config.adam_epsilon
        self.state: dict[str, tuple[int, Tensor]] = {}

    def step(self, network: Generator | Critic, loss: Tensor, rate: float) -> None:
        named = dict(network.named_parameters())
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
            loss, list(named.values()), allow_unused=True
        )
        for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
            if gradient is None:
                continue
            count, square = self.state.get(name, (0, torch.zeros_like(parameter)))
            count, square = count + 1, self.beta * square + (1 - self.beta) * gradient**2
            self.state[name] = count, square
            corrected = square / (1 - self.beta**count)
            with torch.no_grad():
                parameter.sub_(rate * gradient / (corrected.sqrt() + self.epsilon))


class PlainTraining:
    """The procedure of the paper, spelled out."""

    def __init__(self, config: Config, data: Patterns) -> None:
        self.config, self.data = config, data
        built = training.build(config, torch.device("cpu"))
        self.generator, self.critic = built[0].double(), built[1].double()
        self.average = built[2].double()
        self.adams = {"generator": PlainAdam(config), "critic": PlainAdam(config)}
        self.nimg = 0

    def reals(self, level: int, fade: float, minibatch: int) -> tuple[Tensor, Tensor | None]:
        pixels, labels = self.data.minibatch(level, self.nimg, minibatch)
        images = pixels.astype(np.float64).transpose(0, 3, 1, 2) / 127.5 - 1
        if self.config.mirror:
            flips = draws.uniform(self.config.seed, Purpose.MIRROR, self.nimg, minibatch) < 0.5
            for image, flip in zip(images, flips, strict=True):
                image[:] = image[:, :, ::-1].copy() if flip else image
        if fade < 1:
            n, c, h, w = images.shape
            coarse = images.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))
            coarse = np.kron(coarse, np.ones((2, 2)))
            images = coarse + fade * (images - coarse)
        return torch.from_numpy(images), None if labels is None else torch.from_numpy(labels)

    def latents(self, purpose: Purpose, minibatch: int) -> Tensor:
        shape = (minibatch, self.generator.latent_size)
        return draws.normal(self.config.seed, purpose, self.nimg, shape).double()

    def labels(self, purpose: Purpose, minibatch: int) -> Tensor | None:
        if self.data.labels is None:
            return None
        count = len(self.data.labels)
        which = draws.whole(self.config.seed, purpose, self.nimg, minibatch, count)
        return torch.from_numpy(self.data.labels)[which]

    def round(self) -> None:
        config, stage = self.config, self.config.schedule.at(self.nimg)
        for network in (self.generator, self.critic, self.average):
            network.stand(stage.level, stage.fade)
        for _ in range(config.minibatch_repeats):
            minibatch = stage.minibatch
            reals, real_labels = self.reals(stage.level, stage.fade, minibatch)
            labels = real_labels
            if not config.share_labels:
                labels = self.labels(Purpose.CRITIC_LABELS, minibatch)
            fakes = self.generator(self.latents(Purpose.CRITIC_LATENTS, minibatch), labels).detach()
            mixing = draws.uniform(config.seed, Purpose.MIXING, self.nimg, minibatch).double()
            weight = 10.0
            if config.penalty_interval > 1:  # the steps of a minibatch size are counted from 0
                step = self.nimg // minibatch
                weight *= 0 if step % config.penalty_interval else config.penalty_interval
            loss, _ = critic_objective(
                self.critic,
                reals,
                fakes,
                mixing,
                ObjectiveSettings(
                    penalty_weight=weight,
                    penalty_curvature=config.penalty_curvature,
                    penalty_target=config.resolution / 2**stage.level
                    if config.penalty_full_size
                    else 1.0,
                ),
                real_labels=real_labels,
                fake_labels=labels,
            )
            self.adams["critic"].step(self.critic, loss, stage.learning_rate)
            decay, now = config.average_decay, dict(self.generator.named_parameters())
            with torch.no_grad():
                for name, parameter in self.average.named_parameters():
                    parameter.copy_(decay * parameter + (1 - decay) * now[name])
            of = "CRITIC" if config.share_fakes else "GENERATOR"
            if not config.share_fakes:
                labels = self.labels(Purpose.GENERATOR_LABELS, minibatch)
            fakes = self.generator(self.latents(Purpose[f"{of}_LATENTS"], minibatch), labels)
            loss, _ = generator_objective(self.critic, fakes, labels=labels)
            self.adams["generator"].step(self.generator, loss, stage.learning_rate)
            self.nimg += minibatch
        if config.schedule.at(self.nimg).phase != stage.phase:
            self.adams = {"generator": PlainAdam(config), "critic": PlainAdam(config)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mirror": False},
        {"label_size": 3},
        {"label_size": 3, "share_labels": False},
        {"share_fakes": True, "label_size": 3},
        {"penalty_interval": 3, "penalty_curvature": False},
        {"penalty_full_size": False},
        {"fused_scale": False},
        BY_LEVEL,
    ],
)
def test_training_is_the_papers_procedure_through_all_phases(changes: dict[str, Any]) -> None:
    # With a large epsilon Adam does not turn rounding errors of tiny gradients into whole steps.
    config = small_config(adam_epsilon=0.1, average_decay=0.8, **changes)
    data = Patterns(classes=config.label_size)
    trainer, plain = Trainer(config, data), PlainTraining(config, data)
    pairs = [
        (trainer.generator, plain.generator),
        (trainer.critic, plain.critic),
        (trainer.average, plain.average),
    ]
    begun = [{n: t.clone() for n, t in ours.state_dict().items()} for ours, _ in pairs]
    while trainer.nimg < config.nimg:
        for ours, theirs in pairs:
            # A rounding error must not grow from round to round; Adam's moments stay apart.
            theirs.load_state_dict(ours.state_dict())
        standing = plain.average.stand(trainer.stage.level, trainer.stage.fade).active_parameters()
        trainer.round()
        plain.round()
        assert plain.nimg == trainer.nimg
        for ours, theirs in pairs:
            for (name, tensor), expected in zip(
                ours.named_parameters(), theirs.parameters(), strict=True
            ):
                # The average of what takes no part any more is left where it was.
                if ours is not trainer.average or any(expected is p for p in standing):
                    wrong = (tensor - expected).abs().max().item()
                    assert wrong < 2e-4, (trainer.nimg, name)  # a step is about 0.01
    for (ours, _), first in zip(pairs, begun, strict=True):
        for name, tensor in ours.state_dict().items():
            assert not torch.equal(tensor, first[name]), f"{name} took no part"


def finished(trainer: Trainer) -> dict[str, Tensor]:
    assert train(trainer)
    return {name: tensor.clone() for name, tensor in trainer.state().items()}


@pytest.mark.parametrize("changes", [{}, BY_LEVEL])
@pytest.mark.parametrize("rounds", [1, 5, 8, 15])  # held, faded, at the end of a fade, at the end
def test_a_run_that_is_taken_up_again_goes_on_bit_for_bit(
    rounds: int, changes: dict[str, Any]
) -> None:
    config, data = small_config(**changes), Patterns()
    undisturbed = finished(Trainer(config, data))
    first = Trainer(config, data)
    for _ in range(rounds):
        first.round()
    shown = first.nimg
    saved = {name: tensor.clone() for name, tensor in first.state().items()}
    first.round()  # what happens after the checkpoint must not matter
    torch.randn(7)
    second = Trainer(config, data)
    second.restore(saved, shown)
    continued = finished(second)
    assert continued.keys() == undisturbed.keys()
    for name, tensor in undisturbed.items():
        assert torch.equal(continued[name], tensor), name


def test_the_rate_and_the_minibatch_follow_the_level_also_in_a_run_that_is_taken_up() -> None:
    config = small_config(critic_rate=0.5, **BY_LEVEL)
    trainer = Trainer(config, Patterns())
    seen = []
    while trainer.nimg < config.nimg:
        rates = [
            adam.param_groups[0]["lr"] for adam in (trainer.generator_adam, trainer.critic_adam)
        ]
        seen.append((trainer.stage.level, trainer.stage.minibatch, *rates))
        again = Trainer(config, Patterns())
        again.restore({n: t.clone() for n, t in trainer.state().items()}, trainer.nimg)
        assert again.stage == trainer.stage
        assert [
            adam.param_groups[0]["lr"] for adam in (again.generator_adam, again.critic_adam)
        ] == rates
        trainer.round()
    assert sorted(set(seen)) == [(2, 16, 0.004, 0.002), (3, 8, 0.01, 0.005), (4, 8, 0.02, 0.01)]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_run_in_half_precision_is_taken_up_again_bit_for_bit(precision: str) -> None:
    config, data = small_config(precision=precision, kimg=0.128), Patterns()
    first = Trainer(config, data)
    for _ in range(4):
        first.round()
    if precision == "float16":  # as after overflows, and a step before it grows again
        first.step.scales["critic"].scale.fill_(64.0)
        first.step.scales["critic"].good_steps.fill_(1999.0)
    saved = {name: tensor.clone() for name, tensor in first.state().items()}
    undisturbed = finished(first)
    second = Trainer(config, data)
    second.restore(saved, 64)
    continued = finished(second)
    assert continued.keys() == undisturbed.keys()
    for name, tensor in undisturbed.items():
        assert torch.equal(continued[name], tensor), name
    assert first.skipped == 0
    if precision == "float16":
        assert undisturbed["critic_loss.scale"].item() == 128
        missing = {name: tensor for name, tensor in saved.items() if name != "critic_loss.scale"}
        with pytest.raises(ProganError, match=r"critic_loss\.scale"):
            Trainer(config, data).restore(missing, 64)
    else:
        assert not [name for name in undisturbed if "_loss." in name]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_training_in_half_precision_follows_float32(precision: str) -> None:
    # With a large epsilon Adam does not turn rounding errors of tiny gradients into whole steps.
    settings: dict[str, Any] = {"adam_epsilon": 0.1, "kimg": 0.096, "fmap_base": 256}
    settings |= {"fmap_max": 32, "minibatch": "16"}
    exact = Trainer(small_config(**settings), Patterns())
    found = Trainer(small_config(**settings, precision=precision), Patterns())
    begun = {name: tensor.clone() for name, tensor in exact.state().items()}
    for scale in found.step.scales.values():
        scale.scale.fill_(1024.0)  # no step is left out while a good one is looked for
    finished(exact)
    finished(found)
    assert exact.stage.fading
    for part in ("critic.", "generator.", "average."):
        names = [name for name in begun if name.startswith(part)]
        moved = torch.cat([(exact.state()[name] - begun[name]).flatten() for name in names])
        also = torch.cat([(found.state()[name] - begun[name]).flatten() for name in names])
        assert also.dtype == torch.float32
        assert 0 < (moved - also).norm() < 0.15 * moved.norm(), part
    losses = exact.scalars()
    for name, value in found.scalars().items():
        assert value == pytest.approx(losses[name], rel=0.1, abs=0.05), name


def test_a_loss_scale_that_is_too_large_is_found_out_and_is_no_breakdown() -> None:
    trainer = Trainer(small_config(precision="float16", kimg=100.0), Patterns())
    before = {name: tensor.clone() for name, tensor in trainer.state().items()}
    for scale in trainer.step.scales.values():
        # Gradients are beyond float16's reach until it has been halved often enough.
        scale.scale.fill_(2.0**60)
    for _ in range(3):
        trainer.round()
    after = trainer.state()
    for name in ("critic.blocks.2.conv.weight", "generator.blocks.2.conv.weight"):
        assert torch.equal(after[name], before[name])
    for _ in range(12):
        trainer.round()
    trainer.check()
    assert trainer.skipped == 0
    for name in ("critic.blocks.2.conv.weight", "generator.blocks.2.conv.weight"):
        assert not torch.equal(trainer.state()[name], before[name])
    assert all(bool(torch.isfinite(tensor).all()) for tensor in trainer.state().values())


def test_training_in_float16_that_breaks_down_stops_nevertheless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Failing(monkeypatch, "critic_objective", set(range(4, 1000)))
    with pytest.raises(ProganError, match="20 steps in a row"):
        train(Trainer(small_config(kimg=100.0, precision="float16"), Patterns()))


def test_training_neither_uses_nor_changes_the_global_random_state() -> None:
    config, data = small_config(kimg=0.016), Patterns()
    torch.manual_seed(1)
    one = finished(Trainer(config, data))
    torch.manual_seed(2)
    expected = torch.random.get_rng_state()
    other = finished(Trainer(config, data))
    assert torch.equal(torch.random.get_rng_state(), expected)
    assert all(torch.equal(one[name], tensor) for name, tensor in other.items())


def test_another_seed_is_another_run() -> None:
    one = finished(Trainer(small_config(kimg=0.016), Patterns()))
    other = finished(Trainer(small_config(kimg=0.016, seed=6), Patterns()))
    assert not torch.equal(one["generator.to_rgb.2.weight"], other["generator.to_rgb.2.weight"])


def test_the_networks_stand_where_the_schedule_says() -> None:
    config = small_config()
    trainer = Trainer(config, Patterns())
    seen = []
    while trainer.nimg < config.nimg:
        for network in (trainer.generator, trainer.critic, trainer.average):
            assert (network.level, network.fade) == (trainer.stage.level, trainer.stage.fade)
        seen.append((trainer.nimg, trainer.stage.level, trainer.stage.fade))
        trainer.round()
    assert seen[:9] == [
        (0, 2, 1.0), (16, 2, 1.0), (32, 2, 1.0),
        (48, 3, 0.0), (64, 3, 0.25), (80, 3, 0.5), (96, 3, 0.75), (112, 3, 1.0), (128, 3, 1.0),
    ]  # fmt: skip


def test_adam_is_reset_when_a_fade_begins_and_when_it_ends() -> None:
    trainer = Trainer(small_config(), Patterns())
    colours = dict(trainer.generator.named_parameters())["to_rgb.2.weight"]
    counts = []
    for _ in range(11):
        trainer.round()
        state = trainer.generator_adam.state.get(colours, {})
        counts.append(int(state["step"]) if state else 0)
    # 3 rounds held, 4 faded, then the colours of level 2 take no part any more.
    assert counts == [2, 4, 0, 2, 4, 6, 0, 0, 0, 0, 0]


class Failing:
    """Makes chosen steps' losses infinite or not numbers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, which: str, steps: set[int]) -> None:
        self.count = 0
        self.steps = steps
        usual = getattr(step, which)

        def objective(*args: Any, **options: Any) -> tuple[Tensor, dict[str, Tensor]]:
            loss, scalars = usual(*args, **options)
            self.count += 1
            return (loss * float("nan") if self.count - 1 in steps else loss), scalars

        monkeypatch.setattr(step, which, objective)


@pytest.mark.parametrize(
    ("which", "part"), [("critic_objective", "critic"), ("generator_objective", "generator")]
)
def test_a_step_that_is_not_finite_is_not_applied_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, which: str, part: str
) -> None:
    Failing(monkeypatch, which, {2, 3})
    trainer = Trainer(small_config(), Patterns())
    trainer.round()
    before = {n: t.clone() for n, t in trainer.state().items() if n.startswith(part)}
    trainer.round()
    after = trainer.state()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    trainer.check()
    assert trainer.skipped == 2
    trainer.round()
    trainer.check()
    assert trainer.skipped == 2
    weight = f"{part}.blocks.2.conv.weight"
    assert not torch.equal(trainer.state()[weight], before[weight])
    assert all(bool(torch.isfinite(t).all()) for t in trainer.state().values())


def test_after_20_failures_in_a_row_training_stops_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Failing(monkeypatch, "critic_objective", set(range(4, 1000)))
    trainer = Trainer(small_config(kimg=100.0), Patterns())
    with pytest.raises(ProganError, match="20 steps in a row"):
        train(trainer)
    assert 24 <= trainer.nimg / 8 <= 44


def test_19_failures_in_a_row_again_and_again_do_not_stop_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Failing(monkeypatch, "generator_objective", {n for n in range(60) if n % 20 != 7})
    trainer = Trainer(small_config(kimg=0.48), Patterns())
    assert train(trainer)
    trainer.check()
    assert trainer.skipped == 57


class Watching:
    def __init__(self) -> None:
        self.calls: list[tuple[int, int, bool]] = []

    def __call__(self, trainer: Trainer, before: int, finished: bool) -> None:
        self.calls.append((before, trainer.nimg, finished))


def test_observers_are_called_after_every_round_and_told_of_the_end() -> None:
    watching = Watching()
    assert train(Trainer(small_config(kimg=0.04), Patterns()), [watching])
    assert watching.calls == [(0, 16, False), (16, 32, False), (32, 48, True)]


def test_a_stop_ends_training_after_the_round() -> None:
    watching = Watching()
    trainer = Trainer(small_config(), Patterns())
    assert not train(trainer, [watching], stop=lambda: trainer.nimg >= 32)
    assert watching.calls == [(0, 16, False), (16, 32, True)]


def test_scalars_are_the_means_since_the_last_call() -> None:
    trainer = Trainer(small_config(), Patterns())
    trainer.round()
    scalars = trainer.scalars()
    assert {
        "loss/critic", "loss/generator", "loss/wasserstein", "loss/gradient_penalty", "loss/drift",
        "scores/real", "scores/fake", "scores/gradient_norm",
    } == scalars.keys()  # fmt: skip
    assert scalars["loss/wasserstein"] == pytest.approx(
        scalars["scores/real"] - scalars["scores/fake"], abs=1e-5
    )
    assert scalars["loss/critic"] == pytest.approx(
        scalars["loss/gradient_penalty"] + scalars["loss/drift"] - scalars["loss/wasserstein"],
        abs=1e-5,
    )
    assert trainer.scalars() == {}


def test_a_state_of_other_networks_is_refused() -> None:
    trainer = Trainer(small_config(), Patterns())
    trainer.round()
    state = trainer.state()
    for damage, words in (
        ({"generator.to_rgb.2.weight": torch.zeros(3, 9, 1, 1)}, "generator.to_rgb.2.weight"),
        ({"generator_adam.blocks.2.conv.weight.step": torch.zeros(3)}, "step"),
        ({"stranger": torch.zeros(1)}, "stranger"),
    ):
        with pytest.raises(ProganError, match=words):
            Trainer(small_config(), Patterns()).restore(state | damage, 16)
    missing = {name: t for name, t in state.items() if name != "critic.from_rgb.4.bias"}
    with pytest.raises(ProganError, match=r"critic\.from_rgb\.4\.bias"):
        Trainer(small_config(), Patterns()).restore(missing, 16)


def test_crossing_counts_every_multiple_once() -> None:
    marks = [n for n in range(0, 4000, 48) if crossed(n, n + 48, 0.5)]
    assert [(n // 500, (n + 48) // 500) for n in marks] == [(k, k + 1) for k in range(8)]
    assert not crossed(500, 500, 0.5)
    assert crossed(499, 500, 0.5)
