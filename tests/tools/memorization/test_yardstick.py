from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from datasets.errors import DatasetError
from datasets.pyramid import Dataset
from tests.datasets.making import noise
from tests.tools.making import write_pixels
from tests.tools.memorization.making import (
    Pixels,
    compressed,
    cropped,
    every,
    finder,
    held_out,
    relit,
    training,
    yardstick,
)
from tools.memorization import finding
from tools.memorization.finding import Found, Photographs
from tools.memorization.search import Neighbours
from tools.memorization.verdict import judge
from tools.memorization.yardstick import Yardstick


@pytest.fixture(scope="module")
def both(portraits: Dataset) -> Yardstick:
    return yardstick(portraits)


@pytest.fixture(scope="module")
def pixels(portraits: Dataset) -> Yardstick:
    return yardstick(portraits, "pixels")


def share(one: Yardstick, images: Pixels) -> float:
    return judge(one, one.finder.find([images])).share


def test_planted_copies_are_flagged(portraits: Dataset, both: Yardstick) -> None:
    faces = training(portraits)
    assert share(both, faces) == 1
    assert share(both, faces[:, :, ::-1]) == 1
    assert share(both, every(compressed, faces)) >= 0.95
    assert share(both, every(relit, faces)) >= 0.95
    assert share(both, every(cropped, faces)) >= 0.8


def test_pixels_alone_find_all_but_moved_copies(portraits: Dataset, pixels: Yardstick) -> None:
    faces = training(portraits)
    assert share(pixels, faces) == share(pixels, faces[:, :, ::-1]) == 1
    assert share(pixels, every(compressed, faces)) >= 0.95
    assert share(pixels, every(relit, faces)) >= 0.95
    assert share(pixels, every(cropped, faces)) < 0.5


def test_new_faces_are_flagged_as_seldom_as_is_said(portraits: Dataset) -> None:
    # Not judged by themselves.
    one = Yardstick(finder(portraits), with_held_out=False)
    assert one.kind == "leave-one-out"
    judged = judge(one, one.finder.find([held_out(portraits)]))
    assert judged.chance > 0.01
    assert judged.verdict == "no sign of copying"


def test_the_rate_holds_for_photographs_of_any_kind(tmp_path: Path) -> None:
    # Many small worlds: in each, some pictures are trained on and the others are new.
    shares, rates = [], []
    chance = np.random.default_rng(0)
    for world in range(60):
        parts = chance.normal(size=(3, 8 * 8 * 3))
        mixed = chance.normal(size=(120, 3)) @ parts * 30 + 128
        pictures = np.clip(mixed, 0, 255).astype(np.uint8).reshape(-1, 8, 8, 3)
        dataset = write_pixels(tmp_path / f"{world}", pictures, held_out=0.5)
        one = Yardstick(finder(dataset, "pixels"), with_held_out=False, false_alarm=0.1)
        shares.append(share(one, held_out(dataset)))
        rates.append(one.rate)
    assert max(rates) <= 0.1
    error = 4 * np.std(shares) / 60**0.5
    assert np.mean(rates) - 0.03 - error < np.mean(shares) < np.mean(rates) + error


def test_distances_are_those_to_the_others(portraits: Dataset, pixels: Yardstick) -> None:
    space = pixels.finder.spaces[0]
    forms = [space.vectors(training(portraits)), space.vectors(training(portraits)[:, :, ::-1])]

    def to_all(query: NDArray[np.float32]) -> NDArray[np.float64]:
        away = [form.astype(np.float64) - query for form in forms]
        plain, flipped = (np.linalg.norm(one, axis=1) for one in away)
        return np.asarray(np.minimum(plain, flipped))

    left = pixels.left_out.found["pixels"]
    for number in range(0, 136, 9):
        distances = to_all(forms[0][number])
        distances[number] = np.inf
        assert left.distances[number] == pytest.approx(distances.min(), abs=1e-9)
        assert left.nearest[number] == distances.argmin()
    for number, query in enumerate(space.vectors(held_out(portraits))):
        found = pixels.held_out.found["pixels"].distances[number]
        assert found == pytest.approx(to_all(query).min(), abs=1e-9)


def test_p_values_count_the_image_among_the_photographs(
    portraits: Dataset, pixels: Yardstick
) -> None:
    # Full conformal prediction, spelled out: each photograph's distance to the nearest other
    # one, where the image is one of the others.
    image = every(compressed, training(portraits)[:12])
    found = pixels.finder.find([image])["pixels"]
    space = pixels.finder.spaces[0]
    left = pixels.left_out.found["pixels"].distances
    held = pixels.held_out.found["pixels"].distances
    queries = space.vectors(image).astype(np.float64)
    for number, query in enumerate(queries):
        to = np.minimum(
            *(
                np.linalg.norm(space.vectors(form) - query, axis=1)
                for form in (training(portraits), training(portraits)[:, :, ::-1])
            )
        )
        scores = np.minimum(left, to)
        below = (scores <= to.min() + 1e-9).sum() + (held <= to.min()).sum()
        expected = (1 + below) / (1 + len(left) + len(held))
        assert pixels.p_values("pixels", found)[number] == pytest.approx(expected)


def test_many_held_out_photographs_are_enough(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(150, 8, 8, 3), held_out=0.7)
    one = yardstick(dataset, "pixels", false_alarm=0.05)
    assert (one.kind, one.count, one.places) == ("held-out", 105, 5)
    assert one.rate == pytest.approx(5 / 106)
    assert yardstick(dataset, "pixels", false_alarm=0.01).kind == "held-out and leave-one-out"
    few = yardstick(dataset, "pixels", false_alarm=0.001)
    # A rate that cannot be told is not claimed.
    assert few.places == 2
    assert few.rate == pytest.approx(2 / 151)


def test_duplicates_are_found_listed_and_left_out(tmp_path: Path) -> None:
    pictures = noise(60, 16, 16, 3) // 2 + 40
    pictures[10] = pictures[3]  # The same bytes.
    pictures[11] = pictures[4]  # The same pixels, from another file …
    pictures[12] = pictures[5, :, ::-1]  # … and mirrored.
    pictures[13] = pictures[6] + 3  # Nearly.
    pictures[59] = pictures[7] + 2  # And held out.
    hashes = [3 if number == 10 else number for number in range(60)]
    dataset = write_pixels(tmp_path / "d", pictures, hashes=hashes, held_out=0.2)
    assert 59 in dataset.rows("held-out")
    one = yardstick(dataset, "pixels")
    assert [(d.row, d.other, d.kind, d.held_out, d.mirrored) for d in one.duplicates] == [
        (3, 10, "same file", False, False),
        (4, 11, "same pixels", False, False),
        (5, 12, "same pixels", False, True),
        (6, 13, "near", False, False),
        (7, 59, "near", True, False),
    ]
    left = one.left_out.rows[~one.left_out.single]
    assert left.tolist() == [3, 4, 5, 6, 7, 10, 11, 12, 13]
    assert one.held_out.rows[~one.held_out.single].tolist() == [59]
    assert one.count == 60 - 10
    # A copy of a doubled photograph is no more authentic than any other.
    found = one.finder.find([pictures[[3, 6]] + 1])["pixels"]
    assert (one.spacing("pixels", found) > 0.5).all()
    # And hangs on both as on one.
    first = one._pictures[found.neighbours.rows[:, :2]]
    assert (first[:, 0] == first[:, 1]).all()
    assert (one.leads("pixels", found) < 0.2).all()


def test_a_sample_of_many_photographs(portraits: Dataset) -> None:
    one = Yardstick(finder(portraits, "pixels"), most=30, seed=1)
    assert len(one.left_out.rows) == 30
    whole = yardstick(portraits, "pixels").left_out.found["pixels"].distances
    assert one.left_out.found["pixels"].distances == pytest.approx(whole[one.left_out.numbers])
    found = one.finder.find([training(portraits)])["pixels"]
    known = ~np.isnan(one.spacing("pixels", found))
    assert np.flatnonzero(known).tolist() == one.left_out.numbers.tolist()
    assert share(one, training(portraits)) == 1


def test_one_photograph_is_no_yardstick(tmp_path: Path) -> None:
    dataset = write_pixels(tmp_path / "d", noise(2, 8, 8, 3), held_out=0.5)
    with pytest.raises(DatasetError, match="has 1 training photograph"):
        yardstick(dataset, "pixels")


def test_searching_in_stretches_changes_nothing(
    portraits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = held_out(portraits)
    expected = finder(portraits, cells=3).find([images])
    monkeypatch.setattr(finding, "_SEARCHED", 1)
    monkeypatch.setattr(finding, "_KEPT", 0)
    done: list[int] = []
    parts = [images[:5], images[5:7], images[7:]]
    found = finder(portraits, cells=3).find(parts, advance=done.append)
    assert done == [5, 2, 17]
    for name, one in expected.items():
        assert found[name].neighbours.rows.tolist() == one.neighbours.rows.tolist()
        assert found[name].neighbours.distances == pytest.approx(one.neighbours.distances, abs=1e-5)
        assert found[name].cells.tolist() == one.cells.tolist()


def test_vectors_are_kept_if_they_are_few(portraits: Dataset) -> None:
    class Counted(Photographs):
        reads = 0

        def read(self, numbers: slice | NDArray[np.int64], side: int) -> Pixels:
            Counted.reads += 1
            return super().read(numbers, side)

    one = finder(portraits, "pixels")
    counted = Counted(portraits, portraits.rows("train"), 32)
    kept = finding.Finder(counted, one.spaces, wanted=1)
    kept.find([held_out(portraits)])
    before = Counted.reads
    kept.find([held_out(portraits)])
    assert Counted.reads == before


def test_mirrored_copies_are_compared_closely_with_mirrored_photographs(portraits: Dataset) -> None:
    # Fine detail as it is defined, in float64: luminance less its blur by one pixel of 32.
    def details(images: Pixels) -> NDArray[np.float64]:
        light = images.astype(np.float64).mean(axis=3)
        fine = light - ndimage.gaussian_filter(light, (0, 1, 1), mode="nearest", truncate=3)
        flat = fine[:, 3:-3, 3:-3].reshape(len(images), -1)
        flat -= flat.mean(axis=1, keepdims=True)
        return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))

    faces = training(portraits)[:12]
    copies = every(compressed, faces)
    one = finder(portraits, "structure")
    plain, flipped = (
        one.find([np.ascontiguousarray(images)])["structure"]
        for images in (copies, copies[:, :, ::-1])
    )
    assert not plain.neighbours.mirrored[:, 0].any()
    assert flipped.neighbours.mirrored[:, 0].all()
    for found in (plain, flipped):
        assert found.nearest.tolist() == list(range(12))
        # Unmoved it is so far, and nearer if a move makes it fit better.
        still = np.linalg.norm(details(copies) - details(faces), axis=1)
        assert (found.distances <= still + 1e-5).all()
        assert found.distances == pytest.approx(still, rel=0.1)


def test_cells_and_shapes(portraits: Dataset) -> None:
    found = finder(portraits, cells=4).find([held_out(portraits)])
    for one in found.values():
        assert isinstance(one, Found)
        assert isinstance(one.neighbours, Neighbours)
        assert one.neighbours.rows.shape == (24, 3)
        assert set(one.cells.tolist()) <= set(range(4))
        assert (np.diff(one.neighbours.distances, axis=1) >= 0).all()


def test_sizes_between_are_made_alike_on_both_sides(tmp_path: Path) -> None:
    # Images of half the dataset's size: copies of its level, made still smaller for comparing.
    dataset = write_pixels(tmp_path / "d", noise(30, 64, 64, 3))
    one = finder(dataset, "pixels", side=32, wanted=1)
    small = Photographs(dataset, dataset.rows("train"), 32)
    assert np.array_equal(small.read(np.array([3]), 32)[0], dataset.level(5)[3])
    copies = np.array(dataset.level(5)[dataset.rows("train")[:9]])
    found = one.find([copies])["pixels"]
    assert found.nearest.tolist() == list(range(9))
    assert (found.distances == 0).all()
