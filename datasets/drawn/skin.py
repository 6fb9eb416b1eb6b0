"""Skin: the lit relief of the head, its ears, freckles and lines of age."""

import math

import numpy as np

from datasets.drawn.canvas import CENTRE, CROWN, SHADOW, Canvas, oval, smooth
from datasets.drawn.colour import ramp, rgb
from datasets.drawn.head import Head
from datasets.drawn.traits import Face


def _ear(canvas: Canvas, side: int, head: Head | None = None) -> None:
    """An ear, and with `head` only what turning has brought forward of it, over the head."""
    face = canvas.face
    near = max(0.0, -side * face.yaw)
    middle = side * (face.width + 0.012 - 0.14 * near - 0.16 * max(0.0, side * face.yaw))
    ear = canvas.window(middle, 0.0, 0.3, 0.2)
    # Ears lean outwards at the top.
    x, high = ear.x - middle + 0.16 * side * ear.y, 0.135 * face.ear
    shape = oval(x, ear.y, 0.062 + 0.03 * near, high)
    hollow = oval(x - 0.04 * side * near, ear.y, 0.035, 0.55 * high)
    light = 1 + 0.2 * side * face.light_x * abs(face.yaw)
    cover = ear.inside(shape, 0.01)
    if head is not None:
        shown = ear.inside(-0.22 * near - head.skin[ear.area], 0.02) * min(1.0, 10 * near)
        ear.shade(0.35 * shown * ear.band(shape, 0.006, 0.02))
        cover = cover * shown
    ear.paint(cover, face.skin_colour() * rgb(0.97, 0.88, 0.86), light)
    ear.shade(cover * ear.inside(hollow, 0.04) * (0.28 - 0.1 * side * face.light_x))


def paint_ears(canvas: Canvas) -> None:
    """Both ears, behind the head."""
    for side in (-1, 1):
        _ear(canvas, side)


def paint_turned_ear(canvas: Canvas, head: Head) -> None:
    """The ear on the side the face turns from, which comes to stand before the head."""
    _ear(canvas, -1 if canvas.face.yaw > 0 else 1, head)


def _relief(face: Face) -> list[tuple[float, ...]]:
    """Soft spots of light and shadow (x, y, width, height, strength) on the skin."""
    light, nose, drop = face.light_x, face.nose_width, CENTRE + face.nose_length
    mouth, lean, turn = drop + face.mouth_drop, face.lean, min(1.0, 3 * abs(face.yaw))
    relief: list[tuple[float, ...]] = [
        (0.0, -0.36, 0.24, 0.12, 0.10), (0.0, CENTRE - 0.06, 0.05, 0.05, -0.05),
        (0.4 * lean, 0.0, 0.03, 0.14, 0.18), (lean, drop - 0.035, 0.04, 0.035, 0.20),
        (0.9 * lean, drop + 0.05, nose, 0.03, -0.26),
        (0.4 * lean, mouth - 0.07, 0.014, 0.03, -0.10),
        (0.3 * lean, mouth + 0.105, 0.10, 0.03, -0.24),
        (0.3 * lean, mouth + 0.18, 0.09, 0.05, 0.10),
    ]  # fmt: skip
    for side in (-1, 1):
        toward, apart = 0.16 * light * side, side * face.eye_apart
        # Of the flanks of the nose, turning narrows and darkens the one, and widens the other.
        away = math.copysign(turn, side * face.yaw)
        flank = side * (1 - 0.35 * away)
        relief += [
            (apart, CENTRE - 0.045, 0.12, 0.06, -0.26),
            (apart, CENTRE + 0.095, 0.09, 0.035, -0.10 - 0.14 * face.age**2),
            (0.2 * lean + side * 0.095, CENTRE, 0.045, 0.07, -0.24 + toward - 0.05 * away),
            (0.7 * lean + flank * 0.068, drop - 0.09, 0.03, 0.09, -0.22 + 1.3 * toward),
            (0.9 * lean + flank * nose, drop - 0.02, 0.028, 0.032, 0.02 + toward),
            (0.7 * lean + flank * (nose + 0.035), drop, 0.022, 0.04, -0.16 + toward - 0.1 * away),
            (side * 0.27, 0.06, 0.10, 0.08, 0.10 + 2 * face.cheek),
            (side * 0.33, 0.26, 0.08, 0.13, -0.12 + 2 * face.cheek),
            (0.3 * lean + side * (face.mouth_width + 0.015), mouth, 0.025, 0.03, -0.14),
        ]
    return relief


def paint_skin(canvas: Canvas, head: Head) -> None:
    """The head as a ball in the light, with the soft relief of its features."""
    face, light, lean = canvas.face, canvas.face.light_x, canvas.face.lean
    drop = CENTRE + face.nose_length
    lit = 0.95 * light * canvas.x / face.width + face.light_y * (canvas.y - CENTRE) / CROWN
    lit += 0.9 * np.sqrt(np.maximum(1 - 0.9 * (head.radius / head.skull) ** 2, 0.02))
    # The sides of a face are flat, and turning brings one of them into view.
    flat = smooth((np.abs(canvas.fx) - 0.28) / 0.22)
    lit += flat * (0.3 * light * np.sign(canvas.fx) - 0.16) * min(1.0, 3 * abs(face.yaw))
    dark = np.clip(0.62 * face.contrast * (0.98 - lit - canvas.blobs(_relief(face))), -0.14, 0.8)
    cover = canvas.inside(head.skin, 0.012)
    canvas.paint(cover, face.skin_colour(), 1 - dark * SHADOW)
    glow = 0.04 + 0.16 * face.flush
    blush = [
        (lean, drop - 0.03, 0.07, 0.05, 0.7 * glow),
        (0.0, drop + face.mouth_drop + 0.2, 0.1, 0.06, 0.3 * glow),
    ]
    shine = [
        (0.12 * light, -0.33, 0.10, 0.06, 0.09),
        (lean + 0.015 * light, drop - 0.045, 0.02, 0.02, 0.2),
    ]
    for side in (-1, 1):
        blush.append((side * 0.27, 0.10, 0.13, 0.10, glow))
        shine.append((side * 0.26 + 0.03 * light, 0.03, 0.06, 0.035, 0.05 + 0.06 * light * side))
    canvas.shade(cover * canvas.blobs(blush), rgb(-0.05, 0.75, 0.6)[:, None, None])
    canvas.rgb += cover * canvas.blobs(shine) * rgb(1, 0.95, 0.88)[:, None, None]


def paint_marks(canvas: Canvas) -> None:
    """Freckles and the lines of age."""
    face, drop = canvas.face, CENTRE + canvas.face.nose_length
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
        canvas.shade(canvas.blobs(spots), rgb(0.7, 1.0, 1.1)[:, None, None])
    old = ramp(face.age, 0.45, 1.0)
    if not old:
        return
    brow = canvas.window(0, -0.37, 0.36, 0.12)
    for height in (-0.42, -0.37, -0.32):
        line = brow.band(brow.fy - height - 0.25 * brow.fx**2, 0.005, 0.02)
        brow.shade(0.45 * old * line * smooth(1.3 - np.abs(brow.fx) / 0.2))
    for side in (-1, 1):
        fold = canvas.window(side * 0.18, drop + 0.08, 0.12, 0.16)
        along = (fold.fy - drop + 0.03) / 0.2
        x = (fold.fx - 0.4 * face.lean) * side - face.nose_width - 0.035
        line = fold.band(x - 0.09 * along, 0.008, 0.025)
        fold.shade(0.55 * old * line * smooth(2.5 - 2.5 * np.abs(2 * along - 1)))
        bag = canvas.window(side * face.eye_apart, CENTRE + 0.09, 0.12, 0.06)
        square = ((bag.fx - side * face.eye_apart) / 0.1) ** 2
        line = bag.band(bag.fy - CENTRE - 0.10 + 0.035 * square, 0.005, 0.02)
        bag.shade(0.4 * old * line * smooth(1.5 - 1.5 * square))
