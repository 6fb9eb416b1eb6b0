"""A run directory keeps what training writes to itself.

A run directory may come from a stranger, and a symbolic link in it leads wherever the stranger
likes: to a log that is rewritten, to a file of events that is cut off, to pictures that are
replaced and removed, all of it outside. Training needs no link at the names that it writes by
itself, so it refuses those. The run directory itself may be a link, and so may its `checkpoints`,
which take room and are often put on another disk; nothing there is written through a link.
"""

import re
from pathlib import Path

from progan.errors import ProganError

# By folder, what training writes there, or takes for what an earlier start has left half-written.
_WRITTEN = {
    ".": re.compile(
        r"\.lock|config\.json|log\.jsonl|generator\.safetensors|before-copying\.safetensors"
        r"|given-up\.json|samples|events\.out\.tfevents\..*|\..*\.part",
        re.DOTALL,
    ),
    "samples": re.compile(r"[0-9]{12}\.png|classes\.txt"),
    "checkpoints": re.compile(r"\..*\.part", re.DOTALL),
}


def refuse_links(run: Path) -> None:
    """Refuse a run directory in which training would write through a symbolic link.

    Args:
        run: the run directory, which need not be there yet.

    Raises:
        ProganError: there is such a link.
        OSError: the directory cannot be looked at.
    """
    for folder, written in _WRITTEN.items():
        try:
            inside = sorted((run / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        for path in inside:
            if not written.fullmatch(path.name):
                continue
            if path.is_symlink():
                raise ProganError(
                    f"{path} is a symbolic link, and training would write where it leads: put the "
                    "file itself there, or remove the link"
                )
            # A pipe is waited for, for ever.
            if not path.is_file() and not path.is_dir():
                raise ProganError(f"{path} is neither a file nor a folder: remove it")
