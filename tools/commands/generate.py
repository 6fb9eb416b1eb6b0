"""`python -m tools generate`: pictures of a generator."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tools import options

if TYPE_CHECKING:
    import numpy as np

    from progan.checkpoint import ModelFile
    from tools.class_rows import ClassRows
    from tools.generate import Faces

_PICTURES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_SUFFIXES = {"jpeg": ".jpg", "webp": ".webp"}


@click.command()
@options.model
@options.out
@click.option(
    "--seeds", type=options.Seeds(), help="One picture a seed; by default as --grid, or 0-63."
)
@click.option(
    "--latents",
    "latents_file",
    type=options.PATH,
    help="A .npy file of latents [N, latent_size] instead of seeds.",
)
@click.option(
    "--grid", type=options.Grid(), help="One picture of columns x rows instead of single ones."
)
@click.option(
    "--zoom", type=click.IntRange(1, 64), default=1, help="Repeat each pixel of a grid so often."
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["png", "jpeg", "webp", "npy"]),
    default=None,
    help="Of single pictures; webp is lossless. npy: one file of the network's own float32 output "
    "[N, C, H, W], unclipped.",
)
@click.option(
    "--class",
    "class_names",
    multiple=True,
    help="Name or number of the class; repeatable. By default a grid has one row a class, and "
    "single pictures have classes as often as the training images.",
)
@options.truncation
@options.drawing_precision
@options.device
@options.overwrite
def generate(
    model: Path,
    out: Path,
    seeds: list[int] | None,
    latents_file: Path | None,
    grid: tuple[int, int] | None,
    zoom: int,
    format_name: str | None,
    class_names: tuple[str, ...],
    truncation: float,
    precision: str,
    device: str,
    overwrite: bool,
) -> None:
    """Draw pictures: a folder of single ones, a grid as one file, or numbers.

    OUT is a folder of pictures, or a file where its name ends in .png, .jpg, .webp or .npy. A grid
    of several classes, or of all classes of a model that has some, shows one class in each row and
    the same faces in all of them; where it has rows for more faces, all classes come again below.
    """
    from progan.truncation import truncate
    from tools import drawing
    from tools import generate as work
    from tools.classes import class_names as names_of_classes
    from tools.classes import told

    if seeds is not None and latents_file is not None:
        raise click.UsageError("Give either --seeds or --latents, not both.")
    if seeds is not None and len(set(seeds)) < len(seeds):
        raise click.BadParameter("a seed is named twice", param_hint="--seeds")
    kind = _kind_of_output(out, format_name, grid is not None)
    if zoom > 1 and kind != "sheet":
        raise click.UsageError("--zoom is for grids.")
    options.refuse_input_as_output(out, model, latents_file)
    options.refuse_other_pictures(out, "OUT")
    loaded = options.read_model(model, device)
    classes = _classes(loaded, class_names)
    truncate(loaded.generator, truncation)
    points = None
    if latents_file is not None:
        points = drawing.read_latents(latents_file, loaded.generator.latent_size)
        seeds = list(range(len(points)))
    rows = _rows(loaded, classes, seeds, grid) if kind == "sheet" else None
    usual = rows.count if rows else grid[0] * grid[1] if grid else 64
    numbers = seeds or list(range(usual))
    faces = _faces(loaded, numbers, classes, points, rows)
    # Numbers are the network's own, in float32, unless something else is asked for.
    precision = "float32" if kind == "array" and precision == "auto" else precision
    compared = min(faces.count, work.PICTURES_COMPARED)
    generator = drawing.quickest(
        loaded.generator, lambda: faces.part(0, compared), precision=precision
    )
    if kind == "sheet":
        if grid and faces.count > grid[0] * grid[1]:
            raise click.BadParameter(
                f"{faces.count} pictures do not fit into {grid[0]}x{grid[1]}", param_hint="--grid"
            )
        columns = rows.columns if rows else grid[0] if grid else min(8, faces.count)
        work.generate_grid(generator, faces, out, columns=columns, zoom=zoom, overwrite=overwrite)
    elif kind == "array":
        work.generate_array(generator, faces, out, overwrite=overwrite)
    else:
        word = "seed" if latents_file is None else "latent"
        names = work.picture_names(word, numbers, classes)
        suffix = _SUFFIXES.get(format_name or "", ".png")
        work.generate_files(generator, faces, names, out, suffix=suffix, overwrite=overwrite)
    click.echo(f"{faces.count} pictures: {out}")
    if rows:
        shown = [names_of_classes(loaded)[number] for number in rows.classes]
        click.echo(f"Rows from the top: {told(shown)}")


def _kind_of_output(
    out: Path, format_name: str | None, grid: bool
) -> Literal["sheet", "folder", "array"]:
    """Say what OUT is to be: one picture, a folder of single ones, or an array."""
    suffix = out.suffix.lower()
    named = _PICTURES.get(suffix) or ("npy" if suffix == ".npy" else None)
    if format_name is not None and named not in (None, format_name):
        raise click.BadParameter(f"{format_name} does not fit {out.name}", param_hint="--format")
    if "npy" in (format_name, named):
        if grid:
            raise click.UsageError("--grid makes a picture: it does not go with the format npy.")
        return "array"
    if grid and named is None:
        raise click.BadParameter("a grid's name must end in .png, .jpg or .webp", param_hint="OUT")
    return "folder" if named is None else "sheet"


def _classes(loaded: "ModelFile", names: tuple[str, ...]) -> list[int]:
    """Find the classes that --class means, none of them twice."""
    from tools.classes import find_class

    classes = [find_class(loaded, name) for name in names]
    if len(set(classes)) < len(classes):
        raise click.BadParameter("a class is named twice", param_hint="--class")
    return classes


def _rows(
    loaded: "ModelFile",
    classes: list[int],
    seeds: list[int] | None,
    grid: tuple[int, int] | None,
) -> "ClassRows | None":
    """Lay out a grid with one class in each row, where it shows more than one."""
    from tools.class_rows import ClassRows

    if loaded.generator.label_size == 0 or len(classes) == 1:
        return None
    count = None if seeds is None else len(seeds)
    return ClassRows.plan(loaded.generator.label_size, classes, count, grid)


def _faces(
    loaded: "ModelFile",
    numbers: list[int],
    classes: list[int],
    points: "np.ndarray | None",
    rows: "ClassRows | None",
) -> "Faces":
    """Say what pictures are made of: latents of a file, where there are some, or of seeds."""
    from progan.latents import latents_of_seeds
    from tools import generate as work

    if rows is None:
        return work.FacesOfNumbers(loaded, numbers, classes, points)
    if points is None:
        points = latents_of_seeds(numbers, loaded.generator.latent_size)
    return work.FacesAtHand(*rows.lay_out(points))
