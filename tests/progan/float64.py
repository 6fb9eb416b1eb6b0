"""Training in float64, where rounding errors stay too small to be amplified."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from progan import draws
from progan.parallel import joined
from progan.training import Trainer
from tests.progan.making import Patterns, small_config


class PreciseTrainer(Trainer):
    """A trainer whose images, latents and weights are float64."""

    def _reals(self, *args: Any) -> tuple[Tensor, Tensor | None]:
        images, labels = super()._reals(*args)
        return images.double(), labels

    def _latents(self, *args: Any) -> tuple[Tensor, Tensor | None]:
        latents, labels = super()._latents(*args)
        return latents.double(), labels


def train_to_files(folder: Path, rounds: int, changes: dict[str, Any] | None = None) -> None:
    """Train with classes, and save every process's state by its rank."""
    torch.set_default_dtype(torch.float64)
    uniform = draws.uniform
    with pytest.MonkeyPatch.context() as patch, joined() as processes:
        patch.setattr(draws, "uniform", lambda *given: uniform(*given).double())
        settings: dict[str, Any] = {
            "label_size": 3,
            "mbstd_group_size": 2,
            "learning_rate": "0.001",
            "fade_kimg": "0.176",
            "kimg": 1,
        }
        config = small_config(**settings | (changes or {}))
        trainer = PreciseTrainer(config, Patterns(classes=3), processes=processes)
        for _ in range(rounds):
            trainer.round()
        trainer.check()
        assert trainer.skipped == 0 and 0 < trainer.stage.fade < 1, trainer.stage
        name = f"{processes.rank}-of-{processes.count}.pt"
        torch.save(trainer.state() | {"scalars": trainer.scalars()}, folder / name)
