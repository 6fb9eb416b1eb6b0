"""What `python -m tools project` reads and writes; the search itself is in `projection`."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets import door, pictures
from datasets.errors import DatasetError, UnusableError
from datasets.framing import Framing, UnturnedCrop, frame
from datasets.progress import progress
from progan.checkpoint import ModelFile
from progan.runs import read_critic
from tools.drawing import as_pixels, draw
from tools.encoding import frame_zoom, refuse_large_frames, write_film
from tools.outputs import landing_folder
from tools.projection import CriticSpace, Found, PixelSpace, search

_OURS = re.compile(r"latents\.npy|comparison\.png|distances\.csv|search\.mp4")
# The film ends with the result, held for so many seconds.
_HELD_SECONDS = 1
_FPS = 30
_FILM_QUALITY = 17


def usual_crop(model: ModelFile) -> UnturnedCrop:
    """Say how photographs are to be cropped: as those that the model was trained on."""
    dataset = model.trained.get("dataset")
    framing = dataset.get("framing") if isinstance(dataset, dict) else None
    crop = framing.get("crop") if isinstance(framing, dict) else None
    return "top" if crop == "top" else "centre"


def read_photographs(paths: Sequence[Path], model: ModelFile, crop: UnturnedCrop) -> np.ndarray:
    """Read photographs as the model's level has them, uint8 [N, side, side, C].

    Raises:
        DatasetError: a file is no usable picture.
    """
    generator = model.generator
    framing = Framing(
        resolution=2**generator.level, channels=generator.num_channels, crop=crop, upscale=True
    )
    found = []
    for path in paths:
        if path.is_dir():
            raise DatasetError(f"{path} is a folder: give single photographs.")
        try:
            found.append(frame(path.read_bytes(), framing))
        except UnusableError as unusable:
            raise DatasetError(f"{path} cannot be used: {unusable}.") from None
    return np.stack(found)


def project(
    model: ModelFile,
    critic_run: Path | None,
    paths: Sequence[Path],
    out: Path,
    *,
    crop: UnturnedCrop,
    label: int | None,
    steps: int,
    seed: int,
    film: bool,
    overwrite: bool,
) -> np.ndarray:
    """Find latents for photographs, and write what was found into a folder.

    Args:
        model: its generator's weights have no gradients.
        critic_run: the run whose critic compares pictures; None compares pixels.
        paths: of the photographs.
        out: the folder.
        crop: how the photographs become squares.
        label: the class of all of them, if the generator has classes.
        steps: of the search.
        seed: of the search.
        film: whether to write a film of it.
        overwrite: whether an older result gives way.

    Returns:
        The distances that were reached, [N].

    Raises:
        DatasetError: a photograph or the place of the result cannot be used.
        ProganError: the run has no usable critic.
    """
    photographs = read_photographs(paths, model, crop)
    generator = model.generator
    device = next(generator.parameters()).device
    targets = torch.from_numpy(photographs).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    space = PixelSpace() if critic_run is None else _critic_space(critic_run, model, device)
    states = search(generator, space, targets, steps=steps, seed=seed, label=label)
    with landing_folder(out, overwrite=overwrite, ours=_OURS) as folder:
        last = _Last()
        side = 2**generator.level
        height, width = 2 * side, len(paths) * side
        zoom = frame_zoom(height, width)
        frames = _frames(last.remember(states), photographs)
        if film:
            refuse_large_frames(height, width)
            write_film(
                _held(frames, _HELD_SECONDS * _FPS),
                folder / "search.mp4",
                frames=steps + 1 + _HELD_SECONDS * _FPS,
                height=height,
                width=width,
                zoom=zoom,
                fps=_FPS,
                quality=_FILM_QUALITY,
                overwrite=False,
            )
        else:
            with progress("Searching", total=steps + 1, unit="steps") as bar:
                for _ in frames:
                    bar.advance()
        found = last.found
        assert found is not None
        np.save(folder / "latents.npy", found.latents)
        labels = None if label is None else np.full(len(paths), label)
        again = draw(generator, found.latents, labels)
        both = pictures.grid(np.concatenate([photographs, again]), len(paths))
        pictures.save(folder / "comparison.png", pictures.zoom(both, zoom))
        with (folder / "distances.csv").open(
            "w", encoding="utf-8", errors="surrogateescape", newline=""
        ) as file:
            writer = csv.writer(file)
            writer.writerow(["photograph", "distance"])
            for path, distance in zip(paths, found.distances, strict=True):
                writer.writerow([path.name, f"{distance:.6f}"])
    return found.distances


def _critic_space(run: Path, model: ModelFile, device: torch.device) -> CriticSpace:
    critic, generator = read_critic(run, door.warn), model.generator
    if critic.top_level < generator.level or critic.num_channels != generator.num_channels:
        raise DatasetError(
            f"the critic of {run} is for {2**critic.top_level} pixels and {critic.num_channels} "
            f"channels, and the model has {2**generator.level} and {generator.num_channels}: give "
            "other --features."
        )
    return CriticSpace(critic.stand(generator.level, generator.fade).to(device))


class _Last:
    """Remembers where a search stood last."""

    found: Found | None = None

    def remember(self, states: Iterator[Found]) -> Iterator[Found]:
        for self.found in states:
            yield self.found


def _frames(states: Iterator[Found], photographs: np.ndarray) -> Iterator[np.ndarray]:
    """Show photographs above, and what the generator makes of each latent below: [1, H, W, C]."""
    for state in states:
        yield _sheet(photographs, as_pixels(state.images))[None]


def _sheet(photographs: np.ndarray, images: Tensor) -> np.ndarray:
    both = np.concatenate([photographs, images.cpu().numpy()])
    return pictures.grid(both, len(photographs))


def _held(frames: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """Repeat the last frame so many times."""
    for frame_now in frames:
        yield frame_now
    yield np.repeat(frame_now, count, axis=0)
