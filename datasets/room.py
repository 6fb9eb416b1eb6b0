"""Whether a disk has room for what is going to be written."""

import shutil
from pathlib import Path

from datasets.errors import DatasetError


def require_room(path: Path, needed: int, advice: str) -> None:
    """Refuse work whose result would not fit, before it begins.

    Args:
        path: what is going to be written.
        needed: bytes that it takes at most.
        advice: what to do else, such as "choose another disk".

    Raises:
        DatasetError: its disk has fewer free.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        return  # There is a better sentence for that.
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DatasetError(
            f"{path} needs up to {needed / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free; "
            f"{advice}."
        )
