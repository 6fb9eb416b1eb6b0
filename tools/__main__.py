"""The door to what was learned: `python -m tools --help`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datasets import door
from datasets.errors import DatasetError
from progan.errors import ProganError

if TYPE_CHECKING:
    import numpy as np

    from progan.checkpoint import ModelFile

_FOLDER_OR_FILE = click.Path(path_type=Path)
_MAX_SEEDS = 1_000_000


class Seeds(click.ParamType[list[int]]):
    """Seeds such as `0-63` or `1,5,9-12`."""

    name = "seeds"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        """Turn what was typed into seeds, or end with a usage error."""
        seeds: list[int] = []
        for part in str(value).split(","):
            match = re.fullmatch(r"\s*([0-9]{1,18})(?:-([0-9]{1,18}))?\s*", part, re.ASCII)
            if not match:
                self.fail(f"{value!r} is not a list of seeds such as 0-63 or 1,5,9-12.", param, ctx)
            first = int(match[1])
            last = int(match[2] or first)
            if last < first or len(seeds) + last - first >= _MAX_SEEDS:
                self.fail(f"{value!r}: {part!r} runs backwards, or is too long.", param, ctx)
            seeds += range(first, last + 1)
        return seeds


class Grid(click.ParamType[tuple[int, int]]):
    """Columns and rows such as `8x8`."""

    name = "grid"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Turn what was typed into columns and rows, or end with a usage error."""
        match = re.fullmatch(r"([1-9][0-9]{0,2})x([1-9][0-9]{0,2})", str(value), re.ASCII)
        if not match:
            self.fail(f"{value!r} is not columns and rows such as 8x8.", param, ctx)
        return int(match[1]), int(match[2])


_overwrite = click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
_device = click.option("--device", default="auto", show_default=True, help="cpu, cuda, mps, auto.")
_class = click.option(
    "--class", "class_name", help="Name or number of the class; by default each in turn."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Look at what a generator has learned. MODEL is a model file or a run directory."""


def _read(model: Path, device: str) -> "ModelFile":
    import torch

    from progan.checkpoint import read_model
    from tools.drawing import best_device

    try:
        where = best_device() if device == "auto" else torch.device(device)
        torch.zeros(1, device=where)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise click.BadParameter(
            f"{device!r} cannot be used on this machine ({reason})", param_hint="--device"
        ) from None
    return read_model(model, where)


def _labels(model: "ModelFile", class_name: str | None, seeds: list[int]) -> "np.ndarray | None":
    """Give one class number a picture; without --class, each class in turn."""
    import numpy as np

    from progan.latents import labels_of_seeds

    size = model.generator.label_size
    if class_name is None:
        return labels_of_seeds(seeds, size)
    if size == 0:
        raise click.BadParameter("this model has no classes", param_hint="--class")
    if class_name in model.classes:
        return np.full(len(seeds), model.classes.index(class_name), np.int64)
    if class_name.isascii() and class_name.isdigit() and int(class_name) < size:
        return np.full(len(seeds), int(class_name), np.int64)
    raise click.BadParameter(
        f"there is no class {class_name!r}; this model has {', '.join(model.classes) or size}",
        param_hint="--class",
    )


@main.command()
@click.argument("model", type=_FOLDER_OR_FILE)
@click.argument("out", type=_FOLDER_OR_FILE)
@click.option("--seeds", type=Seeds(), help="One picture a seed; by default as --grid, or 0-63.")
@click.option(
    "--latents",
    "latents_file",
    type=_FOLDER_OR_FILE,
    help="A .npy file of latents [N, latent_size] instead of seeds.",
)
@click.option("--grid", type=Grid(), help="One picture of columns x rows instead of single ones.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["png", "jpeg", "npy"]),
    default=None,
    help="npy: one file of the network's own float32 output [N, C, H, W], unclipped.",
)
@_class
@_device
@_overwrite
def generate(
    model: Path,
    out: Path,
    seeds: list[int] | None,
    latents_file: Path | None,
    grid: tuple[int, int] | None,
    format_name: str | None,
    class_name: str | None,
    device: str,
    overwrite: bool,
) -> None:
    """Draw pictures: a folder of single ones, a grid as one file, or numbers.

    OUT is a folder of pictures, or a file where its name ends in .png, .jpg or .npy.
    """
    from progan.latents import latents_of_seeds
    from tools import drawing
    from tools.generate import generate_array, generate_files, generate_grid

    if seeds is not None and latents_file is not None:
        raise click.UsageError("Give either --seeds or --latents, not both.")
    suffix = out.suffix.lower()
    format_name = format_name or {".npy": "npy", ".jpg": "jpeg", ".jpeg": "jpeg"}.get(suffix, "png")
    if format_name == "npy" and grid:
        raise click.UsageError("--grid makes a picture: it does not go with --format npy.")
    as_grid = grid is not None or suffix in (".png", ".jpg", ".jpeg")
    if as_grid and suffix not in (".png", ".jpg", ".jpeg"):
        raise click.BadParameter("a grid's name must end in .png or .jpg", param_hint="OUT")
    if as_grid and (format_name == "png") != (suffix == ".png"):
        raise click.BadParameter(f"{format_name} does not fit {out.name}", param_hint="--format")

    loaded = _read(model, device)
    if latents_file is not None:
        points = drawing.read_latents(latents_file, loaded.generator.latent_size)
        numbers = list(range(len(points)))
        names = [f"latent{number:06d}" for number in numbers]
    else:
        numbers = seeds or list(range(grid[0] * grid[1] if grid else 64))
        points = latents_of_seeds(numbers, loaded.generator.latent_size)
        names = [f"seed{number:06d}" for number in numbers]
        if len(set(names)) < len(names):
            raise click.BadParameter("a seed is named twice", param_hint="--seeds")
    labels = _labels(loaded, class_name, numbers)
    if as_grid:
        columns, rows = grid or (min(8, len(points)), -(-len(points) // 8))
        if len(points) > columns * rows:
            raise click.BadParameter(
                f"{len(points)} pictures do not fit into {columns}x{rows}", param_hint="--grid"
            )
        generate_grid(loaded, points, labels, out, columns=columns, overwrite=overwrite)
    elif format_name == "npy":
        generate_array(loaded, points, labels, out, overwrite=overwrite)
    else:
        generate_files(
            loaded,
            points,
            labels,
            names,
            out,
            suffix=".png" if format_name == "png" else ".jpg",
            overwrite=overwrite,
        )
    click.echo(f"{len(points)} pictures: {out}")


@main.command()
@click.argument("model", type=_FOLDER_OR_FILE)
@click.argument("out", type=_FOLDER_OR_FILE)
@click.option("--seconds", type=click.FloatRange(0.01, 86400), default=60.0, show_default=True)
@click.option("--fps", type=click.IntRange(1, 240), default=60, show_default=True)
@click.option(
    "--smoothing",
    type=click.FloatRange(0.001, 3600),
    default=1.0,
    show_default=True,
    help="Seconds over which the random walk is smoothed: more is slower.",
)
@click.option("--grid", type=Grid(), default="1x1", show_default=True, help="Faces a frame.")
@click.option("--seed", type=click.IntRange(0, 10**18), default=0, show_default=True)
@click.option(
    "--path",
    "path_name",
    type=click.Choice(["random", "seeds"]),
    default="random",
    show_default=True,
    help="seeds: a tour of the faces of --seeds, back to the first.",
)
@click.option("--seeds", type=Seeds(), help="The faces of --path seeds, such as 1,2,3.")
@click.option("--zoom", type=click.IntRange(1, 256), help="Repeat each pixel so often.")
@click.option(
    "--quality",
    type=click.IntRange(0, 51),
    default=17,
    show_default=True,
    help="x264's constant rate factor: 0 is lossless, less is better.",
)
@_class
@_device
@_overwrite
def video(
    model: Path,
    out: Path,
    seconds: float,
    fps: int,
    smoothing: float,
    grid: tuple[int, int],
    seed: int,
    path_name: str,
    seeds: list[int] | None,
    zoom: int | None,
    quality: int,
    class_name: str | None,
    device: str,
    overwrite: bool,
) -> None:
    """Film a walk through latent space that ends where it began, as an H.264 MP4."""
    from progan.latents import SeedWalk, SmoothWalk, Walk, latents_of_seeds
    from tools.video import write_video

    if out.suffix.lower() != ".mp4":
        raise click.BadParameter("the film's name must end in .mp4", param_hint="OUT")
    if (path_name == "seeds") != (seeds is not None):
        raise click.UsageError("--path seeds and --seeds go together.")
    if path_name == "seeds" and grid != (1, 1):
        raise click.UsageError("--path seeds shows one face: it does not go with --grid.")
    loaded = _read(model, device)
    latent_size = loaded.generator.latent_size
    frames = max(1, round(seconds * fps))
    cells = grid[0] * grid[1]
    if seeds is not None:
        stops = latents_of_seeds(seeds, latent_size)
        walk: Walk = SeedWalk(frames=frames, stops=stops)
    else:
        walk = SmoothWalk(
            frames=frames, cells=cells, latent_size=latent_size, smoothing=smoothing * fps,
            seed=seed,
        )  # fmt: skip
    write_video(
        loaded,
        walk,
        _labels(loaded, class_name, list(range(cells))),
        out,
        columns=grid[0],
        fps=fps,
        quality=quality,
        zoom=zoom,
        overwrite=overwrite,
    )
    click.echo(f"{frames} frames, {frames / fps:g} s: {out}")


@main.command()
@click.argument("model", type=_FOLDER_OR_FILE)
@click.argument("dataset", type=_FOLDER_OR_FILE)
@click.argument("report", type=_FOLDER_OR_FILE)
@click.option(
    "--images",
    "count",
    type=click.IntRange(1, 1_000_000),
    default=100,
    show_default=True,
    help="Images to generate.",
)
@click.option(
    "--nearest",
    type=click.IntRange(1, 50),
    default=5,
    show_default=True,
    help="Training images to show for each.",
)
@click.option(
    "--resolution",
    type=door.Resolution(),
    help="Pixels at which images are compared; by default 32, or the model's if that is less.",
)
@click.option("--seed", type=click.IntRange(0, 10**18), default=0, show_default=True)
@_device
@_overwrite
def neighbours(
    model: Path,
    dataset: Path,
    report: Path,
    count: int,
    nearest: int,
    resolution: int | None,
    seed: int,
    device: str,
    overwrite: bool,
) -> None:
    """Show the training images nearest to generated ones, in the folder REPORT.

    REPORT gets report.html, report.json and sheet.png.
    """
    from datasets.pyramid import Dataset
    from tools.neighbours import write_report

    loaded = _read(model, device)
    data = Dataset.open(dataset)
    if loaded.generator.num_channels != data.channels:
        raise DatasetError(
            f"The model makes images of {loaded.generator.num_channels} channels, and {dataset} "
            f"has {data.channels}: they cannot be compared."
        )
    largest = min(2**loaded.generator.level, data.resolution)
    size = resolution or min(32, largest)
    if size > largest:
        raise click.BadParameter(
            f"model and dataset have {largest} pixels in common, not {size}",
            param_hint="--resolution",
        )
    sentence = write_report(
        loaded,
        data,
        report,
        count=count,
        wanted=nearest,
        level=size.bit_length() - 1,
        seed=seed,
        overwrite=overwrite,
    )
    click.echo(sentence)
    click.echo(f"The report: {report / 'report.html'}")


if __name__ == "__main__":
    door.run(main, ProganError)
