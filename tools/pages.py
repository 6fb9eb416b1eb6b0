"""Reports as one HTML file that needs nothing else: no script, no address, no font."""

import base64
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from datasets import pictures

_STYLE = """
:root { color-scheme: light dark; --generated: #c2571a; --held-out: #3b78b5; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
p, li { max-width: 46rem; }
.verdict { font-size: 1.2rem; border-left: .3rem solid var(--held-out); padding-left: 1rem; }
.key { display: inline-block; width: 1em; height: 1em; vertical-align: -.12em; }
.key.generated { background: var(--generated); } .key.held-out { background: var(--held-out); }
.plot { position: relative; padding: 1.6rem 0; font-size: .85rem; }
.plot svg { display: block; width: 100%; height: 13rem; }
.plot .generated { fill: var(--generated); } .plot .held-out { fill: var(--held-out); }
.plot span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.plot .tick { bottom: 0; } .plot .mark { top: 0; }
.plot .left { transform: none; } .plot .right { transform: translateX(-100%); }
line { stroke: currentColor; vector-effect: non-scaling-stroke; }
table { border-collapse: collapse; }
th, td { padding: .25rem min(.8rem, 1.5vw); text-align: right; white-space: nowrap; }
th:first-child { text-align: left; } tr + tr { border-top: 1px solid #8886; }
.scroll { overflow-x: auto; } summary { cursor: pointer; padding: .8rem 0; }
.row { display: flex; flex-wrap: wrap; gap: .6rem; padding: .8rem 0; border-top: 1px solid #8886;
  break-inside: avoid; }
figure { margin: 0; width: min(8.5rem, 29vw); } figure:first-child { margin-right: 1.2rem; }
figure img { width: 100%; image-rendering: pixelated; display: block; }
figcaption { font-size: .8rem; line-height: 1.3; padding-top: .2rem; overflow-wrap: anywhere; }
@media (max-width: 30rem) { figure:first-child { margin-right: 0; } }
"""
# Nothing may be loaded, and nothing may run, whatever a file's name says.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
# Rows that are seen at once, so that the yardstick is not far below what is measured by it.
_OPEN_ROWS = 10
# Pictures of more pixels a side would make a heavy page without loss.
_LARGEST_LOSSLESS = 64
_BINS = 40


@dataclass(frozen=True, kw_only=True)
class Section:
    """Images of one kind with their neighbours, the nearest first.

    Attributes:
        title: "generated" or "held-out".
        entries: as in report.json.
        pictures: for each, the image and its neighbours, uint8 [N, 1 + K, H, W, C].
        total: how many images of this kind there are in all.
    """

    title: str
    entries: list[dict[str, Any]]
    pictures: np.ndarray
    total: int


def neighbours_page(
    numbers: dict[str, Any],
    sections: list[Section],
    generated: np.ndarray,
    held_out: np.ndarray | None,
) -> str:
    """Write the page of a nearest-neighbour report.

    Args:
        numbers: the report's summary.
        sections: what to show.
        generated: distances of generated images to their nearest training image.
        held_out: the same for held-out photographs, if there are any.

    Returns:
        HTML.
    """
    size = numbers["resolution"]
    parts = [
        "<h1>Does the generator copy its training photographs?</h1>",
        f'<p class="verdict">{escape(numbers["sentence"])}</p>',
        f"<p>{numbers['images']} generated images were compared with all "
        f"{numbers['training_images']} training photographs and their mirror images, pixel by "
        f"pixel at {size}×{size}. A distance is the root mean square difference in grey levels "
        "(0 to 255).</p>",
        "<h2>Distance to the nearest training photograph</h2>",
        _histogram(generated, held_out),
        _table(numbers),
    ]
    if held_out is not None:
        parts.append(_HOW_TO_READ)
    parts += [_section(section) for section in sections]
    parts.append(_LIMITS)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>Nearest training photographs</title><style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


_HOW_TO_READ = (
    "<p>Held-out photographs were never trained on: their distances are those of new faces.</p><ul>"
    "<li>Generated images far to the left of them: the generator copies, or its images are so "
    "blurred and alike that they lie near many photographs. The pairs below tell which.</li>"
    "<li>About where they are: its images are as new as new photographs.</li>"
    "<li>Far to the right: its images do not look like the photographs yet.</li></ul>"
)
_LIMITS = (
    "<h2>What this cannot see</h2><p>Pixels change with a shift, a crop or another light: a copy "
    "that was moved or recoloured can seem far. And a few near pairs among thousands are to be "
    "expected by chance.</p>"
)


def _section(section: Section) -> str:
    kind = "images" if section.title == "generated" else "photographs"
    rows = [
        _row(section.title, entry, row)
        for entry, row in zip(section.entries, section.pictures, strict=True)
    ]
    text = (
        f"<section><h2>{escape(section.title.capitalize())} {kind}, the nearest first</h2>"
        f"<p>{len(rows)} of {section.total}, each in front of its nearest training photographs, "
        "with their distances.</p>" + "".join(rows[:_OPEN_ROWS])
    )
    if len(rows) > _OPEN_ROWS:
        hidden = "".join(rows[_OPEN_ROWS:])
        text += f"<details><summary>{len(rows) - _OPEN_ROWS} more</summary>{hidden}</details>"
    return text + "</section>"


def _row(title: str, entry: dict[str, Any], row: np.ndarray) -> str:
    place = entry["place"]
    caption = escape(entry["name"])
    if place is not None and title == "generated":
        caption += f"<br>nearer than {1 - place:.0%} of held-out photographs"
    figures = [_figure(row[0], f"{title} image {entry['name']}", caption)]
    for near, image in zip(entry["nearest"], row[1:], strict=True):
        mirrored = " (mirrored)" if near["mirrored"] else ""
        figures.append(
            _figure(
                image,
                f"training photograph {near['source']}",
                f"<b>{near['distance']:.1f}</b> {escape(near['source'])}{mirrored}",
            )
        )
    return f'<div class="row">{"".join(figures)}</div>'


def _figure(image: np.ndarray, alternative: str, caption: str) -> str:
    format_name: pictures.Format = "png" if len(image) <= _LARGEST_LOSSLESS else "jpeg"
    data = base64.b64encode(pictures.encode(image, format_name, quality=90)).decode()
    return (
        f'<figure><img alt="{escape(alternative)}" src="data:image/{format_name};base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _table(numbers: dict[str, Any]) -> str:
    rows = [("generated", numbers["generated"]), ("held-out", numbers["held_out"])]
    present = [(name, values) for name, values in rows if values is not None]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in numbers["generated"])
    body = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(f"<td>{value:.1f}</td>" for value in values.values())
        + "</tr>"
        for name, values in present
    )
    return (
        '<div class="scroll"><table><thead><tr><th scope="col">distance</th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _histogram(generated: np.ndarray, held_out: np.ndarray | None) -> str:
    """Draw both distributions as shares, generated above the line and held-out below it."""
    both = generated if held_out is None else np.concatenate([generated, held_out])
    edges = np.linspace(0, max(float(both.max()) * 1.02, 1e-9), _BINS + 1)
    shares = {
        name: np.histogram(values, edges)[0] / len(values)
        for name, values in (("generated", generated), ("held-out", held_out))
        if values is not None
    }
    tallest = max(float(share.max()) for share in shares.values())
    middle = 100
    drawn = []
    for name, share in shares.items():
        for number, value in enumerate(share / tallest * middle):
            if value > 0:
                top = middle - value if name == "generated" else middle
                drawn.append(
                    f'<rect class="{name}" x="{number * 10 + 0.5}" y="{top:.1f}" width="9" '
                    f'height="{value:.1f}"/>'
                )
    key = '<p><span class="key generated"></span> generated images, upwards'
    around = ""
    if held_out is not None:
        key += '; <span class="key held-out"></span> held-out photographs, downwards'
        mark = float(held_out.min() / edges[-1])
        side = "left" if mark < 0.5 else "right"
        drawn.append(
            f'<line x1="{mark * 400:.1f}" x2="{mark * 400:.1f}" y1="0" y2="200" '
            'stroke-dasharray="4 4"/>'
        )
        around = (
            f'<span class="mark {side}" style="left:{mark:.2%}">nearest held-out: '
            f"{held_out.min():.1f}</span>"
        )
    for part, place in ((0, "left"), (0.25, ""), (0.5, ""), (0.75, ""), (1, "right")):
        label = f"{edges[-1] * part:.0f}"
        around += f'<span class="tick {place}" style="left:{part:.0%}">{label}</span>'
    return (
        f'{key}.</p><div class="plot"><svg viewBox="0 0 400 200" preserveAspectRatio="none" '
        'role="img" aria-label="Histogram of distances to the nearest training photograph, '
        'generated images above the line, held-out photographs below it">'
        f'{"".join(drawn)}<line x1="0" x2="400" y1="{middle}" y2="{middle}"/></svg>{around}</div>'
    )
