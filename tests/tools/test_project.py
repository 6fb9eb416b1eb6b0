"""Projection: latents that give back a picture which the generator can draw, by way of the door."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datasets import pictures
from progan.checkpoint import Checkpoints, save_model
from progan.config import preset
from progan.latents import latents_of_seeds
from progan.networks import Critic
from tests.tools.conftest import Tool
from tests.tools.making import Film, names, small_generator, write_model
from tests.tools.test_timelapse import write_run
from tools.drawing import draw
from tools.projection import CriticSpace, PixelSpace, search

SEEDS = (7, 8)


def small_critic() -> Critic:
    torch.manual_seed(1)
    return Critic(resolution=16, fmap_base=64, fmap_max=8).requires_grad_(False)


@pytest.mark.parametrize("space", [PixelSpace(), CriticSpace(small_critic())])
def test_a_picture_of_the_generators_own_is_found_again(space: PixelSpace | CriticSpace) -> None:
    generator = small_generator()
    with torch.no_grad():
        targets = generator(torch.from_numpy(latents_of_seeds(SEEDS, generator.latent_size)))
    states, then = [], []
    for state in search(generator, space, targets, steps=150, seed=0):
        states.append(state)
        then.append(state.latents.copy())
    assert len(states) == 151
    # What was given stays as it was while the search goes on.
    assert all(np.array_equal(s.latents, t) for s, t in zip(states, then, strict=True))
    first, last = states[0], states[-1]
    # Eight dimensions are few: the search arrives, from beginnings that are another picture.
    assert (last.distances < first.distances / 20).all()
    assert np.linalg.norm(last.latents, axis=1) == pytest.approx(
        np.sqrt(generator.latent_size), rel=1e-5
    )
    with torch.no_grad():
        again = generator(torch.from_numpy(last.latents))
        assert space.distances(
            space.features(again), space.features(targets)
        ).numpy() == pytest.approx(last.distances, rel=1e-3, abs=1e-6)


def test_each_photograph_is_searched_for_by_itself_and_from_a_seed() -> None:
    generator, space = small_generator(), PixelSpace()
    targets = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1

    def begin(chosen: Tensor, seed: int = 0) -> np.ndarray:
        return next(iter(search(generator, space, chosen, steps=1, seed=seed))).latents

    both = begin(targets)
    np.testing.assert_allclose(begin(targets[1:]), both[1:])
    np.testing.assert_array_equal(begin(targets), both)
    assert not np.allclose(begin(targets, seed=1), both)


def test_a_search_begins_at_the_best_of_many_latents() -> None:
    generator, space = small_generator(), PixelSpace()
    targets = torch.zeros(1, 3, 16, 16)
    begun = float(next(iter(search(generator, space, targets, steps=1, seed=0))).distances[0])
    with torch.no_grad():
        made = generator(torch.from_numpy(latents_of_seeds(range(100), generator.latent_size)))
        wanted = space.features(targets)
        found = space.distances(
            space.features(made), [one.expand(100, -1, -1, -1) for one in wanted]
        )
    assert begun < float(found.median())


def photograph(path: Path, picture: np.ndarray) -> Path:
    pictures.save(path, picture)
    return path


def test_latents_that_were_found_give_the_picture_below_the_photograph(
    tool: Tool, tmp_path: Path
) -> None:
    generator = write_model(tmp_path / "m.safetensors")
    faces = draw(generator, latents_of_seeds(SEEDS, generator.latent_size))
    paths = [photograph(tmp_path / f"{n}.png", face) for n, face in enumerate(faces)]
    ended = tool("project", "m.safetensors", *paths, "found", "--steps", 20, "--film")
    assert ended.status == 0, ended.err
    assert names(tmp_path / "found") == [
        "comparison.png", "distances.csv", "latents.npy", "search.mp4"
    ]  # fmt: skip
    sheet = np.asarray(Image.open("found/comparison.png"))
    zoom = sheet.shape[1] // 32
    assert sheet.shape == (32 * zoom, 32 * zoom, 3)
    small = sheet[::zoom, ::zoom]
    np.testing.assert_array_equal(small[:16], np.concatenate(list(faces), axis=1))
    tool(
        "generate", "m.safetensors", "again.png", "--latents", "found/latents.npy", "--grid", "2x1"
    )
    np.testing.assert_array_equal(small[16:], np.asarray(Image.open("again.png")))
    with Path("found/distances.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["photograph"] for row in rows] == ["0.png", "1.png"]
    film = Film(tmp_path / "found" / "search.mp4")
    assert len(film.frames) == 21 + 30  # the beginning, 20 steps, and a second of the result


def test_a_run_compares_with_its_critic_and_a_class_must_be_named(
    tool: Tool, tmp_path: Path
) -> None:
    averages = write_run(tmp_path / "run", kept=[4500], classes=2)
    save_model(tmp_path / "run" / "generator.safetensors", averages[0], classes=("no", "yes"))
    # The checkpoint of that helper holds the average alone.
    config = preset(
        "small", resolution=16, fmap_base=64, fmap_max=8, label_size=2, kimg=5.0, fade_kimg="1",
        hold_kimg="1",
    )  # fmt: skip
    critic = Critic(resolution=16, fmap_base=64, fmap_max=8, label_size=2)
    weights = {f"critic.{name}": tensor for name, tensor in critic.state_dict().items()}
    Checkpoints(tmp_path / "run" / "checkpoints").save(weights, config.nimg)
    photograph(tmp_path / "a.png", np.full((40, 30, 3), 90, np.uint8))
    assert "--class" in tool("project", "run", "a.png", "found").err
    assert "'maybe'" in tool("project", "run", "a.png", "found", "--class", "maybe").err
    ended = tool("project", "run", "a.png", "found", "--class", "yes", "--steps", 2)
    assert ended.status == 0, ended.err
    by_critic = Path("found/distances.csv").read_text()
    tool("project", "run", "a.png", "found", "--class", "yes", "--steps", 2, "--overwrite",
         "--features", "pixels")  # fmt: skip
    assert Path("found/distances.csv").read_text() != by_critic


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["nowhere.png", "found"], 2, "nowhere.png"),
        (["text.png", "found"], 1, "text.png cannot be used"),
        (["a.png", "found", "--crop", "face"], 2, "--crop"),
        (["a.png", "found", "--features", "dreams"], 2, "pixels or critic:RUN"),
        (["a.png", "found", "--features", "critic:nowhere"], 1, "nowhere"),
        (["a.png", "a.png"], 2, "a.png"),
        (["a.png", "found", "--class", "0"], 2, "no classes"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(
    tool: Tool, tmp_path: Path, words: list[str], status: int, sentence: str
) -> None:
    write_model(tmp_path / "m.safetensors")
    photograph(tmp_path / "a.png", np.full((16, 16, 3), 90, np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    before = names(tmp_path)
    ended = tool("project", "m.safetensors", *words)
    assert ended.status == status
    assert sentence in ended.err
    assert names(tmp_path) == before
