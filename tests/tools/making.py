"""Small generators, datasets and films for the tests of this room."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.pyramid import Dataset, Writer, shrink
from progan.checkpoint import ModelFile, save_model
from progan.latents import latents_of_seeds
from progan.networks import Generator

Pixels = NDArray[np.uint8]


def small_generator(
    *, resolution: int = 16, channels: int = 3, classes: int = 0, seed: int = 0
) -> Generator:
    torch.manual_seed(seed)
    return Generator(
        resolution=resolution,
        num_channels=channels,
        label_size=classes,
        fmap_base=64,
        fmap_max=8,
    ).requires_grad_(False)


def write_model(path: Path, *, classes: Sequence[str] = (), **options: int) -> Generator:
    generator = small_generator(classes=len(classes), **options)
    save_model(path, generator, classes=tuple(classes))
    return generator


def assert_pixels_of(generator: Generator, images: Pixels, output: NDArray[np.floating]) -> None:
    """Pixels [N, H, W, C] are the network's own output [N, C, H, W], clipped and rounded."""
    levels = (np.clip(output.astype(np.float64), -1, 1) + 1) * 127.5
    assert images.dtype == np.uint8
    assert images.shape == np.moveaxis(output, 1, -1).shape
    # Within half a level; a little more, for the order in which a convolution adds.
    assert np.abs(images - np.moveaxis(levels, 1, -1)).max() <= 0.502
    assert (np.abs(output) > 1).any()  # Else nothing was clipped.


class Recalling(Generator):
    """A generator that has learned nothing but pictures by heart, one for each of its seeds."""

    def __init__(self, pictures: Pixels) -> None:
        super().__init__(
            resolution=pictures.shape[1],
            num_channels=pictures.shape[3],
            fmap_base=pictures.shape[1],
            fmap_max=4,
            latent_size=16,
        )
        self.points = torch.from_numpy(latents_of_seeds(range(len(pictures)), 16))
        self.images = torch.from_numpy(np.moveaxis(pictures, 3, 1).copy()).float() / 127.5 - 1
        self.asked: list[int] = []

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        self.asked.append(len(latents))
        return self.images[(latents @ self.points.T).argmax(dim=1)]


def recalling(pictures: Pixels) -> ModelFile:
    return ModelFile(generator=Recalling(pictures))


def write_pixels(
    path: Path,
    pictures: Pixels,
    *,
    names: Sequence[str] | None = None,
    hashes: Sequence[int] | None = None,
    held_out: float = 0.25,
) -> Dataset:
    """A dataset of the given pictures [N, R, R, C]; the last ones are held out.

    Those with equal `hashes`, which stand for the bytes of the file, are not.
    """
    path.mkdir()
    with Writer(path, resolution=pictures.shape[1], channels=pictures.shape[3]) as writer:
        for row, picture in enumerate(pictures):
            name = names[row] if names else f"{row}.png"
            writer.append(
                shrink(picture), name=name, sha256=f"{(hashes or range(len(pictures)))[row]:064x}"
            )
        writer.finish(
            held_out=held_out,
            framing={"crop": "centre", "upscale": False},
            source="photographs",
            seed=3,
            versions={"numpy": "2"},
        )
    return Dataset.open(path)


class Film:
    """A film file, decoded."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as film:
            stream = film.streams.video[0]
            self.streams = len(film.streams)
            self.codec = stream.codec_context.name
            self.pix_fmt = stream.pix_fmt
            self.fps = stream.average_rate
            self.seconds = float((stream.duration or 0) * (stream.time_base or 0))
            context = stream.codec_context
            self.tags = (
                context.colorspace,
                context.color_primaries,
                context.color_trc,
                context.color_range,
            )
            decoded = list(film.decode(stream))
            self.frames = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
            # Luma and the two halved chroma planes, one above the other.
            self.planes = np.stack([frame.to_ndarray() for frame in decoded])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
