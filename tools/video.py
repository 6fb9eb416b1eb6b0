"""Films of a walk through latent space, in constant memory whatever their length."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from datasets import pictures
from datasets.errors import DatasetError
from datasets.progress import progress
from progan.checkpoint import ModelFile
from progan.labels import ClassWalk
from progan.latents import Walk, chunks
from tools.drawing import images
from tools.outputs import landing_file

# Below this height players show a film as a stamp; pixels are repeated to reach it.
_SMALLEST_HEIGHT = 256
# H.264 level 5.2 allows 4096 pixels a side in practice; decoders in hardware refuse more.
_LARGEST_SIDE = 4096
# Pixels that are made before any are written: several frames, as a walk computes neighbouring
# frames together, and few enough for any memory.
_PIXELS_AT_ONCE = 2**22
_MOST_FRAMES_AT_ONCE = 64
# The number of BT.709 in H.264's tables of primaries and of transfer functions.
_BT709 = 1


def frame_zoom(height: int, width: int) -> int:
    """Say how often each pixel is to be repeated so that a film is not too small to see."""
    return max(1, min(_SMALLEST_HEIGHT // height, _LARGEST_SIDE // max(height, width)))


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
    overwrite: bool,
) -> None:
    """Write the film of a walk as an H.264 MP4 that every player opens.

    Args:
        model: the generator.
        walk: its `cells` pictures are laid out as a grid in every frame.
        labels: if there are classes: class numbers int64 [cells], or how all cells go from class
            to class, in as many frames as the walk.
        out: ends in .mp4.
        columns: pictures a row.
        fps: frames per second.
        quality: constant rate factor of x264, 0 (lossless) … 51; 17 looks like the source.
        zoom: how often each pixel is repeated; None for what makes small films visible.
        overwrite: whether an existing file gives way.

    Raises:
        DatasetError: the frame would be too large, or `out` is taken.
    """
    side = 2**model.generator.level
    height, width = side * -(-walk.cells // columns), side * columns
    factor = zoom or frame_zoom(height, width)
    height, width = height * factor, width * factor
    if max(height, width) > _LARGEST_SIDE:
        raise DatasetError(
            f"A frame of {width}×{height} pixels is more than the {_LARGEST_SIDE} a side that "
            "players take: ask for a smaller --grid or --zoom."
        )
    with (
        landing_file(out, overwrite=overwrite) as path,
        av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as film,
        progress("Drawing frames", total=walk.frames, unit="frames") as bar,
    ):
        stream = film.add_stream("libx264", rate=Fraction(fps))
        _describe(stream, width, height, quality)
        for sheets in _sheets(model, walk, labels, columns):
            for sheet in sheets:
                film.mux(stream.encode(_frame(pictures.zoom(sheet, factor))))
            bar.advance(len(sheets))
        film.mux(stream.encode())


def _describe(stream: VideoStream, width: int, height: int, quality: int) -> None:
    """Tell the encoder what comes, and the player how to show it."""
    stream.width, stream.height = width, height
    # Half the colour resolution and yuv420p: what hardware decoders and browsers understand.
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": str(quality), "preset": "medium"}
    # Said in the file, since a player that must guess takes another matrix for small films than
    # for large ones, and shifts the colours of one of them.
    stream.colorspace = Colorspace.ITU709
    stream.color_range = ColorRange.MPEG
    stream.color_primaries = stream.color_trc = _BT709


def _sheets(
    model: ModelFile, walk: Walk, labels: np.ndarray | ClassWalk | None, columns: int
) -> Iterator[list[np.ndarray]]:
    """Draw the frames, some at a time, uint8 [H, W, C] each."""
    pixels = walk.cells << 2 * model.generator.level
    at_once = int(np.clip(_PIXELS_AT_ONCE // pixels, 1, _MOST_FRAMES_AT_ONCE))
    moving = chunks(labels, at_once) if isinstance(labels, ClassWalk) else None
    for points in chunks(walk, at_once):
        flat = points.reshape(-1, points.shape[-1])
        each: np.ndarray | None = None
        if moving is not None:
            each = next(moving).reshape(len(flat), -1)
        elif isinstance(labels, np.ndarray):
            each = np.tile(labels, len(points))
        parts = [pictures.to_uint8(part) for part in images(model.generator, flat, each)]
        made = np.concatenate(parts)
        frames = made.reshape(len(points), walk.cells, *made.shape[1:])
        yield [pictures.grid(cells, columns) for cells in frames]


def _frame(sheet: np.ndarray) -> av.VideoFrame:
    """Turn uint8 [H, W, C] into a frame as it is encoded."""
    rgb = np.ascontiguousarray(np.broadcast_to(sheet, (*sheet.shape[:2], 3)))
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
