"""Colours as float32 vectors, and how they are mixed."""

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]  # float32 throughout


def ramp(value: float, low: float, high: float) -> float:
    """How far `value` has come from `low` to `high`, clipped to [0, 1]."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def rgb(red: float, green: float, blue: float) -> Array:
    """A colour [3] from its red, green and blue, each in [0, 1]."""
    return np.array((red, green, blue), np.float32)


def grey(value: float) -> Array:
    """A colour [3] without any hue."""
    return rgb(value, value, value)


def hsv(hue: float, saturation: float, value: float) -> Array:
    """A colour [3] from a hue, which may be any number, saturation and value in [0, 1]."""
    return rgb(*colorsys.hsv_to_rgb(hue % 1, saturation, value))


def mix(first: Array, second: Array, share: float | Array) -> Array:
    """The first at a `share` of 0, the second at 1."""
    return first + (second - first) * share


def blend(stops: Sequence[tuple[int, int, int]], place: float) -> Array:
    """The colour at `place` in [0, 1] along evenly spaced stops."""
    table = np.array(stops, np.float32) / 255
    at = place * (len(stops) - 1)
    low = min(int(at), len(stops) - 2)
    return mix(table[low], table[low + 1], at - low)
