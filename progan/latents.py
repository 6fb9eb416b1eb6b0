"""Where in latent space to look: random latents, spherical interpolation, walks that loop.

A latent vector counts by its direction alone (the generator brings it to unit root mean square),
so everything here gives vectors of unit root mean square.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from progan.draws import Purpose, random_numbers
from progan.errors import ProganError
from progan.networks import Generator


def unit_rms(latents: np.ndarray) -> np.ndarray:
    """Bring vectors along the last axis to unit root mean square, float32."""
    square = np.square(latents, dtype=np.float64).mean(axis=-1, keepdims=True)
    return np.asarray(latents / np.sqrt(square + 1e-8), np.float32)


def latents_of_seeds(seeds: Sequence[int], latent_size: int) -> np.ndarray:
    """Draw one latent vector a seed, float32 [N, latent_size]; a seed always gives the same."""
    points = np.empty((len(seeds), latent_size), np.float32)
    for row, seed in enumerate(seeds):
        numbers = random_numbers(seed, Purpose.SAMPLES, 0)
        points[row] = unit_rms(numbers.standard_normal(latent_size))
    return points


def random_latents(generator: Generator, seeds: Sequence[int]) -> Tensor:
    """Draw one latent vector a seed for a generator, float32 [N, latent_size] on its device."""
    device = next(generator.parameters()).device
    return torch.from_numpy(latents_of_seeds(seeds, generator.latent_size)).to(device)


def slerp(first: np.ndarray, second: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
    """Interpolate along the great circle between vectors of unit root mean square.

    Args:
        first: [..., latent_size], where the weight is 0.
        second: [..., latent_size], where it is 1.
        weight: broadcast against the leading axes; values in [0, 1].

    Returns:
        [..., latent_size], float32.
    """
    weight = np.asarray(weight, dtype=np.float64)[..., None]
    # Float32 vectors are of unit size but for rounding, which would be most of what is left of two
    # nearly opposite ones.
    first, second = _normalized(first), _normalized(second)
    cosine = np.mean(first * second, axis=-1, keepdims=True)
    across = second - cosine * first
    sine = _rms(across)
    opposite = (cosine < 0) & (sine < 1e-6)
    if opposite.any():
        across = np.where(opposite, _across(first), across)
    angle = weight * np.arctan2(sine, cosine)
    return unit_rms(np.cos(angle) * first + np.sin(angle) * _normalized(across))


def _across(vectors: np.ndarray) -> np.ndarray:
    """Give a vector at right angles to each, which says by what way to go to its opposite."""
    axis = np.eye(vectors.shape[-1])[np.argmin(np.abs(vectors), axis=-1)]
    return np.asarray(axis - np.mean(axis * vectors, axis=-1, keepdims=True) * vectors)


def _normalized(vectors: np.ndarray) -> np.ndarray:
    """Bring vectors to unit root mean square in float64; nothing stays nothing."""
    vectors = np.asarray(vectors, np.float64)
    return np.asarray(vectors / np.maximum(_rms(vectors), 1e-30))


def _rms(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.square(vectors).mean(axis=-1, keepdims=True)))


class Walk(Protocol):
    """A closed path through latent space, for several pictures at once."""

    frames: int
    """Number of frames after which it is back at its beginning."""

    cells: int
    """Number of pictures that walk at once."""

    def chunk(self, start: int, count: int) -> np.ndarray:
        """Give the latents of some frames, float32 [count, cells, latent_size]."""
        ...


class SmoothWalk:
    """Random latents, smoothed along time by a Gaussian that wraps around, so that it loops.

    (PAPER: interpolation video.) Any frames can be had without the ones before, and memory grows
    neither with the length nor with the smoothing: noise is a function of (seed, frame), and is
    drawn again wherever it is needed. What neighbouring frames share is kept as long as it is
    little.

    Args:
        frames: length of the loop.
        cells: pictures that walk at once.
        latent_size: length of a latent vector.
        smoothing: the Gaussian's standard deviation in frames; more is slower.
        seed: what the walk follows from.

    Raises:
        ProganError: a length is not positive.
    """

    BLOCK = 64
    # Numbers of noise that are drawn at once, and that are kept for the next frames.
    _NUMBERS_AT_ONCE = 2**22

    def __init__(
        self, *, frames: int, cells: int, latent_size: int, smoothing: float, seed: int
    ) -> None:
        if frames < 1 or cells < 1:
            raise ProganError("a walk needs at least one frame and one picture")
        if not smoothing > 0:
            raise ProganError(f"smoothing must be positive, not {smoothing}")
        self.frames = frames
        self.cells = cells
        self.latent_size = latent_size
        self.seed = seed
        # As wide as the loop, a Gaussian that wraps around is level to one part in 10**8; a wider
        # one makes no difference.
        smoothing = min(smoothing, frames)
        # It is below a thousandth of its height at four standard deviations.
        self.radius = max(1, round(4 * smoothing))
        offsets = np.arange(-self.radius, self.radius + 1)
        gaussian = np.exp(-0.5 * np.square(offsets / smoothing))
        # Weights of a frame's noise, from the frame that is `radius` before it; what would reach
        # around the loop adds up.
        kernel = np.bincount(np.arange(len(gaussian)) % frames, gaussian)
        self.kernel = (kernel / np.sqrt(np.square(kernel).sum())).astype(np.float32)
        self._kept: dict[int, np.ndarray] = {}

    def chunk(self, start: int, count: int) -> np.ndarray:
        """Give the latents of some frames, float32 [count, cells, latent_size]."""
        wanted = np.arange(start, start + count)[:, None]
        total = np.zeros((count, self.cells, self.latent_size), np.float32)
        blocks = self._blocks(start - self.radius, count + 2 * self.radius)
        few = len(blocks) * self.BLOCK * self.cells * self.latent_size <= self._NUMBERS_AT_ONCE
        self._kept = {block: self._kept[block] for block in blocks if block in self._kept}
        for block in blocks:
            for first, noise in self._noise(block, keep=few):
                frames = np.arange(first, min(first + len(noise), self.frames))
                place = (frames - wanted + self.radius) % self.frames
                inside = place < len(self.kernel)
                weights = np.where(inside, self.kernel[np.where(inside, place, 0)], np.float32(0))
                total += np.tensordot(weights, noise[: len(frames)], axes=1)
        return unit_rms(total)

    def _noise(self, block: int, *, keep: bool) -> Iterator[tuple[int, np.ndarray]]:
        """Draw a block of noise in parts: the first frame and numbers [frames, cells, size].

        The parts continue one stream, so that their number changes nothing.
        """
        frame_size = self.cells * self.latent_size
        rows = max(1, min(self.BLOCK, self._NUMBERS_AT_ONCE // frame_size))
        if block in self._kept:
            yield block * self.BLOCK, self._kept[block]
            return
        numbers = random_numbers(self.seed, Purpose.SAMPLES, 1 + block)
        for row in range(0, self.BLOCK, rows):
            shape = (min(rows, self.BLOCK - row), self.cells, self.latent_size)
            noise = numbers.standard_normal(shape, dtype=np.float32)
            if keep:
                self._kept[block] = noise
            yield block * self.BLOCK + row, noise

    def _blocks(self, first: int, count: int) -> list[int]:
        """List the blocks of noise that hold frames first … first + count - 1, wrapped."""
        frames = np.arange(first, first + min(count, self.frames)) % self.frames
        return [int(block) for block in np.unique(frames // self.BLOCK)]


class StillWalk:
    """No walk: chosen latents that stay where they are, for films in which something else moves.

    Args:
        frames: length of the film.
        points: [cells, latent_size].
    """

    def __init__(self, *, frames: int, points: np.ndarray) -> None:
        self.frames = frames
        self.cells = len(points)
        self.points = points

    def chunk(self, start: int, count: int) -> np.ndarray:
        """Give the latents of some frames, float32 [count, cells, latent_size]."""
        return np.tile(self.points, (count, 1, 1))


class SeedWalk:
    """A tour of chosen latents along great circles, which returns to the first.

    Args:
        frames: length of the loop.
        stops: [stops, latent_size], of unit root mean square.

    Raises:
        ProganError: there are more stops than frames, or fewer than two.
    """

    def __init__(self, *, frames: int, stops: np.ndarray) -> None:
        if not 2 <= len(stops) <= frames:
            raise ProganError(
                f"a tour needs at least two faces and one frame a face, not {len(stops)} faces in "
                f"{frames} frames"
            )
        self.frames = frames
        self.cells = 1
        self.stops = stops

    def chunk(self, start: int, count: int) -> np.ndarray:
        """Give the latents of some frames, float32 [count, 1, latent_size]."""
        place = np.arange(start, start + count) % self.frames * len(self.stops) / self.frames
        at = place.astype(np.int64)
        # Slow down at each face, so that it can be looked at.
        weight = (1 - np.cos(np.pi * (place - at))) / 2
        following = self.stops[(at + 1) % len(self.stops)]
        return slerp(self.stops[at], following, weight)[:, None]


def chunks(walk: Walk, size: int) -> Iterator[np.ndarray]:
    """Go through a walk in chunks of at most `size` frames."""
    for start in range(0, walk.frames, size):
        yield walk.chunk(start, min(size, walk.frames - start))
