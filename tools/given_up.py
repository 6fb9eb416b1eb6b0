"""A run that has gone bad for good is not to be started again by what starts it by itself.

`torchrun --max-restarts` starts its processes again whatever they ended for. After a loss that is
right; after a divergence, the same would come again, hours later. No exit status tells torchrun to
leave it, so the run directory does: a mark there lets the starts that are left end at once. Whoever
gives the command again by hand begins without the mark.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from datasets.landing import landing
from progan.errors import ProganError

_NAME = "given-up.json"
_LONGEST_SENTENCE = 1000


def give_up(run: Path, sentence: str) -> None:
    """Leave a mark for the starts to come, where torchrun may start again; else do nothing.

    Args:
        run: the run directory.
        sentence: why the run has ended.
    """
    job = os.environ.get("TORCHELASTIC_RUN_ID")
    if job is None:
        return
    # Where it cannot be written, what is to be told is still the sentence.
    with suppress(OSError), landing(run / _NAME, overwrite=True) as part:
        part.write_text(json.dumps({"job": job, "sentence": sentence}) + "\n", encoding="utf-8")


def refuse_if_given_up(run: Path) -> None:
    """End a start by torchrun itself where an earlier one has given up; else remove the mark.

    Args:
        run: the run directory, in which nobody else is at work.

    Raises:
        ProganError: the run was given up since the command was given.
    """
    mark = run / _NAME
    started_again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    if started_again and (sentence := _sentence(mark, os.environ.get("TORCHELASTIC_RUN_ID"))):
        raise ProganError(f"started again by torchrun for nothing: {sentence}")
    mark.unlink(missing_ok=True)


def _sentence(mark: Path, job: str | None) -> str | None:
    """Read why a run was given up by an earlier start of the same job; None where it was not."""
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
        if found["job"] != job:
            return None
        return str(found["sentence"])[:_LONGEST_SENTENCE]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
