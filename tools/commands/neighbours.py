"""`python -m tools neighbours`: does a generator copy?"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from datasets import door
from tools import options

if TYPE_CHECKING:
    from tools.value_range import ValueRange


@click.command()
@click.argument("images", metavar="IMAGES")
@click.argument("dataset", type=options.PATH)
@click.argument("report", type=options.PATH)
@click.option(
    "--images",
    "count",
    type=click.IntRange(1, options.MOST_IMAGES),
    help="How many to examine; by default 1000 of a model, and all of anything else.",
)
@click.option(
    "--nearest",
    type=click.IntRange(1, 50),
    default=5,
    show_default=True,
    help="Training images to show for each.",
)
@click.option(
    "--features",
    multiple=True,
    default=["pixels", "structure"],
    show_default=True,
    help="What is compared: pixels, structure, critic:RUN or a TorchScript file; repeatable.",
)
@options.trust
@click.option(
    "--crop",
    type=click.Choice(["none", "face"]),
    default="none",
    show_default=True,
    help="face: compare the inner face only.",
)
@click.option(
    "--resolution",
    type=door.Resolution(),
    help="Pixels at which pixels and structure compare; by default 32, or what there is.",
)
@click.option(
    "--false-alarm",
    type=door.Number(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="Share of new images that may be flagged.",
)
@click.option(
    "--search",
    type=click.Choice(["auto", "exact", "approximate"]),
    default="auto",
    show_default=True,
    help="approximate: through an index (needs FAISS); auto: so for very many images only.",
)
@options.value_range
@options.seed("Of a model's first image.")
@options.device
@options.overwrite
def neighbours(
    images: str,
    dataset: Path,
    report: Path,
    count: int | None,
    nearest: int,
    features: tuple[str, ...],
    trust: bool,
    crop: str,
    resolution: int | None,
    false_alarm: float,
    search: Literal["auto", "exact", "approximate"],
    value_range: "ValueRange | None",
    seed: int,
    device: str,
    overwrite: bool,
) -> None:
    """Are images copies of training photographs? Pictures and statistics, in the folder REPORT.

    IMAGES is a model file or run directory, a folder, a zip archive, a .npy file or a dataset.
    DATASET is what may have been copied. REPORT gets report.html, report.json and sheet.png.
    """
    from datasets.pyramid import Dataset
    from tools.images import open_images, refuse_unused_range
    from tools.memorization.examine import Settings, common_side
    from tools.memorization.report import write_report

    data = Dataset.open(dataset)
    options.refuse_input_as_output(report, dataset, Path(images))
    where = options.find_device(device)
    opened = open_images(
        images,
        count=count or 1000,
        seed=seed,
        channels=data.channels,
        device=str(where),
        value_range=value_range,
        like=data,
    )
    refuse_unused_range(value_range, opened)
    largest = common_side(opened, data)
    if resolution is not None and resolution > largest:
        raise click.BadParameter(
            f"images and dataset have {largest} pixels in common, not {resolution}",
            param_hint="--resolution",
        )
    sentence = write_report(
        opened,
        data,
        report,
        count=count or opened.count,
        settings=Settings(
            features=features,
            resolution=resolution,
            inner_face=crop == "face",
            nearest=nearest,
            false_alarm=false_alarm,
            seed=seed,
            device=str(where),
            search=search,
            trust=trust,
        ),
        overwrite=overwrite,
    )
    click.echo(sentence)
    click.echo(f"The report: {report / 'report.html'}")
