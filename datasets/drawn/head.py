"""The outlines of a head and its hair, and the strands the hair falls in."""

import numpy as np
from numpy.typing import NDArray

from datasets.drawn.canvas import CENTRE, CROWN, Canvas, peak, smooth
from datasets.drawn.colour import Array
from datasets.drawn.traits import Face

# Outlines are radii by direction, looked up by "diamond angle", which needs no arctangent.
_STEPS = 2048
_DIAMOND = (np.arange(_STEPS) + 0.5) * 4 / _STEPS
_ANGLE = np.arctan2(
    np.where(_DIAMOND < 2, 1 - abs(_DIAMOND - 1), abs(_DIAMOND - 3) - 1),
    np.where(_DIAMOND < 2, 1 - _DIAMOND, _DIAMOND - 3),
)
_COS, _SIN = np.cos(_ANGLE), np.sin(_ANGLE)
_FINE = 75  # strands around the parting, about


class Head:
    """The outlines of head and hair around the middle of the head, seen from every pixel.

    Attributes:
        radius: Distance from the middle of the head.
        skull: Radius of the skull in the pixel's direction.
        skin: Signed distance to the skull, negative inside.
        hair: Signed distance to the outline of the hair.
        strands: Locks of hair, about -1 to 1: where they bulge and where they part.
        fibres: The finer hairs in them, about -1 to 1, fading out as they get thinner than pixels.
    """

    def __init__(self, canvas: Canvas) -> None:
        face = canvas.face
        y = canvas.y - CENTRE
        x = canvas.x - 0.38 * face.yaw * np.maximum(y, 0)  # the chin turns further than the crown
        direction = _direction(x, y)
        self.radius = np.sqrt(x * x + y * y)
        skull = 1 / np.hypot(_COS / face.width, _SIN / CROWN / (1 + face.chin * (_SIN > 0)))
        skull *= 1 + face.jaw * peak(_SIN, 0.78, 0.22) + face.cheek * peak(_SIN, 0.35, 0.25)
        self.skull: Array = skull.astype(np.float32)[direction]
        self.skin = self.radius - self.skull
        self.hair: Array = self.radius - (skull + _thickness(face)).astype(np.float32)[direction]
        self.strands, self.fibres = _strands(canvas)


def _thickness(face: Face) -> NDArray[np.float64]:
    """How far the hair stands off the skull, by direction."""
    curl, phase = face.curl, face.hair_phase
    above = 0.5 - 0.5 * np.tanh((_SIN - 0.15) * 4)
    spread = 0.6 + 0.4 * above if face.covered_ears else above * (0.2 + 0.8 * _SIN**2)
    # Turned away, more of the back of the head is seen, on the side it turned from.
    spread = spread * (1 + 0.4 * face.hair_part * _COS) - 0.5 * face.yaw * _COS * above
    spread = spread * (1 + 0.5 * face.hair_lift * peak(_SIN, -1, 0.3))
    volume = face.hair_volume * (1 - face.baldness) * (1 + curl) * (1 - 0.8 * face.cropped)
    bumps = np.sin(9 * _ANGLE + phase) + np.sin(14 * _ANGLE - 2 * phase)
    bumps = 0.014 * curl * (bumps + np.sin(27 * _ANGLE + 3 * phase))
    # Tousled hair ends in tufts, which point outwards.
    tufts = 1 - np.abs(np.sin(8 * _ANGLE + phase + 0.8 * np.sin(5 * _ANGLE - phase)))
    tufts *= 0.6 + 0.4 * np.sin(3 * _ANGLE + 2 * phase)
    tufts = (0.04 if face.covered_ears else 0.085) * face.hair_rough**2 * tufts * above
    return volume * spread + (bumps + tufts * (1 - curl)) * (1 - face.baldness) * (1 - face.cropped)


def _strands(canvas: Canvas) -> tuple[Array, Array]:
    """Locks and fibres, which fall from the parting and swing, or are coiled."""
    face, phase = canvas.face, canvas.face.hair_phase
    x, y = canvas.fx - 0.3 * face.hair_part, canvas.fy + 0.66
    square = x * x + y * y
    radius = np.sqrt(square)
    swing = (0.02 + 0.06 * face.hair_wave**2) * np.sin(15 * radius + phase)
    fall = _direction(x, y, swing * radius)
    near = smooth(5 * square)  # all strands would meet at the parting: they fade in with distance
    wander = np.sin(9 * _ANGLE + phase) + np.sin(14 * _ANGLE - 2 * phase)
    table = np.sin(11 * _ANGLE + phase) + np.sin(23 * _ANGLE + 1.7 * wander)
    strands = near * (0.5 * table).astype(np.float32)[fall]
    table = np.sin(61 * _ANGLE + 2 * wander) + np.sin(89 * _ANGLE - 3 * wander)
    # A pixel takes the mean over its width, and so takes this much from a wave.
    share = np.exp(-((_FINE * canvas.pixel) ** 2) / 24 / np.maximum(square, 0.01))
    fibres = near * share * (0.5 * table).astype(np.float32)[fall]
    if face.curl:
        coils = np.sin(30 * x + 2 * np.sin(17 * y + phase)) * np.sin(33 * y + 2 * np.sin(19 * x))
        strands += face.curl * (0.9 * coils - 0.5 * strands)
        fibres *= 1 - 0.7 * face.curl
    return strands, fibres


def _direction(x: Array, y: Array, twist: float | Array = 0.0) -> NDArray[np.intp]:
    """The place of each direction, turned by `twist` radians, in a table over `_ANGLE`."""
    share = x / (np.abs(x) + np.abs(y) + 1e-6)
    turn = (np.where(y >= 0, 1 - share, 3 + share) + twist * (2 / np.pi)) * (_STEPS / 4)
    return turn.astype(np.intp) & (_STEPS - 1)
