"""Reports as one HTML file that needs nothing else: no script, no address, no font."""

import base64
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from datasets import pictures

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
.verdict { font-size: 1.2rem; border-left: .3rem solid #3b6ea5; padding-left: 1rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; text-align: right; }
th:first-child { text-align: left; } tr + tr { border-top: 1px solid #8886; }
.row { display: flex; flex-wrap: wrap; gap: .6rem; padding: .8rem 0; border-top: 1px solid #8886;
  break-inside: avoid; }
figure { margin: 0; width: 8rem; } figure:first-child { margin-right: 1rem; }
figure img { width: 100%; image-rendering: pixelated; display: block; }
figcaption { font-size: .8rem; line-height: 1.3; overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; } .scroll { overflow-x: auto; }
"""


@dataclass(frozen=True)
class Section:
    """Images of one kind with their neighbours, the nearest first.

    Attributes:
        title: "generated" or "held-out".
        entries: as in report.json.
        pictures: for each, the image and its neighbours, uint8 [1 + K, H, W, C].
        total: how many images of this kind there are in all.
    """

    title: str
    entries: list[dict[str, Any]]
    pictures: list[np.ndarray]
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
        "<p>Held-out photographs were never trained on: their distances are what new faces look "
        "like. A generator that copies has distances far to the left of theirs. Pictures of a "
        "blurred or average face also lie near many photographs without being a copy of any, so "
        "look at the pairs below.</p>",
    ]
    for section in sections:
        kind = "images" if section.title == "generated" else "photographs"
        parts.append(
            f"<h2>{escape(section.title.capitalize())} {kind}, the nearest first</h2>"
            f"<p>{len(section.entries)} of {section.total} are shown, each left of its nearest "
            "training photographs.</p>"
        )
        parts += [
            _row(section.title, entry, row)
            for entry, row in zip(section.entries, section.pictures, strict=True)
        ]
    parts.append(
        "<h2>What this cannot see</h2><p>Pixels change with a shift, a crop or another light: a "
        "copy that was moved or recoloured can seem far. And a few near pairs among thousands are "
        "to be expected by chance.</p>"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>Nearest training photographs</title><style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def _row(title: str, entry: dict[str, Any], row: np.ndarray) -> str:
    place = entry["place"]
    caption = escape(entry["name"])
    if place is not None and title == "generated":
        caption += f"<br>{place:.0%} of held-out photographs are as near"
    figures = [_figure(row[0], f"{title} image {entry['name']}", caption)]
    for near, image in zip(entry["nearest"], row[1:], strict=True):
        mirrored = " (mirrored)" if near["mirrored"] else ""
        figures.append(
            _figure(
                image,
                f"training photograph {near['source']}",
                f"{near['distance']:.1f} {escape(near['source'])}{mirrored}",
            )
        )
    return f'<div class="row">{"".join(figures)}</div>'


def _figure(image: np.ndarray, alternative: str, caption: str) -> str:
    data = base64.b64encode(pictures.encode(image, "png")).decode()
    return (
        f'<figure><img alt="{escape(alternative)}" src="data:image/png;base64,{data}">'
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
    edges = np.linspace(0, max(float(both.max()) * 1.02, 1e-9), 41)
    width, middle, height = 800, 130, 110
    shares = [
        np.zeros(40) if values is None else np.histogram(values, edges)[0] / len(values)
        for values in (generated, held_out)
    ]
    tallest = max(float(share.max()) for share in shares)
    bars = []
    for share, colour, sign in zip(shares, ("#c2571a", "#3b6ea5"), (1, -1), strict=True):
        for number, value in enumerate(share / tallest * height):
            if value > 0:
                top = middle - value if sign > 0 else middle
                bars.append(
                    f'<rect x="{number * 20 + 1}" y="{top:.1f}" width="18" '
                    f'height="{value:.1f}" fill="{colour}"/>'
                )
    ticks = "".join(
        f'<text x="{min(max(x * 20, 14), 786)}" y="{2 * middle + 14}" text-anchor="middle">'
        f"{edges[x]:.0f}</text>"
        for x in range(0, 41, 8)
    )
    return (
        f'<svg viewBox="0 0 {width} {2 * middle + 22}" role="img" font-size="14" '
        'fill="currentColor" aria-label="Histogram of distances to the nearest training '
        'photograph, generated images above, held-out photographs below">'
        f'{"".join(bars)}<line x1="0" x2="{width}" y1="{middle}" y2="{middle}" '
        'stroke="currentColor"/>'
        '<text x="796" y="16" text-anchor="end">generated</text>'
        f'<text x="796" y="{2 * middle - 8}" text-anchor="end">held-out</text>{ticks}</svg>'
    )
