"""What the report says in words: how to read its numbers, how they were made, their limits."""

from collections.abc import Callable
from html import escape
from typing import Any

from tools.memorization.evidence import chance_in_words, score_in_words

Json = dict[str, Any]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _score(value: float | None) -> str:
    return "–" if value is None else score_in_words(value)


def _medians(space: Json) -> str:
    distances = space["distances"]
    kinds = ("images", "held_out", "left_out")
    return " / ".join(f"{distances[k]['median']:.2f}" if k in distances else "–" for k in kinds)


def _different(space: Json) -> str:
    numbers = space["nearest_to_so_many"]
    return f"{numbers['different']:.0f} / {numbers['different_for_photographs']:.0f}"


def _copying(space: Json) -> str:
    found = space["data_copying"]
    return _score(None if found is None else found["z"])


# Title (HTML) and cell (text) of each row of the table.
ROWS: list[tuple[str, Callable[[Json], str]]] = [
    ("flagged", lambda space: f"{space['flagged']:,} ({_share(space['flagged_fraction'])})"),
    (
        "chance that new photographs have so many flags",
        lambda space: chance_in_words(space["chance_of_so_many"]),
    ),
    ("near duplicates of training photographs", lambda space: f"{space['near_duplicates']:,}"),
    ("C<sub>T</sub>, the data-copying test", _copying),
    (
        "the same, against held-out photographs alone",
        lambda space: _score(space["data_copying_held_out_only"]),
    ),
    (
        "authentic: images / held-out photographs",
        lambda space: (
            f"{_share(space['authenticity'])} / {_share(space['authenticity_of_held_out'])}"
        ),
    ),
    (
        "nearest photograph against the next (z)",
        lambda space: _score(space["single_photographs_z"]),
    ),
    (
        "images that count as independent",
        lambda space: f"{space['effective_images']:,.0f}",
    ),
    ("training photographs nearest to any image: images / photographs", _different),
    ("median distance: images / held-out / left-out", _medians),
]

READING = """<ul>
<li><b>Flagged</b>: nearer to a training photograph than new photographs are, but for a small stated
share of them.</li>
<li><b>C<sub>T</sub></b>: about 0 (−3 to 3) for new images; far below: all images together lie
nearer to the training photographs than new ones do, by copying or because they are smooth; far
above: they do not look like the photographs yet.</li>
<li><b>Authentic</b>: farther from its nearest training photograph than that one is from its own
nearest. New photographs are not all authentic either: compare the two.</li>
<li><b>Nearest photograph against the next</b>: about 0 for new images; far below: each image is
near to one photograph alone, as changed copies are, and smooth or typical images are not.</li>
<li><b>Training photographs nearest to any image</b>, and how many different ones are nearest to so
many photographs. Far fewer: the images crowd around few photographs.</li>
</ul>
"""
DISTANCES = (
    "<p>Distances to the nearest training photograph. New images look like the photographs in the "
    "lower strips; copies stand far to the left of them.</p>\n"
)


def evidence(summary: Json) -> str:
    """Return the evidence, what speaks for copying and what does not, as HTML."""
    rows = "".join(
        f'<tr><th scope="row">{escape(one["says"])}</th>'
        f"<td>{'–' if one['chance'] is None else chance_in_words(one['chance'])}</td>"
        f"<td>{'speaks for copying' if one['speaks'] else 'no sign'}</td></tr>"
        for one in summary["evidence"]
    )
    level = next(one["level"] for one in summary["evidence"] if one["level"] is not None)
    together = any(not one["decides"] for one in summary["evidence"])
    parts = (
        "C_T and authenticity do not decide alone: images that are smooth, typical or little "
        "varied lie closer, too."
        if together
        else "There are too few images or photographs to say anything of all images together."
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Evidence"><table>'
        '<thead><tr><th scope="col">what was found</th><th scope="col">chance</th>'
        f'<th scope="col">what it says</th></tr></thead><tbody>{rows}</tbody></table></div>\n'
        "<p>It speaks for copying where new images have so much of it with a chance below "
        f"{level:.2%}. {parts}</p>\n"
    )


def limits(summary: Json) -> str:
    """Say what the method cannot see, as HTML."""
    spaces = summary["spaces"]
    parts = [
        "A copy that was changed beyond what was compared: turned, moved by more than about a "
        "tenth, cut together from parts of several photographs, or the same person from elsewhere.",
        "Details finer than the sizes compared, such as a copied eye in a new face.",
        "Copying that nobody asked for: only the images examined are judged, and a generator that "
        "copies one time in a million will seldom show it in them.",
        f"Single images at a rate of {summary['false_alarm']:.2%}: of so many new images that "
        "share is flagged by chance. Look at the pictures before you accuse one.",
    ]
    if "structure" not in spaces:
        parts.append(
            "Copies that were shifted or cropped: pixels change with that. --features structure "
            "sees them."
        )
    items = "".join(f"<li>{escape(part)}</li>" for part in parts)
    return f"<ul>{items}</ul>\n"


def _search(summary: Json) -> str:
    """Say how neighbours were searched for, as HTML; nothing if every pair was compared."""
    if summary["search"] == "exact":
        return ""
    told = "; ".join(
        f"{escape(name)}: {space['recall']['first']:.1%} of the nearest, "
        f"{space['recall']['all']:.1%} of the {space['recall']['wanted']} nearest"
        for name, space in summary["spaces"].items()
    )
    images = max(space["recall"]["images"] for space in summary["spaces"].values())
    return (
        "<p>The search was approximate: an index (FAISS, inverted file) proposed photographs and "
        "mirror images, which were then measured exactly. So every distance is right, but a nearer "
        "photograph may have been missed. For the photographs of the yardstick the search was the "
        f"same. Of what the exact search finds for {images:,} of the images, it found (recall): "
        f"{told}.</p>"
    )


def method(summary: Json) -> str:
    """Say how the numbers were made, as HTML."""
    calibration = summary["calibration"]
    spaces = "".join(
        f"<li><b>{escape(name)}</b>: {escape(space['compares'])}; a near duplicate lies below "
        f"{space['near_duplicate_below']:.3f}</li>"
        for name, space in summary["spaces"].items()
    )
    exact = summary["search"] == "exact"
    how = "All images were compared with all" if exact else "Images were searched for among the"
    count = len(summary["spaces"])
    split = "" if count == 1 else f", divided by {count}, the number of feature spaces"
    return (
        f"<p>{how} {summary['training_images']:,} training photographs "
        f"and their mirror images:</p><ul>{spaces}</ul>{_search(summary)}"
        f"<p>The yardstick ({escape(calibration['kind'])}): {calibration['distances']:,} distances "
        f"of photographs to the nearest other one: {calibration['held_out']:,} held out of "
        f"training, {calibration['left_out']:,} training photographs that can be left out in turn. "
        "An image's p-value is its place among them (conformal prediction). It is flagged if that "
        f"is at most the rate asked for{split}, so that of new images at most "
        f"{summary['false_alarm']:.2%} are flagged. The number of flags that chance makes is "
        "beta-binomial, as all images share one yardstick; photographs that are each other's "
        "nearest count half. After allowing for how many images were tested (Benjamini and "
        f"Hochberg), {summary['discoveries']:,} would still be called copies, of which 5 % are "
        "expected to be none. The 95 % confidence interval of the share flagged is "
        f"{summary['flagged_fraction_95'][0]:.1%} to {summary['flagged_fraction_95'][1]:.1%}.</p>"
        "<p>The verdict is “memorized” if more than half of the images are flagged; “some copies” "
        "if more are flagged than may be by chance, if there are discoveries that may not be by "
        "chance, or if any image is a near duplicate: five times the usual spread nearer than the "
        "median photograph; “closer than chance” if none can be named so, but all images together "
        "show that each is closer to one training photograph, compared with the next, than new "
        "ones are (and held-out photographs alone do not deny it); else “no "
        "sign of copying”. Near duplicates aside, new images get another verdict with a chance of "
        f"at most {summary['chance_of_a_false_verdict']:.0%}, of which each of the three tests has "
        "a third, and each feature space its part of that. Images that have their nearest "
        "photograph in common more often than photographs have count less, as one image would "
        "again and again.</p>\n"
    )
