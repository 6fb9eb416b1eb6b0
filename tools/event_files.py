"""TensorBoard's event files in a run directory of any name."""

import contextlib
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from progan.paths import in_utf8


class EventWriter(SummaryWriter):
    """TensorBoard's writer for a run directory.

    Args:
        run: the run directory, which exists.
        first: a TensorBoard that has read events from this step on is to forget them.

    Raises:
        ProganError: the name of the directory is not UTF-8, and it has no other on this system.
        OSError: the directory cannot be written to.
    """

    def __init__(self, run: Path, first: int) -> None:
        # TensorBoard opens its file by name for everything that it writes.
        with contextlib.ExitStack() as stack:
            place = stack.enter_context(in_utf8(run))
            super().__init__(str(place), purge_step=first)
            self._named = stack.pop_all()

    def close(self) -> None:
        """Close the file, and forget the directory's other name."""
        super().close()
        self._named.close()
