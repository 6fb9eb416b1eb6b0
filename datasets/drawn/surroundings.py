"""What stands around the face: background, neck and clothes, glasses."""

import numpy as np

from datasets.drawn.canvas import CENTRE, SHADOW, Canvas, peak, smooth
from datasets.drawn.colour import grey, hsv, mix, ramp
from datasets.drawn.head import Head


def paint_background(canvas: Canvas) -> None:
    """Fill the picture with a gradient that darkens towards the corners."""
    face, u, v = canvas.face, canvas.u, canvas.v
    near = hsv(face.back_hue, face.back_colour, face.back_depth)
    far = hsv(face.back_hue + face.back_turn, face.back_colour, face.back_depth * 0.55)
    share = np.clip(0.5 + 0.35 * face.back_slope * u + 0.35 * v, 0, 1)
    canvas.rgb[:] = mix(near[:, None, None], far[:, None, None], share)
    canvas.rgb *= 1.05 - 0.12 * (u * u + v * v)


def paint_body(canvas: Canvas, head: Head) -> None:
    """Neck and clothes, which do not follow the tilt of the head."""
    face, style = canvas.face, canvas.face.neckline
    x, y = canvas.u - 0.7 * face.shift_x, canvas.v - face.shift_y
    away = np.abs(x)
    half = 0.27 + 0.05 * (face.styling - 0.5) + 0.025 * face.neck
    neck = away - half - 0.9 * np.maximum(y - 0.60, 0) ** 2
    shading = 0.10 - 0.45 * face.light_x * x + 0.22 * (away / half) ** 2
    shadow = smooth(1 - head.skin / 0.30)  # the head keeps the light from the neck
    dark = np.clip(shading + 0.42 * shadow, 0, 0.7)
    cover = canvas.inside(neck, 0.01) * canvas.inside(0.2 - y)
    canvas.paint(cover, face.skin_colour(), 1 - dark * SHADOW)

    cloth = hsv(face.clothes_hue, 0.55 - 0.28 * face.clothes_depth, face.clothes_depth)
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
    fold = 0.25 * np.clip(shading, -0.3, 0.8) + 0.25 * smooth(1 - head.skin / 0.22)
    canvas.paint(shoulders * canvas.inside(-opening, 0.012), cloth, 1.05 - fold)
    if 0.6 < style < 0.85:
        tied = face.tie > 0.55 and face.styling > 0.4
        collar = canvas.inside(opening - 0.12, 0.015) * shoulders
        if not tied:
            collar *= canvas.inside(-opening, 0.012)
        canvas.paint(collar, mix(cloth, grey(0.95), 0.7), 1.02 - fold)
        if tied:
            tie = canvas.inside(away - 0.045 - 0.15 * np.abs(y - 0.86), 0.015)
            canvas.paint(tie * canvas.inside(0.76 - y), hsv(7 * face.tie, 0.7, 0.5), 1.1 - fold)


def paint_glasses(canvas: Canvas) -> None:
    """Lenses, and the frame around them."""
    face = canvas.face
    rim = hsv(face.glasses_hue, 0.5, 0.12 + 0.5 * max(0, face.glasses - 0.9))
    wide, high = 0.155, 0.105 + 0.035 * face.glasses_shape
    view = canvas.window(0, CENTRE, face.width + 0.12, 0.24)
    x, y = np.abs(view.fx), view.fy - CENTRE - 0.02
    power = 2 + 6 * abs(face.glasses_shape - 0.5)  # 2 is round, 5 nearly square
    lens = np.abs((x - face.eye_apart - 0.01) / wide) ** power + np.abs(y / high) ** power
    lens = (np.maximum(lens, 1e-6) ** (1 / power) - 1) * high
    glass = view.inside(lens)
    tint = 0.10 + 0.5 * ramp(face.glasses, 0.97, 1.0)
    view.paint(glass * tint, mix(rim, grey(0.6), 0.5))
    streak = view.fx - np.sign(view.fx) * face.eye_apart + 0.8 * y
    view.rgb += 0.07 * glass * peak(streak, -0.06, 0.035)
    frame = view.band(lens, 0.010, 0.008)
    bridge = view.band(y + 0.035 - 1.5 * x * x, 0.009, 0.008)
    bridge *= view.inside(x - face.eye_apart + wide - 0.01)
    arm = view.band(y + 0.04, 0.010, 0.008) * view.inside(np.abs(view.x) - 0.98 * face.width)
    arm *= view.inside(face.eye_apart + wide - x)
    view.paint(0.9 * np.maximum(np.maximum(frame, bridge), arm), rim)
