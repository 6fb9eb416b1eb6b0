"""The door: python -m datasets prepare, describe, verify, export, sources."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from datasets import door
from datasets.kinds import ADDRESSES, KINDS

# NumPy and Pillow are imported by the commands that need them: --help must not wait for them.
if TYPE_CHECKING:
    from datasets.codecs import Choice
    from datasets.exporting import Format
    from datasets.framing import Crop
    from datasets.pyramid import Dataset

# Enough to see what the pictures are like, few enough to see it at a glance.
_PICTURES_PER_LEVEL = 12
# More classes than this are counted, not listed.
_LISTED_CLASSES = 20
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class _CropType(click.ParamType["Crop"]):
    name = "crop"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "centre|top|face|x,y,size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Crop":
        from datasets.framing import parse_crop

        try:
            return parse_crop("centre" if value == "center" else str(value))
        except ValueError:
            self.fail(f"{str(value)!r} is neither centre, top, face nor x,y,size.", param, ctx)


class _PatternType(click.ParamType[re.Pattern[str]]):
    name = "pattern"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> re.Pattern[str]:
        try:
            return re.compile(str(value))
        except (re.error, RecursionError, OverflowError) as error:
            self.fail(f"{str(value)!r} is no regular expression: {error}.", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def datasets() -> None:
    """From photographs to a dataset that a network can be trained on."""


# More names than two are for the command itself to refuse: they come from a shell.
@datasets.command(context_settings={"allow_extra_args": True})
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
    help="Which square to cut out: the middle; the top, for portraits; the face, turned upright as "
    "in CelebA-HQ, found by a detector or told by --landmarks; or the one of size × size pixels "
    "that has x pixels at its left and y above (25,57,128 for aligned CelebA).",
)
@click.option(
    "--landmarks",
    type=_FILE,
    help="Where eyes and mouths are: CelebA's list, FFHQ's JSON, or a CSV file with the columns "
    "name, left_eye_x, left_eye_y, right_eye_…, left_mouth_…, right_mouth_… (left as seen); "
    "such as the landmarks.csv of a dataset whose faces were found, corrected by hand.",
)
@click.option(
    "--all-faces",
    is_flag=True,
    help="With --crop face, make a picture of each face in a photograph (photo.jpg, photo.jpg#2 "
    "and so on), not only of the largest.",
)
@click.option(
    "--source-kind",
    type=click.Choice(list(KINDS)),
    help="What SOURCE is.  [default: found out by looking]",
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
    type=door.Number(0, 1, max_open=True),
    default=0.05,
    show_default=True,
    help="Part of the pictures that training never sees: they tell learning from copying.",
)
@click.option(
    "--group-by",
    type=_PatternType(),
    help="A regular expression: pictures whose names have the same match (or the same first "
    "parenthesis of it) are held out together or not at all, such as those of a person.",
)
@click.option(
    "--drop-duplicates", is_flag=True, help="Of pictures with the same bytes, take only one."
)
@click.option(
    "--classes",
    metavar="folders|labels|FILE|NAMES",
    help="What the classes are: the folders in SOURCE; its own labels; a CSV FILE with the columns "
    "name and class; or, with --attributes, every combination of attributes, such as "
    "Eyeglasses+Male.",
)
@click.option(
    "--attributes",
    type=_FILE,
    help="CelebA's list of attributes, or a CSV file with a column of 1 and -1 for each.",
)
@click.option(
    "--codec",
    type=click.Choice(["raw", "webp", "jpeg"]),
    default="raw",
    show_default=True,
    help="How levels from 256 pixels up are kept: raw is read quickest; webp, lossless, takes a "
    "third of the room; jpeg, a tenth, but pixels do not stay quite as they are.",
)
@click.option(
    "--decoding",
    type=click.Choice(["scaled", "full"]),
    default="scaled",
    show_default=True,
    help="scaled: read JPEG files at 1/2, 1/4 or 1/8 where what is left is well over --resolution, "
    "which is quicker and hardly to be told apart; full: always all of them.",
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
@click.pass_context
def prepare(
    ctx: click.Context,
    source: str,
    dataset: Path,
    resolution: int,
    crop: "Crop",
    channels: str,
    held_out: float,
    landmarks: Path | None,
    all_faces: bool,
    source_kind: str | None,
    group_by: re.Pattern[str] | None,
    drop_duplicates: bool,
    classes: str | None,
    attributes: Path | None,
    codec: "Choice",
    decoding: Literal["scaled", "full"],
    upscale: bool,
    seed: int,
    workers: int | None,
    overwrite: bool,
) -> None:
    """Make the dataset DATASET, a folder, out of SOURCE.

    SOURCE is a folder or archive of pictures, here or behind an address such as s3://…, one of the
    collections that `sources` lists, or drawn:N for N faces drawn by program, which need no
    download.

    Pictures are turned upright, cropped to a square and resampled, then halved down to 4 × 4.
    Those that cannot be used are skipped and listed in skipped.csv. When it is interrupted, the
    same command goes on where it was.
    """
    if crop != "face" and (landmarks is not None or all_faces):
        option = "--all-faces" if all_faces else "--landmarks"
        raise click.UsageError(f"{option} needs --crop face.")
    if attributes is not None and classes is None:
        raise click.UsageError("--attributes needs --classes with the names of some of them.")
    from datasets import beforehand
    from datasets import prepare as making
    from datasets.faces import Mtcnn
    from datasets.framing import Framing
    from datasets.progress import duration, rate
    from datasets.sources import open_source
    from datasets.sources.remote import shown
    from datasets.workers import available_processors

    beforehand.refuse_more_names(source, dataset, ctx.args)
    beforehand.refuse_at_once(
        source, dataset, overwrite=overwrite, classes=classes if attributes is None else None
    )
    colours = int(channels)
    detector = Mtcnn() if crop == "face" and landmarks is None else None
    summary = making.prepare(
        open_source(
            source,
            resolution=resolution,
            channels=colours,
            seed=seed,
            kind=source_kind,
            classes=classes,
            attributes=attributes,
            landmarks=landmarks,
            all_faces=all_faces,
        ),
        dataset,
        framing=Framing(
            resolution=resolution,
            channels=colours,
            crop=crop,
            upscale=upscale,
            decoding=decoding,
        ),
        codec=codec,
        source_name=shown(source),
        held_out=held_out,
        seed=seed,
        workers=workers or available_processors(),
        overwrite=overwrite,
        group_by=group_by,
        drop_duplicates=drop_duplicates,
        detector=detector,
        all_faces=all_faces,
        choices={
            name: str(value)
            for name, value in (
                ("classes", classes),
                ("attributes", attributes),
                ("landmarks", landmarks),
            )
            if value is not None
        },
    )
    made = summary.dataset
    click.echo(
        f"{dataset}: {made.count} pictures in {duration(summary.seconds)} "
        f"({rate(made.count, summary.seconds)} pictures/s)"
    )
    _print_counts(made)
    mirror = made.measure_mirror_difference()
    if mirror.lopsided:
        _print("mirror image", f"{mirror.sentence()}.")
    _print_skipped(summary.skipped)


@datasets.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a picture with samples of every level to this .png, .jpg or .webp.",
)
def describe(dataset: Path, sheet: Path | None) -> None:
    """Tell what DATASET holds and how it was made."""
    from datasets import index, pictures
    from datasets.description import SKIPPED_NAME
    from datasets.pyramid import Dataset

    if sheet is not None:
        pictures.format_of(sheet)  # Complain before printing anything.
    opened = Dataset.open(dataset)
    described = opened.description
    _print("resolution", f"{opened.resolution} × {opened.resolution} pixels")
    _print("levels", ", ".join(str(2**level) for level in opened.levels))
    coded = [f"{side} {codec}" for side, codec in sorted(described.codecs.items())]
    _print("coded", ", ".join(coded) or "none")
    _print("channels", "3 (colour)" if opened.channels == 3 else "1 (grey)")
    _print_counts(opened)
    _print_skipped(Counter(reason for _, reason in index.read_skipped(dataset / SKIPPED_NAME)))
    _print("mirror image", f"{opened.measure_mirror_difference().sentence()}.")
    _print("source", described.source)
    _print("framing", _words(described.framing))
    if described.choices:
        _print("choices", _words(described.choices))
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


@datasets.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    type=click.Choice(["folder", "stylegan-zip", "tfrecords"]),
    default="folder",
    show_default=True,
    help="A folder of PNG files; a zip archive of them, as StyleGAN reads it; or a folder of "
    "TFRecord files, as the paper's authors made them.",
)
def export(dataset: Path, out: Path, format: "Format") -> None:
    """Write the pictures of DATASET to OUT, for other programs.

    A table, index.csv, tells each picture's class, its split and its name in the source.
    """
    from datasets.exporting import export as write
    from datasets.pyramid import Dataset

    opened = Dataset.open(dataset)
    write(opened, out, format=format)
    click.echo(f"{out}: {opened.count} pictures of {opened.resolution} × {opened.resolution}.")


@datasets.command()
def sources() -> None:
    """List what SOURCE may be, and known collections with the command for each."""
    from datasets.collections import COLLECTIONS

    click.echo("SOURCE may be:")
    for kind, text in KINDS.items():
        click.echo(f"  {kind:10} {text}")
    click.echo(f"\n{ADDRESSES}")
    click.echo("\nKnown collections; nothing is downloaded for you:")
    for collection in COLLECTIONS:
        click.echo(f"\n{collection.name}: {collection.pictures}")
        click.echo(f"  {'published':10} {collection.place}")
        click.echo(f"  {'licence':10} {collection.licence}")
        click.echo(f"  {'size':10} {collection.size}")
        for command in collection.commands:
            click.echo(f"  python -m datasets prepare {command}")


def _print(name: str, text: str) -> None:
    click.echo(f"{name + ':':14}{text}")


def _print_counts(dataset: "Dataset") -> None:
    held_out = dataset.description.held_out
    _print("pictures", f"{dataset.count}: {dataset.count - held_out} to train, {held_out} held out")
    exact = sum(entry.duplicate_of is not None for entry in dataset.entries)
    near = dataset.near_duplicates()
    nearly = "near ones not looked for" if near is None else f"{len(near)} nearly the same"
    _print("duplicates", f"{exact} exact, {nearly}")
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


def _words(settings: Mapping[str, str | bool]) -> str:
    words = {True: "yes", False: "no"}
    return ", ".join(
        f"{name} {words[value] if isinstance(value, bool) else value}"
        for name, value in sorted(settings.items())
    )


if __name__ == "__main__":
    door.run(datasets)
