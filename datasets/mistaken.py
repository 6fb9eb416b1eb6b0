"""What somebody may have given who gave no dataset, and what to do instead."""

import os
from itertools import islice
from pathlib import Path

# A look is enough: there may be a million files.
_MOST_ENTRIES, _MOST_FOLDERS = 2000, 20
_PICTURES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif")
)


def instead_of_a_dataset(path: Path, description: str) -> str:
    """Return a sentence about a path that is no dataset: what it seems to be, and what to do.

    Args:
        path: no dataset.
        description: name of the file that every dataset holds.
    """
    begun = f"{path} is not a dataset"
    make = "make one with: python -m datasets prepare"
    if not path.exists():
        return f"{begun}: there is no such folder; {make}"
    if not path.is_dir():
        if path.suffix == ".safetensors":
            return f"{begun}, but a network: give the folder that prepare has made"
        return f"{begun}, but a file; {make} {path} DATASET --resolution 128"
    names, folders = _inside(path)
    if "config.json" in names and ("checkpoints" in names or "log.jsonl" in names):
        return f"{begun}, but the folder of a training run: give the dataset that it learns from"
    begun += f" (it holds no {description})"
    for folder in folders:
        if (folder / description).is_file():
            return f"{begun}: did you mean {folder}?"
    if not names:
        return f"{begun}; it is empty"
    pictures = any(_is_picture(name) for name in names)
    if pictures or any(_is_picture(name) for folder in folders for name in _inside(folder)[0]):
        return (
            f"{begun}, but a folder of pictures: make a dataset of them with: python -m datasets "
            f"prepare {path} DATASET --resolution 128, and give that DATASET"
        )
    return f"{begun}; {make}"


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in _PICTURES


def _inside(folder: Path) -> tuple[set[str], list[Path]]:
    """List names in a folder, and folders in it; neither is complete where there are many."""
    try:
        with os.scandir(folder) as entries:
            found = list(islice(entries, _MOST_ENTRIES))
    except OSError:
        return set(), []
    folders = sorted(Path(entry.path) for entry in found if entry.is_dir())
    return {entry.name for entry in found}, folders[:_MOST_FOLDERS]
