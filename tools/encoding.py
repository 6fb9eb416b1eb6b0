"""Films as files: frames into an H.264 MP4 that every player opens."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from datasets import pictures
from datasets.errors import DatasetError
from datasets.progress import progress
from progan.paths import in_utf8
from tools.outputs import landing_file

# Below this height players show a film as a stamp; pixels are repeated to reach it.
_SMALLEST_HEIGHT = 256
# H.264 level 5.2 allows 4096 pixels a side in practice; decoders in hardware refuse more.
_LARGEST_SIDE = 4096
# The number of BT.709 in H.264's tables of primaries and of transfer functions.
_BT709 = 1
# Below this x264 makes a lossless stream, of a profile that hardly any player knows.
_LEAST_FACTOR = 1
# Groups of frames that may wait to be encoded while others are being drawn.
_GROUPS_WAITING = 2


def frame_zoom(height: int, width: int) -> int:
    """Say how often each pixel is to be repeated so that a film is not too small to see."""
    return max(1, min(_SMALLEST_HEIGHT // height, _LARGEST_SIDE // max(height, width)))


def refuse_large_frames(height: int, width: int) -> None:
    """Raise DatasetError for frames that players do not take."""
    if max(height, width) > _LARGEST_SIDE:
        raise DatasetError(
            f"A frame of {width}×{height} pixels is more than the {_LARGEST_SIDE} a side that "
            "players take: ask for a smaller --grid or --zoom."
        )


def write_film(
    groups: Iterable[np.ndarray],
    out: Path,
    *,
    frames: int,
    height: int,
    width: int,
    zoom: int,
    fps: int,
    quality: int,
    overwrite: bool,
) -> None:
    """Write frames as an H.264 MP4, while the next ones are still being drawn.

    Args:
        groups: of frames, uint8 [n, height, width, C] each with C 3 (colour) or 1 (grey); few of
            them are in memory at once. They are asked for in this thread.
        out: ends in .mp4.
        frames: how many there will be, for the progress bar.
        height: of the frames in pixels, even after the zoom.
        width: likewise.
        zoom: how often each pixel is repeated.
        fps: frames per second.
        quality: constant rate factor of x264, 0 (least loss) … 51; 17 looks like the source.
        overwrite: whether an existing file gives way.

    Raises:
        DatasetError: the frames would be too large, or `out` is taken.
        OSError: it cannot be written.
    """
    refuse_large_frames(height * zoom, width * zoom)
    with (
        landing_file(out, overwrite=overwrite) as path,
        in_utf8(path) as name,
        av.open(str(name), "w", format="mp4", options={"movflags": "+faststart"}) as film,
        progress("Drawing frames", total=frames, unit="frames") as bar,
    ):
        encoder = _Encoder(film, height, width, zoom, fps, quality)
        # One thread: frames are encoded in their order. It works outside of Python's lock.
        with ThreadPoolExecutor(1) as pool:
            waiting: deque[Future[None]] = deque()
            try:
                for group in groups:
                    waiting.append(pool.submit(encoder.write, group))
                    if len(waiting) > _GROUPS_WAITING:
                        waiting.popleft().result()
                    bar.advance(len(group))
                waiting.append(pool.submit(encoder.finish))
                while waiting:
                    waiting.popleft().result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


class _Encoder:
    """Turns frames into what a film file holds."""

    def __init__(
        self, film: OutputContainer, height: int, width: int, zoom: int, fps: int, quality: int
    ) -> None:
        self._film, self._zoom, self._broken = film, zoom, False
        self._stream: VideoStream = film.add_stream("libx264", rate=Fraction(fps))
        self._describe(height * zoom, width * zoom, quality)
        # One for all frames: what it prepares takes longer than to turn a frame.
        self._reformatter = VideoReformatter()

    def write(self, frames: np.ndarray) -> None:
        """Encode some frames, uint8 [n, H, W, C]; after a failure, do nothing any more."""
        self._encode(self._frame(frame) for frame in frames)

    def finish(self) -> None:
        """Encode what the encoder has kept back; after a failure, do nothing any more."""
        self._encode([None])

    def _encode(self, frames: Iterable[av.VideoFrame | None]) -> None:
        if self._broken:
            # The library crashes if one goes on with a film that could not be written.
            return
        self._broken = True
        for frame in frames:
            self._film.mux(self._stream.encode(frame))
        self._broken = False

    def _describe(self, height: int, width: int, quality: int) -> None:
        """Tell the encoder what comes, and the player how to show it."""
        stream = self._stream
        stream.width, stream.height = width, height
        # Half the colour resolution and yuv420p: what hardware decoders and browsers understand.
        stream.pix_fmt = "yuv420p"
        # Of generated faces of 32 and 64 pixels, as near to the source as with "medium" at the same
        # factor, in a quarter of the time; the file is a fifth larger.
        # The profile is named, so that no setting can lead beyond what players take.
        factor = str(max(quality, _LEAST_FACTOR))
        stream.options = {"crf": factor, "preset": "superfast", "profile": "high"}
        # Said in the file, since a player that must guess takes another matrix for small films
        # than for large ones, and shifts the colours of one of them.
        stream.colorspace = Colorspace.ITU709
        stream.color_range = ColorRange.MPEG
        stream.color_primaries = stream.color_trc = _BT709

    def _frame(self, frame: np.ndarray) -> av.VideoFrame:
        """Turn uint8 [H, W, C] into a frame as it is encoded."""
        # By an even factor, each pixel has colours of its own even at half the resolution: they
        # are converted once and then repeated. By an odd one, pixels share colours, which are to
        # be averaged; so they are repeated first.
        even = self._zoom % 2 == 0
        if not even:
            frame = pictures.zoom(frame, self._zoom)
        rgb = np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))
        return self._reformatter.reformat(
            av.VideoFrame.from_ndarray(rgb, format="rgb24"),
            width=self._stream.width,
            height=self._stream.height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.POINT if even else Interpolation.BICUBIC,
        )
