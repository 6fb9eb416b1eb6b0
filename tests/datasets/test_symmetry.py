"""How far a collection differs from its mirror image."""

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from datasets.__main__ import datasets
from datasets.description import Description
from datasets.errors import DatasetError
from datasets.pyramid import Dataset
from datasets.symmetry import LOPSIDED, MOST_PICTURES, mirror_difference
from tests.datasets.making import file_bytes, noise, write_dataset

Pixels = NDArray[np.uint8]


def blurred(count: int, *, seed: int, side: int = 16) -> Pixels:
    """Grey pictures with structure at all sizes, whose distribution is its own mirror image."""
    random = np.random.default_rng(seed)
    total = np.zeros((count, side, side, 1))
    for cells in (2, 4, 8):
        part = random.normal(0, 25, (count, cells, cells, 1))
        total += part.repeat(side // cells, axis=1).repeat(side // cells, axis=2)
    return np.clip(128 + total, 0, 255).astype(np.uint8)


def lit(pictures: Pixels, strength: float) -> Pixels:
    light = np.linspace(1 + strength, 1 - strength, pictures.shape[2])[None, None, :, None]
    return np.clip(pictures * light, 0, 255).astype(np.uint8)


def test_it_is_what_the_equations_say() -> None:
    pictures = lit(noise(12, 16, 16, 3, seed=4), 0.5)
    # Pair by pair, in plain float64.
    vectors = []
    for picture in pictures.astype(np.float64):
        small = np.array(
            [
                [picture[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(axis=(0, 1)) for x in range(8)]
                for y in range(8)
            ]
        )
        vectors.append((small - small[:, ::-1])[:, :4].ravel())
    products = [float(a @ b) for a, b in itertools.permutations(vectors, 2)]
    own = np.mean([float(a @ a) for a in vectors])
    # Each product has a random sign in a symmetric collection; (i, j) has that of (j, i).
    chance = np.sqrt(2 * sum(product**2 for product in products)) / len(products)
    expected = np.sqrt((np.mean(products) - 3 * chance) / own)
    measured = mirror_difference(pictures)
    assert 0.2 < expected < 0.95
    assert measured.difference == pytest.approx(expected, abs=0.0006)
    grey = pictures.astype(np.float64) @ [0.299, 0.587, 0.114]
    brighter = grey[:, :, :8].mean() - grey[:, :, 8:].mean()
    assert measured.left_brighter == pytest.approx(brighter, abs=0.0006)


@pytest.mark.parametrize("count", [20, 100, 1000])
def test_light_is_seen_in_few_and_many(count: int) -> None:
    pictures = blurred(count, seed=1)
    assert not mirror_difference(pictures).lopsided
    bright_left = mirror_difference(lit(pictures, 0.3))
    assert bright_left.lopsided
    assert bright_left.left_brighter > 10
    assert "left is brighter" in bright_left.sentence()
    assert "--no-mirror" in bright_left.sentence()
    bright_right = mirror_difference(lit(pictures, 0.3)[:, :, ::-1])
    assert bright_right.difference == bright_left.difference
    assert bright_right.left_brighter == -bright_left.left_brighter
    assert "right is brighter" in bright_right.sentence()


def test_it_does_not_grow_with_the_number() -> None:
    few, many = (
        mirror_difference(lit(blurred(count, seed=3), 0.3)).difference for count in (200, 4000)
    )
    assert abs(few - many) < 0.1
    assert many < 0.95


def test_a_mark_is_found_where_it_is() -> None:
    pictures = np.repeat(blurred(200, seed=2), 3, axis=3)
    pictures[:, 12:, :3] = (200, 20, 40)  # At the bottom left, and not brighter than the rest.
    measured = mirror_difference(pictures)
    assert measured.difference > LOPSIDED
    assert measured.largest_x < 0.2
    assert measured.largest_y > 0.75
    assert "at the bottom, near the edges" in measured.sentence()


@pytest.mark.parametrize("count", [2, 5, 30, 300])
def test_what_was_mirrored_at_random_is_symmetric(count: int) -> None:
    for seed in range(20):
        pictures = lit(blurred(count, seed=seed), 0.4)
        turned = np.random.default_rng(seed).random(count) < 0.5
        pictures[turned] = pictures[turned, :, ::-1]
        assert not mirror_difference(pictures).lopsided


def test_a_collection_and_its_mirror_image_are_symmetric() -> None:
    pictures = lit(blurred(40, seed=0), 0.4)
    both = mirror_difference(np.concatenate([pictures, pictures[:, :, ::-1]]))
    assert (both.difference, both.left_brighter, both.largest) == (0, 0, 0)
    assert "little" in both.sentence()


def test_flat_pictures_and_single_ones_say_nothing() -> None:
    flat = np.full((50, 8, 8, 3), 90, np.uint8)
    assert mirror_difference(flat).difference == 0
    assert mirror_difference(lit(blurred(1, seed=0), 0.4)).difference == 0
    assert mirror_difference(noise(9, 4, 4, 1)).largest_x < 0.5
    with pytest.raises(ValueError, match="no pictures"):
        mirror_difference(flat, np.zeros(0, np.int64))


def test_of_many_pictures_a_drawn_part_is_looked_at() -> None:
    count = 3 * MOST_PICTURES
    # Only those in the last third are lit; a part from the beginning would not see it.
    pictures = blurred(count, seed=5, side=8)
    pictures[2 * MOST_PICTURES :] = lit(pictures[2 * MOST_PICTURES :], 0.9)
    part = mirror_difference(pictures, seed=1)
    assert part == mirror_difference(pictures, seed=1)
    assert part != mirror_difference(pictures, seed=2)
    everything = pictures.astype(np.float64)
    brighter = everything[:, :, :4].mean() - everything[:, :, 4:].mean()
    assert part.left_brighter == pytest.approx(brighter, rel=0.1)


def test_only_training_pictures_count(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", hashes=list(range(40)), held_out=0.5)
    rows = [row for row, entry in enumerate(dataset.entries) if entry.split == "train"]
    pictures = np.stack([noise(8, 8, 3, seed=row) for row in rows])
    assert dataset.description.mirror == mirror_difference(pictures)
    assert dataset.mirror_difference == mirror_difference(pictures).difference
    assert dataset.lopsided is False


def lit_photographs(folder: Path) -> None:
    folder.mkdir()
    for number, picture in enumerate(lit(np.repeat(blurred(40, seed=6), 3, axis=3), 0.4)):
        (folder / f"{number}.png").write_bytes(file_bytes(picture))


def test_prepare_records_it_and_describe_says_it(tmp_path: Path) -> None:
    lit_photographs(tmp_path / "photographs")
    made = CliRunner().invoke(
        datasets,
        ["prepare", str(tmp_path / "photographs"), str(tmp_path / "d"), "--resolution", "16"],
    )
    assert made.exit_code == 0, made.output
    assert "--no-mirror" in made.output
    dataset = Dataset.open(tmp_path / "d")
    assert dataset.lopsided is True
    assert dataset.mirror_difference is not None
    assert dataset.mirror_difference > 0.5
    assert dataset.verify() == []
    told = CliRunner().invoke(datasets, ["describe", str(tmp_path / "d")])
    assert "the left is brighter" in told.output
    assert f"{dataset.mirror_difference:.2f} of 1" in told.output


def test_older_datasets_open_as_before_and_are_measured_when_asked(tmp_path: Path) -> None:
    new = write_dataset(tmp_path / "d", hashes=list(range(40)))
    path = tmp_path / "d/dataset.json"
    fields = json.loads(path.read_text())
    del fields["mirror"], fields["checksum"]
    # The checksum of the text as an older program wrote it.
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    fields["checksum"] = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")
    old = Dataset.open(tmp_path / "d")
    assert old.mirror_difference is None
    assert old.lopsided is None
    assert old.verify() == []
    assert old.fingerprint == new.fingerprint
    assert old.measure_mirror_difference() == new.measure_mirror_difference()
    told = CliRunner().invoke(datasets, ["describe", str(tmp_path / "d")])
    assert "mirror image: differs by" in told.output


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("difference", 1.5),
        ("difference", "0.5"),
        ("difference", None),
        ("largest", float("nan")),
        ("left_brighter", True),
        ("largest_x", -0.1),
    ],
)
def test_entries_of_another_kind_are_refused(tmp_path: Path, name: str, value: object) -> None:
    write_dataset(tmp_path / "d", hashes=[1, 2, 3])
    path = tmp_path / "d/dataset.json"
    fields = json.loads(path.read_text())
    fields["mirror"][name] = value
    path.write_text(json.dumps(fields))
    with pytest.raises(DatasetError, match=f"{name} of mirror"):
        Description.read(tmp_path / "d")
