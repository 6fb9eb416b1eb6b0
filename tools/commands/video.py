"""`python -m tools video`: a film of a walk through latent space."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from datasets import door
from tools import options

if TYPE_CHECKING:
    from progan.latents import Walk

# Which paths an option has a meaning for.
_PATHS_OF = {"smoothing": ("random",), "seed": ("random", "still")}


@click.command()
@options.model
@options.out
@click.option("--seconds", type=door.Number(0.01, 86400), default=60.0, show_default=True)
@options.fps(60)
@click.option(
    "--smoothing",
    type=door.Number(0.001, 3600),
    default=1.0,
    show_default=True,
    help="Seconds over which the walk of --path random is smoothed: more is slower.",
)
@click.option(
    "--grid", type=options.Grid(), default="1x1", show_default=True, help="Faces a frame."
)
@options.seed("Of the random walk, or of the first face of --path still.")
@click.option(
    "--path",
    "path_name",
    type=click.Choice(["random", "seeds", "still"]),
    default=None,
    help="random: the faces change all the time; seeds: a tour of the faces of --seeds, back to "
    "the first; still: nothing changes but the class.  [default: random; with --to, still]",
)
@click.option("--seeds", type=options.Seeds(), help="The faces of --path seeds, such as 1,2,3.")
@options.film_zoom("Repeat each pixel so often.")
@options.quality
@click.option(
    "--class",
    "class_name",
    help="Name or number of the class; by default the faces of a grid have each in turn.",
)
@click.option(
    "--to",
    "to_class",
    metavar="CLASS",
    help="Go from --class to this class, where the film is half over, and back.",
)
@options.truncation
@options.drawing_precision
@options.device
@options.overwrite
@click.pass_context
def video(
    ctx: click.Context,
    model: Path,
    out: Path,
    seconds: float,
    fps: int,
    smoothing: float,
    grid: tuple[int, int],
    seed: int,
    path_name: str | None,
    seeds: list[int] | None,
    zoom: int | None,
    quality: int,
    class_name: str | None,
    to_class: str | None,
    truncation: float,
    precision: str,
    device: str,
    overwrite: bool,
) -> None:
    """Film a walk through latent space that ends where it began, as an H.264 MP4.

    With --class A --to B, the same faces go from class A to class B and back.
    """
    from progan.truncation import truncate
    from tools.classes import walking_labels
    from tools.video import write_video

    options.refuse_other_than_mp4(out)
    path_name = path_name or ("random" if to_class is None else "still")
    _refuse_contradictions(path_name, seeds, grid, class_name, to_class)
    for option, paths in _PATHS_OF.items():
        given = ctx.get_parameter_source(option) is not ParameterSource.DEFAULT
        if given and path_name not in paths:
            names = " and ".join(f"--path {path}" for path in paths)
            raise click.UsageError(f"--{option} is for {names}, not for --path {path_name}.")
    options.refuse_input_as_output(out, model)
    loaded = options.read_model(model, device)
    frames, cells = max(1, round(seconds * fps)), grid[0] * grid[1]
    if path_name == "seeds" and class_name is None and loaded.generator.label_size > 0:
        # A class is not a point on a path: each face's own one would appear with a jump.
        raise click.UsageError("This model has classes: --path seeds needs --class.")
    truncate(loaded.generator, truncation)
    labels = walking_labels(loaded, class_name, to_class, frames=frames, cells=cells)
    write_video(
        loaded,
        _walk(
            path_name,
            frames=frames,
            cells=cells,
            latent_size=loaded.generator.latent_size,
            smoothing=smoothing * fps,
            seed=seed,
            seeds=seeds or [],
        ),
        labels,
        out,
        columns=grid[0],
        fps=fps,
        quality=quality,
        zoom=zoom,
        precision=precision,
        overwrite=overwrite,
    )
    click.echo(f"{frames} frames, {frames / fps:g} s: {out}")


def _refuse_contradictions(
    path_name: str,
    seeds: list[int] | None,
    grid: tuple[int, int],
    class_name: str | None,
    to_class: str | None,
) -> None:
    if to_class is not None and class_name is None:
        raise click.UsageError("--to needs --class, the class where the film begins.")
    if (path_name == "seeds") != (seeds is not None):
        raise click.UsageError("--path seeds and --seeds go together.")
    if path_name == "seeds" and grid != (1, 1):
        raise click.UsageError("--path seeds shows one face: it does not go with --grid.")
    if path_name == "still" and to_class is None:
        raise click.UsageError("--path still needs --to: else nothing would move.")


def _walk(
    path_name: str,
    *,
    frames: int,
    cells: int,
    latent_size: int,
    smoothing: float,
    seed: int,
    seeds: list[int],
) -> "Walk":
    """Lay out the walk that --path means; `smoothing` is in frames."""
    from progan.latents import SeedWalk, SmoothWalk, StillWalk, latents_of_seeds

    if path_name == "seeds":
        return SeedWalk(frames=frames, stops=latents_of_seeds(seeds, latent_size))
    if path_name == "still":
        faces = range(seed, seed + cells)
        return StillWalk(frames=frames, points=latents_of_seeds(faces, latent_size))
    return SmoothWalk(
        frames=frames, cells=cells, latent_size=latent_size, smoothing=smoothing, seed=seed
    )
