"""The report on nearest neighbours: JSON, a sheet of pictures, and a page for the browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from datasets import pictures
from datasets.pyramid import Dataset
from progan.checkpoint import ModelFile
from tools import pages
from tools.neighbours import Found, examine, trained_on
from tools.outputs import landing_folder

_NAMES = re.compile(r"report\.json|sheet\.png|report\.html")
# Images on the sheet and on the page, of each kind; report.json has them all.
_ROWS_ON_SHEET = 16
_ROWS_ON_PAGE = 60
# More pixels (2**8 a side) than this are not shown: the page would become too large for a browser.
_SHOWN_LEVEL = 8
# With fewer held-out photographs, how near the nearest of them is is a matter of luck.
_FEW = 30


def summary(
    found: Found, held_out: Found | None, *, training: int, resolution: int, named: bool | None
) -> dict[str, Any]:
    """Say in numbers and a few sentences what was found.

    Args:
        found: generated images.
        held_out: photographs that were held out of training, if there are any.
        training: number of training photographs.
        resolution: pixels at which images were compared.
        named: whether the model file names this dataset; None if it names none.

    Returns:
        JSON values; "sentence" is what to tell the user.
    """
    numbers: dict[str, Any] = {
        "features": "pixels",
        "resolution": resolution,
        "unit": "root mean square difference in grey levels, 0 to 255",
        "images": len(found.names),
        "training_images": training,
        "held_out_images": 0 if held_out is None else len(held_out.names),
        "model_names_this_dataset": named,
        "generated": _quantiles(found.nearest),
        "held_out": None if held_out is None else _quantiles(held_out.nearest),
        "training_images_that_are_nearest": len(np.unique(found.neighbours.rows[:, 0])),
        "nearer_than_every_held_out": None,
        "expected_by_chance": None,
    }
    if held_out is None:
        sentence = (
            "The dataset holds no photographs out of training, so there is no yardstick: nobody "
            "can say from these distances alone whether the generator copies."
        )
    else:
        nearer = int((found.nearest < held_out.nearest.min()).sum())
        expected = len(found.names) / (len(held_out.names) + 1)
        numbers["nearer_than_every_held_out"] = nearer
        numbers["expected_by_chance"] = expected
        sentence = (
            f"Of {len(found.names)} generated images, {nearer} are nearer to a training photograph "
            f"than every one of {len(held_out.names)} photographs held out of training; about "
            f"{expected:.1f} would be, if generated images were as new as those."
        )
        if len(held_out.names) < _FEW:
            sentence += " So few held-out photographs are a rough yardstick."
    if named is False:
        sentence += (
            " But the model file names another dataset: if it was not trained on these "
            "photographs, this says nothing about copying."
        )
    numbers["sentence"] = sentence
    return numbers


def _quantiles(distances: np.ndarray) -> dict[str, float]:
    names = {"minimum": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "maximum": 1.0}
    return {name: float(np.quantile(distances, q)) for name, q in names.items()}


def _entry(found: Found, number: int, dataset: Dataset, train: np.ndarray) -> dict[str, Any]:
    """Describe an image and its neighbours, JSON values."""
    near = found.neighbours
    place = found.place[number]
    return {
        "name": found.names[number],
        "place": None if np.isnan(place) else float(place),
        "nearest": [
            {
                "row": int(train[row]),
                "source": dataset.names[int(train[row])],
                "mirrored": bool(mirrored),
                "distance": float(distance),
            }
            for row, mirrored, distance in zip(
                near.rows[number], near.mirrored[number], near.distances[number], strict=True
            )
        ],
    }


def _section(
    title: str, found: Found, dataset: Dataset, train: np.ndarray, level: int
) -> pages.Section:
    """Gather the images that are nearest to a training image, and their neighbours."""
    order = np.argsort(found.nearest, kind="stable")[:_ROWS_ON_PAGE]
    near = np.array(dataset.level(level)[train[found.neighbours.rows[order]]])
    flipped = found.neighbours.mirrored[order]
    # As they were near: a mirrored copy is to be seen at once.
    near[flipped] = near[flipped][:, :, ::-1]
    return pages.Section(
        title=title,
        entries=[_entry(found, int(number), dataset, train) for number in order],
        pictures=np.concatenate([found.show(order, level)[:, None], near], axis=1),
        total=len(found.names),
    )


def _write_json(path: Path, head: dict[str, Any], lists: dict[str, Iterator[Any]]) -> None:
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


def _report(
    numbers: dict[str, Any],
    both: dict[str, Found],
    model: ModelFile,
    dataset: Dataset,
    train: np.ndarray,
) -> tuple[dict[str, Any], dict[str, Iterator[Any]]]:
    """Give report.json's values and lists."""

    def entries(title: str) -> Iterator[dict[str, Any]]:
        for number in range(len(both[title].names) if title in both else 0):
            yield _entry(both[title], number, dataset, train)

    head = {
        "summary": numbers,
        "dataset": {"fingerprint": dataset.fingerprint, "images": len(train)},
        # A model file may say NaN, which JSON does not know: it becomes a word.
        "model": json.loads(json.dumps(dict(model.trained)), parse_constant=str),
    }
    return head, {"images": entries("generated"), "held_out": entries("held-out")}


def write_report(
    model: ModelFile,
    dataset: Dataset,
    out: Path,
    *,
    count: int,
    wanted: int,
    level: int,
    seed: int,
    overwrite: bool,
) -> str:
    """Write report.json, sheet.png and report.html into a folder.

    Arguments as of `examine`; `out` is there whole or not at all, and may be an older report if
    `overwrite` is set.

    Returns:
        The summary's sentence.

    Raises:
        DatasetError: `out` is taken, or so many images do not fit into memory.
    """
    train = dataset.rows("train")
    with landing_folder(out, overwrite=overwrite, ours=_NAMES) as folder:
        found, held_out = examine(
            model, dataset, count=count, wanted=wanted, level=level, seed=seed
        )
        named = trained_on(model, dataset)
        numbers = summary(found, held_out, training=len(train), resolution=2**level, named=named)
        both = {"generated": found} | ({} if held_out is None else {"held-out": held_out})
        _write_json(folder / "report.json", *_report(numbers, both, model, dataset, train))
        shown = min(model.generator.level, dataset.levels[-1], _SHOWN_LEVEL)
        sections = [_section(title, part, dataset, train, shown) for title, part in both.items()]
        rows = [
            (f"{section.title} {rank + 1}", row)
            for section in sections
            for rank, row in enumerate(section.pictures[:_ROWS_ON_SHEET])
        ]
        pictures.save(folder / "sheet.png", pictures.contact_sheet(rows, height=96))
        page = pages.neighbours_page(
            numbers, sections, found.nearest, None if held_out is None else held_out.nearest
        )
        # Names of files need not be valid text.
        (folder / "report.html").write_text(page, encoding="utf-8", errors="backslashreplace")
    return str(numbers["sentence"])
