"""The door: python -m datasets prepare, describe, verify."""

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from datasets import door

# NumPy and Pillow are imported by the commands that need them: --help must not wait for them.
if TYPE_CHECKING:
    from datasets.framing import Crop
    from datasets.pyramid import Dataset

# Enough to see what the pictures are like, few enough to see it at a glance.
_PICTURES_PER_LEVEL = 12
# More classes than this are counted, not listed.
_LISTED_CLASSES = 20


class _CropType(click.ParamType["Crop"]):
    name = "crop"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "centre|top|x,y,size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Crop":
        from datasets.framing import parse_crop

        try:
            return parse_crop(str(value))
        except ValueError:
            self.fail(f"{str(value)!r} is neither centre nor top nor x,y,size.", param, ctx)


def _fraction(ctx: click.Context, param: click.Parameter, value: float) -> float:
    # FloatRange lets "nan" pass.
    if math.isnan(value):
        raise click.BadParameter("it is not a number.", ctx, param)
    return value


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def datasets() -> None:
    """From photographs to a dataset that a network can be trained on."""


@datasets.command()
@click.argument("source")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--resolution",
    type=door.Resolution(),
    required=True,
    help="Side of the largest pictures: a power of two from 4 to 1024.",
)
@click.option(
    "--crop",
    type=_CropType(),
    default="centre",
    show_default=True,
    help="Which square to cut out: the middle; the top, for portraits; or the one of size × size "
    "pixels that has x pixels at its left and y above (25,57,128 for aligned CelebA).",
)
@click.option(
    "--channels",
    type=click.Choice(["3", "1"]),
    default="3",
    show_default=True,
    help="3 for colour, 1 for grey.",
)
@click.option(
    "--held-out",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.05,
    show_default=True,
    callback=_fraction,
    help="Part of the pictures that training never sees: they tell learning from copying.",
)
@click.option(
    "--classes",
    type=click.Choice(["folders"]),
    help="Take the name of each folder in SOURCE as a class.",
)
@click.option("--upscale", is_flag=True, help="Enlarge pictures that are too small, not skip them.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="What the order of the pictures is drawn from, and which faces are drawn.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Processes at work; the result does not depend on it.  [default: one per processor]",
)
@click.option("--overwrite", is_flag=True, help="Replace DATASET if it is there already.")
def prepare(
    source: str,
    dataset: Path,
    resolution: int,
    crop: "Crop",
    channels: str,
    held_out: float,
    classes: Literal["folders"] | None,
    upscale: bool,
    seed: int,
    workers: int | None,
    overwrite: bool,
) -> None:
    """Make the dataset DATASET, a folder, out of SOURCE.

    SOURCE is a folder of JPEG, PNG, WebP, BMP or TIFF pictures, searched with all folders in it, a
    zip archive of them, or drawn:N for N faces drawn by program, which need no download.

    Pictures are turned upright, cropped to a square and resampled, then halved down to 4 × 4.
    Those that cannot be used are skipped and listed in skipped.csv.
    """
    from datasets import prepare as making
    from datasets.framing import Framing
    from datasets.progress import duration, rate
    from datasets.sources import open_source
    from datasets.workers import available_processors

    colours = int(channels)
    summary = making.prepare(
        open_source(source, resolution=resolution, channels=colours, seed=seed, classes=classes),
        dataset,
        framing=Framing(resolution=resolution, channels=colours, crop=crop, upscale=upscale),
        source_name=source,
        held_out=held_out,
        seed=seed,
        workers=workers or available_processors(),
        overwrite=overwrite,
    )
    made = summary.dataset
    click.echo(
        f"{dataset}: {made.count} pictures in {duration(summary.seconds)} "
        f"({rate(made.count, summary.seconds)} pictures/s)"
    )
    _print_counts(made)
    _print_skipped(summary.skipped)


@datasets.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a picture with samples of every level to this .png or .jpg.",
)
def describe(dataset: Path, sheet: Path | None) -> None:
    """Tell what DATASET holds and how it was made."""
    from datasets import index, pictures
    from datasets.pyramid import SKIPPED_NAME, Dataset

    if sheet is not None:
        pictures.format_of(sheet)  # Complain before printing anything.
    opened = Dataset.open(dataset)
    described = opened.description
    _print("resolution", f"{opened.resolution} × {opened.resolution} pixels")
    _print("levels", ", ".join(str(2**level) for level in opened.levels))
    _print("channels", "3 (colour)" if opened.channels == 3 else "1 (grey)")
    _print_counts(opened)
    _print_skipped(Counter(reason for _, reason in index.read_skipped(dataset / SKIPPED_NAME)))
    _print("source", described.source)
    _print("framing", ", ".join(f"{k} {_word(v)}" for k, v in sorted(described.framing.items())))
    _print("seed", str(described.seed))
    _print("made with", ", ".join(f"{k} {v}" for k, v in sorted(described.versions.items())))
    size = sum(file.stat().st_size for file in dataset.iterdir())
    _print("on disk", f"{size / 1e6:.1f} MB")
    _print("fingerprint", opened.fingerprint)
    if sheet is not None:
        chosen = opened.rows("train")[:_PICTURES_PER_LEVEL]
        rows = [(f"{2**level} pixels", opened.level(level)[chosen]) for level in opened.levels]
        pictures.save(sheet, pictures.contact_sheet(rows))
        _print("sheet", str(sheet))


@datasets.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.pass_context
def verify(ctx: click.Context, dataset: Path) -> None:
    """Read all of DATASET and tell whether it is as it was written.

    Exit status 0 if it is, 1 if not.
    """
    from datasets.progress import progress
    from datasets.pyramid import Dataset

    opened = Dataset.open(dataset)
    # In MB, so that the numbers can be read.
    with progress("Verifying", total=max(1, opened.hashed_bytes // 10**6), unit="MB") as bar:
        read = 0

        def advance(size: int) -> None:
            nonlocal read
            bar.advance((read + size) // 10**6 - read // 10**6)
            read += size

        problems = opened.verify(advance)
    for problem in problems:
        click.echo(problem)
    if problems:
        click.echo(f"{dataset} is damaged; prepare it again.", err=True)
        ctx.exit(1)
    click.echo(f"{dataset} is as it was written: {opened.count} pictures.")


def _print(name: str, text: str) -> None:
    click.echo(f"{name + ':':14}{text}")


def _print_counts(dataset: "Dataset") -> None:
    held_out = dataset.description.held_out
    _print("pictures", f"{dataset.count}: {dataset.count - held_out} to train, {held_out} held out")
    _print("duplicates", str(sum(entry.duplicate_of is not None for entry in dataset.entries)))
    if dataset.classes is None:
        _print("classes", "none")
        return
    counts = Counter(entry.class_name for entry in dataset.entries)
    listed = [f"{name} ({counts[name]})" for name in dataset.classes[:_LISTED_CLASSES]]
    more = " …" if len(dataset.classes) > _LISTED_CLASSES else ""
    _print("classes", f"{len(dataset.classes)}: {', '.join(listed)}{more}")


def _print_skipped(reasons: Counter[str]) -> None:
    _print("skipped", str(reasons.total()))
    for reason, number in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])):
        click.echo(f"{'':14}{number} {reason}")


def _word(value: str | bool) -> str:
    return value if isinstance(value, str) else "yes" if value else "no"


if __name__ == "__main__":
    door.run(datasets)
