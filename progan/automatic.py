"""What preset `auto` stands for: a preset and settings, by device, resolution and photographs.

A run never has preset `auto`: what is chosen here goes into its configuration under the name of a
real preset, so that the run is continued with the same settings on any machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from progan.growth import ByResolution

AUTO = "auto"

# What trains the paper's networks. Others get narrow networks, which a processor can train.
_LARGE = ("cuda", "xpu")
# On a processor: 64×64 pixels in an hour or two, from as many photographs as that is worth.
_NARROW_RESOLUTION = 64
_FEW, _RESOLUTION_OF_FEW = 300, 32
# Thousand images, by resolution, for as many photographs as there can be: docs/quality.md has the
# narrow ones of 32 and 64 pixels; the release's 12,000 for 1024 are scaled down.
_NARROW_KIMG = {
    4: 20, 8: 40, 16: 60, 32: 120, 64: 260, 128: 520, 256: 1040, 512: 2080, 1024: 4160
}  # fmt: skip
_LARGE_KIMG = {
    4: 200, 8: 400, 16: 800, 32: 1500, 64: 3000, 128: 5000, 256: 7000, 512: 10000, 1024: 12000
}  # fmt: skip
# How often each photograph is shown at most: a generator that goes on learns them by heart. With
# few photographs, growth needs its time all the same.
_NARROW_PASSES, _LARGE_PASSES = 300, 400
_NARROW_LEAST, _LARGE_LEAST = 1 / 3, 1 / 4
# The release's settings fade and hold each level for a twentieth of all images: 600 of 12,000 kimg.
_PHASES = 20
# The narrow networks' growth, in thousand images by resolution: that of preset `modern`, which the
# larger sizes go on with as the network in `networks/` did.
_FADE = {8: 1, 16: 2, 32: 3, 64: 8, 128: 16, 256: 32, 512: 64, 1024: 128}
_FADE_BELOW_TOP = {32: 4}
_HOLD = {4: 1, 8: 1, 16: 2, 32: 36, 64: 72, 128: 144, 256: 288, 512: 576}
_PAPERS_BASE = 8192
_RATE = {64: 0.003, 128: 0.002, 256: 0.002, 512: 0.002, 1024: 0.002}
# Of a run that the user wants shorter, growth takes this much at most.
_GROWTH = 0.6


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What `auto` has chosen.

    Attributes:
        preset: one of `progan.config.PRESETS`.
        settings: fields of Config that replace the preset's.
        reasons: for some of these settings, why they are as they are, to be read in parentheses.
    """

    preset: str
    settings: Mapping[str, Any]
    reasons: Mapping[str, str] = field(default_factory=dict)


def choose(
    device: str,
    *,
    resolution: int,
    photographs: int,
    lopsided: bool | None = None,
    asked_resolution: int | None = None,
    asked_kimg: float | None = None,
) -> Choice:
    """Choose a preset and settings.

    Args:
        device: the type of torch.device that will compute: "cpu", "cuda" …
        resolution: the dataset's, in pixels.
        photographs: number of training images.
        lopsided: whether left and right of the images differ; None where that is not known.
        asked_resolution: the resolution that the user asks for, if any.
        asked_kimg: the length that the user asks for, if any; growth is made to fit.
    """
    large = device in _LARGE
    settings: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    side = asked_resolution or resolution
    if not large and asked_resolution is None:
        few = photographs < _FEW
        side = min(resolution, _RESOLUTION_OF_FEW if few else _NARROW_RESOLUTION)
        if side < resolution:
            why = f"for only {photographs} images" if few else "without a GPU"
            reasons["resolution"] = f"{why}; --resolution {resolution} for all of the dataset's"
    settings["resolution"] = side
    whole, passes, least = (
        (_LARGE_KIMG[side], _LARGE_PASSES, _LARGE_LEAST)
        if large
        else (_NARROW_KIMG[side], _NARROW_PASSES, _NARROW_LEAST)
    )
    kimg = _rounded(min(whole, max(passes * photographs / 1000, whole * least)))
    settings["kimg"] = kimg
    times = _rounded(1000 * kimg / max(1, photographs))
    reasons["kimg"] = f"each of {photographs} images about {times:g} times"
    settings |= _wide(asked_kimg or kimg) if large else _narrow(side, asked_kimg or kimg)
    if lopsided:
        settings["mirror"] = False
        reasons["mirror"] = "left and right of these images differ"
    return Choice(preset="v2" if large else "modern", settings=settings, reasons=reasons)


def _wide(kimg: float) -> dict[str, Any]:
    """Grow at the pace of the release's settings, which is a share of the whole."""
    phase = f"{kimg / _PHASES:g}"
    return {"fade_kimg": phase, "hold_kimg": phase}


def _narrow(side: int, kimg: float) -> dict[str, Any]:
    """Widen and slow preset `modern` beyond 32 pixels; hasten it for a short run."""
    below = [size for size in _NARROW_KIMG if size < side]
    fade: dict[int, float] = {
        size: _FADE[size] if size == side else _FADE_BELOW_TOP.get(size, _FADE[size])
        for size in (*below, side)
        if size in _FADE
    }
    hold: dict[int, float] = {size: _HOLD[size] for size in below}
    growth = sum(fade.values()) + sum(hold.values())
    pace = min(1.0, _GROWTH * kimg / growth) if growth else 1.0
    settings: dict[str, Any] = {}
    if side > _RESOLUTION_OF_FEW:
        settings["fmap_base"] = min(16 * side, _PAPERS_BASE)
        rates = {size: rate for size, rate in _RATE.items() if size <= side}
        settings["learning_rate"] = str(ByResolution(0.004, rates))
    if growth and (side > _RESOLUTION_OF_FEW or pace < 1):
        for name, course, base in (("fade_kimg", fade, 3), ("hold_kimg", hold, 5)):
            if pace < 1:
                course = {size: _rounded(pace * images) for size, images in course.items()}
            settings[name] = str(ByResolution(base, course))
    return settings


def _rounded(number: float) -> float:
    """Round to two figures."""
    return float(f"{number:.1e}")
