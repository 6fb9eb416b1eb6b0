"""Faces drawn by program: training pictures that need no download.

Every face is a point in a space of continuous traits (`Face`), drawn from (seed, index) alone.
It is painted in layers from back to front. Shapes are signed distances turned into coverage whose
edge is as wide as a pixel, so one face looks the same at every resolution.

Three frames of coordinates are used, all with x to the right and y down:

- image: [-1, 1] across the picture;
- head: the image undone from tilt, scale and shift, so that an upright head stands in it;
- face: the head frame undone from turning and nodding. Features are placed in it as if the head
  looked straight ahead, and the side turned away comes out narrower by itself.
"""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_RESOLUTION = 256

# Smaller pictures are reduced from this one: below it an iris is thinner than a pixel's edge.
_MIN_CANVAS = 64
_CENTRE = -0.10  # height of the eyes, and of the middle of the head, in the head frame
_CROWN = 0.68  # from the middle of the head to its top, and about to its chin
_PIVOT = 0.2  # height about which the head tilts and scales
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Shadow takes less from red than from blue: light that went through skin comes out red.
_SHADOW = np.array([0.8, 1.0, 1.06], np.float32)[:, None, None]

# Outlines are radii by direction, looked up by "diamond angle", which needs no arctangent.
_STEPS = 1024
_DIAMOND = (np.arange(_STEPS) + 0.5) * 4 / _STEPS
_ANGLE = np.arctan2(
    np.where(_DIAMOND < 2, 1 - abs(_DIAMOND - 1), abs(_DIAMOND - 3) - 1),
    np.where(_DIAMOND < 2, 1 - _DIAMOND, _DIAMOND - 3),
)
_COS, _SIN = np.cos(_ANGLE), np.sin(_ANGLE)

Array = NDArray[np.floating[Any]]  # float32 throughout

_SKIN = ((86, 56, 44), (118, 78, 57), (156, 105, 75), (196, 143, 107), (226, 177, 143),
         (240, 199, 168), (248, 217, 195))  # fmt: skip
_HAIR = ((26, 22, 24), (48, 33, 28), (82, 54, 38), (122, 82, 50), (168, 124, 74), (214, 178, 116))
_IRIS = ((58, 36, 24), (98, 62, 34), (120, 104, 60), (92, 124, 92), (94, 130, 160), (128, 160, 190))
_LIPS = ((214, 118, 110), (190, 84, 86), (170, 40, 56), (150, 70, 90))


def _trait(low: float, high: float, bell: bool = False) -> float:
    """Declare a trait spread evenly over [low, high], or more densely towards the middle."""
    value: float = field(metadata={"low": low, "high": high, "bell": bell})
    return value


@dataclass(frozen=True, kw_only=True)
class Face:
    """Everything that makes one face: independent numbers, in the order they are drawn.

    Lengths are in half picture widths. What is present only sometimes is a number in [0, 1] too,
    compared with a threshold where it is drawn.
    """

    # The person
    tone: float = _trait(0, 1)  # skin, very dark to very light
    undertone: float = _trait(-1, 1, bell=True)  # olive to rosy
    flush: float = _trait(0, 1)
    age: float = _trait(0, 1)
    styling: float = _trait(0, 1)  # 0 feminine to 1 masculine styling: beard, make-up, hair length
    freckles: float = _trait(0, 1)
    # The head
    width: float = _trait(0.465, 0.545, bell=True)
    chin: float = _trait(-0.05, 0.05, bell=True)
    jaw: float = _trait(-0.06, 0.07, bell=True)
    cheek: float = _trait(-0.025, 0.045, bell=True)
    ear: float = _trait(0.8, 1.25, bell=True)
    neck: float = _trait(-1, 1, bell=True)
    # Eyes and brows
    eye_size: float = _trait(0.098, 0.130, bell=True)
    eye_apart: float = _trait(0.192, 0.226, bell=True)
    eye_tilt: float = _trait(-0.12, 0.22, bell=True)
    eye_open: float = _trait(0.36, 0.60, bell=True)
    eye_crease: float = _trait(0, 1)
    iris: float = _trait(0, 1)
    gaze_x: float = _trait(-0.02, 0.02, bell=True)
    gaze_y: float = _trait(-0.006, 0.006, bell=True)
    brow_height: float = _trait(0.115, 0.165, bell=True)
    brow_thick: float = _trait(0.012, 0.03)
    brow_tilt: float = _trait(-0.25, 0.14, bell=True)
    brow_arch: float = _trait(0.005, 0.05)
    # Nose and mouth
    nose_width: float = _trait(0.066, 0.112, bell=True)
    nose_length: float = _trait(0.225, 0.30, bell=True)
    mouth_drop: float = _trait(0.135, 0.175, bell=True)
    mouth_width: float = _trait(0.13, 0.20, bell=True)
    lip_full: float = _trait(0.022, 0.055, bell=True)
    smile: float = _trait(-0.01, 0.06)
    teeth: float = _trait(0, 1)
    lip_colour: float = _trait(0, 1)
    # Hair
    hair_colour: float = _trait(0, 1)
    hair_dye: float = _trait(0, 1)
    hair_hue: float = _trait(0, 1)
    hair_length: float = _trait(0, 1)
    hair_volume: float = _trait(0.04, 0.15, bell=True)
    hair_line: float = _trait(-0.53, -0.42, bell=True)
    hair_part: float = _trait(-1, 1)
    hair_curl: float = _trait(0, 1)
    hair_fringe: float = _trait(0, 1)
    hair_bun: float = _trait(0, 1)
    hair_phase: float = _trait(0, 2 * math.pi)
    bald: float = _trait(0, 1)
    beard: float = _trait(0, 1)
    beard_length: float = _trait(0.0, 0.09)
    moustache: float = _trait(0, 1)
    # What is worn
    glasses: float = _trait(0, 1)
    glasses_shape: float = _trait(0, 1)
    glasses_hue: float = _trait(0, 1)
    clothes_hue: float = _trait(0, 1)
    clothes_depth: float = _trait(0.15, 0.9)
    neckline: float = _trait(0, 1)
    tie: float = _trait(0, 1)
    # Pose, light and background
    yaw: float = _trait(-0.36, 0.36, bell=True)
    pitch: float = _trait(-0.06, 0.06, bell=True)
    roll: float = _trait(-0.11, 0.11, bell=True)
    scale: float = _trait(1.04, 1.18, bell=True)
    shift_x: float = _trait(-0.05, 0.05, bell=True)
    shift_y: float = _trait(-0.04, 0.03, bell=True)
    light_x: float = _trait(-0.9, 0.9)
    light_y: float = _trait(-0.65, -0.15)
    contrast: float = _trait(0.6, 1.1, bell=True)
    warmth: float = _trait(-1, 1, bell=True)
    exposure: float = _trait(0.92, 1.12, bell=True)
    back_hue: float = _trait(0, 1)
    back_turn: float = _trait(-0.2, 0.2)
    back_depth: float = _trait(0.2, 0.9)
    back_colour: float = _trait(0.05, 0.5)
    back_slope: float = _trait(-1, 1)

    @classmethod
    def random(cls, seed: int, index: int) -> "Face":
        """Draw the face of (seed, index), both in [0, 2**64)."""
        key = np.array([seed, index], np.uint64)
        even = np.random.Generator(np.random.Philox(key=key)).random((len(fields(cls)), 2))
        traits = {}
        for trait, draws in zip(fields(cls), even, strict=True):
            low, high = trait.metadata["low"], trait.metadata["high"]
            place = float(draws.mean() if trait.metadata["bell"] else draws[0])
            traits[trait.name] = low + (high - low) * place
        return cls(**traits)

    @property
    def grey(self) -> float:
        """How far the hair has turned grey, 0 to 1."""
        return _ramp(self.age + 0.25 * (self.hair_dye - 0.5), 0.68, 0.9)

    @property
    def curl(self) -> float:
        """How far the hair's outline is curled, 0 to 1."""
        return _ramp(self.hair_curl, 0.6, 1.0)

    @property
    def bearded(self) -> float:
        """How dense the beard is: 0 none, 0.35 stubble, 1 full."""
        return _ramp(self.beard, 0.4, 0.9) if self.styling > 0.5 else 0.0

    @property
    def long_hair(self) -> float:
        """Where the hair ends beside the face; below 0.35 it stops at the ears."""
        return self.hair_length * 0.75 + 0.62 * (0.55 - self.styling)

    @property
    def covered_ears(self) -> bool:
        """Whether the hair hangs down beside the face."""
        return self.long_hair > 0.35 and not self.baldness

    @property
    def baldness(self) -> float:
        """0 with a full head of hair, up to 1 without any."""
        return _ramp(self.bald, 0.72, 0.9) * (self.styling > 0.5)

    def skin_colour(self) -> Array:
        """The skin in full light, [3] in [0, 1]."""
        base = _blend(_SKIN, self.tone)
        return base * (1 + self.undertone * _colour(0.03, -0.025, 0.015))

    def hair_rgb(self, dyed: bool = True) -> Array:
        """The hair's colour, [3] in [0, 1]; dark skin leans to dark hair, brows are never dyed."""
        base = _blend(_HAIR, self.hair_colour * min(1.0, 0.3 + 0.9 * self.tone))
        if 0.80 < self.hair_dye < 0.90 and self.tone > 0.4:
            base = _mix(base, _rgb(0.04, 0.72, 0.35 + 0.35 * self.hair_colour), 0.8)
        elif self.hair_dye > 0.95 and dyed:
            base = _rgb(self.hair_hue, 0.55, 0.65)
        return _mix(base, _grey(0.5 + 0.4 * self.age**2), 0.9 * self.grey)


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _colour(red: float, green: float, blue: float) -> Array:
    return np.array((red, green, blue), np.float32)


def _grey(value: float) -> Array:
    return _colour(value, value, value)


def _rgb(hue: float, saturation: float, value: float) -> Array:
    return _colour(*colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _mix(first: Array, second: Array, share: float | Array) -> Array:
    return first + (second - first) * share


def _blend(stops: Sequence[tuple[int, int, int]], place: float) -> Array:
    """The colour at `place` in [0, 1] along evenly spaced stops."""
    table = np.array(stops, np.float32) / 255
    at = place * (len(stops) - 1)
    low = min(int(at), len(stops) - 2)
    return _mix(table[low], table[low + 1], at - low)


def _smooth(value: Array) -> Array:
    """Ease [0, 1] in and out, clipping what lies beyond."""
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def _peak(value: Array, at: float, reach: float) -> Array:
    """A bell of height 1."""
    bell: Array = np.exp(-(((value - at) / reach) ** 2))
    return bell


def _oval(x: Array, y: Array, wide: float, high: float) -> Array:
    """About the signed distance to an ellipse around the origin."""
    return (np.sqrt((x / wide) ** 2 + (y / high) ** 2) - 1) * min(wide, high)


def _direction(x: Array, y: Array) -> NDArray[np.intp]:
    """The place of each direction in a table over `_ANGLE`."""
    share = x / (np.abs(x) + np.abs(y) + 1e-6)
    turn = np.where(y >= 0, 1 - share, 3 + share) * (_STEPS / 4)
    return turn.astype(np.intp) & (_STEPS - 1)


class _Canvas:
    """The picture [3, H, W] with the coordinates of its pixels, or a window into it."""

    def __init__(self, face: Face, resolution: int) -> None:
        self.face = face
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
        return 1 - 0.55 * (x / self.face.width) ** 2 - 0.35 * ((y - _CENTRE) / _CROWN) ** 2

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the face frame lies in the image frame."""
        face, bulge = self.face, max(self._bulge(x, y), 0)
        x += 0.9 * face.width * face.yaw * bulge
        y += face.pitch * bulge - _PIVOT
        cos, sin = math.cos(face.roll) * face.scale, math.sin(face.roll) * face.scale
        return x * cos - y * sin + face.shift_x, x * sin + y * cos + _PIVOT + face.shift_y

    def window(self, x: float, y: float, wide: float, high: float) -> "_Canvas":
        """The part around a point of the face frame; painting in it paints on the whole."""
        size = self.rgb.shape[1]

        def cut(at: float, reach: float) -> slice:
            # The margin covers the tilt and the scale of the head.
            first, last = ((at + way * 1.2 * reach + 1) / 2 * size for way in (-1, 1))
            return slice(max(int(first), 0), max(int(last) + 2, 0))

        u, v = self.place(x, y)
        columns, rows = cut(u, wide + 0.1 * high), cut(v, high + 0.1 * wide)
        part = object.__new__(_Canvas)
        part.face, part.pixel, part.rgb = self.face, self.pixel, self.rgb[:, rows, columns]
        part.u, part.v = self.u[:, columns], self.v[rows]
        part.x, part.y = self.x[rows, columns], self.y[rows, columns]
        part.fx, part.fy = self.fx[rows, columns], self.fy[rows, columns]
        return part

    def inside(self, distance: Array, blur: float = 0.0) -> Array:
        """Coverage of a shape by signed distance (negative inside), its edge `blur` wide."""
        return _smooth(0.5 - distance / (1.2 * math.hypot(self.pixel, blur)))

    def band(self, distance: Array, half: float | Array, blur: float = 0.0) -> Array:
        """Coverage of a line `half` to each side; thinner than a pixel it grows fainter."""
        return self.inside(distance - half, blur) - self.inside(distance + half, blur)

    def paint(self, cover: Array, colour: Array, light: float | Array = 1.0) -> None:
        """Lay a colour [3] over the picture, times a light that may vary from pixel to pixel."""
        self.rgb += cover * (np.clip(colour[:, None, None] * light, 0, 1) - self.rgb)

    def shade(self, amount: Array, tint: Array = _SHADOW) -> None:
        """Darken by `amount`, each colour times its tint."""
        self.rgb *= 1 - amount * tint

    def blobs(self, spots: Sequence[tuple[float, ...]]) -> Array:
        """The sum of soft spots (x, y, width, height, strength) of the face frame, [H, W]."""
        table = np.array([(*self.place(*spot[:2]), *spot[2:]) for spot in spots], np.float32)
        x, y, wide, high, strength = table.T[:, :, None]
        across = np.exp(-(((self.u - x) / wide) ** 2))
        down = np.exp(-(((self.v.T - y) / high) ** 2)) * strength
        total: Array = down.T @ across
        return total


class _Head:
    """The outlines of head and hair around the middle of the head, seen from every pixel."""

    def __init__(self, canvas: _Canvas) -> None:
        face, curl = canvas.face, canvas.face.curl
        y = canvas.y - _CENTRE
        x = canvas.x - 0.22 * face.yaw * np.maximum(y, 0)  # the chin turns further than the crown
        direction = _direction(x, y)
        self.radius = np.sqrt(x * x + y * y)

        skull = 1 / np.hypot(_COS / face.width, _SIN / _CROWN / (1 + face.chin * (_SIN > 0)))
        skull *= 1 + face.jaw * _peak(_SIN, 0.78, 0.22) + face.cheek * _peak(_SIN, 0.35, 0.25)
        self.skull: Array = skull.astype(np.float32)[direction]
        self.skin = self.radius - self.skull  # signed distance, as is `hair`

        above = 0.5 - 0.5 * np.tanh((_SIN - 0.15) * 4)
        spread = 0.6 + 0.4 * above if face.covered_ears else above * (0.2 + 0.8 * _SIN**2)
        volume = face.hair_volume * (1 - face.baldness) * (1 + 0.7 * curl)
        lobes = np.sin(9 * _ANGLE + face.hair_phase) + np.sin(14 * _ANGLE - 2 * face.hair_phase)
        outline = (
            skull + volume * spread * (1 + 0.25 * face.hair_part * _COS) + 0.012 * curl * lobes
        )
        self.hair: Array = self.radius - outline.astype(np.float32)[direction]

        # Strands fall from the parting, where they would all meet: they fade in with distance.
        x, y = canvas.fx - 0.3 * face.hair_part, canvas.fy + 0.66
        strands = np.sin(11 * _ANGLE + face.hair_phase) + np.sin(23 * _ANGLE + 1.7 * lobes)
        self.strands: Array = (0.5 * strands).astype(np.float32)[_direction(x, y)]
        self.strands *= _smooth(5 * (x * x + y * y))


def _background(canvas: _Canvas) -> None:
    face, u, v = canvas.face, canvas.u, canvas.v
    near = _rgb(face.back_hue, face.back_colour, face.back_depth)
    far = _rgb(face.back_hue + face.back_turn, face.back_colour, face.back_depth * 0.55)
    share = np.clip(0.5 + 0.35 * face.back_slope * u + 0.35 * v, 0, 1)
    canvas.rgb[:] = _mix(near[:, None, None], far[:, None, None], share)
    canvas.rgb *= 1.05 - 0.12 * (u * u + v * v)


def _hair_column(canvas: _Canvas) -> Array:
    """Coverage of the hair that hangs beside the face and behind the neck."""
    face, y, away = canvas.face, canvas.y, np.abs(canvas.x)
    end = -0.25 + 1.5 * face.long_hair
    wide = 0.12 * np.sin(np.clip(2.6 * (y - _CENTRE), 0, 2.2))
    wide += face.width + 0.6 * face.hair_volume
    wide += 0.02 * face.curl * np.sin(13 * y + face.hair_phase)
    wide -= 1.2 * np.maximum(y - end + 0.3, 0) ** 2
    ends = canvas.inside(y - end - 0.25 * away, 0.06) * canvas.inside(_CENTRE - y)
    return ends * canvas.inside(away - wide, 0.03)


def _back_hair(canvas: _Canvas) -> None:
    face = canvas.face
    if face.hair_bun > 0.8 and face.styling < 0.6 and not face.baldness:
        bun = canvas.window(0.15 * face.hair_part, -0.86, 0.25, 0.25)
        ball = _oval(bun.x - 0.15 * face.hair_part, bun.y + 0.86, 0.17, 0.17)
        bun.paint(bun.inside(ball, 0.02), face.hair_rgb(), 0.7 - 1.5 * (bun.y + 0.86))
    if face.covered_ears:
        canvas.paint(_hair_column(canvas), face.hair_rgb(), 0.6)


def _body(canvas: _Canvas, head: _Head) -> None:
    """Neck and clothes, which do not follow the tilt of the head."""
    face, style = canvas.face, canvas.face.neckline
    x, y = canvas.u - 0.7 * face.shift_x, canvas.v - face.shift_y
    away = np.abs(x)
    half = 0.27 + 0.05 * (face.styling - 0.5) + 0.025 * face.neck
    neck = away - half - 0.9 * np.maximum(y - 0.60, 0) ** 2
    shading = 0.10 - 0.45 * face.light_x * x + 0.22 * (away / half) ** 2
    shadow = _smooth(1 - head.skin / 0.30)  # the head keeps the light from the neck
    dark = np.clip(shading + 0.42 * shadow, 0, 0.7)
    cover = canvas.inside(neck, 0.01) * canvas.inside(0.2 - y)
    canvas.paint(cover, face.skin_colour(), 1 - dark * _SHADOW)

    cloth = _rgb(face.clothes_hue, 0.55 - 0.28 * face.clothes_depth, face.clothes_depth)
    slope = 0.70 - 0.03 * face.styling + 0.28 * away + 0.25 * np.maximum(away - 0.55, 0) ** 2
    shoulders = canvas.inside(slope - y, 0.015)
    if style < 0.4:  # round
        opening = np.hypot(x / 1.25, y - 0.70) - 0.16 - 0.3 * style
    elif style < 0.85:  # V, a shirt's with a collar
        opening = (away - (0.38 + style) * (0.98 - y)) * 0.8
    else:  # high
        opening = np.ones_like(away)
        roll = canvas.inside(neck - 0.015, 0.015) * canvas.inside(0.72 - 0.3 * x * x - y, 0.02)
        shoulders = np.maximum(shoulders, roll)
    fold = 0.25 * np.clip(shading, -0.3, 0.8) + 0.25 * _smooth(1 - head.skin / 0.22)
    canvas.paint(shoulders * canvas.inside(-opening, 0.012), cloth, 1.05 - fold)
    if 0.6 < style < 0.85:
        tied = face.tie > 0.55 and face.styling > 0.4
        collar = canvas.inside(opening - 0.12, 0.015) * shoulders
        if not tied:
            collar *= canvas.inside(-opening, 0.012)
        canvas.paint(collar, _mix(cloth, _grey(0.95), 0.7), 1.02 - fold)
        if tied:
            tie = canvas.inside(away - 0.045 - 0.15 * np.abs(y - 0.86), 0.015)
            canvas.paint(tie * canvas.inside(0.76 - y), _rgb(7 * face.tie, 0.7, 0.5), 1.1 - fold)


def _ears(canvas: _Canvas) -> None:
    face = canvas.face
    skin = face.skin_colour() * _colour(0.97, 0.88, 0.86)
    for side in (-1, 1):
        middle = side * (face.width + 0.012) - 0.03 * face.yaw
        ear = canvas.window(middle, 0.0, 0.14, 0.2)
        # Ears lean outwards at the top.
        x, high = ear.x - middle + 0.16 * side * ear.y, 0.135 * face.ear
        ear.paint(ear.inside(_oval(x, ear.y, 0.062, high), 0.01), skin)
        hollow = ear.inside(_oval(x, ear.y, 0.035, 0.55 * high), 0.04)
        ear.shade(hollow * (0.28 - 0.1 * side * face.light_x))


def _skin(canvas: _Canvas, head: _Head) -> None:
    """The head as a ball in the light, with the soft relief of its features."""
    face, light = canvas.face, canvas.face.light_x
    nose, drop = face.nose_width, _CENTRE + face.nose_length
    mouth = drop + face.mouth_drop
    relief = [
        (0.0, -0.36, 0.24, 0.12, 0.10), (0.0, _CENTRE - 0.06, 0.05, 0.05, -0.05),
        (0.0, 0.0, 0.03, 0.14, 0.18), (0.0, drop - 0.035, 0.04, 0.035, 0.20),
        (0.0, drop + 0.05, nose, 0.03, -0.26), (0.0, mouth - 0.07, 0.014, 0.03, -0.10),
        (0.0, mouth + 0.105, 0.10, 0.03, -0.24), (0.0, mouth + 0.18, 0.09, 0.05, 0.10),
    ]  # fmt: skip
    for side in (-1, 1):
        toward, apart = 0.16 * light * side, side * face.eye_apart
        relief += [
            (apart, _CENTRE - 0.045, 0.12, 0.06, -0.26),
            (apart, _CENTRE + 0.095, 0.09, 0.035, -0.10 - 0.14 * face.age**2),
            (side * 0.095, _CENTRE, 0.045, 0.07, -0.24 + toward),
            (side * 0.068, drop - 0.09, 0.03, 0.09, -0.22 + 1.3 * toward),
            (side * nose, drop - 0.02, 0.028, 0.032, 0.02 + toward),
            (side * (nose + 0.035), drop, 0.022, 0.04, -0.16 + toward),
            (side * 0.27, 0.06, 0.10, 0.08, 0.10 + 2 * face.cheek),
            (side * 0.33, 0.26, 0.08, 0.13, -0.12 + 2 * face.cheek),
            (side * (face.mouth_width + 0.015), mouth, 0.025, 0.03, -0.14),
        ]
    lit = 0.95 * light * canvas.x / face.width + face.light_y * (canvas.y - _CENTRE) / _CROWN
    lit += 0.9 * np.sqrt(np.maximum(1 - 0.9 * (head.radius / head.skull) ** 2, 0.02))
    dark = np.clip(0.62 * face.contrast * (0.98 - lit - canvas.blobs(relief)), -0.14, 0.8)
    cover = canvas.inside(head.skin, 0.012)
    canvas.paint(cover, face.skin_colour(), 1 - dark * _SHADOW)
    glow = 0.04 + 0.16 * face.flush
    blush = [(0.0, drop - 0.03, 0.07, 0.05, 0.7 * glow), (0.0, mouth + 0.2, 0.1, 0.06, 0.3 * glow)]
    shine = [
        (0.12 * light, -0.33, 0.10, 0.06, 0.09),
        (0.015 * light, drop - 0.045, 0.02, 0.02, 0.2),
    ]
    for side in (-1, 1):
        blush.append((side * 0.27, 0.10, 0.13, 0.10, glow))
        shine.append((side * 0.26 + 0.03 * light, 0.03, 0.06, 0.035, 0.05 + 0.06 * light * side))
    canvas.shade(cover * canvas.blobs(blush), _colour(-0.05, 0.75, 0.6)[:, None, None])
    canvas.rgb += cover * canvas.blobs(shine) * _colour(1, 0.95, 0.88)[:, None, None]


def _marks(canvas: _Canvas) -> None:
    """Freckles and the lines of age."""
    face, drop = canvas.face, _CENTRE + canvas.face.nose_length
    if face.freckles > 0.78 and face.tone > 0.45:
        # Spots smaller than a pixel are drawn wider and fainter.
        size = math.hypot(0.010, 0.4 * canvas.pixel)
        dark = 0.6 * (face.freckles - 0.6) * (0.010 / size) ** 2
        # Steps of irrational length scatter them evenly and without a pattern.
        steps = np.outer(np.arange(60), (0.7549, 0.5698, 0.8191)) + 9 * face.hair_phase
        spots = [
            (0.68 * a - 0.34, 0.2 * b + 0.15 * abs(a - 0.5), size, size, dark * (0.4 + c))
            for a, b, c in (steps % 1).tolist()
        ]
        canvas.shade(canvas.blobs(spots), _colour(0.7, 1.0, 1.1)[:, None, None])
    old = _ramp(face.age, 0.45, 1.0)
    if not old:
        return
    brow = canvas.window(0, -0.37, 0.36, 0.12)
    for height in (-0.42, -0.37, -0.32):
        line = brow.band(brow.fy - height - 0.25 * brow.fx**2, 0.005, 0.02)
        brow.shade(0.45 * old * line * _smooth(1.3 - np.abs(brow.fx) / 0.2))
    for side in (-1, 1):
        fold = canvas.window(side * 0.18, drop + 0.08, 0.12, 0.16)
        along = (fold.fy - drop + 0.03) / 0.2
        line = fold.band(fold.fx * side - face.nose_width - 0.035 - 0.09 * along, 0.008, 0.025)
        fold.shade(0.55 * old * line * _smooth(2.5 - 2.5 * np.abs(2 * along - 1)))
        bag = canvas.window(side * face.eye_apart, _CENTRE + 0.09, 0.12, 0.06)
        square = ((bag.fx - side * face.eye_apart) / 0.1) ** 2
        line = bag.band(bag.fy - _CENTRE - 0.10 + 0.035 * square, 0.005, 0.02)
        bag.shade(0.4 * old * line * _smooth(1.5 - 1.5 * square))


def _nose(canvas: _Canvas) -> None:
    wide, drop = canvas.face.nose_width, _CENTRE + canvas.face.nose_length
    nose = canvas.window(0, drop, wide + 0.06, 0.09)
    x, y = np.abs(nose.fx), nose.fy - drop
    nostril = _oval(x - 0.52 * wide, y - 0.008 + 0.2 * x, 0.026, 0.014)
    nose.shade(0.62 * nose.inside(nostril, 0.015))
    wing = _oval(x - 0.68 * wide, y + 0.018, 0.42 * wide, 0.042)
    nose.shade(0.35 * _smooth((x - 0.75 * wide) / 0.03) * nose.band(wing, 0.005, 0.014))


def _beard(canvas: _Canvas, head: _Head) -> None:
    face, dense = canvas.face, canvas.face.bearded
    whiskers = 0.9 * _ramp(face.moustache, 0.62, 0.72) * (face.styling > 0.5)
    if not dense and not whiskers:
        return
    drop = _CENTRE + face.nose_length
    mouth = drop + face.mouth_drop
    x, y = np.abs(canvas.fx), canvas.fy
    grown = face.beard_length * _ramp(dense, 0.6, 1.0) * _smooth((canvas.y - 0.15) / 0.3)
    cheek = mouth - 0.06 - 3.0 * np.maximum(x - 0.13, 0) ** 2 + 0.015 * head.strands
    full = canvas.inside(cheek - y, 0.09) * canvas.inside(head.skin - grown, 0.03)
    full *= canvas.inside(-0.02 - y, 0.10)
    full *= _smooth(12 * _oval(x, y - mouth - 0.01, face.mouth_width + 0.03, 0.075) + 0.5)
    arch = np.abs(y - (drop + mouth) / 2 - 0.02 - 1.1 * x * x)
    lip = canvas.inside(arch - 0.035 + 0.08 * np.maximum(x - 0.1, 0), 0.03)
    lip *= canvas.inside(x - face.mouth_width - 0.02, 0.04)
    cover = np.maximum(full * dense * (0.55 + 0.4 * dense), lip * max(whiskers, 0.9 * dense))
    thick = 0.4 + 0.6 * max(dense, whiskers)
    colour = _mix(face.skin_colour() * 0.5, face.hair_rgb(dyed=False) * 0.8, thick)
    light = 1.0 + 0.35 * face.light_x * canvas.x / face.width + 0.10 * head.strands
    canvas.paint(cover, colour, light - 0.25 * _smooth((canvas.y - 0.4) / 0.3))


def _mouth(canvas: _Canvas) -> None:
    face, middle = canvas.face, _CENTRE + canvas.face.nose_length + canvas.face.mouth_drop
    wide = face.mouth_width + 0.4 * max(face.smile, 0)
    mouth = canvas.window(0, middle, wide + 0.03, 0.12)
    x, y = mouth.fx / wide, mouth.fy - middle
    arc = np.clip(1 - x * x, 0, 1)
    full = face.lip_full * (1.1 - 0.3 * face.styling)
    gap = 0.048 * _ramp(face.teeth, 0.6, 0.85) * _ramp(face.smile, 0.0, 0.03) * arc
    line = face.smile * (0.35 - x * x) + 0.006 * _peak(x, 0, 0.25)
    above, below = line - 0.35 * gap, line + 0.65 * gap  # the edges of the lips where they meet
    top = above - 0.85 * full * np.sqrt(arc) * (1 - 0.28 * _peak(x, 0, 0.16))
    bottom = below + 1.15 * full * arc
    ends = mouth.inside((np.abs(x) - 1) * wide, 0.012)
    made_up = _ramp(face.lip_colour, 0.55, 1.0) * (face.styling < 0.5)
    bare = face.skin_colour() * _colour(0.86, 0.62, 0.6)
    lips = _mix(bare, _blend(_LIPS, face.lip_colour), 0.25 + 0.55 * made_up)
    cover = mouth.inside(top - y, 0.012) * mouth.inside(y - bottom, 0.014) * ends
    mouth.paint(cover, lips, 1 - 0.24 * _smooth((line + 0.01 - y) / 0.02))
    shine = _peak(mouth.fx, 0.03 * face.light_x, 0.06) * _peak(y - below, 0.5 * full, 0.014)
    mouth.rgb += cover * shine * (0.08 + 0.12 * made_up)
    if gap.any():
        inner = mouth.inside(above - y, 0.006) * mouth.inside(y - below, 0.006) * ends
        mouth.paint(inner, _colour(0.32, 0.10, 0.10))
        teeth = mouth.inside(y - above - 0.8 * gap, 0.008) * _smooth((1.05 - np.abs(x)) * 3)
        mouth.paint(inner * teeth, _colour(0.93, 0.90, 0.86))
    mouth.shade(0.6 * ends * mouth.band(y - above, 0.007, 0.01))
    mouth.shade(0.4 * arc * mouth.band(y - bottom - 0.01, 0.008, 0.02))


def _eye(canvas: _Canvas, side: int) -> None:
    face, size, light = canvas.face, canvas.face.eye_size, canvas.face.light_x
    eye = canvas.window(side * face.eye_apart, _CENTRE, 1.5 * size, size)
    x = (eye.fx * side - face.eye_apart) / size  # -1 at the nose, 1 at the temple
    y = eye.fy - _CENTRE + face.eye_tilt * 0.35 * size * x
    arc, opened = np.maximum(1 - x * x, -0.4), face.eye_open * size
    above, below = -1.15 * opened * arc * (1 - 0.12 * x), 0.75 * opened * arc * (1 + 0.15 * x)
    cover = eye.inside(above - y, 0.008) * eye.inside(y - below, 0.008)
    eye.paint(cover, _colour(0.93, 0.91, 0.89), 0.86 + 0.1 * light * side)
    eye.shade(cover * (0.22 * np.abs(x) ** 3 + 0.3 * _smooth((above + 0.035 - y) / 0.035)))

    gaze_x = eye.fx - side * face.eye_apart - face.gaze_x - 0.06 * face.yaw
    gaze_y = y - face.gaze_y + 0.10 * opened
    ball, iris = np.sqrt(gaze_x**2 + gaze_y**2), 0.050
    colour = _blend(_IRIS, face.iris * face.tone)
    eye.paint(cover * eye.inside(ball - iris, 0.006), colour, 0.55)
    glow = _smooth(0.6 + 0.7 * gaze_y / iris)  # light falls through the iris to its lower side
    eye.paint(cover * eye.inside(ball - 0.8 * iris, 0.02) * glow, colour, 1.15)
    eye.paint(cover * eye.inside(ball - 0.42 * iris, 0.008), _colour(0.05, 0.04, 0.04))

    fade = _smooth((1.25 - np.abs(x)) * 4)
    lash = eye.band(y - above, 0.018 - 0.010 * face.styling, 0.008)
    eye.paint(0.9 * fade * lash, _colour(0.10, 0.07, 0.06))
    eye.shade(0.35 * fade * eye.band(y - below - 0.004, 0.004, 0.012))
    crease = eye.band(y - 1.15 * above + 0.028 + 0.01 * face.eye_crease, 0.005, 0.012)
    eye.shade((0.15 + 0.4 * face.eye_crease) * fade * crease)
    spark = np.hypot(gaze_x - 0.018 * math.tanh(9 * light), gaze_y + 0.018) - 0.011
    eye.paint(0.9 * eye.inside(spark, 0.008) * eye.inside(above - y), _grey(1))


def _brow(canvas: _Canvas, side: int) -> None:
    face, height = canvas.face, _CENTRE - canvas.face.brow_height
    brow = canvas.window(side * face.eye_apart, height, 0.17, 0.09)
    x = (brow.fx * side - face.eye_apart - 0.005) / 0.135  # -1 at the nose, 1 at the temple
    middle = height + 0.02 - face.brow_tilt * 0.06 * x - face.brow_arch * (1 - (x - 0.25) ** 2)
    taper = np.sqrt(np.clip(1.05 - 0.5 * x - 0.55 * x**4, 0.02, 1.2))
    thick = face.brow_thick * (0.85 + 0.3 * face.styling) * taper
    cover = brow.band(brow.fy - middle, thick, 0.018) * _smooth((1.1 - np.abs(x)) * 4)
    hair = face.hair_rgb(dyed=False) * 0.75
    brow.paint(0.85 * cover, _mix(hair, face.skin_colour() * 0.4, 0.3))


def _glasses(canvas: _Canvas) -> None:
    face = canvas.face
    rim = _rgb(face.glasses_hue, 0.5, 0.12 + 0.5 * max(0, face.glasses - 0.9))
    wide, high = 0.155, 0.105 + 0.035 * face.glasses_shape
    view = canvas.window(0, _CENTRE, face.width + 0.12, 0.24)
    x, y = np.abs(view.fx), view.fy - _CENTRE - 0.02
    power = 2 + 6 * abs(face.glasses_shape - 0.5)  # 2 is round, 5 nearly square
    lens = np.abs((x - face.eye_apart - 0.01) / wide) ** power + np.abs(y / high) ** power
    lens = (np.maximum(lens, 1e-6) ** (1 / power) - 1) * high
    glass = view.inside(lens)
    tint = 0.10 + 0.5 * _ramp(face.glasses, 0.97, 1.0)
    view.paint(glass * tint, _mix(rim, _grey(0.6), 0.5))
    streak = view.fx - np.sign(view.fx) * face.eye_apart + 0.8 * y
    view.rgb += 0.07 * glass * _peak(streak, -0.06, 0.035)
    frame = view.band(lens, 0.010, 0.008)
    bridge = view.band(y + 0.035 - 1.5 * x * x, 0.009, 0.008)
    bridge *= view.inside(x - face.eye_apart + wide - 0.01)
    arm = view.band(y + 0.04, 0.010, 0.008) * view.inside(np.abs(view.x) - 0.98 * face.width)
    arm *= view.inside(face.eye_apart + wide - x)
    view.paint(0.9 * np.maximum(np.maximum(frame, bridge), arm), rim)


def _front_hair(canvas: _Canvas, head: _Head) -> None:
    face, x, y = canvas.face, canvas.fx, canvas.fy
    fringe = _ramp(face.hair_fringe, 0.62, 0.85) * (not face.baldness)
    if face.covered_ears:  # hair beside the face curls in at the jaw
        wide = 0.90 * face.width - (0.03 + 0.08 * face.hair_fringe) * _peak(y, 0.42, 0.3)
    else:
        wide = np.full_like(y, 0.93 * face.width)
    # The hairline: high in the middle, steep at the temples, uneven where strands end.
    side = x / wide
    edge = np.clip(side * side, 0, 1.5)
    # A receding hairline jumps behind the crown: what is left just before it looks like a patch.
    top = face.hair_line - 0.2 * face.baldness - 0.6 * _ramp(face.baldness, 0.3, 0.4) + 0.2 * fringe
    line = top + (_CENTRE - 0.12 - top) * edge * edge + 0.022 * head.strands
    line += 0.10 * face.hair_part * (1 - face.baldness) * side * (1 - edge)
    line += 0.015 * (fringe + face.curl) * np.sin(16 * x + face.hair_phase)
    receding = 0.05 * _ramp(face.age, 0.3, 0.8) * (face.styling > 0.5)
    line -= receding * _peak(np.abs(side), 0.55, 0.2)
    steep = np.sqrt(1 + (4 * (_CENTRE - 0.12 - top) / wide * side * edge) ** 2)
    bare = np.maximum((line - y) / steep, np.abs(x) - wide)  # signed distance to the open face
    if not face.baldness:
        # Turned away, the temple is narrower than the opening: what shows beyond it is hair.
        bare = np.maximum(bare, head.skin - 2 * np.maximum(y - 0.15, 0))

    cover, shadow = canvas.inside(head.hair, 0.012), canvas.inside(head.skin)
    if face.covered_ears:
        cover = np.maximum(cover, _hair_column(canvas))
    else:
        cover *= canvas.inside(canvas.y - _CENTRE - 0.04 - 0.12 * face.hair_length, 0.14)
        shadow *= cover
    canvas.shade(0.30 * shadow * _smooth(1 + bare / 0.09))
    light = 0.80 + 0.30 * face.light_x * canvas.x / face.width - 0.22 * canvas.y
    ring = head.radius / (head.skull + face.hair_volume)
    light += 0.28 * _peak(ring - 0.02 * head.strands, 0.82, 0.10) * _smooth(-3 * canvas.y)
    light += 0.10 * head.strands - 0.25 * _smooth((ring - 0.9) / 0.2)
    canvas.paint(cover * canvas.inside(-bare, 0.02), face.hair_rgb(), light)


def _paint(face: Face, resolution: int) -> Array:
    """The picture of a face, [3, H, W] in [0, 1]."""
    canvas = _Canvas(face, resolution)
    head = _Head(canvas)
    _background(canvas)
    _back_hair(canvas)
    _body(canvas, head)
    if not face.covered_ears:
        _ears(canvas)
    _skin(canvas, head)
    _marks(canvas)
    _nose(canvas)
    _beard(canvas, head)
    _mouth(canvas)
    for side in (-1, 1):
        _eye(canvas, side)
        _brow(canvas, side)
    if face.glasses > 0.78:
        _glasses(canvas)
    if face.baldness < 0.95:
        _front_hair(canvas, head)
    warm = face.exposure * _colour(1 + 0.05 * face.warmth, 1, 1 - 0.07 * face.warmth)
    return np.clip(canvas.rgb * warm[:, None, None], 0, 1)


def draw(index: int, resolution: int, *, seed: int = 0, channels: int = 3) -> NDArray[np.uint8]:
    """Draw the face of (seed, index), the same one at every resolution.

    Args:
        index: Which face, in [0, 2**64).
        resolution: Height and width in pixels, a power of two from 4 to `MAX_RESOLUTION`.
        seed: Which endless series of faces, in [0, 2**64).
        channels: 3 for RGB, 1 for its luminance.

    Returns:
        The picture, uint8 [resolution, resolution, channels].

    Raises:
        ValueError: If an argument is out of its range.
    """
    if not 4 <= resolution <= MAX_RESOLUTION or resolution & (resolution - 1):
        raise ValueError(
            f"Drawn faces have a resolution that is a power of two from 4 to {MAX_RESOLUTION}, "
            f"not {resolution}."
        )
    if channels not in (1, 3):
        raise ValueError(f"Drawn faces have 1 or 3 channels, not {channels}.")
    for name, value in (("index", index), ("seed", seed)):
        if not 0 <= value < 2**64:
            raise ValueError(
                f"The {name} of a drawn face lies from 0 to 2**64 - 1, not at {value}."
            )
    size = max(resolution, _MIN_CANVAS)
    picture = _paint(Face.random(seed, index), size)
    step = size // resolution
    picture = picture.reshape(3, resolution, step, resolution, step).mean(axis=(2, 4))
    if channels == 1:
        picture = np.tensordot(_LUMA, picture, 1)[None]
    return (picture.transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)
