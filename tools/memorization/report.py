"""The memorization report: JSON with every number, a sheet of pictures, a page for the browser."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets import pictures
from datasets.pyramid import Dataset
from tools.images import Images, ModelImages
from tools.memorization import page
from tools.memorization.evidence import LEVEL
from tools.memorization.examine import Examined, Settings, examine, names_dataset
from tools.memorization.features import resized
from tools.memorization.finding import Found
from tools.memorization.yardstick import Duplicate
from tools.outputs import landing_folder

Pixels = NDArray[np.uint8]
Json = dict[str, Any]

_NAMES = re.compile(r"report\.json|sheet\.png|report\.html")
# Images on the sheet, and of each kind on the page; report.json has them all.
_ON_SHEET = 12
_HELD_OUT_ON_SHEET = 4
_ON_PAGE = 40
_HELD_OUT_ON_PAGE = 6
_DUPLICATES_ON_PAGE = 24
# Larger pictures would make the page too heavy for a browser.
_SHOWN = 128
_BRIGHTENED = 4
_QUANTILES = {"minimum": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "maximum": 1.0}


def summary(seen: Examined) -> Json:
    """Give the numbers that speak for all images together, JSON values."""
    judged, yardstick = seen.judged, seen.yardstick
    return {
        "sentence": seen.sentence,
        "verdict": judged.verdict,
        "evidence": [asdict(one) for one in judged.evidence],
        "chance_of_a_false_verdict": LEVEL,
        "doubts": seen.doubts,
        "images": len(seen.numbers),
        "unreadable_images": seen.unreadable,
        "flagged": int(judged.flagged.sum()),
        "flagged_fraction": judged.share,
        "flagged_fraction_95": list(judged.interval),
        "expected_by_chance": judged.expected,
        "chance_of_so_many": judged.chance,
        "false_alarm_asked": seen.settings.false_alarm,
        "false_alarm": yardstick.rate,
        "near_duplicates": int(judged.near_duplicate.sum()),
        "discoveries": int(judged.discovered.sum()),
        "false_discovery_rate": 0.05,
        "training_images": len(yardstick.finder.training),
        "held_out_images": len(yardstick.held_out.rows),
        "model_names_this_dataset": names_dataset(seen.images, seen.dataset),
        "resolution": seen.side,
        "search": "approximate" if yardstick.finder.approximate else "exact",
        "calibration": {
            "kind": yardstick.kind,
            "distances": yardstick.count,
            "held_out": int(yardstick.held_out.single.sum()),
            "left_out": int(yardstick.left_out.single.sum()),
            "duplicates_not_used": len(yardstick.duplicates),
        },
        "spaces": {name: _space(seen, name) for name in judged.spaces},
    }


def _space(seen: Examined, name: str) -> Json:
    one, yardstick = seen.judged.spaces[name], seen.yardstick
    together = seen.judged.together[name]
    space = next(space for space in yardstick.finder.spaces if space.name == name)
    spread = yardstick.usual[name]
    distances = {
        "images": seen.found[name].distances,
        "held_out": yardstick.held_out.distances(name),
        "left_out": yardstick.left_out.distances(name),
    }
    return {
        "compares": space.says,
        "recall": asdict(seen.recall[name]) if name in seen.recall else None,
        "flagged": int(one.flagged.sum()),
        "flagged_fraction": float(one.flagged.mean()),
        "chance_of_so_many": one.chance,
        "near_duplicates": int(one.near_duplicate.sum()),
        "near_duplicate_below": spread.near,
        "data_copying": None if one.copying is None else asdict(one.copying),
        "data_copying_held_out_only": None
        if one.copying_held_out is None
        else one.copying_held_out.z,
        "authenticity": one.authentic,
        "authenticity_of_held_out": one.authentic_held_out,
        "authenticity_of_photographs": together.authentic_new,
        "single_photographs_z": together.single,
        "single_photographs_held_out_only_z": together.single_held_out,
        "effective_images": together.effective,
        "chances": {
            "data_copying": together.c_t_chance,
            "authenticity": together.authentic_chance,
            "single_photographs": together.single_chance,
        },
        "training_images_that_are_nearest": one.nearest,
        "coverage": one.nearest / len(yardstick.finder.training),
        "nearest_to_so_many": {
            "images": one.compared,
            "different": one.different,
            "different_for_photographs": one.different_new,
        },
        "held_out_against_training_z": yardstick.disagreement(name),
        "distances": {
            kind: {label: float(np.quantile(values, q)) for label, q in _QUANTILES.items()}
            for kind, values in distances.items()
            if len(values)
        },
    }


def _neighbours(seen: Examined, found: Found, number: int) -> list[Json]:
    near, rows = found.neighbours, seen.yardstick.finder.training.rows
    shown = seen.settings.nearest
    return [
        {
            "row": int(rows[place]),
            "source": seen.dataset.names[int(rows[place])],
            "mirrored": bool(mirrored),
            "distance": float(distance),
        }
        for place, mirrored, distance in zip(
            near.rows[number, :shown],
            near.mirrored[number, :shown],
            near.distances[number, :shown],
            strict=True,
        )
    ]


def _image(seen: Examined, number: int) -> Json:
    """Describe an image, JSON values; its neighbours are those of the space that decided."""
    judged = seen.judged
    deciding = seen.yardstick.spaces[int(judged.deciding[number])]
    return {
        "name": seen.images.name_of(int(seen.numbers[number])),
        "flagged": bool(judged.flagged[number]),
        "near_duplicate": bool(judged.near_duplicate[number]),
        "discovery": bool(judged.discovered[number]),
        "p": float(judged.p[number]),
        "space": deciding,
        "nearest": _neighbours(seen, seen.found[deciding], number),
        "spaces": {
            name: {
                "p": float(one.p[number]),
                "flagged": bool(one.flagged[number]),
                "nearness": float(one.nearness[number]),
                "nearest": _neighbours(seen, seen.found[name], number)[0],
            }
            for name, one in judged.spaces.items()
        },
    }


def _held_out(seen: Examined, number: int) -> Json:
    """Describe a held-out photograph, JSON values; its neighbours are those of the first space."""
    held, names = seen.yardstick.held_out, seen.yardstick.spaces
    row = int(held.rows[number])
    return {
        "row": row,
        "name": seen.dataset.names[row],
        "duplicate": not held.single[number],
        "space": names[0],
        "nearest": _neighbours(seen, held.found[names[0]], number),
        "distances": {name: float(held.found[name].distances[number]) for name in names},
    }


def _duplicate(dataset: Dataset, pair: Duplicate) -> Json:
    return asdict(pair) | {
        "source": dataset.names[pair.row],
        "other_source": dataset.names[pair.other],
    }


def _write_json(path: Path, head: Json, lists: Mapping[str, Iterable[Json]]) -> None:
    """Write a JSON object of some values and some lists, which may be too long for memory."""
    with path.open("w", encoding="utf-8") as file:
        file.write("{\n")
        for key, value in head.items():
            file.write(f"{json.dumps(key)}: {json.dumps(value, indent=1, allow_nan=False)},\n")
        for number, (key, entries) in enumerate(lists.items()):
            file.write(f"{json.dumps(key)}: [")
            for place, entry in enumerate(entries):
                file.write(",\n" if place else "\n")
                file.write(json.dumps(entry, allow_nan=False))
            file.write("\n]\n" if number == len(lists) - 1 else "\n],\n")
        file.write("}\n")


def _head(seen: Examined) -> Json:
    trained = dict(seen.images.trained) if isinstance(seen.images, ModelImages) else None
    settings = seen.settings
    return {
        "summary": summary(seen),
        "dataset": {"fingerprint": seen.dataset.fingerprint, "source": str(seen.dataset.path)},
        "images_of": {
            "name": seen.images.name,
            "kind": seen.images.kind,
            "details": seen.images.details,
        },
        # A model file may say NaN, which JSON does not know: it becomes a word.
        "model": json.loads(json.dumps(trained), parse_constant=str),
        "settings": {
            "features": list(seen.yardstick.spaces),
            "resolution": settings.resolution,
            "crop": "face" if settings.inner_face else "none",
            "nearest": settings.nearest,
            "seed": settings.seed,
            "search": settings.search,
        },
    }


class _Pictures:
    """Pictures of images and photographs, of one size that a page can carry."""

    def __init__(self, seen: Examined) -> None:
        self._seen = seen
        self.side = min(seen.side, _SHOWN)
        self._photographs = seen.dataset.level(self.side.bit_length() - 1)

    def image(self, number: int) -> Pixels:
        """Give an image, [S, S, C]."""
        batch = self._seen.images.read([int(self._seen.numbers[number])])
        sized: Pixels = resized(resized(batch.pixels, self._seen.side), self.side)[0]
        return sized

    def photograph(self, row: int, *, mirrored: bool = False) -> Pixels:
        """Give a photograph of the dataset, as it was near."""
        pixels = np.array(self._photographs[row])
        return np.asarray(pixels[:, ::-1] if mirrored else pixels)

    def beside(self, first: Pixels, nearest: list[Json]) -> Pixels:
        """Give a picture, how it differs from the first of its neighbours, and these, [N, …]."""
        near = [self.photograph(one["row"], mirrored=one["mirrored"]) for one in nearest]
        difference = np.abs(first.astype(np.int16) - near[0]) * _BRIGHTENED
        return np.stack([first, *near, np.minimum(difference, 255).astype(np.uint8)])


def _rows(seen: Examined) -> tuple[list[page.Row], list[page.Row], list[page.Pair]]:
    """Gather what is shown: the most suspicious images and photographs, and duplicates."""
    shown = _Pictures(seen)
    images = []
    for number in seen.judged.order[:_ON_PAGE].tolist():
        entry = _image(seen, number)
        pixels = shown.beside(shown.image(number), entry["nearest"])
        images.append(page.Row(entry=entry, pictures=pixels))
    held = seen.yardstick.held_out
    order = np.argsort(held.found[seen.yardstick.spaces[0]].distances, kind="stable")
    photographs = []
    for number in [n for n in order.tolist() if held.single[n]][:_HELD_OUT_ON_PAGE]:
        entry = _held_out(seen, number)
        pixels = shown.beside(shown.photograph(entry["row"]), entry["nearest"])
        photographs.append(page.Row(entry=entry, pictures=pixels))
    pairs = [
        page.Pair(
            entry=_duplicate(seen.dataset, pair),
            pictures=np.stack([shown.photograph(pair.row), shown.photograph(pair.other)]),
        )
        for pair in seen.yardstick.duplicates[:_DUPLICATES_ON_PAGE]
    ]
    return images, photographs, pairs


def _sheet(images: list[page.Row], photographs: list[page.Row]) -> Pixels:
    rows = [
        (f"{rank}{' flagged' if row.entry['flagged'] else ''}", row.pictures)
        for rank, row in enumerate(images[:_ON_SHEET], 1)
    ]
    rows += [("held out", row.pictures) for row in photographs[:_HELD_OUT_ON_SHEET]]
    return pictures.contact_sheet(rows, height=96)


def write_report(
    images: Images, dataset: Dataset, out: Path, *, count: int, settings: Settings, overwrite: bool
) -> str:
    """Write report.json, sheet.png and report.html into a folder.

    Args:
        images: what to examine.
        dataset: its training photographs are what may have been copied.
        out: the folder; it is there whole or not at all.
        count: how many images to examine.
        settings: how to.
        overwrite: whether an older report gives way.

    Returns:
        The verdict in words.

    Raises:
        DatasetError: `out` is taken, or images and dataset cannot be compared.
    """
    with landing_folder(out, overwrite=overwrite, ours=_NAMES) as folder:
        seen = examine(images, dataset, count=count, settings=settings)
        head = _head(seen)
        lists = {
            "images": (_image(seen, number) for number in range(len(seen.numbers))),
            "held_out": (
                _held_out(seen, number) for number in range(len(seen.yardstick.held_out.rows))
            ),
            "duplicates": (_duplicate(dataset, pair) for pair in seen.yardstick.duplicates),
        }
        _write_json(folder / "report.json", head, lists)
        suspicious, photographs, pairs = _rows(seen)
        pictures.save(folder / "sheet.png", _sheet(suspicious, photographs))
        distances = {name: _distances(seen, name) for name in seen.yardstick.spaces}
        text = page.write_page(
            head["summary"],
            distances=distances,
            images=suspicious,
            photographs=photographs,
            duplicates=pairs,
            kind="generated" if images.kind == "model" else "examined",
        )
        # Names of files need not be valid text.
        (folder / "report.html").write_text(text, encoding="utf-8", errors="backslashreplace")
    return seen.sentence


def _distances(seen: Examined, name: str) -> page.Distances:
    yardstick = seen.yardstick
    calibration, _ = yardstick.calibration(name)
    ordered = np.sort(calibration)
    return page.Distances(
        images=seen.found[name].distances,
        held_out=yardstick.held_out.distances(name),
        left_out=yardstick.left_out.distances(name),
        flagged_below=float(ordered[min(yardstick.places, len(ordered)) - 1]),
    )
