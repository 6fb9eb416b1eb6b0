"""The main job on real photographs, where there are some; elsewhere these tests are skipped."""

import os
from pathlib import Path

import numpy as np
import pytest

from datasets.framing import Framing
from datasets.prepare import Summary, prepare
from datasets.sources import Folder
from progan.config import preset
from progan.training import Trainer, train
from tests.progan.making import one_thread as one_thread

FOLDER = Path(
    os.environ.get(
        "PROGAN_PHOTOGRAPHS", Path(__file__).resolve().parents[2] / "shared" / "data" / "faces"
    )
)
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason=f"needs photographs: set PROGAN_PHOTOGRAPHS to a folder of portraits ({FOLDER})",
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    names = sorted(path.name for path in FOLDER.iterdir() if path.suffix == ".jpg")[::9]
    return prepare(
        Folder(FOLDER, tuple(names), None),
        tmp_path_factory.mktemp("photographs") / "dataset",
        framing=Framing(resolution=32, crop="top"),
        source_name="photographs",
        held_out=0.1,
        seed=0,
        workers=1,
    )


def test_photographs_become_a_dataset(prepared: Summary) -> None:
    dataset = prepared.dataset
    assert dataset.count > 50
    assert sum(prepared.skipped.values()) == 0
    assert dataset.verify() == []
    top = np.asarray(dataset.level(5), np.float64)
    # Photographs differ from each other, and are neither black nor white.
    assert top.std(axis=0).mean() > 20
    assert 40 < top.mean() < 215
    box = top.reshape(len(top), 4, 8, 4, 8, 3).mean(axis=(2, 4))
    assert np.abs(box - dataset.level(2)).max() <= 0.5


@pytest.mark.usefixtures("one_thread")
def test_a_critic_learns_to_tell_photographs_from_what_an_untrained_generator_makes(
    prepared: Summary,
) -> None:
    from datasets.stream import Stream

    config = preset(
        "small", resolution=8, fmap_base=64, fmap_max=16, fade_kimg="0", hold_kimg="0", kimg=0.8
    )
    trainer = Trainer(config, Stream(prepared.dataset, seed=0))
    distances = []

    def watch(trainer: Trainer, before: int, finished: bool) -> None:
        distances.append(trainer.scalars()["loss/wasserstein"])

    assert train(trainer, [watch])
    assert max(distances[1:]) > distances[0] + 0.1
    trainer.check()
    assert trainer.skipped == 0
