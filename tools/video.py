"""Films of a walk through latent space, in constant memory whatever their length."""

from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from datasets import pictures
from datasets.errors import DatasetError
from datasets.landing import landing
from datasets.progress import progress
from progan.checkpoint import ModelFile
from progan.latents import Walk, chunks
from tools.drawing import images, parts

# Below this height players show a film as a stamp; pixels are repeated to reach it.
_SMALLEST_HEIGHT = 256
# H.264 level 5.2 allows 4096 pixels a side in practice; decoders in hardware refuse more.
_LARGEST_SIDE = 4096
# The number of BT.709 in H.264's tables of primaries and of transfer functions.
_BT709 = 1


def frame_zoom(height: int, width: int) -> int:
    """Say how often each pixel is to be repeated so that a film is not too small to see."""
    return max(1, min(_SMALLEST_HEIGHT // height, _LARGEST_SIDE // max(height, width)))


def write_video(
    model: ModelFile,
    walk: Walk,
    labels: np.ndarray | None,
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
        labels: class numbers int64 [cells], if there are classes.
        out: ends in .mp4.
        columns: pictures a row.
        fps: frames per second.
        quality: constant rate factor of x264, 0 (lossless) … 51; 17 looks like the source.
        zoom: how often each pixel is repeated; None for what makes small films visible.
        overwrite: whether an existing file gives way.

    Raises:
        DatasetError: the frame would be too large, or `out` exists.
    """
    generator = model.generator
    cells = walk.chunk(0, 1).shape[1]
    side = 2**generator.level
    height, width = side * -(-cells // columns), side * min(cells, columns)
    factor = zoom or frame_zoom(height, width)
    height, width = height * factor, width * factor
    if max(height, width) > _LARGEST_SIDE:
        raise DatasetError(
            f"A frame of {width}×{height} pixels is more than the {_LARGEST_SIDE} a side that "
            "players take: ask for a smaller --grid or --zoom."
        )
    # Whole frames at once, as many as keep the processor busy.
    frames_at_once = max(1, parts(generator) // cells)
    with (
        landing(out, overwrite=overwrite) as path,
        av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as film,
        progress("Drawing frames", total=walk.frames, unit="frames") as bar,
    ):
        stream = film.add_stream("libx264", rate=fps)
        stream.width, stream.height = width, height
        # Half the colour resolution and yuv420p: what hardware decoders and browsers understand.
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(quality), "preset": "medium"}
        # Said in the file, since a player that must guess takes another matrix for small films
        # than for large ones, and shifts the colours of one of them.
        stream.colorspace = Colorspace.ITU709
        stream.color_range = ColorRange.MPEG
        stream.color_primaries = stream.color_trc = _BT709
        for points in chunks(walk, frames_at_once):
            count = len(points)
            flat = points.reshape(count * cells, -1)
            each = None if labels is None else np.tile(labels, count)
            made = np.concatenate([pictures.to_uint8(p) for p in images(generator, flat, each)])
            for cell in made.reshape(count, cells, *made.shape[1:]):
                sheet = pictures.zoom(pictures.grid(cell, columns), factor)
                rgb = np.ascontiguousarray(np.broadcast_to(sheet, (height, width, 3)))
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                    format="yuv420p",
                    dst_colorspace=Colorspace.ITU709,
                    dst_color_range=ColorRange.MPEG,
                )
                film.mux(stream.encode(frame))
            bar.advance(count)
        film.mux(stream.encode())
