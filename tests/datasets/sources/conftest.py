from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from datasets.__main__ import datasets
from datasets.pyramid import Dataset
from datasets.stream import Stream
from progan.config import preset
from progan.training import Trainer
from tests.datasets.conftest import Program
from tests.datasets.conftest import program as program

Prepare = Callable[..., Dataset]


@pytest.fixture
def prepared(program: Program, tmp_path: Path) -> Prepare:
    """Make a dataset by `python -m datasets prepare`, in this process."""

    def call(source: object, *options: object, resolution: int = 8, name: str = "made") -> Dataset:
        ended = program(
            datasets, "prepare", source, tmp_path / name, "--resolution", resolution,
            "--workers", 1, "--held-out", 0, *options,
        )  # fmt: skip
        assert ended.status == 0, ended.err
        return Dataset.open(tmp_path / name)

    return call


@pytest.fixture
def train_a_step() -> Iterator[Callable[[Dataset], None]]:
    """Take one step of training, through the smallest networks, at the dataset's own resolution."""

    def call(dataset: Dataset) -> None:
        config = preset(
            "small", resolution=dataset.resolution, num_channels=dataset.channels,
            label_size=len(dataset.classes or ()), fmap_base=64, fmap_max=2, minibatch="4",
            minibatch_repeats=1, fade_kimg="0.001", hold_kimg="0.001",
        )  # fmt: skip
        trainer = Trainer(config, Stream(dataset, seed=0))
        trainer._move_to(1000)  # Past all growth, where the largest pictures are shown.
        before = {name: weights.clone() for name, weights in trainer.generator.state_dict().items()}
        trainer.round()
        after = trainer.generator.state_dict()
        assert trainer.stage.level == dataset.levels[-1]
        assert any(not torch.equal(before[name], weights) for name, weights in after.items())
        assert all(torch.isfinite(weights).all() for weights in after.values())

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield call
    torch.set_num_threads(threads)
