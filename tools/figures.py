"""Drawn curves as picture files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import pictures
from datasets.errors import DatasetError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 120
# Of the library that writes them.
_SETTINGS: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 95, "subsampling": 0},
    "webp": {"lossless": True},
}


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure in the format of the file's suffix, or as a PNG where that is no picture's.

    Raises:
        OSError: it cannot be written.
    """
    try:
        format_name = pictures.format_of(path)
    except DatasetError:
        format_name = "png"
    figure.savefig(
        path, dpi=_DOTS_PER_INCH, format=format_name, pil_kwargs=_SETTINGS.get(format_name)
    )
