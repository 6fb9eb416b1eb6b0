"""Grids with one row for each class: down a column, nothing changes but the class."""

from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np

from progan.labels import classes_for_rows

# What a grid shows when nobody says otherwise. More rows than these nobody compares.
_USUAL_COLUMNS = 8
MOST_ROWS = 32


@dataclass(frozen=True)
class ClassRows:
    """What stands where in such a grid."""

    classes: Sequence[int]
    """The class of each row of a band, from the top."""
    columns: int
    """Latent vectors in a row; all rows of a band have the same."""
    bands: int = 1
    """How often all classes come again, further down and with further latents."""

    @classmethod
    def plan(
        cls,
        label_size: int,
        asked: Sequence[int],
        count: int | None,
        grid: tuple[int, int] | None,
    ) -> "ClassRows":
        """Find a layout.

        Args:
            label_size: number of classes of the generator.
            asked: classes to show; none for all, or as many as there are rows for.
            count: number of latent vectors, if it is given.
            grid: columns and rows, if they are given. Otherwise there is one band, with a column
                for each latent vector.

        Raises:
            click.BadParameter: that does not fit into the grid.
        """
        columns, rows = grid or (count or _USUAL_COLUMNS, max(MOST_ROWS, len(asked)))
        classes = list(asked) or classes_for_rows(label_size, rows)
        bands = rows // len(classes) if grid else 1
        if bands == 0:
            raise click.BadParameter(
                f"{len(classes)} classes do not fit into {columns}x{rows}: each has a row",
                param_hint="--grid",
            )
        if count is not None:
            if count % columns or count > columns * bands:
                raise click.BadParameter(
                    f"{count} faces for each of {len(classes)} classes do not fill rows of "
                    f"{columns}x{rows}, where each row shows one class",
                    param_hint="--grid",
                )
            bands = count // columns
        return cls(classes, columns, bands)

    @property
    def count(self) -> int:
        """How many latent vectors it shows."""
        return self.columns * self.bands

    def lay_out(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the latents and the label of every picture, row by row.

        Args:
            points: [count, latent_size].

        Returns:
            Latents [pictures, latent_size], and class numbers int64 [pictures].
        """
        bands = points.reshape(self.bands, 1, self.columns, points.shape[-1])
        rows = np.repeat(bands, len(self.classes), axis=1).reshape(-1, points.shape[-1])
        labels = np.repeat(np.array(self.classes, np.int64), self.columns)
        return rows, np.tile(labels, self.bands)
