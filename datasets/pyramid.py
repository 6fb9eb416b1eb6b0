"""A dataset on disk: the same pictures at every resolution, written once and read for ever."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from datasets import description, index
from datasets.codecs import Codec, share_of_bytes
from datasets.description import (
    LANDMARKS_NAME,
    NEAR_DUPLICATES_NAME,
    SKIPPED_NAME,
    Description,
    level_files,
    sides_of,
)
from datasets.errors import DatasetError
from datasets.levels import (
    CodedWriter,
    Level,
    LevelWriter,
    PlainWriter,
    check_level,
    hash_file,
    open_level,
)
from datasets.sources.landmarks import write_landmarks
from datasets.symmetry import SIDE, MirrorDifference, mirror_difference

Pixels = NDArray[np.uint8]

NONE_CODED: Mapping[int, Codec] = {}


def shrink(picture: Pixels) -> list[Pixels]:
    """Make all levels of a picture: itself, halved again and again down to 4 pixels.

    Every level is the repeated 2×2 box average of the picture, rounded once (half to even), so
    that rounding errors do not add up from level to level.

    Args:
        picture: [R, R, C], R a power of two from 4 to 1024.

    Returns:
        From the smallest: [4, 4, C], [8, 8, C] … [R, R, C].
    """
    levels = [picture]
    if picture.shape[0] == 4:
        return levels
    # Whole sums, which are exact; channels apart, so that neighbours are neighbours in memory.
    pairs = picture[::2].astype(np.uint16) + picture[1::2]
    pairs = np.ascontiguousarray(pairs.transpose(2, 0, 1))
    sums = pairs[..., ::2] + pairs[..., 1::2]
    bits = 2  # The averaged values are 2**bits.
    while True:
        # Half of them less one, and one more for an odd quotient: halves go to the even one.
        average = (sums + (2 ** (bits - 1) - 1) + (sums >> bits & 1)) >> bits
        level = np.empty((*average.shape[1:], len(average)), np.uint8)
        for channel, plane in enumerate(average):  # NumPy turns axes slowly.
            level[..., channel] = plane
        levels.append(level)
        if average.shape[1] == 4:
            return levels[::-1]
        if bits == 8:  # 256 values of 8 bits just fit into 16.
            sums = sums.astype(np.uint32)
        sums = sums[:, ::2] + sums[:, 1::2]
        sums = sums[..., ::2] + sums[..., 1::2]
        bits += 2


def size_on_disk(
    count: int, resolution: int, channels: int, codecs: Mapping[int, Codec] = NONE_CODED
) -> int:
    """Bytes that the levels of `count` pictures take; coded ones are estimated, with caution."""
    shares = {side: share_of_bytes(codec) for side, codec in codecs.items()}
    return sum(
        round(count * side**2 * channels * shares.get(side, 1)) for side in sides_of(resolution)
    )


class Writer:
    """Writes a dataset picture by picture, in memory that does not grow with their number.

    Use as a context manager, so that the files are closed whatever happens. The folder is complete
    once `finish` has returned; write into a `landing`, so that nobody sees it before.

    Attributes:
        entries: the rows so far.
    """

    def __init__(
        self,
        folder: Path,
        *,
        resolution: int,
        channels: int,
        codecs: Mapping[int, Codec] = NONE_CODED,
        entries: Sequence[index.Entry] = (),
        advance: Callable[[int], object] = lambda read: None,
    ) -> None:
        """Begin a dataset, or go on with one.

        Args:
            folder: where the files are.
            resolution: side of the largest level in pixels.
            channels: 3 (colour) or 1 (grey).
            codecs: how levels are coded, by side; the others hold plain pixels.
            entries: rows that another writer has written there; what comes after them is cut off.
            advance: is called with the number of bytes after each piece of these that was read.

        Raises:
            OSError: the files cannot be written, or, when going on, are missing.
        """
        self._folder, self._resolution, self._channels = folder, resolution, channels
        self.entries = list(entries)
        self._codecs = {side: codecs[side] for side in sorted(codecs)}
        self._levels: list[LevelWriter] = []
        rows = len(entries)
        with ExitStack() as opened:
            for side in sides_of(resolution):
                level: LevelWriter
                if side in self._codecs:
                    codec = self._codecs[side]
                    level = CodedWriter(
                        folder, side, codec, rows=rows, opened=opened, advance=advance
                    )
                else:
                    level = PlainWriter(
                        folder, side, channels, rows=rows, opened=opened, advance=advance
                    )
                self._levels.append(level)
            self._opened = opened.pop_all()

    def checkpoint(self) -> list[str]:
        """Write all rows so far through to the disk, and give the hashes of all levels."""
        for level in self._levels:
            level.checkpoint()
        return self.digests()

    def digests(self) -> list[str]:
        """Give the hashes of the levels' files so far, from the smallest level."""
        return [digest for level in self._levels for digest in level.digests()]

    def append(
        self,
        levels: Sequence[Pixels | bytes],
        *,
        name: str,
        sha256: str,
        class_name: str | None = None,
    ) -> None:
        """Add one picture as the next row.

        Args:
            levels: what `shrink` returns; those that are to be coded may be so already.
            name: the picture's name in the source.
            sha256: hash of its bytes there, in hexadecimal.
            class_name: the class it belongs to.
        """
        expected = [(side, side, self._channels) for side in sides_of(self._resolution)]
        shapes = [
            shape if isinstance(level, bytes) and shape[0] in self._codecs else np.shape(level)
            for level, shape in zip(levels, expected, strict=False)
        ]
        if len(levels) != len(expected) or shapes != expected:
            raise ValueError(f"levels of other shapes: {shapes}")
        for level, writer in zip(levels, self._levels, strict=True):
            writer.append(level)
        self.entries.append(index.Entry(name, sha256, class_name))

    def level(self, side: int) -> Level:
        """Give the pictures so far of `side` pixels: [N, H, W, C], left on disk until read."""
        self._levels[sides_of(self._resolution).index(side)].publish()
        codec = self._codecs.get(side)
        return open_level(self._folder, side, codec, self._channels, len(self.entries))

    def finish(
        self,
        *,
        held_out: float,
        framing: Mapping[str, str | bool],
        source: str,
        seed: int,
        versions: Mapping[str, str],
        skipped: Sequence[tuple[str, str]] = (),
        groups: Sequence[str | None] | None = None,
        choices: Mapping[str, str | bool] | None = None,
        near_duplicates: Mapping[int, int] | None = None,
        landmarks: Sequence[tuple[str, NDArray[np.float32]]] | None = None,
    ) -> None:
        """Write the tables and the description.

        Args:
            held_out: fraction of the rows to hold out of training, 0 to less than 1.
            framing: how pictures were cropped and resampled.
            source: where they came from.
            seed: what their order was drawn from.
            versions: library versions worth recording.
            skipped: name and reason of each picture that was left out.
            groups: the group of each row, which is held out as a whole or not at all.
            choices: how pictures were chosen, classed and split.
            near_duplicates: for rows that are nearly the same as an earlier one, that row; None if
                nobody has looked.
            landmarks: names of faces and their points [4, 2], where they were found for this.
        """
        if not self.entries:
            raise ValueError("a dataset needs a picture")
        # The header has room for any number of rows, so only now is the true one put in.
        for level in self._levels:
            level.publish()
        self._opened.close()
        entries = index.hold_out(
            index.mark_duplicates(self.entries), held_out, groups, near_duplicates
        )
        index.write(self._folder / index.FILE_NAME, entries)
        index.write_skipped(self._folder / SKIPPED_NAME, skipped)
        classes = {entry.class_name for entry in entries if entry.class_name is not None}
        side = min(self._resolution, SIDE)
        small = open_level(self._folder, side, self._codecs.get(side), self._channels, len(entries))
        hashes = dict(zip(level_files(self._resolution, self._codecs), self.digests(), strict=True))
        tables = [index.FILE_NAME, SKIPPED_NAME]
        if near_duplicates is not None:
            index.write_near_duplicates(self._folder / NEAR_DUPLICATES_NAME, near_duplicates)
            tables.append(NEAR_DUPLICATES_NAME)
        if landmarks is not None:
            write_landmarks(self._folder / LANDMARKS_NAME, landmarks)
            tables.append(LANDMARKS_NAME)
        for table in tables:
            hashes[table] = hash_file(self._folder / table)
        described = Description(
            resolution=self._resolution,
            channels=self._channels,
            count=len(entries),
            held_out=sum(entry.split == "held-out" for entry in entries),
            classes=tuple(sorted(classes)) or None,
            codecs=self._codecs,
            framing=framing,
            source=source,
            seed=seed,
            choices=choices or {},
            versions=versions,
            sha256=hashes,
            mirror=mirror_difference(small, _rows(entries, "train"), seed=seed),
        )
        (self._folder / description.FILE_NAME).write_text(described.text(), encoding="utf-8")

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._opened.close()


class Dataset:
    """A dataset that lies on disk. Get one with `Dataset.open`.

    Attributes:
        path: its folder.
        description: everything that dataset.json says.
        resolution: side of the largest level in pixels, a power of two from 4 to 1024.
        channels: 3 (colour) or 1 (grey).
        count: number of rows, held-out ones included.
        classes: class names in the order of their numbers, or None.
        fingerprint: changes whenever pixels, names, classes or split do.
        seed: what the order of the rows was drawn from.
        entries: for each row, which picture it is.
        names: for each row, the picture's name in the source.
        labels: [count] int64 class numbers, or None.
    """

    def __init__(self, path: Path, described: Description, entries: list[index.Entry]) -> None:
        self.path = path
        self.description = described
        self.resolution = described.resolution
        self.channels = described.channels
        self.count = described.count
        self.classes = described.classes
        self.fingerprint = described.fingerprint
        self.seed = described.seed
        self.entries = entries
        self.names = [entry.name for entry in entries]
        self.labels: NDArray[np.int64] | None = None
        if self.classes is not None:
            numbers = {name: number for number, name in enumerate(self.classes)}
            self.labels = np.array([numbers[e.class_name or ""] for e in entries], dtype=np.int64)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Dataset":
        """Open a dataset, and check everything but the hashes, which `verify` does.

        Raises:
            DatasetError: it is not a dataset, or not a whole one.
        """
        path = Path(path)
        described = Description.read(path)
        for side in sides_of(described.resolution):
            codec = described.codecs.get(side)
            check_level(path, side, codec, described.channels, described.count)
        entries = index.read(path / index.FILE_NAME, described.classes)
        held_out = sum(entry.split == "held-out" for entry in entries)
        if (len(entries), held_out) != (described.count, described.held_out):
            raise DatasetError(
                f"{path / index.FILE_NAME} does not list the {described.count} pictures "
                f"that {description.FILE_NAME} tells of; prepare the dataset again."
            )
        return cls(path, described, entries)

    @property
    def levels(self) -> range:
        """The levels L that there are, from 2 (4 pixels) up."""
        return range(2, self.resolution.bit_length())

    def level(self, level: int) -> Level:
        """Give the pictures of 2**level pixels: uint8 [N, H, W, C], left on disk until read.

        Whether they are coded or not, `[row]` gives one, and `[rows]` as many as there are rows.
        """
        if level not in self.levels:
            raise ValueError(f"level {level} is none of {self.levels}")
        codec = self.description.codecs.get(2**level)
        return open_level(self.path, 2**level, codec, self.channels, self.count)

    def rows(self, split: index.Split) -> NDArray[np.int64]:
        """Give the rows of a split, "train" or "held-out", in ascending order."""
        return _rows(self.entries, split)

    @property
    def mirror_difference(self) -> float | None:
        """How far the training pictures differ from their mirror images, 0 to 1.

        None for datasets that were prepared before this was measured.
        """
        mirror = self.description.mirror
        return None if mirror is None else mirror.difference

    @property
    def lopsided(self) -> bool | None:
        """Whether mirroring pictures in training would mix left and right; None if not known."""
        mirror = self.description.mirror
        return None if mirror is None else mirror.lopsided

    def measure_mirror_difference(self) -> MirrorDifference:
        """Return how far the training pictures differ from their mirror images.

        As `prepare` recorded it, or else computed now from the smaller levels.

        Raises:
            DatasetError: a picture is damaged.
        """
        if self.description.mirror is not None:
            return self.description.mirror
        small = self.level(min(self.resolution, SIDE).bit_length() - 1)
        return mirror_difference(small, self.rows("train"), seed=self.seed)

    def near_duplicates(self) -> dict[int, int] | None:
        """Give, for rows that are nearly the same as an earlier one, the first of their group.

        None where nobody has looked for them: in older datasets, and below 32 pixels.

        Raises:
            DatasetError: the table is missing or damaged.
        """
        if NEAR_DUPLICATES_NAME not in self.description.sha256:
            return None
        return index.read_near_duplicates(self.path / NEAR_DUPLICATES_NAME, self.count)

    @property
    def hashed_bytes(self) -> int:
        """How many bytes `verify` reads."""
        paths = [self.path / name for name in self.description.sha256]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def verify(self, advance: Callable[[int], object] = lambda read: None) -> list[str]:
        """Read everything and compare it with the hashes.

        Args:
            advance: is called with the number of bytes after each piece that was read.

        Returns:
            One sentence for each problem; none if every byte is as it was written. (What makes it
            no dataset at all is raised by `open` already.)
        """
        problems = []
        for name, expected in self.description.sha256.items():
            path = self.path / name
            try:
                if hash_file(path, advance) != expected:
                    problems.append(f"{path} is not as it was written.")
            except OSError as error:
                problems.append(f"{path} cannot be read: {error.strerror}.")
        path = self.path / description.FILE_NAME
        try:
            text = path.read_bytes()
        except OSError as error:
            return [*problems, f"{path} cannot be read: {error.strerror}."]
        # One description has one text, so that this finds what its own hashes cannot.
        if text != self.description.text().encode():
            problems.append(f"{path} is not as it was written.")
        return problems


def _rows(entries: Sequence[index.Entry], split: index.Split) -> NDArray[np.int64]:
    return np.array(
        [row for row, entry in enumerate(entries) if entry.split == split], dtype=np.int64
    )
