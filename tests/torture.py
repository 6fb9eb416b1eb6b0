"""Torture: trainings that are killed, cut off, filled up and damaged, and must end as if not.

    python -m tests.torture --faults 200 --seed 0 --table FILE

Every trial is a run that meets a few faults, one after the other, and is then left to its end:
runs of one process (`trials`), and of two (`trials_of_two`).
"""

import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from datasets.landing import landing
from datasets.progress import progress
from tests import trials, trials_of_two
from tests.trials import Trial, Undisturbed, Violation, undisturbed
from tests.trials_of_two import TrialOfTwo, undisturbed_two

# The classes of trials, and what may happen in each.
FAMILIES: dict[type[Trial], Sequence[str]] = {
    Trial: tuple(trials.KINDS),
    TrialOfTwo: tuple(trials_of_two.KINDS),
}
_TURN = 3
ALL_KINDS = [kind for kinds in FAMILIES.values() for kind in kinds]


def torture(
    likes: Mapping[type[Trial], Undisturbed],
    faults: int,
    seed: int,
    told: dict[str, Counter[str]],
    impossible: dict[str, str],
) -> None:
    """Let this many faults happen, and count what came of each kind where the end was the same.

    Args:
        likes: the runs that those of each family must end as.
        faults: how many.
        seed: which.
        told: outcomes by kind, which are added to.
        impossible: what this machine does not let happen, and why; is added to.

    Raises:
        Violation: a promise was broken.
    """
    draw = random.Random(seed)
    begun = 0
    tried: Counter[str] = Counter()
    with progress("Faults", total=faults, unit="faults") as bar:
        while sum(each.total() for each in told.values()) < faults:
            # The rarest so far, so that all kinds have their turn; what cannot happen on this
            # machine has its turn too.
            kind = _rarest(draw, ALL_KINDS, tried)
            family = next(each for each, kinds in FAMILIES.items() if kind in kinds)
            trial = family(likes[family], f"trial-{begun}", draw)
            begun += 1
            happened = []
            for _ in range(draw.choice((1, 2, 3))):
                outcome = trial.inflict(kind)
                # What did not come about, such as damage to what is not there yet, has its turn
                # again the sooner.
                tried[kind] += _TURN if outcome else 1
                if outcome:
                    happened.append((kind, outcome))
                kind = _rarest(draw, FAMILIES[family], tried)
            impossible |= trial.impossible
            trial.end()
            for kind, outcome in happened:
                told[kind][outcome] += 1
            bar.advance(len(happened))


def _rarest(draw: random.Random, kinds: Sequence[str], tried: Counter[str]) -> str:
    """Draw one of the kinds that were tried least."""
    least = min(tried[kind] for kind in kinds)
    return draw.choice([kind for kind in kinds if tried[kind] <= least + _TURN])


def table(told: Mapping[str, Counter[str]], impossible: Mapping[str, str]) -> str:
    """Write what happened, and what could not, as a table in Markdown."""
    lines = ["| fault | times | outcome |", "|---|---|---|"]
    for kind, outcomes in told.items():
        listed = "; ".join(
            outcome if len(outcomes) == 1 else f"{outcome} ({times})"
            for outcome, times in outcomes.most_common()
        )
        lines.append(f"| {kind} | {outcomes.total()} | {listed or impossible.get(kind, '–')} |")
    lines.append(f"| all | {sum(each.total() for each in told.values())} | the same end |")
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--faults", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--table", "out", type=click.Path(path_type=Path), help="Where to write the table.")
def main(faults: int, seed: int, out: Path | None) -> None:
    """Let faults happen to trainings, and print a table of what came of them.

    Ctrl-C ends it with the table so far.
    """
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    told: dict[str, Counter[str]] = {kind: Counter() for kind in ALL_KINDS}
    impossible: dict[str, str] = {}
    try:
        one = undisturbed(folder)
        torture({Trial: one, TrialOfTwo: undisturbed_two(one)}, faults, seed, told, impossible)
    except Violation as violation:
        click.echo(f"Broken: {violation}\n(seed {seed}; all is left in {folder})", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("Stopped before the end.", err=True)
    shutil.rmtree(folder, ignore_errors=True)
    written = table(told, impossible)
    click.echo(written, nl=False)
    if out is not None:
        with landing(out, overwrite=True) as part:
            part.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
