"""The layers of a picture, from back to front."""

import numpy as np

from datasets.drawn.canvas import Canvas
from datasets.drawn.colour import Array, rgb
from datasets.drawn.features import paint_brow, paint_eye, paint_mouth, paint_nose
from datasets.drawn.hair import paint_back_hair, paint_beard, paint_front_hair
from datasets.drawn.head import Head
from datasets.drawn.skin import paint_ears, paint_marks, paint_skin, paint_turned_ear
from datasets.drawn.surroundings import paint_background, paint_body, paint_glasses
from datasets.drawn.traits import Face


def paint(face: Face, resolution: int) -> Array:
    """The picture of a face, [3, H, W] in [0, 1]."""
    canvas = Canvas(face, resolution)
    head = Head(canvas)
    paint_background(canvas)
    paint_back_hair(canvas, head)
    paint_body(canvas, head)
    if not face.covered_ears:
        paint_ears(canvas)
    paint_skin(canvas, head)
    if face.yaw and not face.covered_ears:
        paint_turned_ear(canvas, head)
    paint_marks(canvas)
    paint_nose(canvas)
    paint_beard(canvas, head)
    paint_mouth(canvas)
    for side in (-1, 1):
        paint_eye(canvas, side)
        paint_brow(canvas, side)
    if face.bespectacled:
        paint_glasses(canvas)
    if face.baldness < 0.95:
        paint_front_hair(canvas, head)
    warm = face.exposure * rgb(1 + 0.05 * face.warmth, 1, 1 - 0.07 * face.warmth)
    return np.clip(canvas.rgb * warm[:, None, None], 0, 1)
