"""`python -m tools metrics`: how near fakes come to reals."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tools import options

if TYPE_CHECKING:
    from tools.value_range import ValueRange


@click.command()
@click.argument("reals", required=False)
@click.argument("fakes", required=False)
@click.option(
    "--metric",
    "names",
    default="swd,ms-ssim",
    show_default=True,
    metavar="NAME[,NAME…]",
    help="swd, ms-ssim; and, with --detector: fid, kid, precision, recall, density, coverage.",
)
@click.option(
    "--images",
    "count",
    type=click.IntRange(2, options.MOST_IMAGES),
    help="Images of each side; by default all reals, 50000 at most (1000 for --history).",
)
@click.option(
    "--split",
    type=click.Choice(["train", "held-out"]),
    default="train",
    show_default=True,
    help="Part of a dataset that REALS means.",
)
@click.option("--resize", type=click.IntRange(1, 1024), help="Bring all images to this size.")
@options.value_range
@click.option(
    "--mirror/--no-mirror",
    default=None,
    help="Flip each real image left to right with probability ½, or not. By default as in the "
    "training of the model that is measured; not for FAKES that are no model.",
)
@options.seed()
@click.option("--detector", help="inception, critic:RUN, or a TorchScript file.")
@options.trust
@options.json_file
@click.option(
    "--history",
    type=options.PATH,
    metavar="RUN",
    help="Measure every checkpoint that RUN has kept.",
)
@click.option(
    "--plot",
    type=options.PATH,
    help="With --history: the .png, .jpg or .webp to draw the curves into.",
)
@options.device
@options.overwrite
def metrics(
    reals: str | None,
    fakes: str | None,
    names: str,
    count: int | None,
    split: Literal["train", "held-out"],
    resize: int | None,
    value_range: "ValueRange | None",
    mirror: bool | None,
    seed: int,
    detector: str | None,
    trust: bool,
    json_file: Path | None,
    history: Path | None,
    plot: Path | None,
    device: str,
    overwrite: bool,
) -> None:
    """Measure how near FAKES come to REALS.

    Both are anything that yields pictures: a dataset, a folder, a zip archive, a .npy file, a model
    or a run directory. With --history RUN, REALS is the run's own dataset unless one is given.
    """
    from tools import measure_command as work
    from tools.measure_history import tell_history
    from tools.metrics.registry import chosen, need_features

    wanted = [metric.name for metric in chosen(name.strip() for name in names.split(","))]
    if need_features(wanted) and detector is None:
        raise click.UsageError(f"--metric {names} looks at features: give a --detector.")
    if history is None and plot is not None:
        raise click.UsageError("--plot goes with --history.")
    if (fakes is None) != (history is not None) or (reals is None and history is None):
        raise click.UsageError("Give REALS and FAKES, or --history RUN.")
    if plot is not None:
        options.refuse_other_pictures(plot, "--plot")
    needed = max(metric.least_images for metric in chosen(wanted))
    if count is not None and count < needed:
        raise click.UsageError(f"--metric {names} needs --images {needed} or more.")
    where = options.find_device(device)
    asked = work.Asked(
        names=wanted,
        count=count,
        seed=seed,
        mirror=mirror,
        find_detector=partial(options.find_detector, detector, where, trust=trust),
        json_file=json_file,
        overwrite=overwrite,
        value_range=value_range,
    )
    if history is not None:
        tell_history(history, reals, split, resize, plot, asked)
    else:
        assert reals is not None and fakes is not None
        work.tell(reals, fakes, split, resize, str(where), asked)
