"""The memorization report as one HTML file that needs nothing else: no script, address or font."""

import base64
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datasets import pictures
from tools.memorization import words
from tools.memorization.style import POLICY, STYLE

Json = dict[str, Any]
Pixels = NDArray[np.uint8]
Numbers = NDArray[np.float64]

# Rows that are seen at once; more are folded away.
_OPEN_ROWS = 12
# Pictures of more pixels a side would make a heavy page without loss.
_LARGEST_LOSSLESS = 32
_BINS = 48


@dataclass(frozen=True, kw_only=True)
class Row:
    """An image beside its nearest training photographs.

    Attributes:
        entry: as in report.json.
        pictures: the image, its neighbours, and its difference to the first of these, uint8
            [2 + K, S, S, C].
    """

    entry: Json
    pictures: Pixels


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two photographs that are one; entry as in report.json, pictures [2, S, S, C]."""

    entry: Json
    pictures: Pixels


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Distances to the nearest training photograph in one space, and from which on it is flagged.

    Attributes:
        images: [N].
        held_out: of held-out photographs, [n].
        left_out: of training photographs, each left out in turn, [m].
        flagged_below: the largest distance that may be flagged.
    """

    images: Numbers
    held_out: Numbers
    left_out: Numbers
    flagged_below: float


def write_page(
    summary: Json,
    *,
    distances: dict[str, Distances],
    images: list[Row],
    photographs: list[Row],
    duplicates: list[Pair],
    kind: Literal["generated", "examined"],
) -> str:
    """Write the page.

    Args:
        summary: as in report.json.
        distances: by space.
        images: the most suspicious first.
        photographs: held-out ones, the nearest first.
        duplicates: of the dataset's photographs.
        kind: what to call the images.

    Returns:
        HTML.
    """
    sections = [
        _section("evidence", "What speaks for copying", words.evidence(summary)),
        _section("numbers", "The numbers", words.READING + _table(summary)),
        _section("distances", "How near, and how near is usual", _histograms(distances, kind)),
        _images(summary, images, kind),
        _photographs(summary, photographs),
        _duplicates(summary, duplicates),
        _section("limits", "What this cannot see", words.limits(summary)),
        _section("method", "How it was measured", words.method(summary)),
    ]
    doubts = "".join(f"<p>{escape(doubt)}</p>" for doubt in summary["doubts"])
    verdict = summary["verdict"].replace(" ", "-")
    body = (
        "<header><h1>Does it copy its training photographs?</h1>\n"
        f'<p class="verdict {verdict}">{escape(summary["sentence"])}</p>\n{doubts}</header>\n'
        f"<main>\n{''.join(sections)}</main>\n"
        f"<footer><p>{summary['images']:,} images at {summary['resolution']}×"
        f"{summary['resolution']} pixels. Every number is in report.json.</p></footer>"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>Memorization: {escape(summary['verdict'])}</title>\n<style>{STYLE}</style>"
        f"</head>\n<body>\n{body}\n</body></html>\n"
    )


def _section(name: str, title: str, content: str) -> str:
    return (
        f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>\n{content}'
        "</section>\n"
    )


def _table(summary: Json) -> str:
    spaces = summary["spaces"]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in spaces)
    body = "".join(
        f'<tr><th scope="row">{title}</th>'
        + "".join(f"<td>{escape(cell(space))}</td>" for space in spaces.values())
        + "</tr>"
        for title, cell in words.ROWS
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of numbers"><table>'
        f'<thead><tr><th scope="col">in the space</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _histograms(distances: dict[str, Distances], kind: str) -> str:
    return words.DISTANCES + "".join(
        f"<h3>{escape(name)}</h3>\n{_histogram(name, one, kind)}" for name, one in distances.items()
    )


def _histogram(name: str, distances: Distances, kind: str) -> str:
    """Draw the shares of distances of each sort, one strip below the other."""
    strips = [
        ("images", f"{kind} images", distances.images),
        ("held-out", "held-out photographs", distances.held_out),
        ("left-out", "training photographs, each left out in turn", distances.left_out),
    ]
    present = [strip for strip in strips if len(strip[2])]
    largest = max(float(values.max()) for _, _, values in present)
    edges = np.linspace(0, max(largest * 1.02, 1e-9), _BINS + 1)
    line = min(distances.flagged_below / edges[-1], 1.0)
    parts = []
    for sort, title, values in present:
        shares = np.histogram(values, edges)[0] / len(values)
        bars = "".join(
            f"M{place * 10 + 1} 100V{100 - share / shares.max() * 96:.1f}h8V100z"
            for place, share in enumerate(shares)
            if share > 0
        )
        says = (
            f"Histogram ({name}): distances of {len(values)} {title}, median "
            f"{np.median(values):.2f}, smallest {values.min():.2f}"
        )
        parts.append(
            f'<p class="strip"><span class="key {sort}"></span> {len(values):,} {escape(title)}'
            f'</p><svg viewBox="0 0 {_BINS * 10} 100" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(says)}"><path class="{sort}" d="{bars}"/>'
            f'<line x1="{line * _BINS * 10:.1f}" x2="{line * _BINS * 10:.1f}" y1="0" y2="100" '
            f'stroke-dasharray="4 4"/><line x1="0" x2="{_BINS * 10}" y1="100" y2="100"/></svg>'
        )
    ticks = "".join(
        f'<span class="{place}" style="left:{part:.0%}">{edges[-1] * part:.2f}</span>'
        for part, place in ((0, "left"), (0.25, ""), (0.5, ""), (0.75, ""), (1, "right"))
    )
    return (
        f'<div class="plot">{"".join(parts)}<div class="ticks" aria-hidden="true">{ticks}</div>'
        f"<p>Flagged: nearer than {distances.flagged_below:.3f} (broken line).</p></div>\n"
    )


def _images(summary: Json, rows: list[Row], kind: str) -> str:
    shown = [_image_row(rank, row, kind) for rank, row in enumerate(rows, 1)]
    text = (
        f"<p>{len(rows):,} of {summary['images']:,}, each with its difference to the nearest "
        "training photograph (four times as bright: black is equal) and its nearest training "
        "photographs, with their distances. Photographs that are near when mirrored are shown "
        "mirrored.</p>\n"
    )
    return _section("images", "The most suspicious first", text + _folded(shown))


def _folded(shown: list[str]) -> str:
    text = "".join(shown[:_OPEN_ROWS])
    if len(shown) > _OPEN_ROWS:
        rest = "".join(shown[_OPEN_ROWS:])
        text += f"<details><summary>{len(shown) - _OPEN_ROWS} more</summary>{rest}</details>\n"
    return text


def _image_row(rank: int, row: Row, kind: str) -> str:
    entry = row.entry
    marks = [
        mark
        for mark, is_so in (
            ("near duplicate", entry["near_duplicate"]),
            ("flagged", entry["flagged"]),
        )
        if is_so
    ]
    told = f' <span class="mark">{" and ".join(marks)}</span>' if marks else ""
    chance = entry["p"]
    says = (
        f"<p>A new photograph would be as near with a chance of at most {chance:.2g} "
        f"(nearest in {escape(entry['space'])}).</p>"
    )
    title = f"<h3>{rank}. {escape(entry['name'])}{told}</h3>{says}"
    figures = _figures(row, f"{kind} image {entry['name']}", "the image")
    return f"<article>{title}{figures}</article>\n"


def _figures(row: Row, alternative: str, caption: str) -> str:
    entry, nearest = row.entry, row.entry["nearest"]
    figures = [
        _figure(row.pictures[0], alternative, caption),
        _figure(
            row.pictures[-1],
            f"difference of {entry['name']} to {nearest[0]['source']}, brightened",
            "difference",
        ),
    ]
    for near, picture in zip(nearest, row.pictures[1:-1], strict=True):
        mirrored = " (mirrored)" if near["mirrored"] else ""
        figures.append(
            _figure(
                picture,
                f"training photograph {near['source']}{mirrored}",
                f"<b>{near['distance']:.2f}</b> {escape(near['source'])}{mirrored}",
            )
        )
    return f'<div class="row">{"".join(figures)}</div>'


def _photographs(summary: Json, rows: list[Row]) -> str:
    if not rows:
        return ""
    shown = ""
    for row in rows:
        name = row.entry["name"]
        figures = _figures(row, f"held-out photograph {name}", "the photograph")
        shown += f"<article><h3>{escape(name)}</h3>{figures}</article>\n"
    text = (
        f"<p>So near come photographs that were never trained on: the {len(rows)} nearest of "
        f"{summary['held_out_images']:,}. Compare them with the images above.</p>\n"
    )
    return _section("held-out", "New photographs, for comparison", text + shown)


def _duplicates(summary: Json, pairs: list[Pair]) -> str:
    total = summary["calibration"]["duplicates_not_used"]
    if not total:
        return _section(
            "duplicates", "Duplicates among the photographs", "<p>None were found.</p>\n"
        )
    shown = [
        f"<article><h3>{escape(pair.entry['kind'])}"
        f"{', one of them held out' if pair.entry['held_out'] else ''}</h3>"
        '<div class="row">'
        + "".join(
            _figure(picture, f"photograph {pair.entry[key]}", escape(pair.entry[key]))
            for picture, key in zip(pair.pictures, ("source", "other_source"), strict=True)
        )
        + "</div></article>\n"
        for pair in pairs
    ]
    text = (
        f"<p>{total:,} pairs of photographs are one and the same, or nearly so. They are left out "
        f"of the calibration. {len(shown)} of them:</p>\n"
    )
    return _section("duplicates", "Duplicates among the photographs", text + _folded(shown))


def _figure(image: Pixels, alternative: str, caption: str) -> str:
    format_name: pictures.Format = "png" if len(image) <= _LARGEST_LOSSLESS else "jpeg"
    data = base64.b64encode(pictures.encode(image, format_name, quality=88)).decode()
    side = len(image)
    return (
        f'<figure><img alt="{escape(alternative)}" width="{side}" height="{side}" '
        f'src="data:image/{format_name};base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )
