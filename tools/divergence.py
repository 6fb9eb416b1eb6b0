"""What is done when training goes bad: tell, keep the states from before, go back, try again."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import click
from torch import Tensor

from datasets import door
from progan.checkpoint import Checkpoints, set_aside
from progan.divergence import Detector, Diverged, Divergence
from progan.errors import DamagedFile
from progan.growth import FIRST_LEVEL, LAST_LEVEL
from progan.run_record import for_checkpoints, read_record
from progan.runs import datasets_until, read_rollbacks
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
        log: the run's log.jsonl up to there, which the detector is shown first: what was wrong
            before a run was interrupted is not forgotten. (Its first line is left out, as nobody
            knows where it began; so windows may lie elsewhere by a tick.)
        checkpoints: of which the newest from before what is not judged yet are kept.
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
        checkpoints.open_since = self._detector.open_since

    def __call__(self, trainer: Trainer, scalars: Mapping[str, float]) -> None:
        """Look at the means since the last tick.

        Raises:
            Diverged: training has gone bad.
        """
        found = self._detector.look(trainer.nimg, scalars)
        self._checkpoints.open_since = self._detector.open_since
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
    record: Mapping[str, Any] | None = None,
) -> bool:
    """Take up the newest state from before a divergence; later ones are set aside.

    Where the run has gone back to that very state already, and did not come to a new one, it is
    the one before. At every moment there is a state to go on from.

    Args:
        trainer: the run.
        found: what has gone wrong.
        checkpoints: its states. Damaged ones are passed over, with a warning.
        beginning: gives the run as it began, for when there is no such state.
        record: what config.json says, for the state of the beginning.

    Returns:
        Whether there were later states.
    """
    sound = [path for path in checkpoints.all() if int(path.stem) <= found.since]
    tried = trainer.attempts.begun[-1][0] if trainer.attempts.begun else None
    if len(sound) > 1 and int(sound[-1].stem) == tried:
        sound.pop()
    later = [path for path in checkpoints.all() if path not in sound]
    attempts = trainer.attempts
    state = _newest(sound)
    if state is not None:
        trainer.restore(*state)
    else:
        trainer.restore(beginning().state(), 0)
        checkpoints.save(trainer.state(), 0, None if record is None else for_checkpoints(record))
        later = [path for path in later if int(path.stem) > 0]
    # A state from before knows nothing of them, and none may be made twice.
    trainer.attempts = attempts
    for path in checkpoints.folder.glob(f"*{ASIDE}") if later else ():
        path.unlink()
    # The newest first: whoever is interrupted here finds one from which all comes again.
    checkpoints.rename(later[::-1], ASIDE)
    checkpoints.open_since = None
    return bool(later)


def _newest(states: list[Path]) -> tuple[dict[str, Tensor], int] | None:
    """Read the newest state that is not damaged; those that are get another name."""
    for path in reversed(states):
        try:
            return Checkpoints.read(path)
        except DamagedFile as error:
            door.warn(f"{error}. It is set aside as {set_aside(path).name}.")
    return None


def note_rollback(run: Path, trainer: Trainer, found: Divergence) -> dict[str, Any]:
    """Add to a run's config.json that it goes back to where the trainer stands, and why.

    Returns:
        What config.json says now.
    """
    record = read_record(run) or {}
    known = record.get("dataset")
    if isinstance(known, dict):
        # Data that it went on with later has taught it nothing now.
        fingerprint = str(known.get("fingerprint"))
        record["earlier_datasets"] = datasets_until(run, trainer.nimg, fingerprint)
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
