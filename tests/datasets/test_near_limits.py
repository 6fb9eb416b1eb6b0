"""Where the limits of near duplicates lie: pairs on either side of each, made for it alone.

Pictures are given level by level, so that a pair differs at one level, or in colour, by a known
amount, and at the others not at all. What that amount is, is computed here in another way.
"""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.near_duplicates import find
from tests.datasets.making import Pixels, noise

Floats = NDArray[np.float64]


def alike(side: int, count: int = 2) -> Pixels:
    """The same picture several times."""
    return np.repeat(noise(1, side, side, 1, seed=side), count, axis=0)


def are_near(levels: Mapping[int, Pixels]) -> bool:
    whole = {side: levels[side] if side in levels else alike(side) for side in (8, 16, 32)}
    found = find(whole.__getitem__, range(2))
    assert found in ({}, {1: 0})
    return bool(found)


def as_pixels(values: Floats) -> Pixels:
    assert values.min() >= 0
    assert values.max() <= 255
    return np.round(values).astype(np.uint8)


# Fingerprints: the 16 lowest frequencies of 8 × 8 pixels, as unit vectors.


def waves() -> Floats:
    """[16, 64], from the definition of the cosine transform."""
    found = []
    for v in range(5):
        for h in range(5):
            if 0 < v * v + h * h <= 16:
                wave = np.array(
                    [
                        [np.cos(np.pi * v * (2 * y + 1) / 16) * np.cos(np.pi * h * (2 * x + 1) / 16)
                         for x in range(8)]
                        for y in range(8)
                    ]
                )  # fmt: skip
                found.append(wave.ravel() / np.sqrt((wave**2).sum()))
    assert len(found) == 16
    return np.array(found)


def small_pictures(prints: Floats) -> Pixels:
    """Pictures [N, 8, 8, 1] with these fingerprints."""
    return as_pixels(128 + 150 * (prints @ waves()).reshape(-1, 8, 8, 1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("distance", "near"), [(0.1, True), (0.25, True), (0.29, False)])
def test_fingerprints_are_close_up_to_027(seed: int, distance: float, near: bool) -> None:
    random = np.random.default_rng(seed)
    one, other = np.linalg.qr(random.normal(size=(16, 2)))[0].T
    angle = 2 * np.arcsin(distance / 2)
    second = np.cos(angle) * one + np.sin(angle) * other
    assert np.linalg.norm(second - one) == pytest.approx(distance)
    assert are_near({8: small_pictures(np.array([one, second]))}) is near


# Colours: how far they differ, as a part of themselves.


@pytest.mark.parametrize(("difference", "near"), [(0.1, True), (0.36, True), (0.45, False)])
def test_colours_agree_up_to_two_fifths(difference: float, near: bool) -> None:
    # Two patterns that have nothing in common, and a colour that is as bright as none.
    row, column = np.indices((8, 8))
    first = np.where(row // 2 % 2, 1.0, -1.0)
    second = np.where(column // 2 % 2, 1.0, -1.0)
    colour = np.array([0.587, -0.299, 0.0])
    colour /= np.sqrt((colour**2).mean())
    grey = 128 + 40 * np.cos(np.pi * (2 * row + 1) / 16)
    angle = 2 * np.arcsin(difference / 2)
    pictures = np.stack(
        [
            grey[..., None] + 40 * pattern[..., None] * colour
            for pattern in (first, np.cos(angle) * first + np.sin(angle) * second)
        ]
    )
    assert are_near({8: as_pixels(pictures)}) is near


def test_a_grey_copy_has_no_colours_to_differ() -> None:
    row, _ = np.indices((8, 8))
    grey = 128 + 40 * np.cos(np.pi * (2 * row + 1) / 16)
    coloured = grey[..., None] + np.array([58.7, -29.9, 0.0])
    assert are_near({8: as_pixels(np.stack([coloured, np.repeat(grey[..., None], 3, axis=2)]))})


# Tangent distance at 16 and at 32 pixels.


def blurred(picture: Floats, times: int) -> Floats:
    """By the matrix of the filter (1, 2, 1) / 4, which repeats the edges."""
    side = len(picture)
    matrix = np.zeros((side, side))
    for place in range(side):
        for neighbour, weight in ((place - 1, 0.25), (place, 0.5), (place + 1, 0.25)):
            matrix[place, min(max(neighbour, 0), side - 1)] += weight
    for _ in range(times):
        picture = matrix @ picture @ matrix.T
    return picture


def tangents(picture: Floats) -> Floats:
    """[5, pixels]: brightness, contrast, and what a movement and an enlargement change first."""
    down, right = np.gradient(picture)
    side = len(picture)
    place = (np.arange(side) - (side - 1) / 2) / side
    larger = right * place[None, :] + down * place[:, None]
    return np.array([np.ones(side**2), *(x.ravel() for x in (picture, right, down, larger))])


def distance(one: Floats, other: Floats) -> float:
    """What least squares leave of either picture when the other explains it, the smaller share."""
    shares = []
    for known, seen in ((one, other), (other, one)):
        wanted = seen.ravel() - seen.mean()
        known_by = tangents(known).T
        best, *_ = np.linalg.lstsq(known_by, wanted, rcond=None)
        shares.append(np.linalg.norm(wanted - known_by @ best) / np.linalg.norm(wanted))
    return float(min(shares))


def pair(side: int, times: int, wanted: float, seed: int) -> tuple[Pixels, float]:
    """Two pictures [2, side, side, 1] that are about so far apart, and how far they are."""
    random = np.random.default_rng(seed)
    # Coarse, so that little is lost by blurring.
    coarse = random.normal(size=(2, 4, 4)).repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    known = blurred(coarse[0], 3)
    further = blurred(coarse[1], 3)
    explained = tangents(known).T
    further = further - (
        explained @ np.linalg.lstsq(explained, further.ravel(), rcond=None)[0]
    ).reshape(side, side)
    known = (known - known.mean()) / known.std()
    further /= further.std()
    angle = np.arcsin(wanted)
    both = np.stack([known, np.cos(angle) * known + np.sin(angle) * further])
    pictures = as_pixels(127.5 + 120 * both / np.abs(both).max())
    seen = [blurred(picture.astype(np.float64), times) for picture in pictures]
    return pictures[..., None], distance(*seen)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("side", "times", "limit"), [(16, 1, 0.18), (32, 2, 0.16)], ids=["16 pixels", "32 pixels"]
)
def test_what_movement_does_not_explain_is_bounded(
    side: int, times: int, limit: float, seed: int
) -> None:
    measured = []
    for wanted in np.arange(limit - 0.04, limit + 0.05, 0.005):
        pictures, apart = pair(side, times, float(wanted), seed)
        # Rounding in another order must not decide.
        if abs(apart - limit) > 1e-3:
            assert are_near({side: pictures}) is (apart < limit), apart
            measured.append(apart - limit)
    # There are pairs close to the limit on both sides.
    assert max(each for each in measured if each < 0) > -0.02
    assert min(each for each in measured if each > 0) < 0.02


# Many pictures: they are compared block by block.


def test_copies_in_neighbouring_blocks_are_found() -> None:
    count = 1100
    random = np.random.default_rng(1)
    prints = random.normal(size=(count, 16))
    prints /= np.linalg.norm(prints, axis=1, keepdims=True)
    copies = prints + 0.04 * random.normal(size=prints.shape)
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    small = small_pictures(np.concatenate([prints, copies]))
    whole = {
        side: np.tile(noise(count, side, side, 1, seed=side), (2, 1, 1, 1)) for side in (16, 32)
    } | {8: small}
    near = np.linalg.norm(prints - copies, axis=1) < 0.26
    assert near.sum() > 1000
    found = find(whole.__getitem__, range(2 * count))
    missed = [row for row in np.nonzero(near)[0].tolist() if found.get(count + row) != row]
    assert missed == []
    assert all(found[row] == row - count for row in found)
