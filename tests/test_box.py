"""The networks that come with the program: small, sound, and with a card that speaks of them."""

import re
from pathlib import Path

import numpy as np
import pytest

from progan.checkpoint import read_model
from progan.latents import latents_of_seeds
from tools.drawing import draw

BOX = Path(__file__).resolve().parent.parent / "networks"
FILES = sorted(BOX.glob("*.safetensors"))


def test_there_is_one() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_draws_and_its_card_is_about_it(path: Path) -> None:
    assert path.stat().st_size < 15 * 2**20
    model = read_model(path)
    generator = model.generator
    pictures = draw(generator, latents_of_seeds(range(16), generator.latent_size))
    side = 2**generator.level
    assert pictures.shape == (16, side, side, 3)
    # Faces, and each another: neither noise nor one picture for all latents.
    by_picture = pictures.reshape(16, -1).astype(np.float64)
    assert by_picture.std(axis=1).min() > 20
    alike = np.asarray(np.corrcoef(by_picture))
    assert alike[~np.eye(16, dtype=bool)].max() < 0.99
    neighbours = np.abs(np.diff(pictures.astype(np.float64), axis=2)).mean()
    shuffled = np.random.default_rng(0).permutation(pictures.reshape(-1, 3)).astype(np.float64)
    assert neighbours < np.abs(np.diff(shuffled, axis=0)).mean() / 2
    card = path.with_name(f"{path.name}.md").read_text("utf-8")
    assert f"{side}×{side} pixels" in card and "no sign of copying" in card and "CC0" in card
    assert model.trained["dataset"]["fingerprint"] in card
    # Nothing of the machine that it was made on.
    assert not re.search(r"(?:^|[\s(\"])/\w", card)
