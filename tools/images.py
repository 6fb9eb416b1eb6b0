"""IMAGES on a command line: anything that yields pictures, as numbered pictures of one size.

A dataset, a folder, a zip archive, a `.npy` array or a model (whose pictures are those of seeds).
Any of them can be read anywhere, again and again, in parts: nobody need hold them all.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError, UnusableError
from datasets.framing import fit, upright
from datasets.pyramid import Dataset
from datasets.sources import Source, open_source
from datasets.workers import available_processors
from progan.checkpoint import ModelFile
from progan.labels import labels_of_seeds
from progan.latents import latents_of_seeds
from tools.arrays import open_array
from tools.classes import class_names, readable
from tools.squares import Squares, size_of
from tools.value_range import ValueRange, find_range

Pixels = NDArray[np.uint8]
Split = Literal["train", "held-out"]

# Pixels that are read at once.
_PIXELS_AT_ONCE = 2**23
# As many pictures as a model gives when nobody says how many.
_USUAL_COUNT = 10_000


@dataclass(frozen=True)
class Batch:
    """Some pictures.

    Attributes:
        numbers: which these are, [n]; those that could not be read are missing.
        pixels: uint8 [n, H, W, C].
    """

    numbers: NDArray[np.int64]
    pixels: Pixels


class Images(ABC):
    """Numbered pictures of one size.

    Attributes:
        name: what it was called on the command line.
        kind: "dataset", "files", "array" or "model".
        count: how many there are.
        resolution: height and width in pixels.
        channels: 3 (colour) or 1 (grey).
        details: what else must be known to make the same pictures again; JSON values.
        mirrored_in_training: of a model's, whether its training mirrored photographs; None where
            that is not known.
    """

    name: str
    kind: str
    count: int
    resolution: int
    channels: int
    details: dict[str, str | int]
    mirrored_in_training: bool | None = None

    @abstractmethod
    def name_of(self, number: int) -> str:
        """Say what a picture is called."""

    @abstractmethod
    def read(self, numbers: Sequence[int]) -> Batch:
        """Read some pictures; those that cannot be used are left out."""

    def holds(self, resolution: int) -> bool:
        """Check whether the pictures are there at a size, so that none has to be resized."""
        return resolution == self.resolution

    def at(self, resolution: int) -> "Images":
        """Give the same pictures at another size."""
        return self if resolution == self.resolution else Resized(self, resolution)

    def batches(self, numbers: Sequence[int] | None = None) -> Iterator[Batch]:
        """Go through some pictures, or all, in parts of bounded size."""
        wanted = range(self.count) if numbers is None else numbers
        size = max(1, _PIXELS_AT_ONCE // self.resolution**2)
        for start in range(0, len(wanted), size):
            yield self.read(wanted[start : start + size])

    def sample(self, count: int, seed: int) -> Sequence[int]:
        """Choose `count` pictures that stand for all.

        The rows of a dataset are in random order, and so are seeds: the first ones will do. Files
        and arrays may be sorted, so theirs are drawn.
        """
        if self.kind in ("dataset", "model"):
            return range(count)
        drawn = np.random.default_rng([seed, self.count]).permutation(self.count)[:count]
        return [int(number) for number in drawn]


class DatasetImages(Images):
    """A split of a dataset, at one of its levels."""

    def __init__(self, name: str, dataset: Dataset, split: Split, resolution: int) -> None:
        self.dataset, self.split = dataset, split
        self.rows = dataset.rows(split)
        if len(self.rows) == 0:
            raise DatasetError(f"{name} has no {split} pictures.")
        self._pixels = dataset.level(resolution.bit_length() - 1)
        self.name, self.kind, self.count = name, "dataset", len(self.rows)
        self.resolution, self.channels = resolution, dataset.channels
        self.details = {"split": split, "fingerprint": dataset.fingerprint}

    def holds(self, resolution: int) -> bool:
        """Check whether the dataset has a level of that size."""
        return resolution in [2**level for level in self.dataset.levels]

    def at(self, resolution: int) -> Images:
        """Give the same pictures at another size: another level, where there is one."""
        if self.holds(resolution):
            return DatasetImages(self.name, self.dataset, self.split, resolution)
        return super().at(resolution)

    def name_of(self, number: int) -> str:
        """Give the picture's name in the dataset's source."""
        return self.dataset.names[int(self.rows[number])]

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read some pictures."""
        which = np.asarray(numbers, np.int64)
        return Batch(which, np.array(self._pixels[self.rows[which]]))


class ModelImages(Images):
    """What a generator makes of seeds: picture n is that of seed `seed + n`.

    Of a generator with classes, each seed's class is drawn too, as often as the training images
    have it.
    """

    def __init__(self, name: str, model: ModelFile, count: int, seed: int) -> None:
        self._generator, self.trained = model.generator, model.trained
        self._class_counts, self._classes = model.class_counts, class_names(model)
        self.name, self.kind, self.count, self.seed = name, "model", count, seed
        self.resolution = 2**model.generator.level
        self.channels = model.generator.num_channels
        self.details = {"seed": seed}
        if "nimg" in model.trained:
            self.details["nimg"] = model.trained["nimg"]
        config = model.trained.get("config")
        mirror = config.get("mirror") if isinstance(config, dict) else None
        self.mirrored_in_training = mirror if isinstance(mirror, bool) else None

    def name_of(self, number: int) -> str:
        """Name the picture's seed and, if there are classes, its class."""
        seed = self.seed + number
        labels = labels_of_seeds([seed], self._class_counts)
        if labels is None:
            return f"seed {seed}"
        return f"seed {seed} ({readable(self._classes[labels[0]])})"

    def read(self, numbers: Sequence[int]) -> Batch:
        """Draw some pictures."""
        from tools.drawing import draw

        seeds = [self.seed + int(number) for number in numbers]
        points = latents_of_seeds(seeds, self._generator.latent_size)
        labels = labels_of_seeds(seeds, self._class_counts)
        return Batch(np.asarray(numbers, np.int64), draw(self._generator, points, labels))


class FileImages(Images):
    """Image files of a folder or an archive; all of one size, or brought to one.

    Args:
        name: what it was called on the command line.
        source: where they are.
        channels: 3 or 1; they are turned into that.
        resize: pixels to bring all to; None to take them as they are.
        like: the dataset that they are to be compared with: where they are not squares of one size,
            they are brought to one of its sizes, cropped as its photographs were. None to refuse
            such pictures.

    Raises:
        DatasetError: no picture can be read, or the first one is no square and nothing says what to
            do with it.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        channels: int,
        resize: int | None,
        like: Dataset | None = None,
    ) -> None:
        self._source = source
        self._squares = None
        if like is not None and resize is None:
            self._squares = Squares(source, name, like)
            resize = self._squares.side
        self._resize = resize
        self._pool = ThreadPoolExecutor(available_processors())
        self.name, self.kind, self.count = name, "files", len(source.names)
        self.channels = channels
        self.resolution = resize or self._find_resolution()
        self.details = {}

    def name_of(self, number: int) -> str:
        """Give the picture's name in the folder or archive."""
        return self._source.names[number]

    def read(self, numbers: Sequence[int]) -> Batch:
        """Decode some pictures; what is no picture is left out.

        Raises:
            DatasetError: a picture is of another size than the first.
        """
        # Decoders let other threads run, so that all processors are busy.
        found = list(self._pool.map(self._decode, numbers))
        kept = [number for number, pixels in zip(numbers, found, strict=True) if pixels is not None]
        size = (0, self.resolution, self.resolution, self.channels)
        whole = [pixels for pixels in found if pixels is not None]
        return Batch(np.array(kept, np.int64), np.stack(whole) if whole else np.empty(size, "u1"))

    def _decode(self, number: int) -> Pixels | None:
        try:
            data = self._source.load(number)
            pixels = upright(data, self.channels) if isinstance(data, bytes) else data
        except (UnusableError, OSError):
            return None
        if self._resize is not None:
            if self._squares is not None:
                return self._squares.of(pixels, self._resize)
            return fit(pixels, self._resize)
        if pixels.shape[:2] != (self.resolution, self.resolution):
            raise DatasetError(
                f"{self.name}: {self.name_of(number)} has {pixels.shape[1]}×{pixels.shape[0]} "
                f"pixels, and others have {self.resolution}×{self.resolution}; give --resize to "
                "bring all to one size."
            )
        return pixels

    def _find_resolution(self) -> int:
        for number in range(self.count):
            shape = size_of(self._source, number)
            if shape is None:
                continue
            height, width = shape
            if height != width:
                raise DatasetError(
                    f"{self.name}: {self.name_of(number)} is not square ({width}×{height} "
                    "pixels); give --resize to cut out the middle."
                )
            return height
        raise DatasetError(f"{self.name} holds no picture that can be read.")


class ArrayImages(Images):
    """A `.npy` file [N, H, W, C] or [N, C, H, W]: uint8, or numbers of a range.

    Args:
        name: what it was called on the command line.
        array: the numbers, which may be larger than the memory.
        value_range: which of them mean black and white; None to find out. uint8 is what it is.

    Raises:
        DatasetError: the array holds no pictures, or what its numbers mean is not certain.
    """

    def __init__(
        self, name: str, array: NDArray[np.generic], value_range: ValueRange | None = None
    ) -> None:
        self._array = array
        shape = array.shape
        if len(shape) != 4 or 0 in shape or (shape[3] not in (1, 3) and shape[1] not in (1, 3)):
            raise DatasetError(
                f"{name} has the shape {list(shape)}; pictures are [N, H, W, C] or [N, C, H, W] "
                "with 1 or 3 channels C."
            )
        self._channels_last = shape[3] in (1, 3)
        height, width = shape[1:3] if self._channels_last else shape[2:4]
        if height != width:
            raise DatasetError(f"{name} holds pictures of {width}×{height} pixels: not square.")
        self.name, self.kind, self.count = name, "array", shape[0]
        self.resolution, self.channels = height, shape[3] if self._channels_last else shape[1]
        self.details = {}
        self._range = None
        if array.dtype != np.uint8:
            self._range = find_range(array, name, value_range)
            self.details["range"] = str(self._range)

    def name_of(self, number: int) -> str:
        """Name the picture's row."""
        return f"row {number}"

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read some pictures."""
        which = np.asarray(numbers, np.int64)
        part = self._array[which]
        if self._range is not None:
            first = np.moveaxis(part, 3, 1) if self._channels_last else part
            return Batch(which, self._range.to_uint8(first))
        whole = np.asarray(part, np.uint8)
        return Batch(which, whole if self._channels_last else np.moveaxis(whole, 1, 3))


class Resized(Images):
    """Other pictures, brought to another size."""

    def __init__(self, images: Images, resolution: int) -> None:
        self._images = images
        self.name, self.kind, self.count = images.name, images.kind, images.count
        self.resolution, self.channels = resolution, images.channels
        self.details = images.details | {"resized_from": images.resolution}
        self.mirrored_in_training = images.mirrored_in_training

    def name_of(self, number: int) -> str:
        """Say what the picture is called."""
        return self._images.name_of(number)

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read some pictures."""
        batch = self._images.read(numbers)
        shape = (len(batch.pixels), self.resolution, self.resolution, self.channels)
        pixels = np.empty(shape, np.uint8)
        for place, picture in enumerate(batch.pixels):
            pixels[place] = fit(picture, self.resolution)
        return replace(batch, pixels=pixels)


def open_images(
    text: str,
    *,
    split: Split = "train",
    count: int | None = None,
    seed: int = 0,
    resize: int | None = None,
    channels: int = 3,
    device: str = "cpu",
    value_range: ValueRange | None = None,
    like: Dataset | None = None,
) -> Images:
    """Find the pictures that IMAGES on a command line means.

    Args:
        text: a dataset, a folder or zip archive of image files, a `.npy` file, a model file or a
            run directory.
        split: which part of a dataset.
        count: pictures of a model.
        seed: the first picture's, of a model.
        resize: pixels to bring all pictures to; None to take them as they are.
        channels: 3 or 1; image files are turned into that.
        device: where a model draws.
        value_range: which numbers mean black and white in an array that is not of uint8; None to
            find out.
        like: a dataset that image files are to be compared with; see `FileImages`.

    Raises:
        DatasetError: there is nothing of that name, or nothing usable in it.
        ProganError: a model file is damaged.
    """
    images = _open(
        Path(text), text, split, count, seed, resize, channels, device, value_range, like
    )
    return images if resize is None else images.at(resize)


def _open(
    path: Path,
    text: str,
    split: Split,
    count: int | None,
    seed: int,
    resize: int | None,
    channels: int,
    device: str,
    value_range: ValueRange | None,
    like: Dataset | None,
) -> Images:
    if (path / "dataset.json").is_file():
        dataset = Dataset.open(path)
        return DatasetImages(text, dataset, split, dataset.resolution)
    if path.suffix == ".safetensors" or (path / "config.json").is_file():
        from progan.checkpoint import read_model

        return ModelImages(text, read_model(path, device), count or _USUAL_COUNT, seed)
    if path.suffix.lower() == ".npy" and path.is_file():
        return ArrayImages(text, open_array(path), value_range)
    if not path.exists():
        raise DatasetError(
            f"there is no {text}: pictures are a dataset, a folder or zip archive of image files, "
            "a .npy file, a model file or a run directory"
        )
    source = open_source(text, resolution=4, channels=channels, seed=seed)
    return FileImages(text, source, channels=channels, resize=resize, like=like)


def refuse_unused_range(value_range: ValueRange | None, *images: Images) -> None:
    """Refuse --range where nothing was read by it.

    Raises:
        DatasetError: a range was given, and none of the images are an array of such numbers.
    """
    if value_range is not None and not any("range" in each.details for each in images):
        raise DatasetError(
            f"--range is for .npy arrays of numbers other than uint8, and "
            f"{' and '.join(each.name for each in images)} "
            f"{'is none' if len(images) == 1 else 'are none'}."
        )
