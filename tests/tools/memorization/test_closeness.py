import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

from datasets.pyramid import Dataset
from tests.tools.memorization.making import Pixels, finder, held_out, training, yardstick
from tools.memorization.closeness import closeness, effective_images
from tools.memorization.evidence import LEVEL_OF_ONE
from tools.memorization.finding import Found
from tools.memorization.search import Neighbours
from tools.memorization.verdict import Judged, judge, sentence
from tools.memorization.yardstick import Yardstick

Numbers = NDArray[np.float64]


@pytest.fixture(scope="module")
def divided(portraits: Dataset) -> Yardstick:
    """Spaces divided into three regions each."""
    return Yardstick(finder(portraits, cells=3))


@pytest.fixture(scope="module")
def pixels(portraits: Dataset) -> Yardstick:
    """The same of pixels alone."""
    return Yardstick(finder(portraits, "pixels", cells=3))


@pytest.fixture(scope="module")
def moved(portraits: Dataset, divided: Yardstick) -> dict[str, Found]:
    """All training faces, 15 % of the side cropped off somewhere: their neighbours."""
    chance = np.random.default_rng(0)

    def cropped(picture: Pixels) -> Pixels:
        left, top = chance.uniform(0, 0.15 * 32, 2)
        box = (left, top, left + 0.85 * 32, top + 0.85 * 32)
        small = Image.fromarray(picture).resize((32, 32), Image.Resampling.LANCZOS, box=box)
        return np.asarray(small, np.uint8)

    return divided.finder.find([np.stack([cropped(picture) for picture in training(portraits)])])


@pytest.fixture(scope="module")
def seen(divided: Yardstick, moved: dict[str, Found]) -> Judged:
    return judge(divided, moved)


@pytest.fixture(scope="module")
def among(portraits: Dataset) -> Numbers:
    """Distances of the training faces to each other."""
    found = in_float64(training(portraits), training(portraits))
    np.fill_diagonal(found, np.inf)
    return found


def in_float64(queries: Pixels, others: Pixels) -> Numbers:
    """Distances in pixels of each query to the others or their mirror images, [N, n]."""

    def vectors(images: Pixels) -> Numbers:
        flat = images.reshape(len(images), -1).astype(np.float64)
        flat -= flat.mean(axis=1, keepdims=True)
        return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))

    forms = [vectors(form) for form in (others, others[:, :, ::-1])]
    alike = np.maximum(*(vectors(queries) @ form.T for form in forms))
    return np.asarray(np.sqrt(2 - 2 * np.minimum(alike, 1)))


def z_of(first: Numbers, second: Numbers) -> float:
    """Mann-Whitney's z-score of the first being larger, from SciPy's p-value."""
    test = stats.mannwhitneyu(
        first, second, alternative="less", use_continuity=False, method="asymptotic"
    )
    return float(stats.norm.ppf(test.pvalue))


def test_the_data_copying_test_is_that_of_its_authors(
    portraits: Dataset, pixels: Yardstick, among: Numbers
) -> None:
    faces, new = training(portraits), held_out(portraits)
    images = (np.roll(faces, 7, axis=0) // 3 + faces * (2 / 3)).astype(np.uint8)[:90]
    found = pixels.finder.find([images])
    ours = in_float64(images, faces).min(axis=1)
    theirs = np.concatenate([in_float64(new, faces).min(axis=1), among.min(axis=1)])

    # Regions by their definition: that of the nearest mean of the vectors that lie in it.
    space = pixels.finder.spaces[0]
    parts = [space.vectors(part).astype(np.float64) for part in (images, new, faces)]
    cells = np.concatenate(
        [
            found["pixels"].cells,
            pixels.held_out.found["pixels"].cells,
            pixels.left_out.found["pixels"].cells,
        ]
    )
    means = np.stack([parts[2][cells[-len(faces) :] == cell].mean(axis=0) for cell in range(3)])
    every = np.concatenate(parts)
    away = np.stack([np.linalg.norm(every - mean, axis=1) for mean in means], axis=1)
    assert (away.argmin(axis=1) == cells).all()
    ours_in, theirs_in = cells[:90], cells[90:]

    scores, weights = [], []
    for cell in range(3):
        first, second = ours[ours_in == cell], theirs[theirs_in == cell]
        if min(len(first), len(second)) >= 20:
            scores.append(z_of(first, second))
            weights.append(len(second))
    assert len(scores) > 1
    expected = np.dot(scores, weights) / sum(weights)
    judged = judge(pixels, found)
    test = judged.spaces["pixels"].copying
    assert test is not None
    assert test.z == pytest.approx(expected, abs=1e-3)
    # One region for all gives another number.
    assert abs(z_of(ours, theirs) - expected) > 0.5
    alone = judged.spaces["pixels"].copying_held_out
    assert alone is not None
    assert alone.z == pytest.approx(z_of(ours, theirs[:24]), abs=1e-3)

    together = judged.together["pixels"]
    variance = sum(weight**2 for weight in weights) / sum(weights) ** 2
    assert test.spread == pytest.approx(variance**0.5)
    # Photographs left out in turn count half.
    counted = together.effective
    factor = (1 / counted + 2 / 160) / (1 / 90 + 1 / 160)
    z = expected / variance**0.5 / factor**0.5
    assert together.c_t_chance == pytest.approx(stats.norm.cdf(z), rel=1e-2)


def test_moved_copies_are_closer_than_chance_although_none_is_flagged(
    divided: Yardstick, seen: Judged
) -> None:
    assert seen.share < 0.05
    assert not seen.near_duplicate.any()
    assert seen.verdict == "closer than chance"
    structure = seen.together["structure"]
    assert structure.c_t is not None
    assert structure.c_t_held_out is not None
    assert structure.single is not None
    assert structure.single_chance < LEVEL_OF_ONE / 2
    text = sentence(seen, divided, of_a_model=False)
    assert ": closer than chance. Together the images lie closer" in text
    assert f"C_T of −{-structure.c_t.z:.1f} in structure" in text
    assert f"(−{-structure.c_t_held_out.z:.1f} beside the held-out ones alone)" in text
    assert f"z = −{-structure.single:.1f} in structure" in text


def test_new_faces_and_those_that_are_shown_again_and_again_are_no_sign(
    portraits: Dataset, pixels: Yardstick
) -> None:
    new = held_out(portraits)
    for images in (new, np.repeat(new, 10, axis=0), np.repeat(new[:3], 60, axis=0)):
        judged = judge(pixels, pixels.finder.find([images]))
        assert judged.verdict == "no sign of copying"
    # A face that is flagged by chance is one piece of evidence, however often it comes.
    found = pixels.finder.find([np.repeat(new[:1], 100, axis=0)])["pixels"]
    near = replace(found.neighbours, distances=found.neighbours.distances * 0 + 0.2)
    judged = judge(pixels, {"pixels": replace(found, neighbours=near)})
    assert judged.share == 1
    assert not judged.near_duplicate.any()
    assert judged.together["pixels"].effective == pytest.approx(1, abs=0.05)
    assert judged.chance == pytest.approx(2 / 161)
    assert judged.verdict == "no sign of copying"


def test_images_that_are_near_to_all_alike_are_told_from_copies(pixels: Yardstick) -> None:
    # As photographs are, but nearer to all: so are smooth ones.
    found = pixels.left_out.found["pixels"]
    near = replace(found.neighbours, distances=found.neighbours.distances * 0.92)
    judged = judge(pixels, {"pixels": replace(found, neighbours=near)})
    one = judged.together["pixels"]
    assert one.c_t is not None
    assert one.single is not None
    assert one.c_t.z / one.c_t.spread < -3 < -1 < one.single < 1
    assert one.closer_chance < LEVEL_OF_ONE < one.single_chance
    assert judged.verdict == "no sign of copying"
    text = sentence(judged, pixels, of_a_model=True)
    assert ": no sign of copying. C_T of −" in text
    assert text.endswith(
        ": by itself that is no sign, as it happens to images that are smooth, typical or little "
        "varied."
    )
    # Nearer to one alone.
    distances = found.neighbours.distances * [0.92, 1, 1]
    near = replace(found.neighbours, distances=distances)
    judged = judge(pixels, {"pixels": replace(found, neighbours=near)})
    assert judged.verdict == "closer than chance"
    assert "Together the images lie closer" in sentence(judged, pixels, of_a_model=True)
    # Near to one alone, and yet no closer than photographs are: as copies under noise.
    near = replace(found.neighbours, distances=distances * 1.1)
    judged = judge(pixels, {"pixels": replace(found, neighbours=near)})
    assert judged.together["pixels"].closer_chance > LEVEL_OF_ONE
    assert judged.verdict == "closer than chance"
    text = sentence(judged, pixels, of_a_model=True)
    assert "Each image hangs on a single training photograph" in text
    assert "C_T" not in text


def test_held_out_photographs_alone_may_deny_it(
    divided: Yardstick, moved: dict[str, Found], seen: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, found = seen.spaces["structure"], moved["structure"]
    both = seen.together["structure"]
    assert both.closer_chance == 2 * min(both.c_t_chance, both.authentic_chance)
    leads = divided.leads("structure", found)
    held_out = divided.leads("structure", divided.held_out.found["structure"])
    assert both.single_held_out == pytest.approx(z_of(leads, held_out), abs=1e-6)
    # Held-out photographs that hang on single ones just as much.
    ours = {id(found): leads, id(divided.held_out.found["structure"]): held_out * 0 + leads.min()}
    plain = divided.leads
    monkeypatch.setattr(
        divided, "leads", lambda space, of: ours[id(of)] if id(of) in ours else plain(space, of)
    )
    denied = closeness(
        divided,
        "structure",
        found,
        copying=one.copying,
        copying_held_out=one.copying_held_out,
    )
    assert denied.single is not None
    assert denied.single < -3
    assert denied.single_held_out is not None
    assert denied.single_held_out > 3
    assert denied.single_chance == 1


def test_too_few_images_say_nothing_together(divided: Yardstick, moved: dict[str, Found]) -> None:
    near = moved["structure"].neighbours
    few = replace(
        moved["structure"],
        neighbours=Neighbours(
            rows=near.rows[:19], mirrored=near.mirrored[:19], distances=near.distances[:19]
        ),
    )
    nothing = closeness(divided, "structure", few, copying=None, copying_held_out=None)
    assert (nothing.single, nothing.single_held_out, nothing.single_chance) == (None, None, 1)
    assert (nothing.c_t_chance, nothing.closer_chance) == (1, 1)


def test_authenticity_and_leads_are_what_they_say(
    portraits: Dataset, pixels: Yardstick, among: Numbers
) -> None:
    faces, new = training(portraits), held_out(portraits)
    away = in_float64(new, faces)
    found = pixels.held_out.found["pixels"]
    ordered = np.sort(away, axis=1)
    assert pixels.leads("pixels", found) == pytest.approx(ordered[:, 0] / ordered[:, 1], abs=1e-6)
    assert pixels.spacing("pixels", found) == pytest.approx(among.min(axis=1)[away.argmin(axis=1)])
    # A photograph that was left out does not count among its neighbour's neighbours.
    expected = []
    for number, nearest in enumerate(among.argmin(axis=1)):
        others = among[nearest].copy()
        others[number] = np.inf
        expected.append(others.min())
    left = pixels.left_out
    own = pixels.spacing("pixels", left.found["pixels"], own=left.numbers)
    assert own == pytest.approx(expected)
    assert (pixels.spacing("pixels", left.found["pixels"]) <= own).all()

    authentic = np.concatenate(
        [away.min(axis=1) > among.min(axis=1)[away.argmin(axis=1)], among.min(axis=1) > expected]
    )
    judged = judge(pixels, pixels.finder.find([new]))
    together = judged.together["pixels"]
    assert together.authentic_new == pytest.approx(authentic.mean())
    assert together.authentic == pytest.approx(authentic[:24].mean())


def test_chances_of_authenticity_and_of_leads_are_those_of_mann_and_whitney(
    divided: Yardstick, seen: Judged, moved: dict[str, Found]
) -> None:
    found = moved["structure"]
    one = seen.together["structure"]
    assert one.authentic is not None
    assert one.authentic_new is not None
    # A test of two shares, as in any textbook.
    pooled = (136 * one.authentic + 160 * one.authentic_new) / 296
    error = math.sqrt(pooled * (1 - pooled) * (1 / one.effective + 2 / 160))
    z = (one.authentic - one.authentic_new) / error
    # The textbook divides by n, and a sample by n - 1.
    assert stats.norm.isf(one.authentic_chance) == pytest.approx(-z, rel=5e-3)
    samples = (divided.held_out, divided.left_out)
    usual = [divided.leads("structure", sample.found["structure"]) for sample in samples]
    single = z_of(divided.leads("structure", found), np.concatenate(usual))
    assert one.single == pytest.approx(single, abs=1e-6)
    factor = (1 / one.effective + 2 / 160) / (1 / 136 + 1 / 160)
    assert one.single_chance == pytest.approx(stats.norm.cdf(single / factor**0.5), rel=1e-6)


def test_duplicates_are_one_photograph_to_an_image(portraits: Dataset) -> None:
    one = yardstick(portraits, "pixels")
    found = one.finder.find([held_out(portraits)])["pixels"]
    plain = one.leads("pixels", found)
    first, second = found.neighbours.rows[0, :2]
    one._pictures[second] = one._pictures[first]
    told = one.leads("pixels", found)
    assert told[0] == found.distances[0] / found.neighbours.distances[0, 2] < plain[0]
    one._pictures[:] = 0
    assert np.isnan(one.leads("pixels", found)).all()


def test_images_with_one_neighbour_in_common_count_less(
    portraits: Dataset, pixels: Yardstick
) -> None:
    found = pixels.finder.find([np.repeat(training(portraits)[:4], 25, axis=0)])["pixels"]
    left = pixels.left_out.found["pixels"].nearest
    usual = np.mean([left[i] == left[j] for i in range(136) for j in range(136) if i != j])
    again = 4 * 25 * 24 / (100 * 99)
    expected = 100 / (1 + 99 * (again - usual))
    assert effective_images(pixels, "pixels", found) == pytest.approx(expected)
    found = pixels.finder.find([training(portraits)])["pixels"]
    assert effective_images(pixels, "pixels", found) == 136
