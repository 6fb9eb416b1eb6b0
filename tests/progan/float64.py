"""Training in float64, where rounding errors stay too small to be amplified."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from progan import training
from progan.inputs import Inputs
from progan.parallel import joined
from progan.splitting import Split
from progan.training import Trainer
from tests.progan.making import Patterns, small_config


class PreciseInputs(Inputs):
    """Images, latents and mixing weights of float64."""

    def reals(self, *given: Any) -> Iterator[tuple[Tensor, Tensor | None]]:
        for images, labels in super().reals(*given):
            yield images.double(), labels

    def latents(self, *given: Any) -> Iterator[tuple[Tensor, Tensor | None]]:
        for latents, labels in super().latents(*given):
            yield latents.double(), labels

    def mixing(self, *given: Any) -> Iterator[Tensor]:
        for mixing in super().mixing(*given):
            yield mixing.double()


@contextmanager
def precise() -> Iterator[None]:
    """Train in float64 within the block."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "Inputs", PreciseInputs)
            yield
    finally:
        torch.set_default_dtype(usual)


def train_to_files(folder: Path, rounds: int, parts: int = 1, **changes: Any) -> None:
    """Train with classes, and save every process's state by its rank."""
    settings: dict[str, Any] = {
        "label_size": 3, "mbstd_group_size": 2, "learning_rate": "0.001", "fade_kimg": "0.176",
        "kimg": 1,
    }  # fmt: skip
    with precise(), joined() as processes:
        trainer = Trainer(
            small_config(**(settings | changes)),
            Patterns(classes=3),
            processes=processes,
            splits=dict.fromkeys(range(2, 5), Split(parts)),
        )
        for _ in range(rounds):
            trainer.round()
        trainer.check()
        assert trainer.skipped == 0 and 0 < trainer.stage.fade < 1, trainer.stage
        name = f"{processes.rank}-of-{processes.count}.pt"
        torch.save(trainer.state() | {"scalars": trainer.scalars()}, folder / name)
