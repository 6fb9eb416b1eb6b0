"""The picture being painted: coordinates, soft-edged shapes and layers of colour."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from datasets.drawn.colour import Array
from datasets.drawn.traits import Face

CENTRE = -0.10  # height of the eyes, and of the middle of the head, in the head frame
CROWN = 0.68  # from the middle of the head to its top, and about to its chin
_PIVOT = 0.2  # height about which the head tilts and scales
# Shadow takes less from red than from blue: light that went through skin comes out red.
SHADOW = np.array([0.8, 1.0, 1.06], np.float32)[:, None, None]


def smooth(value: Array) -> Array:
    """Ease [0, 1] in and out, clipping what lies beyond."""
    value = np.minimum(np.maximum(value, 0), 1)  # quicker than np.clip on small arrays
    return value * value * (3 - 2 * value)


def peak(value: Array, at: float, reach: float) -> Array:
    """A bell of height 1."""
    bell: Array = np.exp(-(((value - at) / reach) ** 2))
    return bell


def oval(x: Array, y: Array, wide: float, high: float) -> Array:
    """About the signed distance to an ellipse around the origin."""
    return (np.sqrt((x / wide) ** 2 + (y / high) ** 2) - 1) * min(wide, high)


class Canvas:
    """The picture [3, H, W] with the coordinates of its pixels, or a window into it."""

    def __init__(self, face: Face, resolution: int) -> None:
        self.face = face
        self.area = slice(None), slice(None)  # where a window lies: rows and columns
        self.pixel = 2 / resolution
        self.rgb: Array = np.zeros((3, resolution, resolution), np.float32)
        axis = ((np.arange(resolution) + 0.5) * self.pixel - 1).astype(np.float32)
        self.u: Array = axis[None, :]
        self.v: Array = axis[:, None]
        cos, sin = math.cos(face.roll) / face.scale, math.sin(face.roll) / face.scale
        u, v = self.u - face.shift_x, self.v - face.shift_y - _PIVOT
        self.x, self.y = u * cos + v * sin, v * cos - u * sin + _PIVOT
        bulge = np.maximum(self._bulge(self.x, self.y), 0)
        self.fx = self.x - 0.9 * face.width * face.yaw * bulge
        self.fy = self.y - face.pitch * bulge

    def _bulge(self, x: Any, y: Any) -> Any:
        """How far the head stands out towards the viewer, and so how far turning moves it."""
        return 1 - 0.55 * (x / self.face.width) ** 2 - 0.35 * ((y - CENTRE) / CROWN) ** 2

    def place(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Where a point of the face frame, or an array of them, lies in the image frame."""
        face, out, flat, high = self.face, 0, x, y
        for _ in range(4):  # the bulge is known in the head frame, so close in on it
            out = self._bulge(x, y)
            out = (out + abs(out)) / 2  # not below 0
            x, y = flat + 0.9 * face.width * face.yaw * out, high + face.pitch * out
        y = y - _PIVOT
        cos, sin = math.cos(face.roll) * face.scale, math.sin(face.roll) * face.scale
        return x * cos - y * sin + face.shift_x, x * sin + y * cos + _PIVOT + face.shift_y

    def window(self, x: float, y: float, wide: float, high: float) -> "Canvas":
        """The part around a point of the face frame; painting in it paints on the whole."""
        size = self.rgb.shape[1]

        def cut(at: float, reach: float) -> slice:
            # The margin covers the tilt and the scale of the head.
            first, last = ((at + way * 1.2 * reach + 1) / 2 * size for way in (-1, 1))
            return slice(max(int(first), 0), max(int(last) + 2, 0))

        u, v = self.place(x, y)
        columns, rows = cut(u, wide + 0.1 * high), cut(v, high + 0.1 * wide)
        part = object.__new__(Canvas)
        part.area = rows, columns
        part.face, part.pixel, part.rgb = self.face, self.pixel, self.rgb[:, rows, columns]
        part.u, part.v = self.u[:, columns], self.v[rows]
        part.x, part.y = self.x[rows, columns], self.y[rows, columns]
        part.fx, part.fy = self.fx[rows, columns], self.fy[rows, columns]
        return part

    def inside(self, distance: Array, blur: float = 0.0) -> Array:
        """Coverage of a shape by signed distance (negative inside), its edge `blur` wide."""
        return smooth(0.5 - distance / (1.2 * math.hypot(self.pixel, blur)))

    def band(self, distance: Array, half: float | Array, blur: float = 0.0) -> Array:
        """Coverage of a line `half` to each side; thinner than a pixel it grows fainter."""
        return self.inside(distance - half, blur) - self.inside(distance + half, blur)

    def paint(self, cover: Array, colour: Array, light: float | Array = 1.0) -> None:
        """Lay a colour [3] over the picture, times a light that may vary from pixel to pixel."""
        self.rgb += cover * (np.clip(colour[:, None, None] * light, 0, 1) - self.rgb)

    def shade(self, amount: Array, tint: Array = SHADOW) -> None:
        """Darken by `amount`, each colour times its tint."""
        self.rgb *= 1 - amount * tint

    def blobs(self, spots: Sequence[tuple[float, ...]]) -> Array:
        """The sum of soft spots (x, y, width, height, strength) of the face frame, [H, W]."""
        table = np.array(spots, np.float32).T[:, :, None]
        x, y = self.place(*table[:2])
        wide, high, strength = table[2:]
        across = np.exp(-(((self.u - x) / wide) ** 2))
        down = np.exp(-(((self.v.T - y) / high) ** 2)) * strength
        total: Array = down.T @ across
        return total
