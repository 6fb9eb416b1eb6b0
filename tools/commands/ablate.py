"""`python -m tools ablate`: settings compared at equal cost."""

from pathlib import Path

import click

from datasets import door
from tools import options


@click.command()
@click.argument("dataset", type=options.PATH)
@options.out
@click.option(
    "--variant",
    "variants",
    multiple=True,
    required=True,
    metavar="NAME[:OPTION=VALUE,…]",
    help="A name and the options of train.py (or preset=…) in which it differs; repeatable.",
)
@click.option(
    "--preset",
    "preset_name",
    type=options.PRESET,
    default="small",
    show_default=True,
    help="What the variants begin with.",
)
@click.option(
    "--seeds", type=options.Seeds(), default="0-2", show_default=True, help="Of each variant."
)
@click.option(
    "--minutes",
    type=door.Number(min=0.01),
    help="Time of the processor that each run may take, of one thread; of the clock on a GPU.",
)
@click.option("--kimg", type=door.Number(min=0.001), help="Instead: thousand images of each run.")
@click.option(
    "--images",
    "count",
    type=click.IntRange(4, options.MOST_IMAGES),
    default=512,
    show_default=True,
    help="Images to measure of each side.",
)
@click.option(
    "--points",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Measurements of swd on the way; a run that is broken off goes on from the last.",
)
@click.option("--detector", help="For precision and recall: inception, critic:RUN or a file.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 or mps.")
def ablate(
    dataset: Path,
    out: Path,
    variants: tuple[str, ...],
    preset_name: str,
    seeds: list[int],
    minutes: float | None,
    kimg: float | None,
    count: int,
    points: int,
    detector: str | None,
    device: str,
) -> None:
    """Which settings make better pictures? Train variants at equal cost and compare them.

    The folder OUT gets table.md, table.json, plot.png and all runs. Given again, with more variants
    or seeds as may be, the command keeps what is finished. For example:

        python -m tools ablate DATASET OUT --minutes 20 --variant paper
        --variant r3gan:objective=relativistic,learning_rate=0.001,32:0.002
    """
    from datasets.pyramid import Dataset
    from tools import ablate as work
    from tools.ablation import Budget, Measuring

    if (minutes is None) == (kimg is None):
        raise click.UsageError("Give either --minutes or --kimg.")
    read = [work.read_variant(text, preset_name) for text in variants]
    names = [variant.name for variant in read]
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(f"{name} is named twice", param_hint="--variant")
    data = Dataset.open(dataset)
    where = options.find_device(device)
    judge = options.find_detector(detector, where)
    table = work.ablate(
        data,
        out,
        read,
        list(dict.fromkeys(seeds)),
        budget=Budget(kimg=kimg, seconds=None if minutes is None else 60 * minutes),
        measuring=Measuring(images=count, points=points, detector=judge),
        device=where,
    )
    click.echo(table)
    click.echo(f"{out / 'table.md'}, {out / 'table.json'}, {out / 'plot.png'}")
