"""`python -m tools timelapse`: a film of a run's growth."""

from pathlib import Path

import click

from datasets import door
from tools import options


@click.command()
@click.argument("run", type=options.PATH)
@options.out
@click.option("--seconds", type=door.Number(0.1, 3600), default=20.0, show_default=True)
@options.fps(30)
@click.option(
    "--hold",
    type=door.Number(0, 3600),
    help="Of these seconds, so many at the end show the last checkpoint.  [default: a tenth]",
)
@click.option("--grid", type=options.Grid(), help="Faces a frame; by default one row, or 4x3.")
@click.option("--seeds", type=options.Seeds(), help="The faces; by default the first, from 0.")
@click.option("--class", "class_name", help="Class of all faces; by default each in turn.")
@click.option("--captions", is_flag=True, help="Tell below: thousand images shown, and pixels.")
@options.film_zoom("Repeat each last pixel so often.")
@options.quality
@options.device
@options.overwrite
def timelapse(
    run: Path,
    out: Path,
    seconds: float,
    fps: int,
    hold: float | None,
    grid: tuple[int, int] | None,
    seeds: list[int] | None,
    class_name: str | None,
    captions: bool,
    zoom: int | None,
    quality: int,
    device: str,
    overwrite: bool,
) -> None:
    """Film how the same faces grow in training, out of the checkpoints that RUN has kept.

    Training keeps the newest few, and with --milestone-kimg others on the way. Each is shown as its
    average generator draws it at its own level, then fades into the next; in every second of the
    film the same number of images was shown. OUT is an H.264 MP4.
    """
    from progan.latents import latents_of_seeds
    from tools import timelapse as work

    options.refuse_other_than_mp4(out)
    if hold is not None and hold >= seconds:
        raise click.BadParameter("leaves no time for the other checkpoints", param_hint="--hold")
    if grid is None:
        grid = (4, 3) if seeds is None else (min(8, len(seeds)), -(-len(seeds) // 8))
    numbers = seeds or list(range(grid[0] * grid[1]))
    if len(numbers) > grid[0] * grid[1]:
        raise click.BadParameter(
            f"{len(numbers)} faces do not fit into {grid[0]}x{grid[1]}", param_hint="--grid"
        )
    where = options.find_device(device)
    paths = work.kept(run)
    latent_size, labels = work.faces_of(run, paths[-1], len(numbers), class_name)
    frames = max(2, round(seconds * fps))
    held = round((seconds / 10 if hold is None else hold) * fps)
    first, last = work.write_timelapse(
        run,
        paths,
        latents_of_seeds(numbers, latent_size),
        labels,
        out,
        columns=grid[0],
        frames=frames,
        hold=min(max(1, held), frames - 1),
        fps=fps,
        quality=quality,
        zoom=zoom,
        captions=captions,
        device=where,
        overwrite=overwrite,
    )
    click.echo(
        f"{frames} frames, {frames / fps:g} s, from {first / 1000:g} to {last / 1000:g} kimg: {out}"
    )
    if first > last / 2:
        click.echo(
            "The run has kept its newest checkpoints alone: training with --milestone-kimg keeps "
            "earlier ones.",
            err=True,
        )
