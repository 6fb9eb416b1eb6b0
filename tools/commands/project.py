"""`python -m tools project`: latents for given photographs."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tools import options

if TYPE_CHECKING:
    from datasets.framing import UnturnedCrop

_MOST_PHOTOGRAPHS = 64


@click.command()
@options.model
@click.argument("photographs", type=options.PATH, nargs=-1, required=True)
@options.out
@click.option(
    "--features",
    metavar="pixels|critic:RUN",
    help="What is compared: pixels alone, or what a run's critic sees, too; by default the critic "
    "where MODEL is a run directory.",
)
@click.option(
    "--crop",
    metavar="centre|top|X,Y,SIZE",
    help="The square of the photograph; by default as the model's training images were cropped.",
)
@click.option("--class", "class_name", help="Name or number of the faces' class, if there are any.")
@click.option("--steps", type=click.IntRange(1, 100_000), default=300, show_default=True)
@options.seed()
@click.option("--film", is_flag=True, help="Film the search.")
@options.device
@options.overwrite
def project(
    model: Path,
    photographs: tuple[Path, ...],
    out: Path,
    features: str | None,
    crop: str | None,
    class_name: str | None,
    steps: int,
    seed: int,
    film: bool,
    device: str,
    overwrite: bool,
) -> None:
    """Find latents with which MODEL draws faces that resemble PHOTOGRAPHS.

    OUT is a folder: latents.npy, for generate --latents; comparison.png, photographs above and what
    was found below; distances.csv; and search.mp4, if it is filmed.
    """
    from tools import project as work
    from tools.classes import class_names as names_of_classes
    from tools.classes import find_class, told

    if len(photographs) > _MOST_PHOTOGRAPHS:
        raise click.UsageError(f"{_MOST_PHOTOGRAPHS} photographs at once are the most.")
    for path in photographs:
        if not path.exists():
            raise click.BadParameter(f"there is no file {path}", param_hint="PHOTOGRAPHS")
    options.refuse_input_as_output(out, model, *photographs)
    loaded = options.read_model(model, device)
    square = work.usual_crop(loaded) if crop is None else _crop(crop)
    critic_run = _critic_run(features, model)
    label = None if class_name is None else find_class(loaded, class_name)
    if label is None and loaded.generator.label_size > 0:
        names = told(names_of_classes(loaded))
        raise click.UsageError(f"This model has classes: give --class, one of {names}.")
    distances = work.project(
        loaded,
        critic_run,
        photographs,
        out,
        crop=square,
        label=label,
        steps=steps,
        seed=seed,
        film=film,
        overwrite=overwrite,
    )
    for path, distance in zip(photographs, distances, strict=True):
        click.echo(f"{path.name}: distance {distance:.3f}")
    click.echo(f"Photographs and what was found: {out / 'comparison.png'}")


def _crop(text: str) -> "UnturnedCrop":
    """Read `--crop`; faces are not looked for here."""
    from datasets.framing import parse_crop

    with suppress(ValueError):
        crop = parse_crop(text)
        if crop != "face":
            return crop
    raise click.BadParameter(
        f"{text!r} is not centre, top or X,Y,SIZE in pixels", param_hint="--crop"
    )


def _critic_run(features: str | None, model: Path) -> Path | None:
    """Find the run whose critic compares, too, if --features means one."""
    if features is None:
        return model if model.is_dir() else None
    kind, _, run = features.partition(":")
    if features != "pixels" and (kind != "critic" or not run):
        raise click.BadParameter(
            f"{features!r} is not pixels or critic:RUN", param_hint="--features"
        )
    return None if features == "pixels" else Path(run)
