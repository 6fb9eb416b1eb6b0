"""`python -m tools bench`: how fast training is here."""

from contextlib import nullcontext
from pathlib import Path

import click

from tools import options


@click.command()
@click.option(
    "--level", "levels", type=click.IntRange(2, 10), multiple=True, help="Repeatable; default all."
)
@click.option("--preset", type=options.PRESET, default="paper")
@click.option("--minibatch", type=click.IntRange(1, 4096), help="By default the preset's.")
@click.option("--fmap-base", type=click.IntRange(1), help="By default the preset's.")
@click.option("--fmap-max", type=click.IntRange(1), help="By default the preset's.")
@click.option("--share-fakes", is_flag=True, help="Make fakes once for both networks.")
@click.option("--no-penalty-curvature", is_flag=True, help="As train.py has it.")
@click.option("--penalty-interval", type=click.IntRange(1), default=1, show_default=True)
@options.training_precision
@click.option("--compile", "compiled", is_flag=True, help="As train.py has it.")
@click.option("--plain", is_flag=True, help="Convolve directly, for comparison.")
@click.option("--repeats", type=click.IntRange(1, 1000), default=5, show_default=True)
@options.json_file
@click.option(
    "--plot", type=options.PATH, help="Draw seconds per kimg into this .png, .jpg or .webp."
)
@options.device
@options.overwrite
def bench(
    levels: tuple[int, ...],
    preset: str,
    minibatch: int | None,
    fmap_base: int | None,
    fmap_max: int | None,
    share_fakes: bool,
    no_penalty_curvature: bool,
    penalty_interval: int,
    precision: str,
    compiled: bool,
    plain: bool,
    repeats: int,
    json_file: Path | None,
    plot: Path | None,
    device: str,
    overwrite: bool,
) -> None:
    """Measure the speed of training on this machine, level by level.

    The last columns compare with a plain convolution measured in the same moments; that ratio is
    what can be held against other machines and programs.
    """
    from progan.convolution import plain_convolutions
    from tools import bench as work

    if plot is not None:
        options.refuse_other_pictures(plot, "--plot")
    where = options.find_device(device)
    config = work.configuration(
        preset,
        minibatch,
        fmap_base,
        fmap_max,
        share_fakes=share_fakes,
        penalty_curvature=not no_penalty_curvature,
        penalty_interval=penalty_interval,
        precision=precision,
    )
    with plain_convolutions() if plain else nullcontext():
        work.tell(
            config,
            levels,
            where,
            repeats,
            json_file,
            plot,
            compiled=compiled,
            overwrite=overwrite,
        )
