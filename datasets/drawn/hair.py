"""Hair behind and in front of the face, and the beard."""

import numpy as np

from datasets.drawn.canvas import CENTRE, Canvas, oval, peak, smooth
from datasets.drawn.colour import Array, mix, ramp
from datasets.drawn.head import Head


def _hair_column(canvas: Canvas, head: Head) -> Array:
    """Coverage of the hair that hangs beside the face and behind the neck."""
    face, y = canvas.face, canvas.y
    # It hangs from the back of the head, which turns the other way.
    away = np.abs(canvas.x + 0.14 * face.yaw * smooth((y - CENTRE) / 0.4))
    end = -0.25 + 1.5 * face.long_hair
    wide = 0.12 * np.sin(np.clip(2.6 * (y - CENTRE), 0, 2.2))
    wide += face.width + 0.6 * face.hair_volume
    swing = np.sin(11 * y + 2 * np.sign(canvas.x) + face.hair_phase)
    wide += (0.025 * face.hair_wave + 0.02 * face.curl) * swing
    wide += (0.012 + 0.02 * face.hair_rough) * head.strands
    wide -= 1.2 * np.maximum(y - end + 0.3, 0) ** 2
    tips = (0.03 + 0.05 * face.hair_rough) * head.strands + 0.02 * head.fibres
    ends = canvas.inside(y - end - 0.25 * away - tips, 0.035) * canvas.inside(CENTRE - y)
    return ends * canvas.inside(away - wide, 0.02)


def paint_back_hair(canvas: Canvas, head: Head) -> None:
    """What is seen of the hair behind the head: a bun, and long hair."""
    face = canvas.face
    if face.hair_bun > 0.8 and face.styling < 0.6 and not face.baldness:
        bun = canvas.window(0.15 * face.hair_part, -0.86, 0.25, 0.25)
        ball = oval(bun.x - 0.15 * face.hair_part, bun.y + 0.86, 0.17, 0.17)
        bun.paint(bun.inside(ball, 0.02), face.hair_rgb(), 0.7 - 1.5 * (bun.y + 0.86))
    if face.covered_ears:
        light = 0.55 + 0.12 * head.strands + 0.08 * head.fibres
        canvas.paint(_hair_column(canvas, head), face.hair_rgb(), light)


def paint_beard(canvas: Canvas, head: Head) -> None:
    """Beard and moustache, from stubble to full."""
    face, dense = canvas.face, canvas.face.bearded
    whiskers = 0.9 * ramp(face.moustache, 0.62, 0.72) * (face.styling > 0.5)
    if not dense and not whiskers:
        return
    drop = CENTRE + face.nose_length
    mouth = drop + face.mouth_drop
    x, y = np.abs(canvas.fx - 0.3 * face.lean), canvas.fy
    grown = face.beard_length * ramp(dense, 0.6, 1.0) * smooth((canvas.y - 0.15) / 0.3)
    cheek = mouth - 0.06 - 3.0 * np.maximum(x - 0.13, 0) ** 2 + 0.015 * head.strands
    full = canvas.inside(cheek - y, 0.09) * canvas.inside(head.skin - grown, 0.03)
    full *= canvas.inside(-0.02 - y, 0.10)
    full *= smooth(12 * oval(x, y - mouth - 0.01, face.mouth_width + 0.03, 0.075) + 0.5)
    arch = np.abs(y - (drop + mouth) / 2 - 0.02 - 1.1 * x * x)
    lip = canvas.inside(arch - 0.035 + 0.08 * np.maximum(x - 0.1, 0), 0.03)
    lip *= canvas.inside(x - face.mouth_width - 0.02, 0.04)
    cover = np.maximum(full * dense * (0.55 + 0.4 * dense), lip * max(whiskers, 0.9 * dense))
    thick = 0.4 + 0.6 * max(dense, whiskers)
    colour = mix(face.skin_colour() * 0.5, face.hair_rgb(dyed=False) * 0.8, thick)
    light = 1.0 + 0.35 * face.light_x * canvas.x / face.width
    light += 0.10 * head.strands + 0.10 * head.fibres
    canvas.paint(cover, colour, light - 0.25 * smooth((canvas.y - 0.4) / 0.3))


def _bare(canvas: Canvas, head: Head) -> Array:
    """The signed distance to the opening in the hair out of which the face looks."""
    face, x, y = canvas.face, canvas.fx, canvas.fy
    fringe = ramp(face.hair_fringe, 0.62, 0.85) * (not face.baldness) * (1 - face.cropped)
    if face.covered_ears:  # hair beside the face curls in at the jaw
        wide = 0.90 * face.width - (0.03 + 0.08 * face.hair_fringe) * peak(y, 0.42, 0.3)
        wide -= 0.02 * face.hair_wave * np.sin(11 * y + face.hair_phase)
    else:
        wide = np.full_like(y, 0.93 * face.width)
    # The hairline: high in the middle, steep at the temples, uneven where strands end.
    side = x / wide
    edge = np.clip(side * side, 0, 1.5)
    # A receding hairline jumps behind the crown: what is left just before it looks like a patch.
    top = face.hair_line - 0.2 * face.baldness - 0.6 * ramp(face.baldness, 0.3, 0.4) + 0.2 * fringe
    line = top + (CENTRE - 0.12 - top) * edge * edge
    loose = 1 - 0.8 * face.cropped
    line += loose * (0.012 + 0.02 * fringe + 0.015 * face.hair_rough) * head.strands
    line += loose * (0.006 + 0.015 * fringe) * head.fibres
    line += 0.15 * loose * face.hair_part * (1 - face.baldness) * side * (1 - edge)
    line += 0.015 * (fringe + face.curl) * np.sin(16 * x + face.hair_phase)
    receding = 0.05 * ramp(face.age, 0.3, 0.8) * (face.styling > 0.5)
    line -= receding * peak(np.abs(side), 0.55, 0.2)
    if face.parted:  # hair falls to both sides of the parting and bares a corner
        line -= 0.07 * face.parted * peak(x, 0.3 * face.hair_part, 0.07)
    steep = np.sqrt(1 + (4 * (CENTRE - 0.12 - top) / wide * side * edge) ** 2)
    bare: Array = np.maximum((line - y) / steep, np.abs(x) - wide)
    if not face.baldness:
        # Turned away, the temple is narrower than the opening: what shows beyond it is hair.
        bare = np.maximum(bare, head.skin - 2 * np.maximum(y - 0.15, 0))
    return bare


def _hair_light(canvas: Canvas, head: Head) -> Array:
    """How light the hair is: a ball with a ring of gloss, and the strands in it."""
    face = canvas.face
    light = 0.80 + 0.30 * face.light_x * np.tanh(canvas.x / face.width) - 0.22 * canvas.y
    ring = head.radius / (head.skull + face.hair_volume)
    sheen = ring - 0.05 * head.strands - 0.03 * head.fibres
    gloss = (0.30 - 0.18 * face.curl) * (1 - face.cropped)
    light += gloss * peak(sheen, 0.82, 0.10) * smooth(-3 * canvas.y)
    light = np.maximum(light - 0.25 * smooth((ring - 0.9) / 0.2), 0.3)
    return light * (1 + (0.18 * head.strands + 0.15 * head.fibres) * (1 - 0.6 * face.cropped))


def paint_front_hair(canvas: Canvas, head: Head) -> None:
    """The hair over the skull, open where the face looks out, with its shadow."""
    face, bare, light = canvas.face, _bare(canvas, head), _hair_light(canvas, head)
    fray = (0.004 + 0.008 * face.hair_rough) * head.fibres * (1 - face.cropped)
    cover, shadow = canvas.inside(head.hair - fray, 0.012), canvas.inside(head.skin)
    if face.covered_ears:
        cover = np.maximum(cover, _hair_column(canvas, head))
    else:
        burns = canvas.y - CENTRE - 0.04 - 0.12 * face.hair_length - 0.02 * head.strands
        cover *= canvas.inside(burns, 0.08 + 0.1 * face.cropped)
        if face.baldness:  # a wreath is left
            level = -1.3 + 1.0 * ramp(face.baldness, 0.3, 0.4)
            cover *= canvas.inside(level - canvas.y - 0.03 * head.strands, 0.15)
        shadow *= cover
    canvas.shade(0.30 * shadow * smooth(1 + bare / 0.09) * (1 - 0.7 * face.cropped))
    cover *= canvas.inside(-bare, 0.02 + 0.03 * face.cropped)
    canvas.paint(cover * (1 - 0.3 * face.cropped), face.hair_rgb(), light)
    if face.parted:
        crease = canvas.band(canvas.fx - 0.3 * face.hair_part, 0.006, 0.012)
        crease *= face.parted * smooth((-0.55 - canvas.fy) / 0.1 + 1) * smooth(-head.skin / 0.05)
        canvas.shade(0.35 * crease * cover * smooth((canvas.fy + 0.85) / 0.1))
