"""Does the generator invent faces or copy them? Each image beside its nearest training images.

Distances are root mean square differences of pixels, in grey levels (0 … 255), at a stated
resolution; mirrored training images compete too. Photographs that were held out of training show
how near a new face comes by chance: without that yardstick no distance means anything.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets import pictures
from datasets.landing import landing
from datasets.progress import progress
from datasets.pyramid import Dataset
from progan import latents
from progan.checkpoint import ModelFile
from tools import pages
from tools.drawing import draw
from tools.search import Neighbours, Vectors, nearest

# Pictures on the sheet and on the page; report.json has them all.
_ROWS_ON_SHEET = 16
_ROWS_ON_PAGE = 60


@dataclass(frozen=True, kw_only=True)
class Found:
    """Some images and their nearest training images.

    Attributes:
        images: uint8 [N, H, W, C], to be shown.
        names: what to call them, N.
        neighbours: rows are positions among the training images.
        place: for each, the share of held-out photographs that are as near or nearer; NaN where
            there are none. [N].
    """

    images: np.ndarray
    names: list[str]
    neighbours: Neighbours
    place: np.ndarray

    @property
    def nearest(self) -> np.ndarray:
        """Distance to the nearest training image, [N]."""
        return self.neighbours.distances[:, 0]


def box_shrink(images: np.ndarray, resolution: int) -> np.ndarray:
    """Average images down to a resolution, uint8 [N, H, W, C] -> float32 [N, R, R, C]."""
    count, size, _, channels = images.shape
    factor = size // resolution
    blocks = images.reshape(count, resolution, factor, resolution, factor, channels)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32))


def pixel_vectors(dataset: Dataset, level: int, rows: np.ndarray) -> Vectors:
    """Give the pixels of training images, and of their mirror images, as vectors."""
    stored = dataset.level(level)

    def vectors(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        images = np.asarray(stored[rows[start:stop]], np.float32)
        flat = (len(images), -1)
        return images.reshape(flat), images[:, :, ::-1].reshape(flat)

    return vectors


def examine(
    model: ModelFile, dataset: Dataset, *, count: int, wanted: int, level: int, seed: int
) -> tuple[Found, Found | None]:
    """Find the nearest training images of generated and of held-out images.

    Args:
        model: the generator; it stands at a level of at least `level`.
        dataset: what it was trained on.
        count: images to generate, of the seeds seed, seed + 1, …
        wanted: neighbours an image.
        level: images are compared at 2**level pixels.
        seed: the first image's.

    Returns:
        Generated images, and held-out photographs if the dataset has any.
    """
    train, held_out = dataset.rows("train"), dataset.rows("held-out")
    generator = model.generator
    seeds = range(seed, seed + count)
    points = latents.latents_of_seeds(seeds, generator.latent_size)
    made = draw(generator, points, latents.labels_of_seeds(seeds, generator.label_size))
    photographs = np.asarray(dataset.level(level)[held_out])

    small = np.concatenate([box_shrink(made, 2**level), photographs.astype(np.float32)])
    vectors = pixel_vectors(dataset, level, train)
    with progress("Comparing with training images", total=len(train), unit="images") as bar:
        both = nearest(
            small.reshape(len(small), -1), vectors, len(train), wanted, advance=bar.advance
        )
    generated, held = (_part(both, slice(None, count)), _part(both, slice(count, None)))
    yardstick = np.sort(held.distances[:, 0])
    shown = dataset.level(min(generator.level, dataset.levels[-1]))
    found = Found(
        images=made,
        names=[f"seed {number}" for number in seeds],
        neighbours=generated,
        place=_place(generated.distances[:, 0], yardstick),
    )
    if len(held_out) == 0:
        return found, None
    return found, Found(
        images=np.asarray(shown[held_out]),
        names=[dataset.names[row] for row in held_out],
        neighbours=held,
        place=_place(held.distances[:, 0], yardstick),
    )


def _part(neighbours: Neighbours, which: slice) -> Neighbours:
    return Neighbours(
        rows=neighbours.rows[which],
        mirrored=neighbours.mirrored[which],
        distances=neighbours.distances[which],
    )


def _place(distances: np.ndarray, yardstick: np.ndarray) -> np.ndarray:
    if len(yardstick) == 0:
        return np.full(len(distances), np.nan)
    return np.searchsorted(yardstick, distances, side="right") / len(yardstick)


def summary(found: Found, held_out: Found | None, *, training: int, resolution: int) -> dict:  # type: ignore[type-arg]
    """Say in numbers and one sentence what was found; JSON values."""
    numbers: dict[str, Any] = {
        "features": "pixels",
        "resolution": resolution,
        "unit": "root mean square difference in grey levels, 0 to 255",
        "images": len(found.images),
        "training_images": training,
        "held_out_images": 0 if held_out is None else len(held_out.images),
        "generated": _quantiles(found.nearest),
        "held_out": None if held_out is None else _quantiles(held_out.nearest),
        "training_images_that_are_nearest": len(np.unique(found.neighbours.rows[:, 0])),
    }
    if held_out is None:
        numbers["sentence"] = (
            "The dataset holds no photographs out of training, so there is no yardstick: nobody "
            "can say from these distances alone whether the generator copies."
        )
        return numbers
    nearer = int((found.nearest < held_out.nearest.min()).sum())
    expected = len(found.images) / (len(held_out.images) + 1)
    numbers["nearer_than_every_held_out"] = nearer
    numbers["expected_by_chance"] = expected
    numbers["sentence"] = (
        f"Of {len(found.images)} generated images, {nearer} are nearer to a training photograph "
        f"than every one of {len(held_out.images)} photographs held out of training; about "
        f"{expected:.1f} would be, if generated images were as new as those."
    )
    return numbers


def _quantiles(distances: np.ndarray) -> dict[str, float]:
    names = {"minimum": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "maximum": 1.0}
    return {name: float(np.quantile(distances, q)) for name, q in names.items()}


def _entries(found: Found, dataset: Dataset, train: np.ndarray) -> list[dict[str, Any]]:
    """List images with their neighbours, JSON values."""
    entries = []
    for number, name in enumerate(found.names):
        near = [
            {
                "row": int(train[row]),
                "source": dataset.names[int(train[row])],
                "mirrored": bool(mirrored),
                "distance": float(distance),
            }
            for row, mirrored, distance in zip(
                found.neighbours.rows[number],
                found.neighbours.mirrored[number],
                found.neighbours.distances[number],
                strict=True,
            )
        ]
        place = found.place[number]
        entries.append(
            {"name": name, "place": None if np.isnan(place) else float(place), "nearest": near}
        )
    return entries


def _rows_of_pictures(
    found: Found, dataset: Dataset, train: np.ndarray, order: np.ndarray
) -> list[np.ndarray]:
    """Give, for some images, the image and its neighbours as they were near, uint8 [1 + K, …]."""
    level = min(found.images.shape[1].bit_length() - 1, dataset.levels[-1])
    stored = dataset.level(level)
    rows = []
    for number in order:
        near = np.array(stored[train[found.neighbours.rows[number]]])
        flip = found.neighbours.mirrored[number]
        near[flip] = near[flip][:, :, ::-1]
        image = found.images[number][None]
        if image.shape[1] > near.shape[1]:  # a generator of more pixels than its dataset has
            image = np.rint(box_shrink(image, near.shape[1])).astype(np.uint8)
        rows.append(np.concatenate([image, near]))
    return rows


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
    """Write report.json, sheet.png and report.html into a folder; gives the summary's sentence.

    Arguments as of `examine`; `out` is there whole or not at all.
    """
    train = dataset.rows("train")
    found, held_out = examine(model, dataset, count=count, wanted=wanted, level=level, seed=seed)
    numbers = summary(found, held_out, training=len(train), resolution=2**level)
    report: dict[str, Any] = {
        "summary": numbers,
        "dataset": {"fingerprint": dataset.fingerprint, "images": len(train)},
        "model": dict(model.trained),
        "images": _entries(found, dataset, train),
        "held_out": [] if held_out is None else _entries(held_out, dataset, train),
    }
    sections = []
    for title, part in (("generated", found), ("held-out", held_out)):
        if part is None:
            continue
        order = np.argsort(part.nearest, kind="stable")[:_ROWS_ON_PAGE]
        shown = _rows_of_pictures(part, dataset, train, order)
        entries = report["images"] if title == "generated" else report["held_out"]
        sections.append(pages.Section(title, [entries[n] for n in order], shown, len(part.images)))
    sheet = pictures.contact_sheet(
        [
            (f"{section.title} {rank + 1}", row)
            for section in sections
            for rank, row in enumerate(section.pictures[:_ROWS_ON_SHEET])
        ],
        height=96,
    )
    with landing(out, overwrite=overwrite) as folder:
        folder.mkdir()
        text = json.dumps(report, indent=1, allow_nan=False)
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")
        pictures.save(folder / "sheet.png", sheet)
        distances = (found.nearest, None if held_out is None else held_out.nearest)
        (folder / "report.html").write_text(
            pages.neighbours_page(numbers, sections, *distances), encoding="utf-8"
        )
    return str(numbers["sentence"])
