"""What `python -m tools metrics` prints, writes and plots."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from datasets.errors import DatasetError
from datasets.progress import progress
from progan.errors import ProganError
from progan.run_record import read_record
from tools.detectors import Detector
from tools.images import Split, open_images, refuse_unused_range
from tools.measure import Report, common_count, matched, measure, refuse
from tools.metrics.registry import METRICS
from tools.mirroring import decide
from tools.outputs import landing_file
from tools.value_range import ValueRange


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """Name nested values by their path: {"swd": {"16": 3}} becomes {"swd 16": 3}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= {f"{name} {inner}": deep for inner, deep in flat(value).items()}
        else:
            found[name] = value
    return found


def table(report: Report, why_mirrored: str) -> str:
    """Lay a report out as text: a line a figure, then what makes the figures comparable.

    Args:
        report: what was measured.
        why_mirrored: the reason why reals were mirrored, or were not, in a few words.
    """
    values, errors = flat(report.fakes.values), flat(report.fakes.uncertainties)
    base = {} if report.baseline is None else flat(report.baseline.values)
    width = max(map(len, values))
    lines = [f"{'metric':<{width}}  {'value':>10}  {'±':>9}  {'reals/reals':>11}  better"]
    for name, value in values.items():
        better = METRICS[name.split()[0]].words
        lines.append(
            f"{name:<{width}}  {figure(value):>10}  {figure(errors.get(name)):>9}  "
            f"{figure(base.get(name)):>11}  {better}"
        )
    facts = report.conditions
    detector = facts["detector"]
    lines += [
        "",
        f"images:      {report.images} of each side; two halves of {report.images // 2} for "
        "reals/reals",
        f"skipped:     {report.skipped}",
        f"resolution:  {facts['resolution']}×{facts['resolution']}",
        f"seed:        {facts['seed']}",
        f"reals:       {_side(facts['reals'])}",
        f"fakes:       {_side(facts['fakes'])}",
        f"mirrored:    {told_mirrored(facts['mirrored'])} ({why_mirrored})",
        "detector:    "
        + ("none" if detector is None else f"{detector['name']} ({detector['sha256'][:16]}…)"),
    ]
    return "\n".join(lines)


def figure(value: float | None) -> str:
    """Write a figure with four digits; a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"


def told_mirrored(mirrored: bool) -> str:
    """Return what was done to the reals, in a few words."""
    return "half of the reals, at random" if mirrored else "none of the reals"


def _side(facts: dict[str, Any]) -> str:
    rest = ", ".join(
        f"{key.replace('_', ' ')} {value if key != 'fingerprint' else str(value)[:16] + '…'}"
        for key, value in facts.items()
        if key not in ("name", "kind", "mirror_seed")
    )
    return f"{facts['name']} ({facts['kind']}{', ' + rest if rest else ''})"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for on the command line.

    Attributes:
        names: metrics.
        count: images of each side; None for the usual number.
        seed: of a model's first image, and of all draws.
        mirror: whether to mirror reals; None to follow the generator's training.
        find_detector: opens what sees the features, once it is known that images can be compared.
        json_file: where to write the figures.
        overwrite: whether older results give way.
        value_range: which numbers mean black and white in arrays; None to find out.
    """

    names: Sequence[str]
    count: int | None
    seed: int
    mirror: bool | None
    find_detector: Callable[[], Detector | None]
    json_file: Path | None
    overwrite: bool
    value_range: ValueRange | None = None

    @contextmanager
    def json_place(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        """Make sure of the place for the figures before the work; yields what writes them there.

        Raises:
            DatasetError: the place is taken, or its folder is missing.
        """
        if self.json_file is None:
            yield lambda _: None
            return
        with landing_file(self.json_file, overwrite=self.overwrite) as part:

            def write(values: dict[str, Any]) -> None:
                part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")

            yield write


def tell(
    reals_name: str, fakes_name: str, split: Split, resize: int | None, device: str, asked: Asked
) -> None:
    """Measure FAKES against REALS, print the table, and write the JSON file if asked for.

    Where a dataset has a level of the other side's size, that level is measured.

    Raises:
        DatasetError: the images cannot be compared.
    """
    seed = asked.seed
    reals = open_images(reals_name, split=split, seed=seed, resize=resize, device=device,
                        count=asked.count, value_range=asked.value_range)  # fmt: skip
    fakes = open_images(
        fakes_name,
        count=common_count(reals, asked.count),
        seed=seed,
        resize=resize,
        channels=reals.channels,
        device=device,
        value_range=asked.value_range,
    )
    refuse_unused_range(asked.value_range, reals, fakes)
    reals, fakes = matched(reals, fakes)
    count = min(common_count(reals, asked.count), fakes.count)
    refuse(reals, fakes, asked.names, count)
    mirror, why = decide(fakes, asked.mirror)
    detector = asked.find_detector()
    with asked.json_place() as write:
        with progress("Measuring", total=2 * count, unit="images") as bar:
            report = measure(
                reals,
                fakes,
                names=asked.names,
                count=count,
                seed=seed,
                detector=detector,
                mirror=mirror,
                advance=bar.advance,
            )
        write(report.to_json())
    click.echo(table(report, why))


def dataset_of(run: Path) -> str:
    """Give the path of the dataset that a run was trained on.

    Raises:
        DatasetError: the run does not say, or it is not there any more.
    """
    try:
        path = (read_record(run) or {})["dataset"]["path"]
    except (OSError, KeyError, TypeError, ProganError):
        raise DatasetError(f"{run} is not a run directory: it has no usable config.json.") from None
    if not isinstance(path, str) or not (Path(path) / "dataset.json").is_file():
        raise DatasetError(f"{run} was trained on {path}, which is not there any more: give REALS.")
    return path
