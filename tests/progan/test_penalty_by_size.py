"""The gradient penalty below the top level: the release takes its norm by the full-size image.

The other route is the release's own: images whose pixels are repeated up to full size, a network
that averages them down again before it looks, in float64 NumPy, and the norm over all pixels there.
"""

from typing import Any

import numpy as np
import pytest
import torch

from progan.objectives import critic_objective
from progan.training import Trainer
from tests.progan import reference
from tests.progan.making import Patterns, small_config
from tests.progan.making import one_thread as one_thread

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES = 8


def full_size_norms(
    weights: dict[str, Any], images: np.ndarray, level: int, fade: float
) -> np.ndarray:
    """Norms over full-size images, which reach the critic through averages of 2×2 pixels."""
    halvings = 4 - level
    full = images.repeat(2**halvings, axis=2).repeat(2**halvings, axis=3)
    assert full.shape == (SAMPLES, 3, 16, 16)
    backs = []
    for _ in range(halvings):
        full, back = reference.downscale(full)
        backs.append(back)
    gradient = reference.critic_input_gradient(weights, full, level=level, fade=fade)
    for back in reversed(backs):
        gradient = back(gradient)
    assert gradient.shape == (SAMPLES, 3, 16, 16)
    return np.asarray(np.sqrt((gradient**2).sum(axis=(1, 2, 3))))


# Where each level is held, and one that fades in; the target of CIFAR-10 as well.
@pytest.mark.parametrize(
    ("nimg", "level", "fade"), [(0, 2, 1.0), (80, 3, 0.5), (128, 3, 1.0), (272, 4, 1.0)]
)
@pytest.mark.parametrize("target", [1.0, 750.0])
def test_below_the_top_the_penalty_is_that_of_the_repeated_pixels(
    nimg: int, level: int, fade: float, target: float
) -> None:
    config = small_config(penalty_target=target)
    trainer = Trainer(config, Patterns())
    stage = config.schedule.at(nimg)
    assert (stage.level, stage.fade) == (level, fade)
    critic = trainer.critic.double().stand(level, fade)
    numbers = np.random.default_rng(level)
    reals, fakes = numbers.standard_normal((2, SAMPLES, 3, 2**level, 2**level))
    mixing = numbers.uniform(size=SAMPLES)
    _, terms = critic_objective(
        critic,
        torch.from_numpy(reals),
        torch.from_numpy(fakes),
        torch.from_numpy(mixing),
        trainer.step._settings(stage, nimg),
    )
    u = mixing.reshape(-1, 1, 1, 1)
    weights = {name: tensor.numpy() for name, tensor in critic.state_dict().items()}
    norms = full_size_norms(weights, reals + u * (fakes - reals), level, fade)
    expected = np.mean(10 * (norms - target) ** 2 / target**2)
    assert terms["loss/gradient_penalty"].item() == pytest.approx(expected, rel=1e-9)
    # What is logged is the norm by the level's own pixels, whose target grows as the level shrinks.
    logged = terms["scores/gradient_norm"].item()
    assert logged == pytest.approx(norms.mean() * 2 ** (4 - level), rel=1e-9)


def test_a_run_from_before_asks_the_same_of_every_level() -> None:
    config = small_config(penalty_full_size=False, penalty_target=3.0)
    trainer = Trainer(config, Patterns())
    for nimg in (0, 80, 128, 272):
        settings = trainer.step._settings(config.schedule.at(nimg), nimg)
        assert settings.penalty_target == 3.0


@pytest.mark.parametrize("target", [1.0, 8.0])
@pytest.mark.parametrize("full_size", [True, False])
def test_in_float16_gradients_of_pixels_are_brought_to_about_one(
    target: float, full_size: bool
) -> None:
    config = small_config(precision="float16", penalty_target=target, penalty_full_size=full_size)
    step = Trainer(config, Patterns()).step
    for nimg, level in ((0, 2), (128, 3), (272, 4)):
        settings = step._settings(config.schedule.at(nimg), nimg)
        # So large is each of a level's 2**L × 2**L numbers when their norm is what is asked for.
        each = settings.penalty_target / 2**level
        assert each * settings.penalty_scale == 1.0
        assert settings.penalty_target == target * (2 ** (4 - level) if full_size else 1)
