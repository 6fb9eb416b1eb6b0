import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from progan.draws import Purpose, random_numbers
from progan.errors import ProganError
from progan.latents import (
    SeedWalk,
    SmoothWalk,
    StillWalk,
    chunks,
    latents_of_seeds,
    random_latents,
    slerp,
    unit_rms,
)
from progan.networks import Generator

Array = NDArray[np.float32]


def rms(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.square(vectors, dtype=np.float64).mean(axis=-1)))


def directions(count: int, size: int, seed: int = 0) -> Array:
    return unit_rms(np.random.default_rng(seed).normal(size=(count, size)))


def walk(frames: int, smoothing: float, cells: int = 2, size: int = 8, seed: int = 3) -> SmoothWalk:
    return SmoothWalk(
        frames=frames, cells=cells, latent_size=size, smoothing=smoothing, seed=seed
    )  # fmt: skip


def test_every_latent_vector_has_unit_root_mean_square() -> None:
    assert rms(unit_rms(np.array([[3.0, 4.0], [1e-2, 0], [1e9, 1]]))) == pytest.approx(1, abs=1e-3)
    assert rms(latents_of_seeds(range(5), 512)) == pytest.approx(1, abs=1e-6)
    assert rms(walk(20, 3).chunk(0, 20)) == pytest.approx(1, abs=1e-6)
    assert rms(SeedWalk(frames=9, stops=directions(3, 8)).chunk(0, 9)) == pytest.approx(1, abs=1e-6)


def test_a_seed_always_gives_the_same_latents() -> None:
    # Pinned: pictures that were once published by their seeds must be had again.
    expected = [
        [0.6537759, 0.21386425, 0.36726275, 1.8417267],
        [1.3089203, 0.88900584, -0.70430267, -1.0001769],
        [-0.50158894, -0.37568012, -1.674981, -0.89538354],
    ]
    points = latents_of_seeds([0, 1, 10**18], 4)
    assert points.dtype == np.float32
    assert points == pytest.approx(np.array(expected), abs=1e-6)
    # A seed's vector does not depend on the others.
    assert np.array_equal(latents_of_seeds([10**18, 7, 0], 4)[[2, 0]], points[[0, 2]])
    assert latents_of_seeds([], 4).shape == (0, 4)


def test_the_library_draws_the_same_latents_as_the_tools() -> None:
    generator = Generator(resolution=4, fmap_base=8, fmap_max=4)
    assert np.array_equal(random_latents(generator, [2, 5]).numpy(), latents_of_seeds([2, 5], 4))


@given(st.floats(0, 1), st.integers(0, 1000))
def test_slerp_is_the_textbook_formula(weight: float, seed: int) -> None:
    first, second = directions(2, 16, seed)
    a, b = first / np.linalg.norm(first), second / np.linalg.norm(second)
    angle = np.arccos(a.astype(np.float64) @ b)
    expected = (np.sin((1 - weight) * angle) * a + np.sin(weight * angle) * b) / np.sin(angle)
    assert slerp(first, second, weight) == pytest.approx(4 * expected, abs=1e-5)


def test_slerp_ends_where_it_should_and_broadcasts_its_weight() -> None:
    first, second = directions(5, 16, 1), directions(5, 16, 2)
    ends = slerp(first, second, np.array([0, 1, 0, 1, 0]))
    assert ends.dtype == np.float32
    assert ends == pytest.approx(np.where([[0], [1], [0], [1], [0]], second, first), abs=1e-6)
    assert slerp(first, second, 0.25).shape == (5, 16)


@pytest.mark.parametrize("closeness", [0.0, 1e-9, 1e-7, 1e-4])
def test_slerp_between_equal_and_nearly_equal_vectors(closeness: float) -> None:
    first, other = directions(2, 16).astype(np.float64)
    second = unit_rms(first + closeness * other)
    middle = slerp(first, second, np.array(0.5))
    assert middle == pytest.approx((first + second) / 2, abs=1e-6)


@pytest.mark.parametrize("closeness", [0.0, 1e-9, 1e-7, 1e-4])
@pytest.mark.parametrize("size", [2, 5, 512])
def test_slerp_between_opposite_vectors_goes_half_around(closeness: float, size: int) -> None:
    first, other = directions(2, size).astype(np.float64)
    second = unit_rms(-first + closeness * other)
    weights = np.linspace(0, 1, 9)
    way = slerp(first, second, weights)
    assert rms(way) == pytest.approx(1, abs=1e-5)
    # Each step turns by the same angle, an eighth of a half turn.
    cosines = (way[1:] * way[:-1]).mean(axis=1)
    assert cosines == pytest.approx(np.cos(np.pi / 8), abs=1e-4)
    assert way[-1] == pytest.approx(second, abs=1e-5)


@pytest.mark.parametrize(
    ("frames", "smoothing"),
    [(200, 5.0), (70, 2.5), (30, 9.0), (7, 40.0), (1, 1.0), (64, 0.01), (129, 16.0)],
)
def test_a_walk_is_smoothed_noise_that_wraps_around(frames: int, smoothing: float) -> None:
    size = 8
    made = walk(frames, smoothing, size=size)
    noise = np.concatenate(
        [
            random_numbers(3, Purpose.SAMPLES, 1 + block).standard_normal(
                (64, 2, size), dtype=np.float32
            )
            for block in range(-(-frames // 64))
        ]
    )[:frames].astype(np.float64)
    expected = np.zeros((frames, 2, size))
    reach = 6 * min(smoothing, 3 * frames)
    for offset in range(-round(reach) - 1, round(reach) + 2):
        weight = np.exp(-0.5 * (offset / smoothing) ** 2)
        expected += weight * np.roll(noise, -offset, axis=0)
    # The kernel's tails are cut off at four standard deviations.
    assert made.chunk(0, frames) == pytest.approx(unit_rms(expected), abs=0.01)


@given(st.integers(1, 150), st.integers(0, 300), st.integers(1, 150), st.floats(0.1, 60))
def test_any_chunk_is_that_part_of_the_whole(
    frames: int, start: int, count: int, smoothing: float
) -> None:
    made = walk(frames, smoothing, cells=1, size=4)
    whole = made.chunk(0, frames)
    expected = whole[np.arange(start, start + count) % frames]
    assert made.chunk(start, count) == pytest.approx(expected, abs=2e-5)


def test_a_walk_has_unit_variance_before_it_is_normalized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("progan.latents.unit_rms", lambda latents: latents)
    for frames, smoothing in ((4000, 3.0), (4000, 0.1), (40, 30.0)):
        values = np.concatenate(
            [walk(frames, smoothing, size=64, seed=s).chunk(0, frames) for s in range(4)]
        )
        # As many independent numbers as there are standard deviations of time, and loops.
        independent = 4 * 2 * 64 * max(1.0, frames / max(1, 3.5 * smoothing))
        assert values.mean() == pytest.approx(0, abs=5 / np.sqrt(independent))
        assert values.var() == pytest.approx(1, abs=8 / np.sqrt(independent))


def test_neighbouring_frames_are_as_alike_as_the_smoothing_says() -> None:
    made = walk(3000, 10, cells=1, size=64).chunk(0, 3000)[:, 0]
    for step in (1, 10, 25):
        likeness = (made * np.roll(made, step, axis=0)).mean()
        # A Gaussian smoothed twice: the correlation has twice the variance.
        assert likeness == pytest.approx(np.exp(-((step / 20) ** 2)), abs=0.03)


def test_cells_and_seeds_walk_on_their_own() -> None:
    made = walk(500, 4, cells=2, size=64).chunk(0, 500)
    assert abs((made[:, 0] * made[:, 1]).mean()) < 0.1
    other = walk(500, 4, cells=2, size=64, seed=4).chunk(0, 500)
    assert abs((made * other).mean()) < 0.1


def test_a_long_and_slow_walk_needs_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    class Counting:
        def standard_normal(self, shape: tuple[int, ...], dtype: type) -> Array:
            drawn.append(int(np.prod(shape)))
            return np.ones(shape, dtype)

    monkeypatch.setattr("progan.latents.random_numbers", lambda *_: Counting())
    made = walk(100_000, 1000, cells=3, size=4).chunk(50_000, 10)
    assert made.shape == (10, 3, 4)
    assert max(drawn) <= 64 * 3 * 4
    assert 8000 / 64 <= len(drawn) <= 8010 / 64 + 2


def test_noise_that_neighbouring_frames_share_is_drawn_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[int] = []

    def counting(seed: int, purpose: Purpose, block: int) -> np.random.Generator:
        drawn.append(block)
        return random_numbers(seed, purpose, block)

    monkeypatch.setattr("progan.latents.random_numbers", counting)
    made = walk(6400, 40)
    for _ in chunks(made, 50):
        # Frames 160 to either side, in blocks of 64.
        assert len(made._kept) <= 1 + (50 + 2 * 160 + 62) // 64
    # The film's end needs its beginning once more.
    assert len(set(drawn)) == 100
    assert len(drawn) <= 100 + 6


def test_a_walk_does_not_depend_on_how_much_noise_is_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = walk(200, 5, cells=3).chunk(0, 200)
    for numbers in (1, 24 * 10, 24 * 64 * 2):
        monkeypatch.setattr(SmoothWalk, "_NUMBERS_AT_ONCE", numbers)
        made = walk(200, 5, cells=3)
        assert np.concatenate(list(chunks(made, 30))) == pytest.approx(whole, abs=1e-5)
        assert sum(noise.size for noise in made._kept.values()) <= numbers


def test_a_walk_that_is_smoothed_beyond_all_measure_stands_still() -> None:
    made = walk(50, 1e12).chunk(0, 50)
    assert made == pytest.approx(np.broadcast_to(made[:1], made.shape), abs=1e-3)


@pytest.mark.parametrize(
    ("frames", "cells", "smoothing"),
    [(0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0), (1, 1, -1.0), (1, 1, float("nan"))],
)
def test_impossible_walks_are_refused(frames: int, cells: int, smoothing: float) -> None:
    with pytest.raises(ProganError, match=r"must be positive|at least one"):
        walk(frames, smoothing, cells=cells)


def test_a_tour_shows_its_stops_and_returns() -> None:
    stops = directions(3, 16)
    tour = SeedWalk(frames=30, stops=stops)
    way = tour.chunk(0, 31)
    assert way.shape == (31, tour.cells, 16)
    assert way[[0, 10, 20, 30], 0] == pytest.approx(stops[[0, 1, 2, 0]], abs=1e-6)
    assert way[5, 0] == pytest.approx(slerp(stops[0], stops[1], 0.5), abs=1e-6)
    assert way[25, 0] == pytest.approx(slerp(stops[2], stops[0], 0.5), abs=1e-6)
    # It lingers at a face and hurries between two.
    steps = np.abs(np.diff(way[:11, 0], axis=0)).sum(axis=1)
    assert steps[0] < steps[4] / 2
    assert steps[9] < steps[4] / 2


def test_a_tour_of_few_frames() -> None:
    stops = directions(3, 16)
    assert SeedWalk(frames=3, stops=stops).chunk(0, 3)[:, 0] == pytest.approx(stops, abs=1e-6)
    for count, frames in ((3, 2), (1, 10)):
        with pytest.raises(ProganError, match=f"not {count} faces in {frames} frames"):
            SeedWalk(frames=frames, stops=stops[:count])


def test_a_walk_that_stands_still_shows_the_same_faces_in_every_frame() -> None:
    points = directions(3, 8)
    still = StillWalk(frames=7, points=points)
    assert (still.frames, still.cells) == (7, 3)
    assert np.array_equal(still.chunk(2, 4), np.stack([points] * 4))


@given(st.integers(2, 60), st.integers(1, 70))
def test_chunks_make_up_the_walk_once(frames: int, size: int) -> None:
    tour = SeedWalk(frames=frames, stops=directions(2, 4))
    parts = list(chunks(tour, size))
    assert max(len(part) for part in parts) <= size
    assert np.concatenate(parts) == pytest.approx(tour.chunk(0, frames), abs=1e-6)
