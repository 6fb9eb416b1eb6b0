"""Nose, mouth, eyes and brows."""

import math

import numpy as np

from datasets.drawn.canvas import CENTRE, Canvas, oval, peak, smooth
from datasets.drawn.colour import blend, grey, mix, ramp, rgb

_IRIS = ((58, 36, 24), (98, 62, 34), (120, 104, 60), (92, 124, 92), (94, 130, 160), (128, 160, 190))
_LIPS = ((214, 118, 110), (190, 84, 86), (170, 40, 56), (150, 70, 90))


def paint_nose(canvas: Canvas) -> None:
    """Nostrils and wings, and the ridge of a turned nose; the rest is the relief of the skin."""
    face, drop = canvas.face, CENTRE + canvas.face.nose_length
    nose = canvas.window(0.9 * face.lean, drop, face.nose_width + 0.06, 0.09)
    # The tip hides part of the wing behind it.
    x, y = nose.fx - 0.9 * face.lean, nose.fy - drop
    x, wide = np.abs(x) + 0.5 * face.yaw * x, face.nose_width
    nostril = oval(x - 0.52 * wide, y - 0.008 + 0.2 * x, 0.026, 0.014)
    nose.shade(0.62 * nose.inside(nostril, 0.015))
    wing = oval(x - 0.68 * wide, y + 0.018, 0.42 * wide, 0.042)
    nose.shade(0.35 * smooth((x - 0.75 * wide) / 0.03) * nose.band(wing, 0.005, 0.014))
    turn, side = min(1.0, 3 * abs(face.yaw)), 1 if face.yaw > 0 else -1
    ridge = canvas.window(0.6 * face.lean, drop - 0.12, 0.14, 0.2)
    along = (ridge.fy - CENTRE) / face.nose_length
    x = (ridge.fx - face.lean * along) * side - 0.03 - 0.035 * along * along
    fade = smooth(3.0 - 3 * along) * smooth(3 * along + 0.4)
    ridge.shade(0.3 * turn * fade * smooth(1 - x / 0.06) * ridge.inside(-x, 0.012))


def paint_mouth(canvas: Canvas) -> None:
    """Lips, and teeth where a smile opens them."""
    face, middle = canvas.face, CENTRE + canvas.face.nose_length + canvas.face.mouth_drop
    wide = face.mouth_width + 0.4 * max(face.smile, 0)
    mouth = canvas.window(0.3 * face.lean, middle, wide + 0.03, 0.12)
    x, y = (mouth.fx - 0.3 * face.lean) / wide, mouth.fy - middle
    arc = np.clip(1 - x * x, 0, 1)
    full = face.lip_full * (1.1 - 0.3 * face.styling)
    gap = 0.048 * ramp(face.teeth, 0.6, 0.85) * ramp(face.smile, 0.0, 0.03) * arc
    line = face.smile * (0.35 - x * x) + 0.006 * peak(x, 0, 0.25)
    above, below = line - 0.35 * gap, line + 0.65 * gap  # the edges of the lips where they meet
    top = above - 0.85 * full * np.sqrt(arc) * (1 - 0.28 * peak(x, 0, 0.16))
    bottom = below + 1.15 * full * arc
    ends = mouth.inside((np.abs(x) - 1) * wide, 0.012)
    made_up = ramp(face.lip_colour, 0.55, 1.0) * (face.styling < 0.5)
    bare = face.skin_colour() * rgb(0.86, 0.62, 0.6)
    lips = mix(bare, blend(_LIPS, face.lip_colour), 0.25 + 0.55 * made_up)
    cover = mouth.inside(top - y, 0.012) * mouth.inside(y - bottom, 0.014) * ends
    mouth.paint(cover, lips, 1 - 0.24 * smooth((line + 0.01 - y) / 0.02))
    shine = peak(wide * x, 0.03 * face.light_x, 0.06) * peak(y - below, 0.5 * full, 0.014)
    mouth.rgb += cover * shine * (0.08 + 0.12 * made_up)
    if gap.any():
        inner = mouth.inside(above - y, 0.006) * mouth.inside(y - below, 0.006) * ends
        mouth.paint(inner, rgb(0.32, 0.10, 0.10))
        teeth = mouth.inside(y - above - 0.8 * gap, 0.008) * smooth((1.05 - np.abs(x)) * 3)
        mouth.paint(inner * teeth, rgb(0.93, 0.90, 0.86))
    mouth.shade(0.6 * ends * mouth.band(y - above, 0.007, 0.01))
    mouth.shade(0.4 * arc * mouth.band(y - bottom - 0.01, 0.008, 0.02))


def paint_eye(canvas: Canvas, side: int) -> None:
    """One eye: `side` is -1 to the left of the picture, 1 to the right."""
    face, size, light = canvas.face, canvas.face.eye_size, canvas.face.light_x
    eye = canvas.window(side * face.eye_apart, CENTRE, 1.5 * size, size)
    x = (eye.fx * side - face.eye_apart) / size  # -1 at the nose, 1 at the temple
    y = eye.fy - CENTRE + face.eye_tilt * 0.35 * size * x
    arc, opened = np.maximum(1 - x * x, -0.4), face.eye_open * size
    above, below = -1.15 * opened * arc * (1 - 0.12 * x), 0.75 * opened * arc * (1 + 0.15 * x)
    cover = eye.inside(above - y, 0.008) * eye.inside(y - below, 0.008)
    eye.paint(cover, rgb(0.93, 0.91, 0.89), 0.86 + 0.1 * light * side)
    eye.shade(cover * (0.22 * np.abs(x) ** 3 + 0.3 * smooth((above + 0.035 - y) / 0.035)))

    gaze_x = eye.fx - side * face.eye_apart - face.gaze_x - 0.06 * face.yaw
    gaze_y = y - face.gaze_y + 0.10 * opened
    ball, iris = np.sqrt(gaze_x**2 + gaze_y**2), 0.050
    colour = blend(_IRIS, face.iris * face.tone)
    eye.paint(cover * eye.inside(ball - iris, 0.006), colour, 0.55)
    glow = smooth(0.6 + 0.7 * gaze_y / iris)  # light falls through the iris to its lower side
    eye.paint(cover * eye.inside(ball - 0.8 * iris, 0.02) * glow, colour, 1.15)
    eye.paint(cover * eye.inside(ball - 0.42 * iris, 0.008), rgb(0.05, 0.04, 0.04))

    fade = smooth((1.25 - np.abs(x)) * 4)
    lash = eye.band(y - above, 0.018 - 0.010 * face.styling, 0.008)
    eye.paint(0.9 * fade * lash, rgb(0.10, 0.07, 0.06))
    eye.shade(0.35 * fade * eye.band(y - below - 0.004, 0.004, 0.012))
    crease = eye.band(y - 1.15 * above + 0.028 + 0.01 * face.eye_crease, 0.005, 0.012)
    eye.shade((0.15 + 0.4 * face.eye_crease) * fade * crease)
    # A glint smaller than a pixel is drawn wider and fainter.
    wide = math.hypot(0.013, 0.4 * canvas.pixel)
    square = (gaze_x - 0.018 * math.tanh(9 * light)) ** 2 + (gaze_y + 0.018) ** 2
    spark = (0.013 / wide) ** 2 * np.exp(-square / wide**2)
    eye.paint(spark * eye.inside(above - y), grey(1))


def paint_brow(canvas: Canvas, side: int) -> None:
    """One eyebrow: `side` is -1 to the left of the picture, 1 to the right."""
    face, height = canvas.face, CENTRE - canvas.face.brow_height
    brow = canvas.window(side * face.eye_apart, height, 0.17, 0.09)
    x = (brow.fx * side - face.eye_apart - 0.005) / 0.135  # -1 at the nose, 1 at the temple
    middle = height + 0.02 - face.brow_tilt * 0.06 * x - face.brow_arch * (1 - (x - 0.25) ** 2)
    taper = np.sqrt(np.clip(1.05 - 0.5 * x - 0.55 * x**4, 0.02, 1.2))
    thick = face.brow_thick * (0.85 + 0.3 * face.styling) * taper
    cover = brow.band(brow.fy - middle, thick, 0.018) * smooth((1.1 - np.abs(x)) * 4)
    hair = face.hair_rgb(dyed=False) * 0.75
    brow.paint(0.85 * cover, mix(hair, face.skin_colour() * 0.4, 0.3))
