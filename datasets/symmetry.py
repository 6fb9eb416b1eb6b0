"""How far a collection differs from its own mirror image.

Training mirrors each picture with probability ½. That doubles the data where left and right are
alike, and mixes them where they are not: light from one side, a flag, a watermark.

Each picture, at 8 × 8 pixels, has an asymmetry: the left half less the mirrored right half. In a
symmetric collection these point everywhere and cancel; in a lopsided one they have a part in
common. The measure is the size of that common part as a share of the size of the asymmetries:

    d² = mean over i ≠ j of ⟨a_i, a_j⟩ / mean over i of ⟨a_i, a_i⟩

Leaving out i = j makes it unbiased for any number of pictures: it tends to a property of the
collection and does not grow with its size. What chance can reach in so few pictures is taken off.
It sees what is common in brightness and colour, not what is finer (lettering) nor what half of the
pictures have on one side and half on the other.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from datasets.levels import CodedLevel

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

LOPSIDED = 0.25
"""From this difference on, left and right should not be mixed. Three collections of portraits have
0.00 to 0.15; lit by 20 % more at the left edge and 20 % less at the right, they have 0.38 to 0.70;
with a flag on the left in each, 0.57 to 0.76 (docs/datasets.md)."""

MOST_PICTURES = 4096
SIDE = 8
"""Pixels of the pictures that are compared; larger ones are averaged."""
# Standard deviations of what d² is by chance in a symmetric collection.
_CHANCE = 3.0
_LUMA = np.array([0.299, 0.587, 0.114])
_THIRDS = ("at the top", "half-way up", "at the bottom")


@dataclass(frozen=True, kw_only=True)
class MirrorDifference:
    """A collection compared with its mirror image.

    The numbers are rounded to three decimals, so that they do not depend on the processor.
    """

    difference: float
    """Size of the common part of the pictures' asymmetries, 0 (none beyond chance) to 1 (all)."""
    left_brighter: float
    """Mean brightness of the left half less that of the right, −255 to 255."""
    largest: float
    """Mean difference, over the channels, where it is largest: 0 to 255."""
    largest_x: float
    """How far from the left edge that is, and mirrored from the right: 0 to 0.5 of the width."""
    largest_y: float
    """How far from the top that is: 0 to 1 of the height."""

    @property
    def lopsided(self) -> bool:
        """Whether mirroring would mix left and right."""
        return self.difference >= LOPSIDED

    def sentence(self) -> str:
        """Return in words what was measured, and what follows for training."""
        if not self.lopsided:
            return f"differs by {self.difference:.2f} of 1, which is little"
        side = "left" if self.left_brighter > 0 else "right"
        lit = f"the {side} is brighter by {abs(self.left_brighter):.0f} of 255"
        if abs(self.left_brighter) < 0.5:
            lit = "neither side is brighter"
        height = _THIRDS[min(2, int(3 * self.largest_y))]
        place = "edges" if self.largest_x < 0.25 else "middle"
        return (
            f"differs by {self.difference:.2f} of 1: {lit}; most differs {height}, near the "
            f"{place} ({self.largest:.0f} of 255). Train with --no-mirror, or left and right will "
            "mix"
        )


def mirror_difference(
    pictures: "Pixels | CodedLevel",
    rows: NDArray[np.int64] | None = None,
    *,
    seed: int = 0,
) -> MirrorDifference:
    """Compute how far a collection differs from its mirror image.

    Args:
        pictures: uint8 [N, S, S, C], S a power of two, at least 4. 8 pixels are all that it needs.
        rows: which of them, in any order; all if None.
        seed: draws the `MOST_PICTURES` that are looked at, where there are more: 0 to 2**64 - 1.

    Raises:
        ValueError: there is no picture.
    """
    rows = np.arange(len(pictures)) if rows is None else rows
    if not len(rows):
        raise ValueError("no pictures to compare with their mirror images")
    if len(rows) > MOST_PICTURES:
        # Bits of Philox, which are the same with every version of NumPy.
        bits = np.random.Philox(key=np.array([seed, 0], np.uint64)).random_raw(len(rows))
        rows = rows[np.sort(np.argsort(bits, kind="stable")[:MOST_PICTURES])]
    half = _asymmetries(pictures, rows)
    mean = half.mean(axis=0)
    sizes = np.sqrt((mean**2).mean(axis=2))
    row, column = np.unravel_index(int(np.argmax(sizes)), sizes.shape)
    cells = len(sizes)
    brightness = mean @ _LUMA if mean.shape[2] == 3 else mean[..., 0]
    return MirrorDifference(
        difference=_common_part(half.reshape(len(half), -1)),
        left_brighter=_rounded(float(brightness.mean())),
        largest=_rounded(float(sizes[row, column])),
        largest_x=_rounded((int(column) + 0.5) / cells),
        largest_y=_rounded((int(row) + 0.5) / cells),
    )


def _asymmetries(pictures: "Pixels | CodedLevel", rows: NDArray[np.int64]) -> Floats:
    """Return left half less mirrored right half of every picture: [n, cells, cells / 2, C]."""
    side, channels = pictures.shape[1], pictures.shape[3]
    cells = min(side, SIDE)
    block = side // cells
    half = np.empty((len(rows), cells, cells // 2, channels))
    for place, row in enumerate(rows.tolist()):
        # One by one: pictures may be large. Sums of whole numbers, hence exact.
        shape = (cells, block, cells, block, channels)
        sums = pictures[row].reshape(shape).sum(axis=(1, 3), dtype=np.int64)
        half[place] = (sums - sums[:, ::-1])[:, : cells // 2] / block**2
    return half


def _common_part(vectors: Floats) -> float:
    """Return the root of the share of [n, k] vectors that they have in common, less chance."""
    count = len(vectors)
    own = (vectors**2).sum(axis=1)
    if count < 2 or not own.any():
        return 0.0
    pairs = count * (count - 1)
    common = ((vectors.sum(axis=0) ** 2).sum() - own.sum()) / pairs
    # In a symmetric collection each vector might as well be its negative. Over all choices of
    # signs, the mean of the products varies by this.
    squares = ((vectors.T @ vectors) ** 2).sum() - (own**2).sum()
    chance = np.sqrt(max(0.0, 2 * squares)) / pairs
    share = (common - _CHANCE * chance) / own.mean()
    return _rounded(float(np.sqrt(np.clip(share, 0.0, 1.0))))


def _rounded(number: float) -> float:
    return round(number, 3) + 0.0  # No −0.0.
