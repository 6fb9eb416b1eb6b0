"""A run that has gone bad: all its processes go back, and it tries again or ends."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from progan.errors import ProganError

if TYPE_CHECKING:
    from datasets.pyramid import Dataset
    from progan.checkpoint import Checkpoints
    from progan.divergence import Diverged
    from progan.training import Observer, Trainer


def go_back_together(
    diverged: "Diverged",
    trainer: "Trainer",
    run: Path,
    observers: "Sequence[Observer]",
    checkpoints: "Checkpoints",
    *,
    again: bool,
) -> None:
    """Let all processes stand at the newest state from before a divergence, and RUN with them."""
    from progan.run_record import read_record
    from progan.training import Trainer
    from tools.divergence import go_back, note_rollback
    from tools.watching import Saving

    found = diverged.divergence
    if trainer.processes.rank == 0:

        def beginning() -> Trainer:
            # On the processor: a graphics card may have no room for two.
            return Trainer(trainer.config, trainer.data)

        record = read_record(run)
        later = go_back(trainer, found, checkpoints, beginning=beginning, record=record)
        if again:
            trainer.attempts = trainer.attempts.again(trainer.nimg)
            record = note_rollback(run, trainer, found)
            for observer in observers:
                if isinstance(observer, Saving):
                    observer.tell_in_checkpoints(record)
            click.echo(
                f"Warning: {diverged}. Going back to {trainer.nimg / 1000:g} kimg, to try again "
                f"with other noise (attempt {trainer.attempts.count + 1}).",
                err=True,
            )
        if again or later:
            # The model file is to be that of this state, too.
            for observer in observers:
                if isinstance(observer, Saving):
                    observer(trainer, trainer.nimg, True)
    trainer.agree()


def why_it_stopped(
    diverged: "Diverged", trainer: "Trainer", run: Path, data: "Dataset", on_divergence: str
) -> ProganError:
    """Give the sentence that a run ends with which has gone bad."""
    where = f"{run} stands at {trainer.nimg / 1000:g} kimg, where nothing was wrong yet"
    if on_divergence == "rollback":
        often = trainer.attempts.count
        return ProganError(
            f"{diverged}; the run has gone back {often} {'time' if often == 1 else 'times'}, as "
            f"often as --rollbacks allows. {where}. Begin another run with a smaller "
            "--learning-rate, or look at the data"
        )
    return ProganError(
        f"{diverged}. {where}. To try again from there with other noise: python train.py "
        f"{data.path} {run} --on-divergence rollback; or begin another run with a smaller "
        "--learning-rate, or look at the data"
    )
