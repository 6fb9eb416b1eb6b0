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
    """Film how the same faces grow in training, out of what RUN has kept.

    Checkpoints show any faces: training keeps the newest few, and with --milestone-kimg others on
    the way. Without those, the film shows the first faces of RUN's sample grids. Each moment is
    shown as the average generator drew it at its own level, then fades into the next; in every
    second of the film the same number of images was shown. OUT is an H.264 MP4.
    """
    from tools import timelapse as work

    options.refuse_other_than_mp4(out)
    if hold is not None and hold >= seconds:
        raise click.BadParameter("leaves no time for the other checkpoints", param_hint="--hold")
    if grid is None and seeds is not None:
        grid = (min(8, len(seeds)), -(-len(seeds) // 8))
    if grid is not None and seeds is not None and len(seeds) > grid[0] * grid[1]:
        raise click.BadParameter(
            f"{len(seeds)} faces do not fit into {grid[0]}x{grid[1]}", param_hint="--grid"
        )
    where = options.find_device(device)
    growth, told = work.choose_source(
        run, grid=grid, seeds=seeds, class_name=class_name, device=where
    )
    frames = max(2, round(seconds * fps))
    held = round((seconds / 10 if hold is None else hold) * fps)
    first, last = work.write_timelapse(
        growth,
        out,
        frames=frames,
        hold=min(max(1, held), frames - 1),
        fps=fps,
        quality=quality,
        zoom=zoom,
        captions=captions,
        overwrite=overwrite,
    )
    click.echo(
        f"{frames} frames, {frames / fps:g} s, from {first / 1000:g} to {last / 1000:g} kimg: {out}"
    )
    if told is not None:
        click.echo(told, err=True)
