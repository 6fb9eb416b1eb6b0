"""Which class a picture shows: labels of seeds, rows of a grid, and the way between two classes."""

from collections.abc import Sequence

import numpy as np

from progan.draws import Purpose, random_numbers
from progan.errors import ProganError


def labels_of_seeds(seeds: Sequence[int], class_counts: Sequence[int]) -> np.ndarray | None:
    """Draw one class a seed, as often as it is in a set of images; a seed always gives the same.

    Args:
        seeds: what each draw follows from.
        class_counts: how many images of each class there are; empty without classes.

    Returns:
        Class numbers, int64 [N]; None without classes.
    """
    if not class_counts:
        return None
    places = [random_numbers(seed, Purpose.SAMPLE_LABELS, 0).random() for seed in seeds]
    ends = np.cumsum(np.array(class_counts, np.int64))
    return np.asarray(np.searchsorted(ends, np.array(places) * ends[-1], side="right"), np.int64)


def classes_for_rows(label_size: int, rows: int) -> list[int]:
    """Choose the classes that a grid with one row a class shows.

    Args:
        label_size: number of classes, 0 or more.
        rows: rows that there is room for, at least 1.

    Returns:
        All class numbers in their order; where they are more than the rows, as many as fit, spread
        evenly from the first to the last.
    """
    if label_size <= rows:
        return list(range(label_size))
    return [int(number) for number in np.linspace(0, label_size - 1, rows).round()]


class ClassWalk:
    """From one class to another and back, so that it loops.

    Labels move along the quarter of a great circle between the two classes' one-hot vectors: all
    have length 1, as in training, so that no frame gives the classes less weight beside the latents
    than another. They start slowly, slow down at the other class, and so on the way back. The first
    frame is exactly of the first class, and frame `frames // 2` of the second.

    Args:
        frames: length of the loop.
        cells: pictures that walk at once, all alike.
        first: class number where it begins.
        second: class number where it turns back.
        label_size: number of classes.

    Raises:
        ProganError: there are fewer than two frames.
    """

    def __init__(
        self, *, frames: int, cells: int, first: int, second: int, label_size: int
    ) -> None:
        if frames < 2:
            raise ProganError(
                f"a film from class to class needs at least two frames, not {frames}: ask for more "
                "seconds"
            )
        self.frames = frames
        self.cells = cells
        self.first, self.second, self.label_size = first, second, label_size

    def chunk(self, start: int, count: int) -> np.ndarray:
        """Give the weights of the classes in some frames, float32 [count, cells, label_size]."""
        frame = np.arange(start, start + count) % self.frames
        half = self.frames // 2
        there = np.minimum(frame, half) / half
        back = np.maximum(frame - half, 0) / (self.frames - half)
        angle = np.pi / 4 * (1 - np.cos(np.pi * (there - back)))
        labels = np.zeros((count, 1, self.label_size), np.float32)
        labels[:, 0, self.first] = np.cos(angle)
        labels[:, 0, self.second] = np.sin(angle)
        return labels.repeat(self.cells, axis=1)
