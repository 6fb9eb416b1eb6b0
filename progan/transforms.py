"""The transforms of convolutions that multiply less (Winograd 1980; Lavin and Gray 2016).

- `TILES` makes 4×4 pixels at a time of 6×6, with 36 multiplications instead of 144: Lavin and
  Gray's F(4×4, 3×3).
- `HALVES` is a 3×3 convolution followed by 2×2 averages, or, as its adjoint, one that follows a
  nearest upscale. With a kernel [a, b, c] in one direction and its sum s, a pair of outputs is

      s·(x₀ + x₁) + a·(x₋₁ − x₁) + c·(x₂ − x₀),

  so that 2×2 pixels take 9 multiplications, instead of 36 or of the 16 of fused scaling.

Images are [N, H, W, C] here, and transforms walk through them in pieces that stay in the cache.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

# What a transform has in hand at once: more would not stay in the cache.
_PIECE_BYTES = 2**21


class Scheme(Protocol):
    """A way to multiply less: y = collect(spread(x) · weights), for x, y [N, H, W, C].

    Attributes:
        growth: how many numbers `spread` makes of each.
        width: k, how many numbers of each map stand in a row of what `spread` gives.
    """

    growth: float
    width: int

    def spread(self, x: Tensor) -> list[Tensor]:
        """Transform what goes in: K matrices with a row for each tile or pixel [T, k·C]."""
        ...

    def gather(self, matrices: Sequence[Tensor], x: Tensor) -> None:
        """Do the adjoint of `spread`, and write its result into x."""
        ...

    def collect(self, matrices: Sequence[Tensor], y: Tensor) -> None:
        """Transform K products [T, D] back, into y."""
        ...

    def scatter(self, y: Tensor) -> list[Tensor]:
        """Do the adjoint of `collect`."""
        ...

    def weights(self, kernels: Tensor) -> Tensor:
        """Transform kernels [D, C, 3, 3] to the matrices that `spread`'s meet: [K, D, k·C]."""
        ...

    def output_side(self, side: int) -> int:
        """Give the side of what comes out for the side of what goes in."""
        ...

    def input_side(self, side: int) -> int:
        """Give the side of what goes in for the side of what comes out."""
        ...


class _Tiles:
    """F(4×4, 3×3): overlapping tiles of 6×6 pixels make 4×4 each. Sides divide by 4."""

    growth = 36 / 16
    width = 1

    def spread(self, x: Tensor) -> list[Tensor]:
        """Transform what goes in."""
        n, side, _, c = x.shape
        tiles = side // 4
        matrices = x.new_empty(6, 6, n, tiles, tiles, c)
        for images, rows in _pieces(n, tiles, 4 * side * c * x.element_size()):
            padded = _padded(x, images, rows)
            count, high = len(padded), rows.stop - rows.start
            wide = x.new_empty(6, count, high, side + 2, c)
            _six([padded[:, i : i + 4 * high - 3 : 4] for i in range(6)], list(wide))
            made = matrices[:, :, images, rows]
            columns = [wide[:, :, :, j : j + 4 * tiles - 3 : 4] for j in range(6)]
            _six(columns, list(made))
        return list(matrices.view(36, -1, c))

    def gather(self, matrices: Sequence[Tensor], x: Tensor) -> None:
        """Do the adjoint of `spread`."""
        n, side, _, c = x.shape
        tiles = side // 4
        shaped = [matrix.view(n, tiles, tiles, c) for matrix in matrices]
        x.zero_()
        for images, rows in _pieces(n, tiles, 4 * side * c * x.element_size()):
            count, high = images.stop - images.start, rows.stop - rows.start
            wide = x.new_empty(6, count, high, side + 2, c)
            for i in range(6):
                wide[i, :, :, 4 * tiles :].zero_()
            for i in range(6):
                parts = [shaped[6 * j + i][images, rows] for j in range(6)]
                line = wide[i]
                _six_adjoint(parts, [line[:, :, j : j + 4 * tiles - 3 : 4] for j in range(6)])
            padded = x.new_empty(count, 4 * high + 2, side + 2, c)
            padded[:, 4 * high :].zero_()
            _six_adjoint(list(wide), [padded[:, i : i + 4 * high - 3 : 4] for i in range(6)])
            # Bands of tiles overlap by two rows, so they add up.
            top, bottom = 4 * rows.start - 1, 4 * rows.stop + 1
            first, last = max(top, 0), min(bottom, side)
            x[images, first:last] += padded[:, first - top : last - top, 1:-1]

    def collect(self, matrices: Sequence[Tensor], y: Tensor) -> None:
        """Transform products back."""
        n, side, _, c = y.shape
        tiles = side // 4
        shaped = [matrix.view(n, tiles, tiles, c) for matrix in matrices]
        for images, rows in _pieces(n, tiles, 4 * side * c * y.element_size()):
            count, high = images.stop - images.start, rows.stop - rows.start
            wide = y.new_empty(6, count, high, side, c)
            for i in range(6):
                parts = [shaped[6 * j + i][images, rows] for j in range(6)]
                _four(parts, [wide[i, :, :, k::4] for k in range(4)])
            band = y[images, 4 * rows.start : 4 * rows.stop]
            _four(list(wide), [band[:, k::4] for k in range(4)])

    def scatter(self, y: Tensor) -> list[Tensor]:
        """Do the adjoint of `collect`."""
        n, side, _, c = y.shape
        tiles = side // 4
        matrices = y.new_empty(6, 6, n, tiles, tiles, c)
        for images, rows in _pieces(n, tiles, 4 * side * c * y.element_size()):
            count, high = images.stop - images.start, rows.stop - rows.start
            wide = y.new_empty(6, count, high, side, c)
            band = y[images, 4 * rows.start : 4 * rows.stop]
            _four_adjoint([band[:, k::4] for k in range(4)], list(wide))
            made = matrices[:, :, images, rows]
            _four_adjoint([wide[:, :, :, k::4] for k in range(4)], list(made))
        return list(matrices.view(36, -1, c))

    def weights(self, kernels: Tensor) -> Tensor:
        """Transform kernels."""
        d, c = kernels.shape[:2]
        g = kernels.new_tensor(_TILE_KERNEL)
        # Along rows, then along columns; images are transformed so that columns come first.
        return torch.einsum("jv,iu,dcuv->jidc", g, g, kernels).reshape(36, d, c)

    def output_side(self, side: int) -> int:
        """Give the side of what comes out."""
        return side

    def input_side(self, side: int) -> int:
        """Give the side of what goes in."""
        return side


class _Halves:
    """A 3×3 convolution with 2×2 averages after it, in 9 multiplications an output."""

    growth = 9 / 4
    width = 9

    def spread(self, x: Tensor) -> list[Tensor]:
        """Transform what goes in."""
        n, side, _, c = x.shape
        half = side // 2
        matrix = x.new_empty(n, half, half, 3, 3, c)
        for images, rows in _pieces(n, half, 2 * side * c * x.element_size()):
            high = rows.stop - rows.start
            wide = x.new_empty(3, images.stop - images.start, high, side, c)
            _three(x[images], rows, 1, list(wide))
            made = matrix[images, rows]
            for p in range(3):
                _three(wide[p], slice(0, half), 2, [made[:, :, :, p, q] for q in range(3)])
        return [matrix.view(-1, 9 * c)]

    def gather(self, matrices: Sequence[Tensor], x: Tensor) -> None:
        """Do the adjoint of `spread`."""
        n, side, _, c = x.shape
        half = side // 2
        matrix = matrices[0].view(n, half, half, 3, 3, c)
        x.zero_()
        for images, rows in _pieces(n, half, 2 * side * c * x.element_size()):
            high = rows.stop - rows.start
            wide = x.new_zeros(3, images.stop - images.start, high, side, c)
            parts = matrix[images, rows]
            for p in range(3):
                across = [parts[:, :, :, p, q] for q in range(3)]
                _three_adjoint(across, wide[p], slice(0, half), 2)
            _three_adjoint(list(wide), x[images], rows, 1)

    def collect(self, matrices: Sequence[Tensor], y: Tensor) -> None:
        """Transform products back."""
        y.copy_(matrices[0].view(y.shape))

    def scatter(self, y: Tensor) -> list[Tensor]:
        """Do the adjoint of `collect`."""
        return [y.reshape(-1, y.shape[-1])]

    def weights(self, kernels: Tensor) -> Tensor:
        """Transform kernels."""
        d, c = kernels.shape[:2]
        h = kernels.new_tensor(_HALF_KERNEL)
        return torch.einsum("pu,qv,dcuv->dpqc", h, h, kernels).reshape(1, d, 9 * c)

    def output_side(self, side: int) -> int:
        """Give the side of what comes out."""
        return side // 2

    def input_side(self, side: int) -> int:
        """Give the side of what goes in."""
        return 2 * side


TILES: Scheme = _Tiles()
HALVES: Scheme = _Halves()

_TILE_KERNEL = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_HALF_KERNEL = [[1.0, 0, 0], [1, 1, 1], [0, 0, 1]]


def _pieces(count: int, rows: int, row_bytes: int) -> list[tuple[slice, slice]]:
    """Divide images and their rows of tiles into pieces that are transformed at once."""
    if rows * row_bytes <= _PIECE_BYTES:
        at_once = _PIECE_BYTES // (rows * row_bytes)
        starts = range(0, count, at_once)
        return [(slice(s, min(s + at_once, count)), slice(0, rows)) for s in starts]
    high = max(1, _PIECE_BYTES // row_bytes)
    return [
        (slice(image, image + 1), slice(start, min(start + high, rows)))
        for image in range(count)
        for start in range(0, rows, high)
    ]


def _padded(x: Tensor, images: slice, rows: slice) -> Tensor:
    """Copy bands of tiles, with a pixel around them that is zero beyond the image's edge."""
    _, side, _, c = x.shape
    top, bottom = 4 * rows.start - 1, 4 * rows.stop + 1
    first, last = max(top, 0), min(bottom, side)
    padded = x.new_empty(images.stop - images.start, bottom - top, side + 2, c)
    padded[:, :, 0].zero_()
    padded[:, :, -1].zero_()
    padded[:, : first - top].zero_()
    padded[:, last - top :].zero_()
    padded[:, first - top : last - top, 1:-1] = x[images, first:last]
    return padded


def _six(r: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Transform six neighbours to six numbers, for the tiles that go in."""
    p, q = torch.sub(r[4], r[2], alpha=4), torch.sub(r[3], r[1], alpha=4)
    torch.add(p, q, out=out[1])
    torch.sub(p, q, out=out[2])
    torch.sub(r[4], r[2], out=p)
    torch.sub(r[3], r[1], out=q)
    torch.add(p, q, alpha=2, out=out[3])
    torch.sub(p, q, alpha=2, out=out[4])
    p.sub_(r[2], alpha=4)
    torch.add(p, r[0], alpha=4, out=out[0])
    torch.sub(r[5], r[3], out=p)
    torch.sub(p, q, alpha=4, out=out[5])


def _six_adjoint(z: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Do the adjoint of `_six`; a tile's last two are added to its neighbour's first."""
    torch.mul(z[0], 4, out=out[0])
    a, b = z[1] + z[2], z[3] + z[4]
    torch.add(a, b, out=out[2])
    out[4].add_(z[0]).add_(out[2])
    out[2].add_(a, alpha=3).add_(z[0], alpha=5).neg_()
    torch.sub(z[1], z[2], out=a)
    torch.sub(z[3], z[4], out=b)
    torch.add(a, b, alpha=2, out=out[3])
    out[3].sub_(z[5], alpha=5)
    a.sub_(z[5]).mul_(-4)
    torch.sub(a, b, alpha=2, out=out[1])
    out[5].add_(z[5])


def _four(m: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Transform six products to four neighbours, for the tiles that come out."""
    a, b = m[1] + m[2], m[3] + m[4]
    torch.add(a, b, alpha=4, out=out[2])
    a.add_(m[0])
    torch.add(a, b, out=out[0])
    torch.sub(m[1], m[2], out=a)
    torch.sub(m[3], m[4], out=b)
    torch.add(a, b, alpha=2, out=out[1])
    a.add_(m[5])
    torch.add(a, b, alpha=8, out=out[3])


def _four_adjoint(y: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Do the adjoint of `_four`."""
    out[0].copy_(y[0])
    out[5].copy_(y[3])
    a, b = y[0] + y[2], y[1] + y[3]
    torch.add(a, b, out=out[1])
    torch.sub(a, b, out=out[2])
    torch.add(y[0], y[2], alpha=4, out=a)
    torch.add(y[1], y[3], alpha=4, out=b)
    torch.add(a, b, alpha=2, out=out[3])
    torch.sub(a, b, alpha=2, out=out[4])


def _three(x: Tensor, pairs: slice, axis: int, out: Sequence[Tensor]) -> None:
    """Transform pairs of neighbours along an axis to three numbers each."""
    first, last = pairs.start, pairs.stop
    even, odd = _every_second(x, axis)
    here_even, here_odd = _cut(even, axis, first, last), _cut(odd, axis, first, last)
    high = last - first
    torch.add(here_even, here_odd, out=out[1])
    # Beyond the edges there is nothing.
    edge = 1 if first == 0 else 0
    torch.neg(_cut(odd, axis, 0, edge), out=_cut(out[0], axis, 0, edge))
    before = _cut(odd, axis, first + edge - 1, last - 1)
    torch.sub(before, _cut(odd, axis, first + edge, last), out=_cut(out[0], axis, edge, high))
    count = even.shape[axis]
    edge = 1 if last == count else 0
    end = high - edge
    torch.neg(_cut(even, axis, last - edge, last), out=_cut(out[2], axis, end, high))
    after = _cut(even, axis, first + 1, last + 1 - edge)
    torch.sub(after, _cut(even, axis, first, last - edge), out=_cut(out[2], axis, 0, end))


def _three_adjoint(parts: Sequence[Tensor], x: Tensor, pairs: slice, axis: int) -> None:
    """Do the adjoint of `_three`, and add its result to x."""
    first, last = pairs.start, pairs.stop
    even, odd = _every_second(x, axis)
    count, high = even.shape[axis], last - first
    _cut(even, axis, first, last).add_(parts[1]).sub_(parts[2])
    _cut(odd, axis, first, last).add_(parts[1]).sub_(parts[0])
    edge = 1 if first == 0 else 0
    _cut(odd, axis, first + edge - 1, last - 1).add_(_cut(parts[0], axis, edge, high))
    edge = 1 if last == count else 0
    _cut(even, axis, first + 1, last + 1 - edge).add_(_cut(parts[2], axis, 0, high - edge))


def _every_second(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    paired = x.view(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
    return paired.select(axis + 1, 0), paired.select(axis + 1, 1)


def _cut(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    return x.narrow(axis, start, stop - start)
