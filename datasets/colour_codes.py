"""Colour spaces that are told by numbers: codes of H.273 (in PNG, HEIC and AVIF), or a gamma."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datasets.errors import UnusableError
from datasets.icc_profiles import Chromaticity, curve_points, grey_profile, rgb_profile

Numbers = NDArray[np.float64]

HIGH_DYNAMIC_RANGE = "high dynamic range (PQ or HLG), which has no fixed white"

Curve = Literal["srgb", "power", "bt709", "smpte240", "log100", "log316", "smpte428"]

_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)


@dataclass(frozen=True)
class Primaries:
    """Chromaticities of an RGB space."""

    white: Chromaticity
    red: Chromaticity
    green: Chromaticity
    blue: Chromaticity

    def near(self, other: "Primaries") -> bool:
        """Check whether no colour can be told from that of the other space."""
        pairs = zip(self._all(), other._all(), strict=True)
        # Files have five decimals, and some programs round to three.
        return max(abs(a - b) for a, b in pairs) < 2e-3

    def _all(self) -> tuple[float, ...]:
        return (*self.white, *self.red, *self.green, *self.blue)


SRGB_PRIMARIES = Primaries(_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_SMPTE_170M = Primaries(_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
# H.273, table 2.
_PRIMARIES = {
    1: SRGB_PRIMARIES,
    4: Primaries(_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: Primaries(_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    8: Primaries(_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: Primaries(_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    10: Primaries((1 / 3, 1 / 3), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)),
    11: Primaries((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: Primaries(_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Primaries(_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
# H.273, table 3. Where numbers below 0 or above 1 have a meaning too, files of samples have none.
_CURVES: dict[int, tuple[Curve, float]] = {
    **dict.fromkeys((1, 6, 11, 12, 14, 15), ("bt709", 1.0)),
    4: ("power", 2.2),
    5: ("power", 2.8),
    7: ("smpte240", 1.0),
    8: ("power", 1.0),
    9: ("log100", 1.0),
    10: ("log316", 1.0),
    13: ("srgb", 1.0),
    17: ("smpte428", 1.0),
}
_PQ, _HLG = 16, 18

# PNG: 1/2.2 stands for the curve of sRGB; other programs, too, see no difference in a twentieth.
_SRGB_GAMMA, _GAMMA_TOLERANCE = 45455, 0.05
_ODDEST_EXPONENT = 10.0


@dataclass(frozen=True)
class ColourSpace:
    """An RGB space or, without its primaries, a grey scale."""

    primaries: Primaries = SRGB_PRIMARIES
    curve: Curve = "srgb"
    exponent: float = 1.0
    """Of the curve `power`."""

    def linear(self, encoded: Numbers) -> Numbers:
        """Compute linear light, 0 to 1, from encoded samples, 0 to 1."""
        return np.clip(_linear(self.curve, self.exponent, encoded), 0, 1)

    def with_srgb_curve(self) -> "ColourSpace":
        """Return the space of these primaries that has sRGB's curve."""
        return replace(self, curve="srgb", exponent=1.0)

    def profile(self, *, grey: bool) -> bytes | None:
        """Build its colour profile: of an RGB space or of a grey scale; None where it is sRGB's."""
        space = replace(self, primaries=SRGB_PRIMARIES) if grey else self
        if space.curve == "srgb" and space.primaries.near(SRGB_PRIMARIES):
            return None
        return _profile(space, grey=grey)


def space_of_codes(primaries: int, transfer: int) -> ColourSpace | None:
    """Find the colour space that a file names by the numbers of H.273.

    Args:
        primaries: ColourPrimaries.
        transfer: TransferCharacteristics.

    Returns:
        The space; what is unspecified in it is as in sRGB. None where both are.

    Raises:
        UnusableError: it is one of high dynamic range.
    """
    if transfer in (_PQ, _HLG):
        raise UnusableError(HIGH_DYNAMIC_RANGE)
    if primaries not in _PRIMARIES and transfer not in _CURVES:
        return None
    curve, exponent = _CURVES.get(transfer, ("srgb", 1.0))
    return ColourSpace(_PRIMARIES.get(primaries, SRGB_PRIMARIES), curve, exponent)


def space_of_gamma(gamma: int | None, chromaticities: tuple[int, ...] | None) -> ColourSpace:
    """Find the colour space that a PNG file tells of by numbers.

    Args:
        gamma: 100,000 times the exponent that the samples were encoded with (gAMA).
        chromaticities: 100,000 times x and y of white, red, green and blue (cHRM).

    Returns:
        The space; what is not told, or has no meaning, is as in sRGB.
    """
    space = ColourSpace()
    if gamma and abs(gamma / _SRGB_GAMMA - 1) > _GAMMA_TOLERANCE:
        exponent = 100_000 / gamma
        if 1 / _ODDEST_EXPONENT <= exponent <= _ODDEST_EXPONENT:
            space = ColourSpace(curve="power", exponent=exponent)
    if chromaticities is not None:
        numbers = [number / 100_000 for number in chromaticities]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        told = replace(space, primaries=Primaries(*pairs))
        try:
            told.profile(grey=False)
        except ValueError:
            return space
        return told
    return space


@lru_cache(maxsize=16)
def _profile(space: ColourSpace, *, grey: bool) -> bytes:
    curve = space.linear(curve_points())
    if grey:
        return grey_profile(curve)
    told = space.primaries
    return rgb_profile(told.white, (told.red, told.green, told.blue), curve)


def encoded_as_srgb(linear: Numbers) -> Numbers:
    """Encode linear light, 0 to 1, along the curve of sRGB (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _linear(curve: Curve, exponent: float, encoded: Numbers) -> Numbers:
    result: Numbers
    match curve:
        case "srgb":
            upper = ((encoded + 0.055) / 1.055) ** 2.4
            result = np.where(encoded <= 0.04045, encoded / 12.92, upper)
        case "power":
            result = encoded**exponent
        case "bt709":
            alpha, beta = 1.09929682680944, 0.018053968510807
            upper = ((encoded + alpha - 1) / alpha) ** (1 / 0.45)
            result = np.where(encoded < 4.5 * beta, encoded / 4.5, upper)
        case "smpte240":
            upper = ((encoded + 0.1115) / 1.1115) ** (1 / 0.45)
            result = np.where(encoded < 4 * 0.0228, encoded / 4, upper)
        case "log100":
            result = np.where(encoded > 0, 10 ** (2 * (encoded - 1)), 0)
        case "log316":
            result = np.where(encoded > 0, 10 ** (2.5 * (encoded - 1)), 0)
        case "smpte428":
            result = 52.37 / 48 * encoded**2.6
    return result
