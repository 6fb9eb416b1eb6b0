"""Films of a run: the same faces from the first moment that was kept to the last.

Nothing is made up between moments. Each picture is what the average generator drew at the level
where it stood, its pixels repeated to the size of the last; it is held, and then fades into the
next one. Time on the screen is training time: as many images shown in every second.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from datasets import door, pictures
from datasets.errors import DatasetError
from progan.checkpoint import MODEL_NAME, Checkpoints, ModelFile, read_model
from progan.labels import ClassWalk
from progan.latents import latents_of_seeds
from progan.runs import read_average, read_config
from tools.classes import walking_labels
from tools.encoding import frame_zoom, refuse_large_frames, write_film
from tools.growth_source import FromCheckpoints, FromSamples, Growth, cells_of, sample_grids

# The last half of the time between two checkpoints shows how one becomes the other.
_FADE = 0.5
# Frames that are handed over at once.
_FRAMES_AT_ONCE = 16
# Height of the caption in parts of the frame's, and in pixels at least.
_CAPTION_SHARE, _SMALLEST_CAPTION = 16, 24
_WHITE = 255


@dataclass(frozen=True)
class Moment:
    """A frame of the film: `weight` in [0, 1] of a checkpoint over the one before it."""

    checkpoint: int
    weight: float


def moments(nimg: Sequence[int], frames: int, hold: int) -> list[Moment]:
    """Lay checkpoints out in time.

    Args:
        nimg: images shown at each checkpoint, rising; at least two.
        frames: length of the film.
        hold: frames at its end that show the last checkpoint and no other, fewer than `frames`.

    Returns:
        One for each frame. A checkpoint is shown alone from the frame where its time has come; the
        first one begins the film.
    """
    found = []
    for frame in range(frames):
        place = min(1.0, frame / max(1, frames - hold))
        shown = nimg[0] + place * (nimg[-1] - nimg[0])
        after = int(np.searchsorted(nimg, shown, side="right"))
        if after == len(nimg):
            found.append(Moment(len(nimg) - 1, 1.0))
            continue
        gone = (shown - nimg[after - 1]) / (nimg[after] - nimg[after - 1])
        fading = max(0.0, gone - (1 - _FADE)) / _FADE
        # Slowly at both ends.
        found.append(Moment(after, float((1 - np.cos(np.pi * fading)) / 2)))
    return found


def choose_source(
    run: Path,
    *,
    grid: tuple[int, int] | None,
    seeds: Sequence[int] | None,
    class_name: str | None,
    device: torch.device,
) -> tuple[Growth, str | None]:
    """Find what shows a run's growth best; warns of damaged files.

    Checkpoints from all over the run show any faces. A run that has kept only its newest ones is
    shown from its sample grids, as far as these hold what is wanted.

    Args:
        run: the run directory.
        grid: columns and rows; None for the usual ones.
        seeds: the faces; None for the first ones.
        class_name: what was typed as --class.
        device: where checkpoints draw.

    Returns:
        The source, and a sentence for the user where it is not all that it might be.

    Raises:
        DatasetError: there is too little of either for a film.
        ProganError: the folder is no run directory.
        click.BadParameter: there is no such class, or no room for all seeds.
    """
    config = read_config(run)
    paths = Checkpoints(run / "checkpoints").sound(door.warn)
    early = len(paths) > 1 and 2 * int(paths[0].stem) <= int(paths[-1].stem)
    if not early and class_name is None:
        found = cells_of(config, grid, seeds)
        grids = sample_grids(run, config, door.warn) if found is not None else []
        if found is not None and len(grids) > 1:
            return FromSamples(config, grids, found[0], columns=found[1]), (
                f"These are the sample grids of {run / 'samples'}. To film other faces, or "
                "classes, train with --milestone-kimg, which keeps checkpoints."
            )
    if len(paths) < 2:
        raise DatasetError(
            f"{run} has kept {len(paths)} checkpoint{'' if len(paths) == 1 else 's'}, and a film "
            "of its growth needs two at least; training with --milestone-kimg keeps more."
        )
    columns, rows = grid or (4, 3)
    numbers = seeds or range(columns * rows)
    latent_size, labels = faces_of(run, paths[-1], len(numbers), class_name)
    points = latents_of_seeds(numbers, latent_size)
    shown = FromCheckpoints(run, paths, points, labels, columns=columns, device=device)
    return shown, (
        None
        if early
        else "The run has kept its newest checkpoints alone: training with --milestone-kimg keeps "
        "earlier ones."
    )


def faces_of(
    run: Path, newest: Path, count: int, typed: str | None
) -> tuple[int, np.ndarray | None]:
    """Say what a run's generator takes for some faces.

    Args:
        run: the run directory.
        newest: its newest checkpoint.
        count: number of faces.
        typed: what was typed as --class; None for each class in turn.

    Returns:
        The latents' length; and class numbers int64 [count], or None without classes.

    Raises:
        click.BadParameter: there is no such class.
        ProganError: the run is damaged.
    """
    generator = read_average(run, newest)[0]
    # A checkpoint holds tensors alone; the model file beside it knows the classes' names.
    model = ModelFile(generator=generator)
    if typed is not None and (run / MODEL_NAME).is_file():
        model = read_model(run)
    labels = walking_labels(model, typed, None, frames=1, cells=count)
    assert not isinstance(labels, ClassWalk)
    return generator.latent_size, labels


def write_timelapse(
    growth: Growth,
    out: Path,
    *,
    frames: int,
    hold: int,
    fps: int,
    quality: int,
    zoom: int | None,
    captions: bool,
    overwrite: bool,
) -> tuple[int, int]:
    """Write the film of a run's growth as an H.264 MP4.

    Args:
        growth: the faces, at two moments at least.
        out: ends in .mp4.
        frames: length of the film.
        hold: frames at its end that show the last moment alone.
        fps: frames per second.
        quality: constant rate factor of x264, 0 (least loss) … 51.
        zoom: how often pixels of the last moment are repeated; None for what makes small films
            visible.
        captions: whether a line below the pictures tells images shown and level.
        overwrite: whether an existing file gives way.

    Returns:
        Images shown at the first and at the last moment.

    Raises:
        DatasetError: the frame would be too large, or `out` is taken.
        ProganError: the run is damaged.
        OSError: the film cannot be written.
    """
    height, width = growth.side * growth.rows, growth.side * growth.columns
    factor = zoom or frame_zoom(height, width)
    height, width = height * factor, width * factor
    line = caption_height(height) if captions else 0
    refuse_large_frames(height + line, width)
    nimg = growth.nimg

    def sheet(number: int) -> np.ndarray:
        """Show a moment's faces, uint8 [height + line, width, C]."""
        faces, level = growth.sheet(number)
        whole = pictures.zoom(faces, factor)
        if not captions:
            return whole
        kimg = f"{nimg[number] / 1000:.{0 if nimg[number] >= 9950 else 1}f} kimg"
        text = f"{kimg}, {2**level} pixels"
        return np.concatenate([whole, caption(text, line, *whole.shape[1:])])

    write_film(
        _frames(moments(nimg, frames, hold), sheet),
        out,
        frames=frames,
        height=height + line,
        width=width,
        zoom=1,
        fps=fps,
        quality=quality,
        overwrite=overwrite,
    )
    return nimg[0], nimg[-1]


def _frames(plan: Sequence[Moment], sheet: Callable[[int], np.ndarray]) -> Iterator[np.ndarray]:
    """Draw the frames, some at a time; of the moments' sheets, two are in memory at most."""
    drawn: dict[int, np.ndarray] = {}

    def at(number: int) -> np.ndarray:
        if number not in drawn:
            drawn[number] = sheet(number)
        return drawn[number]

    for start in range(0, len(plan), _FRAMES_AT_ONCE):
        group = []
        for moment in plan[start : start + _FRAMES_AT_ONCE]:
            for old in [number for number in drawn if number < moment.checkpoint - 1]:
                del drawn[old]
            if moment.weight in (0, 1):
                group.append(at(moment.checkpoint - 1 + int(moment.weight)))
                continue
            before, after = at(moment.checkpoint - 1), at(moment.checkpoint)
            mixed = before + np.float32(moment.weight) * (after.astype(np.float32) - before)
            group.append(np.rint(mixed).astype(np.uint8))
        yield np.stack(group)


def caption_height(height: int) -> int:
    """Give the height in pixels, even, of the line below pictures of some height."""
    return 2 * (max(_SMALLEST_CAPTION, height // _CAPTION_SHARE) // 2)


def caption(text: str, height: int, width: int, channels: int) -> np.ndarray:
    """Write black on white, uint8 [height, width, channels]; smaller where it is too long.

    Args:
        text: in ASCII: the font has little else.
        height: in pixels.
        width: likewise.
        channels: 1 or 3.
    """
    size = height * 0.6
    # Letters do not become narrower quite as they become lower.
    while (font := ImageFont.load_default(size)).getlength(text) > 0.95 * width and size > 2:
        size *= 0.9
    picture = Image.new("L", (width, height), _WHITE)
    ImageDraw.Draw(picture).text((width // 2, height // 2), text, fill=0, font=font, anchor="mm")
    return np.repeat(np.asarray(picture)[:, :, None], channels, axis=2)
