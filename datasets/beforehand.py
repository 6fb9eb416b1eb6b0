"""What can be said of a `prepare` command before any work: mistakes of a first day."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import click

from datasets.description import FILE_NAME
from datasets.errors import DatasetError
from datasets.landing import landing_place
from datasets.prepare import refuse_to_destroy
from datasets.sources.signatures import is_picture

# drawn:9, s3://bucket (of which a path has one slash): what is no path here.
_ELSEWHERE = re.compile(r"drawn:|[A-Za-z][A-Za-z0-9+.\-]+:/|[A-Za-z0-9+.\-]+::", re.DOTALL)
_TABLE = re.compile(r".*[./\\].*", re.DOTALL)
# What image files of the usual formats begin with.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")


def refuse_more_names(source: str, dataset: Path, more: Sequence[str]) -> None:
    """Refuse more than SOURCE and DATASET, which a shell makes of photos/*.jpg.

    Raises:
        click.UsageError: there are more.
    """
    if not more:
        return
    names = [source, str(dataset), *more]
    pictures = [Path(name) for name in names if is_picture(Path(name).name)]
    folders = {path.parent for path in pictures}
    if len(pictures) > 1 and len(folders) == 1:
        folder = folders.pop()
        advice = f"give the folder itself: {folder} and then DATASET"
        raise click.UsageError(
            f"SOURCE is one folder or archive, but {len(pictures)} pictures were given, as a shell "
            f"does for {folder / '*'}; {advice}."
        )
    raise click.UsageError(
        f"SOURCE and DATASET are two names, but {len(names)} were given: {names[0]}, {names[1]}, "
        f"{names[2]}{' …' if len(names) > 3 else ''}; put names with spaces in quotation marks, "
        "and give a folder rather than all that is in it."
    )


def refuse_at_once(
    source: str, dataset: Path, *, overwrite: bool, classes: str | None = None
) -> None:
    """Refuse a command that cannot end well, however long it works.

    Args:
        source: SOURCE as it was given.
        dataset: DATASET.
        overwrite: whether a dataset of that name is replaced.
        classes: what --classes was given, unless it names attributes.

    Raises:
        DatasetError: SOURCE and DATASET look swapped, SOURCE is a single picture, DATASET is taken
            or cannot be written, or the table of classes is missing.
    """
    _refuse_swapped(source, dataset)
    _refuse_picture(source)
    refuse_to_destroy(dataset, overwrite=overwrite)
    final = landing_place(dataset, overwrite=overwrite)
    if not os.access(final.parent, os.W_OK):
        raise DatasetError(
            f"{final.parent} cannot be written to; choose another place for {final.name}."
        )
    if classes is not None and _TABLE.fullmatch(classes) and not Path(classes).is_file():
        raise DatasetError(f"--classes {classes}: there is no such file.")


def _refuse_swapped(source: str, dataset: Path) -> None:
    is_here = _ELSEWHERE.match(source) is None
    place = Path(source)
    has_source = not is_here or (source != "" and place.exists())
    # What is at DATASET looks like a source: pictures, an archive, an address.
    is_source = _ELSEWHERE.match(str(dataset)) is not None and not dataset.exists()
    is_source |= dataset.is_file() or (dataset.is_dir() and not (dataset / FILE_NAME).is_file())
    is_dataset = is_here and (place / FILE_NAME).is_file() and (place / "0004.npy").is_file()
    if is_source and (not has_source or is_dataset):
        found = "is a dataset already" if is_dataset else "does not exist"
        raise DatasetError(
            f"{source} {found}, and {dataset} looks like a source: SOURCE comes first, then "
            f"DATASET; perhaps: python -m datasets prepare {dataset} {source}"
        )


def _refuse_picture(source: str) -> None:
    path = Path(source)
    if not source or not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(12)
    if (
        is_picture(path.name)
        or start.startswith(_PICTURES)
        or (start[:4] == b"RIFF" and start[8:] == b"WEBP")
    ):
        raise DatasetError(
            f"{source} is a single picture; SOURCE is a folder or archive of pictures, such as the "
            f"folder that it is in: {path.parent}"
        )
