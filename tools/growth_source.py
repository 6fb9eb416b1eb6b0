"""Where a film of a run's growth comes from: checkpoints that were kept, or sample grids.

Training draws a grid of the same faces a hundred times, and keeps only its newest checkpoints. So a
run that was made without milestones still shows how its first faces have grown.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from datasets import pictures
from datasets.errors import DatasetError
from progan.config import Config
from progan.runs import read_average
from tools.drawing import draw
from tools.watching import sample_classes, sample_layout

Pixels = NDArray[np.uint8]
# What Pillow raises for a damaged PNG.
_DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class Growth(Protocol):
    """The same faces at moments of a training.

    Attributes:
        nimg: images shown at each moment, rising.
        side: height and width in pixels of a face.
        columns: faces a row.
        rows: rows of faces.
    """

    nimg: list[int]
    side: int
    columns: int
    rows: int

    def sheet(self, number: int) -> tuple[Pixels, int]:
        """Return the faces of a moment, uint8 [rows · side, columns · side, C], and their level."""
        ...


class FromCheckpoints:
    """Faces of any latents, drawn by the checkpoints' average generators.

    Args:
        run: the run directory.
        paths: its checkpoints, the oldest first.
        points: latents float32 [N, latent_size], in rows of `columns`.
        labels: class numbers int64 [N], if there are classes.
        columns: faces a row.
        device: where to draw.
    """

    def __init__(
        self,
        run: Path,
        paths: Sequence[Path],
        points: np.ndarray,
        labels: np.ndarray | None,
        *,
        columns: int,
        device: torch.device,
    ) -> None:
        self.nimg = [int(path.stem) for path in paths]
        self.side = 2 ** read_average(run, paths[-1])[0].level
        self.columns, self.rows = columns, -(-len(points) // columns)
        self._run, self._paths, self._device = run, paths, device
        self._points, self._labels = points, labels

    def sheet(self, number: int) -> tuple[Pixels, int]:
        """Return the faces of a moment, uint8 [rows · side, columns · side, C], and their level."""
        generator, _ = read_average(self._run, self._paths[number])
        made = draw(generator.to(self._device), self._points, self._labels)
        grid = pictures.grid(made, self.columns)
        return pictures.zoom(grid, self.side >> generator.level), generator.level


class FromSamples:
    """The first faces of the sample grids.

    Args:
        config: the run's settings.
        paths: its sample grids, the oldest first.
        cells: places in a grid, row by row, of the faces to show.
        columns: faces a row of the film.
    """

    def __init__(
        self, config: Config, paths: Sequence[Path], cells: Sequence[int], *, columns: int
    ) -> None:
        self.nimg = [int(path.stem) for path in paths]
        self.side = config.resolution
        self.columns, self.rows = columns, -(-len(cells) // columns)
        self._config, self._paths, self._cells = config, paths, cells

    def sheet(self, number: int) -> tuple[Pixels, int]:
        """Return the faces of a moment, uint8 [rows · side, columns · side, C], and their level.

        Raises:
            DatasetError: the grid is damaged.
        """
        path = self._paths[number]
        try:
            with Image.open(path, formats=["PNG"]) as opened:
                whole = np.asarray(opened)
        except _DAMAGE:
            raise DatasetError(f"{path} is damaged: move it away") from None
        whole = whole.reshape(*whole.shape[:2], -1)
        across = whole.shape[1] // self.side
        faces = []
        for cell in self._cells:
            top, left = cell // across * self.side, cell % across * self.side
            faces.append(whole[top : top + self.side, left : left + self.side])
        level = self._config.schedule.at(self.nimg[number]).level
        return pictures.grid(np.stack(faces), self.columns), level


def sample_grids(run: Path, config: Config, warn: Callable[[str], None]) -> list[Path]:
    """List a run's sample grids, the oldest first.

    Args:
        run: the run directory.
        config: its settings, which say how large a grid is.
        warn: takes a sentence for each that is damaged, or another picture.
    """
    columns, rows = layout(config)
    size = (columns * config.resolution, rows * config.resolution)
    mode = "L" if config.num_channels == 1 else "RGB"
    found = []
    for path in sorted((run / "samples").glob("[0-9]" * 12 + ".png")):
        try:
            if not path.is_file():
                raise ValueError
            with Image.open(path, formats=["PNG"]) as opened:
                if (opened.size, opened.mode) != (size, mode):
                    raise ValueError
        except _DAMAGE:
            warn(f"{path} is damaged, or no sample grid of this run. It is left out.")
        else:
            found.append(path)
    return found


def layout(config: Config) -> tuple[int, int]:
    """Return columns and rows of a run's sample grids."""
    columns, rows = sample_layout(config.resolution)
    shown = sample_classes(config.resolution, config.label_size)
    return columns, len(shown) or rows


def cells_of(
    config: Config, grid: tuple[int, int] | None, seeds: Sequence[int] | None
) -> tuple[list[int], int] | None:
    """Find faces in a run's sample grids.

    Args:
        config: the run's settings.
        grid: columns and rows that are wanted; None for as many as there are, up to 4x3.
        seeds: the faces that are wanted; None for the first ones.

    Returns:
        Their places in a grid, row by row, and columns of the film; None where a grid does not hold
        them: with classes, each of its rows has the same faces.
    """
    across, down = layout(config)
    if config.label_size:
        if seeds is not None:
            return None
        columns, rows = grid or (min(4, across), min(3, down))
        if columns > across or rows > down:
            return None
        return [row * across + column for row in range(rows) for column in range(columns)], columns
    if seeds is None:
        columns, rows = grid or (min(4, across), min(3, down))
        seeds = range(columns * rows)
    else:
        columns = grid[0] if grid else min(8, len(seeds))
    if max(seeds) >= across * down:
        return None
    return list(seeds), columns
