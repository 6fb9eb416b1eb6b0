"""Films of a walk through latent space, in constant memory whatever their length."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets import pictures
from progan.checkpoint import ModelFile
from progan.labels import ClassWalk
from progan.latents import Walk, chunks
from progan.networks import Generator
from tools.drawing import parts, pixels, quickest
from tools.encoding import frame_zoom, refuse_large_frames, write_film

# Pixels that are made before any are written: several frames, as a walk computes neighbouring
# frames together, and few enough for any memory.
_PIXELS_AT_ONCE = 2**22
# So many frames a walk computes together, or as many as the generator does.
_USUAL_FRAMES_AT_ONCE = 64
# Pictures by which half precision is judged, from all over the film.
_PICTURES_COMPARED = 64


def write_video(
    model: ModelFile,
    walk: Walk,
    labels: np.ndarray | ClassWalk | None,
    out: Path,
    *,
    columns: int,
    fps: int,
    quality: int,
    zoom: int | None,
    precision: str = "auto",
    overwrite: bool,
) -> None:
    """Write the film of a walk as an H.264 MP4 that every player opens.

    On a GPU the generator computes in half precision, if that gives the same pictures to one grey
    level in frames from all over the film.

    Args:
        model: the generator.
        walk: its `cells` pictures are laid out as a grid in every frame.
        labels: if there are classes: class numbers int64 [cells], or how all cells go from class
            to class, in as many frames as the walk.
        out: ends in .mp4.
        columns: pictures a row.
        fps: frames per second.
        quality: constant rate factor of x264, 0 (least loss) … 51; 17 looks like the source.
        zoom: how often each pixel is repeated; None for what makes small films visible.
        precision: as of `tools.drawing.quickest`.
        overwrite: whether an existing file gives way.

    Raises:
        DatasetError: the frame would be too large, or `out` is taken.
        OSError: it cannot be written.
    """
    generator = model.generator
    side = 2**generator.level
    height, width = side * -(-walk.cells // columns), side * columns
    factor = zoom or frame_zoom(height, width)
    refuse_large_frames(height * factor, width * factor)
    write_film(
        frames(generator, walk, labels, columns, precision=precision),
        out,
        frames=walk.frames,
        height=height,
        width=width,
        zoom=factor,
        fps=fps,
        quality=quality,
        overwrite=overwrite,
    )


def frames(
    generator: Generator,
    walk: Walk,
    labels: np.ndarray | ClassWalk | None,
    columns: int,
    *,
    precision: str = "auto",
) -> Iterator[np.ndarray]:
    """Draw the frames of a film, some at a time, uint8 [n, H, W, C]; see `write_video`."""
    generator = quickest(
        generator, lambda: spread(walk, labels, _PICTURES_COMPARED), precision=precision
    )
    at_once = frames_at_once(generator, walk.cells)
    moving = chunks(labels, at_once) if isinstance(labels, ClassWalk) else None
    for points in chunks(walk, at_once):
        flat = points.reshape(-1, points.shape[-1])
        each: np.ndarray | None = None
        if moving is not None:
            each = next(moving).reshape(len(flat), -1)
        elif isinstance(labels, np.ndarray):
            each = np.tile(labels, len(points))
        made = np.concatenate(list(pixels(generator, flat, each)))
        if walk.cells == 1:
            yield made
        else:
            cells = made.reshape(len(points), walk.cells, *made.shape[1:])
            yield np.stack([pictures.grid(frame, columns) for frame in cells])


def frames_at_once(generator: Generator, cells: int) -> int:
    """Say how many frames of some pictures each to draw before they are written."""
    few = _PIXELS_AT_ONCE // (cells << 2 * generator.level)
    return max(1, min(few, max(_USUAL_FRAMES_AT_ONCE, parts(generator) // cells)))


def spread(
    walk: Walk, labels: np.ndarray | ClassWalk | None, count: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Take about `count` pictures from frames all over a film.

    Returns:
        Latents [n, latent_size] and their labels, as `tools.drawing.images` takes them.
    """
    number = min(walk.frames, max(1, count // walk.cells))
    chosen = [int(frame) for frame in np.linspace(0, walk.frames - 1, number)]
    points = np.concatenate([walk.chunk(frame, 1)[0] for frame in chosen])
    if isinstance(labels, ClassWalk):
        return points, np.concatenate([labels.chunk(frame, 1)[0] for frame in chosen])
    return points, None if labels is None else np.tile(labels, number)
