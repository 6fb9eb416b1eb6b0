"""Finding pictures that are nearly the same, so that none is learned and held out at once.

Recompressed, brightened, mirrored or slightly cropped copies have other bytes but show the same.
They are looked for in two steps. A fingerprint of 16 numbers, the lowest frequencies of the 8-pixel
level, is compared between all pictures, which is a matrix product. The few pairs that are close
there are then compared by their colours, and at 16 and at 32 pixels by their tangent distance: how
much of one picture is left when as much as possible is explained by the other, moved, enlarged or
brightened a little (Simard, LeCun, Denker: Efficient Pattern Recognition Using a New
Transformation Distance, 1993).
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from datasets.levels import CodedLevel

Pixels = NDArray[np.uint8]
Pictures = Pixels | CodedLevel
Floats = NDArray[np.float64]

SMALLEST_RESOLUTION = 32
"""On coarser pictures, different people look nearly the same."""

_LUMA = np.array([0.299, 0.587, 0.114])
# All limits were measured on 874 portraits of different people, each with copies that were
# recompressed, changed by 15 % in brightness or contrast, made grey, mirrored, or lost 2 or 3 % at
# every edge: docs/datasets.md has the figures. Copies stay below these limits; no two people do.
_CLOSE = 0.27
_LIMITS = ((16, 1, 0.18), (32, 2, 0.16))  # side of the level, times smoothed, difference
# Colours may differ by this part of themselves; below so many levels, a picture is grey.
_COLOURS, _LEAST_COLOUR = 0.4, 2.0
# Where pictures are all alike, those that are this much closer than `_CLOSE` are still compared.
_CLOSEST = 0.1
# So many pictures are compared with each, about, at most: it bounds the time.
_NEIGHBOURS = 32
_SAMPLE = 256
# Smaller than a processor's cache, so that products are not written to memory and read again.
_BLOCK = 1024
_PAIRS = 256
_ROWS = 4096
# Grey levels: below, there is nothing but noise to compare.
_LEAST_CONTRAST = 2.0


def find(
    level: Callable[[int], Pictures],
    rows: Sequence[int],
    advance: Callable[[int], object] = lambda pictures: None,
) -> dict[int, int]:
    """Find pictures that are nearly the same as others.

    Memory is about 200 bytes for each picture. The time grows with the square of their number, but
    slowly: the inner loop is one matrix product with 16 numbers for each picture.

    Args:
        level: gives the pictures of 8, 16 or 32 pixels: [N, H, W, C].
        rows: which pictures to look at, in ascending order.
        advance: is called with the number of pictures that have been compared with all others.

    Returns:
        For every picture that is nearly the same as an earlier one: the first of its group. Groups
        are chains: two pictures that resemble a third are together, whether or not they resemble
        each other.
    """
    prints, used = _fingerprints(level(8), np.asarray(rows, np.int64))
    advance(len(rows) - len(used))
    if len(used) < 2:
        advance(len(used))
        return {}
    # Along the number that varies most, of those that mirroring leaves alone: pictures that differ
    # too much in it need not be compared.
    axis = int(np.argmax(prints[:, ~_ODD].var(axis=0)))
    order = np.argsort(prints[:, ~_ODD][:, axis], kind="stable")
    prints, used = prints[order], used[order]
    groups = _Groups(used)
    for first, pairs in _close_pairs(prints, ~_ODD, axis, _limit(prints)):
        _join(groups, level, pairs)
        advance(first)
    return groups.found()


def _frequencies() -> tuple[Floats, NDArray[np.bool_]]:
    """Give the patterns [16, 8, 8] of a cosine transform, and which of them mirroring negates."""
    places = np.pi * (np.arange(8) + 0.5) / 8
    waves = np.array([np.cos(number * places) for number in range(5)])
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    chosen = [(v, h) for v in range(5) for h in range(5) if 0 < v * v + h * h <= 16]
    patterns = np.array([np.outer(waves[v], waves[h]) for v, h in chosen])
    return patterns, np.array([h % 2 == 1 for _, h in chosen])


_PATTERNS, _ODD = _frequencies()


def _grey(pictures: Pixels) -> Floats:
    if pictures.shape[-1] == 1:
        return pictures[..., 0].astype(np.float64)
    grey: Floats = pictures.astype(np.float64) @ _LUMA
    return grey


def _fingerprints(
    pictures: Pictures, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Give unit vectors [N, 16] for the pictures that are not flat, and the rows of these."""
    prints, used = [], []
    for start in range(0, len(rows), _ROWS):
        chunk = rows[start : start + _ROWS]
        grey = _grey(pictures[chunk])
        contrasted = grey.std(axis=(1, 2)) >= _LEAST_CONTRAST
        numbers = np.einsum("nyx,kyx->nk", grey[contrasted], _PATTERNS)
        length = np.linalg.norm(numbers, axis=1, keepdims=True)
        # What consists of finer patterns alone has no fingerprint.
        plain = length[:, 0] >= _LEAST_CONTRAST
        prints.append((numbers[plain] / length[plain]).astype(np.float32))
        used.append(chunk[contrasted][plain])
    if not prints:
        return np.zeros((0, len(_PATTERNS)), np.float32), rows
    return np.concatenate(prints), np.concatenate(used)


def _limit(prints: NDArray[np.float32]) -> float:
    """Choose how close fingerprints must be, so that not too many are."""
    sample = prints[:: max(1, len(prints) // _SAMPLE)]
    if len(prints) <= _NEIGHBOURS + 1:
        return _CLOSE
    # One by one: together, these products would be the largest thing in memory.
    nearest = [np.partition(-(prints @ one), _NEIGHBOURS)[_NEIGHBOURS] for one in sample]
    # The median, as some pictures may have hundreds of true copies.
    distance = np.sqrt(max(0.0, 2 + 2 * float(np.median(nearest))))
    return float(np.clip(distance, _CLOSEST, _CLOSE))


def _close_pairs(
    prints: NDArray[np.float32], even: NDArray[np.bool_], axis: int, limit: float
) -> Iterator[tuple[int, Iterator[tuple[NDArray[np.int64], NDArray[np.int64], bool]]]]:
    """Give places of pictures with close fingerprints, and whether one of them is mirrored."""
    unmirrored, mirrored = prints[:, even], prints[:, ~even]
    keys = unmirrored[:, axis]
    # Of unit vectors, the product tells the distance.
    bound = np.float32(1 - limit**2 / 2)

    def block(first: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], bool]]:
        here = slice(first, first + _BLOCK)
        for second in range(first, len(prints), _BLOCK):
            there = slice(second, second + _BLOCK)
            if keys[second] - keys[here][-1] > limit:
                return
            same = unmirrored[here] @ unmirrored[there].T
            turned = mirrored[here] @ mirrored[there].T
            for flipped in (False, True):
                close = (same - turned if flipped else same + turned) >= bound
                if first == second:
                    close = np.triu(close, 1)
                one, other = np.nonzero(close)
                if len(one):
                    yield one + first, other + second, flipped

    for first in range(0, len(prints), _BLOCK):
        yield min(_BLOCK, len(prints) - first), block(first)


def _join(
    groups: "_Groups",
    level: Callable[[int], Pictures],
    pairs: Iterator[tuple[NDArray[np.int64], NDArray[np.int64], bool]],
) -> None:
    """Compare pairs more closely, and put those that are nearly the same into one group."""
    for one, other, flipped in pairs:
        while len(one := one[apart := groups.apart(one, other)]):
            other = other[apart]
            # A few at a time: once joined, a thousand copies need not be compared pair by pair.
            now, then = one[:_PAIRS], other[:_PAIRS]
            alike = _colours_agree(
                level(8)[groups.rows[now]], level(8)[groups.rows[then]], flipped=flipped
            )
            now, then = now[alike], then[alike]
            for side, smoothings, limit in _LIMITS:
                pictures = level(side)
                first = _smooth(_grey(pictures[groups.rows[now]]), smoothings)
                second = _smooth(_grey(pictures[groups.rows[then]]), smoothings)
                if flipped:
                    second = second[:, :, ::-1]
                alike = np.minimum(_difference(first, second), _difference(second, first)) < limit
                now, then = now[alike], then[alike]
            groups.join(now, then)
            one, other = one[_PAIRS:], other[_PAIRS:]


def _colours_agree(first: Pixels, second: Pixels, *, flipped: bool) -> NDArray[np.bool_]:
    """Tell which pairs have similar colours, or a grey picture among them: [N]."""
    if first.shape[-1] == 1:
        return np.ones(len(first), bool)
    one, other = (pictures - _grey(pictures)[..., None] for pictures in (first, second))
    if flipped:
        other = other[:, :, ::-1]
    strengths = [np.sqrt((colours**2).mean(axis=(1, 2, 3))) for colours in (one, other)]
    difference = np.sqrt(((one - other) ** 2).mean(axis=(1, 2, 3)))
    grey = np.minimum(*strengths) < _LEAST_COLOUR
    agree: NDArray[np.bool_] = grey | (difference <= _COLOURS * np.maximum(*strengths))
    return agree


def _smooth(pictures: Floats, times: int) -> Floats:
    """Blur by (1, 2, 1) / 4, which makes a small movement look like its tangent."""
    for _ in range(times):
        wide = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), "edge")
        rows = (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4
        pictures = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4
    return pictures


def _difference(known: Floats, seen: Floats) -> Floats:
    """Tell how much of the contrast in `seen` is not that of `known`, 0 to 1: [N].

    Explained are also its derivatives with respect to x, y and size; brightness does not count.
    """
    count, side, _ = known.shape
    along_y, along_x = np.gradient(known, axis=(1, 2))
    place = (np.arange(side) + 0.5) / side - 0.5
    larger = along_x * place + along_y * place[:, None]
    known, along_x, along_y, larger, seen = (
        _unit(numbers.reshape(count, side * side))
        for numbers in (known, along_x, along_y, larger, seen)
    )
    basis = np.stack([known, along_x, along_y, larger], axis=1)
    products = basis @ basis.transpose(0, 2, 1)
    # Derivatives may be as good as parallel: of stripes, for example.
    products += 1e-6 * np.eye(4)
    shares = basis @ seen[:, :, None]
    explained = (shares * np.linalg.solve(products, shares)).sum(axis=(1, 2))
    left: Floats = np.sqrt(np.maximum(0.0, 1 - explained))
    return left


def _unit(numbers: Floats) -> Floats:
    centred = numbers - numbers.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Floats = centred / np.maximum(lengths, 1e-9)
    return unit


class _Groups:
    """Which places belong together: a forest, where each points to a place before it or itself."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows
        self._parents = np.arange(len(rows))

    def apart(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which pairs are not together yet."""
        different: NDArray[np.bool_] = self._roots(one) != self._roots(other)
        return different

    def join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        """Put pairs together."""
        for pair in zip(one.tolist(), other.tolist(), strict=True):
            low, high = sorted(self._root(place) for place in pair)
            self._parents[high] = low

    def found(self) -> dict[int, int]:
        """Give, for every row that is not the first of its group, the first."""
        roots = self._roots(np.arange(len(self.rows)))
        first = np.full(len(self.rows), np.iinfo(np.int64).max)
        np.minimum.at(first, roots, self.rows)
        pairs = zip(self.rows.tolist(), first[roots].tolist(), strict=True)
        return {row: origin for row, origin in sorted(pairs) if origin != row}

    def _roots(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        roots = self._parents[places]
        while not np.array_equal(roots, above := self._parents[roots]):
            roots = above
        return roots

    def _root(self, place: int) -> int:
        root = place
        while (above := int(self._parents[root])) != root:
            root = above
        self._parents[place] = root
        return root
