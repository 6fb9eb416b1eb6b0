"""What is done when training goes bad: tell, keep the states from before, go back, try again."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import click

from progan.checkpoint import Checkpoints
from progan.divergence import Detector, Diverged, Divergence
from progan.growth import FIRST_LEVEL, LAST_LEVEL
from progan.run_record import read_record
from progan.runs import read_rollbacks
from progan.training import Trainer
from tools.run_config import write_record

OnDivergence = Literal["stop", "rollback", "warn"]
# What is added to the name of a checkpoint that is set aside.
ASIDE = ".diverged"
# What a log may say: 4 to 1024 pixels, and as many images as a run can count.
_LEVELS = range(FIRST_LEVEL, LAST_LEVEL + 1)
_MOST_IMAGES = 2**62


class Judge:
    """Shows the scalars of every tick to a detector, and says what it finds.

    Args:
        trainer: the run, where it stands.
        log: the run's log.jsonl up to there, which the detector is shown first: a run that is
            continued is judged as one that was never interrupted.
        checkpoints: of which the newest from before a doubt is kept until the doubt is settled.
        warn: only tell what is found, and go on.
    """

    def __init__(
        self, trainer: Trainer, log: Path, checkpoints: Checkpoints, *, warn: bool = False
    ) -> None:
        self._checkpoints, self._warn, self._told = checkpoints, warn, False
        scalars = _logged(log)
        # Lines may be missing; what they told of is not to be taken for one long tick.
        begun = scalars[0][0] if scalars else trainer.nimg
        self._detector = Detector(trainer.config, min(begun, trainer.nimg))
        for nimg, line in scalars:
            if nimg <= trainer.nimg:
                self._detector.look(nimg, line)

    def __call__(self, trainer: Trainer, scalars: Mapping[str, float]) -> None:
        """Look at the means since the last tick.

        Raises:
            Diverged: training has gone bad.
        """
        found = self._detector.look(trainer.nimg, scalars)
        self._checkpoints.doubtful_since = self._detector.doubtful_since
        if self._detector.doubtful_since is None:
            self._told = False
        if found is None:
            return
        if not self._warn:
            raise Diverged(found)
        if not self._told:
            click.echo(f"Warning: {Diverged(found)}.", err=True)
            self._told = True


def _logged(log: Path) -> list[tuple[int, dict[str, float]]]:
    """Read the ticks of a log; lines that are none are left out."""
    found: list[tuple[int, dict[str, float]]] = []
    if not log.is_file():
        return found
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(entry, dict) or "loss/critic" not in entry:
                continue
            nimg, level = entry.get("nimg"), entry.get("progress/level", FIRST_LEVEL)
            if type(nimg) is int and 0 <= nimg < _MOST_IMAGES and level in _LEVELS:
                found.append((nimg, _numbers(entry)))
    return found


def _numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    """Give the numbers of a line; what is none, or more than a float can hold, is left out."""
    numbers = {}
    for name, value in entry.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            with suppress(OverflowError):
                numbers[name] = float(value)
    return numbers


def go_back(
    trainer: Trainer,
    found: Divergence,
    checkpoints: Checkpoints,
    *,
    beginning: Callable[[], Trainer],
) -> bool:
    """Take up the newest state from before a divergence; later ones are set aside.

    Where the run has gone back to that very state already, and did not come to a new one, it is
    the one before.

    Args:
        trainer: the run.
        found: what has gone wrong.
        checkpoints: its states.
        beginning: gives the run as it began, for when there is no such state.

    Returns:
        Whether there were later states.

    Raises:
        ProganError: the state cannot be read.
    """
    sound = [path for path in checkpoints.all() if int(path.stem) <= found.since]
    tried = trainer.attempts.begun[-1][0] if trainer.attempts.begun else None
    if len(sound) > 1 and int(sound[-1].stem) == tried:
        sound.pop()
    later = [path for path in checkpoints.all() if path not in sound]
    for path in checkpoints.folder.glob(f"*{ASIDE}") if later else ():
        path.unlink()
    for path in later:
        path.rename(path.with_name(path.name + ASIDE))
    attempts = trainer.attempts
    if sound:
        trainer.restore(*checkpoints.read(sound[-1]))
    else:
        trainer.restore(beginning().state(), 0)
    # A state from before knows nothing of them, and none may be made twice.
    trainer.attempts = attempts
    checkpoints.doubtful_since = None
    return bool(later)


def note_rollback(run: Path, trainer: Trainer, found: Divergence) -> dict[str, Any]:
    """Add to a run's config.json that it goes back to where the trainer stands, and why.

    Returns:
        What config.json says now.
    """
    record = read_record(run) or {}
    record["rollbacks"] = [
        *read_rollbacks(run),
        {
            "nimg": trainer.nimg,
            "attempt": trainer.attempts.count,
            "diverged_nimg": found.nimg,
            "why": found.why,
        },
    ]
    write_record(run, record)
    return record
