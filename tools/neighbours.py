"""Does the generator invent faces or copy them? Each image beside its nearest training images.

Distances are root mean square differences of pixels, in grey levels (0 … 255), at a stated
resolution; mirrored training images compete too. Photographs that were held out of training show
how near a new face comes by chance: without that yardstick no distance means anything.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from datasets import pictures
from datasets.errors import DatasetError
from datasets.progress import progress
from datasets.pyramid import Dataset
from progan import latents
from progan.checkpoint import ModelFile
from tools.drawing import images
from tools.search import Neighbours, Vectors, nearest

# Latents that are drawn together; pictures are made in smaller parts.
_SEEDS_AT_ONCE = 1024
# All generated images are kept at the resolution at which they are compared.
_MOST_BYTES = 2**32


@dataclass(frozen=True, kw_only=True)
class Found:
    """Some images and their nearest training images.

    Attributes:
        names: what to call them, N.
        neighbours: rows are positions among the training images.
        place: for each, the share of held-out photographs that are as near or nearer; NaN where
            there are none. [N].
        show: numbers of images and a level -> these images, uint8 [n, 2**level, 2**level, C].
    """

    names: list[str]
    neighbours: Neighbours
    place: np.ndarray
    show: Callable[[np.ndarray, int], np.ndarray]

    @property
    def nearest(self) -> np.ndarray:
        """Distance to the nearest training image, [N]."""
        return self.neighbours.distances[:, 0]


def box_shrink(images: np.ndarray, resolution: int) -> np.ndarray:
    """Average images down to a resolution, and round as datasets do.

    Args:
        images: uint8 [N, H, W, C].
        resolution: a divisor of H and W.

    Returns:
        uint8 [N, resolution, resolution, C].
    """
    count, size, _, channels = images.shape
    factor = size // resolution
    blocks = images.reshape(count, resolution, factor, resolution, factor, channels)
    return np.asarray(np.rint(blocks.mean(axis=(2, 4), dtype=np.float32)), np.uint8)


def drawn(model: ModelFile, seeds: Sequence[int], level: int) -> Iterator[np.ndarray]:
    """Make a generator's pictures of 2**level pixels or fewer, in parts of bounded size.

    Args:
        model: the generator, which stands at `level` or above.
        seeds: one picture each.
        level: of the pictures.

    Yields:
        uint8 [n, 2**level, 2**level, C]; the n add up to the number of seeds.
    """
    generator = model.generator
    for start in range(0, len(seeds), _SEEDS_AT_ONCE):
        some = seeds[start : start + _SEEDS_AT_ONCE]
        points = latents.latents_of_seeds(some, generator.latent_size)
        labels = latents.labels_of_seeds(some, generator.label_size)
        for part in images(generator, points, labels):
            yield box_shrink(pictures.to_uint8(part), 2**level)


def stored(dataset: Dataset, level: int, rows: np.ndarray, *, mirrored: bool = False) -> Vectors:
    """Give the pixels of some rows of a dataset, or of their mirror images, as vectors."""
    all_rows = dataset.level(level)

    def read(start: int, stop: int) -> np.ndarray:
        some = all_rows[rows[start:stop]]
        return np.reshape(some[:, :, ::-1] if mirrored else some, (stop - start, -1))

    return Vectors(count=len(rows), length=int(np.prod(all_rows.shape[1:])), read=read)


def _draw_all(model: ModelFile, seeds: Sequence[int], level: int) -> Vectors:
    """Make the generated images, and keep them at the resolution at which they are compared."""
    length = model.generator.num_channels << 2 * level
    if len(seeds) * length > _MOST_BYTES:
        raise DatasetError(
            f"{len(seeds)} images of {2**level}×{2**level} pixels need "
            f"{len(seeds) * length / 2**30:.0f} GiB of memory: give a smaller --resolution or "
            "fewer --images."
        )
    kept = np.empty((len(seeds), length), np.uint8)
    done = 0
    with progress("Drawing pictures", total=len(seeds), unit="pictures") as bar:
        for part in drawn(model, seeds, level):
            kept[done : done + len(part)] = part.reshape(len(part), -1)
            done += len(part)
            bar.advance(len(part))
    return Vectors(count=len(kept), length=length, read=lambda start, stop: kept[start:stop])


def examine(
    model: ModelFile, dataset: Dataset, *, count: int, wanted: int, level: int, seed: int
) -> tuple[Found, Found | None]:
    """Find the nearest training images of generated and of held-out images.

    Args:
        model: the generator; it stands at a level of at least `level`.
        dataset: what it was trained on; it has `level`.
        count: images to generate, of the seeds seed, seed + 1, …
        wanted: neighbours an image.
        level: images are compared at 2**level pixels.
        seed: the first image's.

    Returns:
        Generated images, and held-out photographs if the dataset has any.

    Raises:
        DatasetError: so many images of this size would not fit into memory.
    """
    train, held_out = dataset.rows("train"), dataset.rows("held-out")
    seeds = range(seed, seed + count)
    generated = _draw_all(model, seeds, level)
    forms = (stored(dataset, level, train), stored(dataset, level, train, mirrored=True))
    pairs = (count + len(held_out)) * len(train)
    with progress("Comparing with training images", total=pairs, unit="pairs") as bar:
        made = nearest(generated, *forms, wanted, advance=bar.advance)
        photographs = stored(dataset, level, held_out)
        held = nearest(photographs, *forms, wanted, advance=bar.advance)

    yardstick = np.sort(held.distances[:, 0])

    def show_generated(numbers: np.ndarray, level: int) -> np.ndarray:
        # Drawn once more: to have kept them all could take any amount of memory.
        return np.concatenate(list(drawn(model, [seeds[int(n)] for n in numbers], level)))

    found = Found(
        names=[f"seed {number}" for number in seeds],
        neighbours=made,
        place=_place(made.distances[:, 0], yardstick),
        show=show_generated,
    )
    if len(held_out) == 0:
        return found, None
    return found, Found(
        names=[dataset.names[row] for row in held_out],
        neighbours=held,
        place=_place(held.distances[:, 0], yardstick),
        show=lambda numbers, level: np.array(dataset.level(level)[held_out[numbers]]),
    )


def _place(distances: np.ndarray, yardstick: np.ndarray) -> np.ndarray:
    if len(yardstick) == 0:
        return np.full(len(distances), np.nan)
    return np.searchsorted(yardstick, distances, side="right") / len(yardstick)


def trained_on(model: ModelFile, dataset: Dataset) -> bool | None:
    """Say whether the model file names this dataset; None if it names none."""
    named = model.trained.get("dataset")
    fingerprint = named.get("fingerprint") if isinstance(named, dict) else None
    return None if fingerprint is None else bool(fingerprint == dataset.fingerprint)
