"""What `python -m tools metrics` prints, writes and plots."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from datasets import door
from datasets.errors import DatasetError
from datasets.progress import progress
from progan.checkpoint import MODEL_NAME, Checkpoints, ModelFile, read_model
from progan.errors import ProganError
from progan.run_record import read_record
from progan.runs import config_of, read_average
from tools.detectors import Detector
from tools.images import Images, ModelImages, Split, open_images
from tools.measure import Report, common_count, measure
from tools.metrics.laplacian import COARSEST
from tools.metrics.registry import METRICS
from tools.mirroring import decide
from tools.outputs import landing_file

# Images of each side, of each checkpoint of a run.
_USUAL_HISTORY = 1000


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
        better = METRICS[name.split()[0]].better
        lines.append(
            f"{name:<{width}}  {_figure(value):>10}  {_figure(errors.get(name)):>9}  "
            f"{_figure(base.get(name)):>11}  {better}"
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
        f"mirrored:    {_mirrored(facts['mirrored'])} ({why_mirrored})",
        "detector:    "
        + ("none" if detector is None else f"{detector['name']} ({detector['sha256'][:16]}…)"),
    ]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _mirrored(mirrored: bool) -> str:
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
        detector: sees the features.
        json_file: where to write the figures.
        overwrite: whether older results give way.
    """

    names: Sequence[str]
    count: int | None
    seed: int
    mirror: bool | None
    detector: Detector | None
    json_file: Path | None
    overwrite: bool


def tell(
    reals_name: str, fakes_name: str, split: Split, resize: int | None, device: str, asked: Asked
) -> None:
    """Measure FAKES against REALS, print the table, and write the JSON file if asked for.

    Raises:
        DatasetError: the images cannot be compared.
    """
    seed = asked.seed
    reals = open_images(reals_name, split=split, seed=seed, resize=resize, device=device,
                        count=asked.count)  # fmt: skip
    fakes = open_images(
        fakes_name,
        count=common_count(reals, asked.count),
        seed=seed,
        resize=resize,
        channels=reals.channels,
        device=device,
    )
    count = min(common_count(reals, asked.count), fakes.count)
    mirror, why = decide(fakes, asked.mirror)
    with progress("Measuring", total=2 * count, unit="images") as bar:
        report = measure(
            reals,
            fakes,
            names=asked.names,
            count=count,
            seed=seed,
            detector=asked.detector,
            mirror=mirror,
            advance=bar.advance,
        )
    click.echo(table(report, why))
    _write_json(report.to_json(), asked)


def tell_history(
    run: Path,
    reals_name: str | None,
    split: Split,
    resize: int | None,
    plot_file: Path | None,
    asked: Asked,
) -> None:
    """Measure every checkpoint that a run has kept; print, write and plot the curve.

    Raises:
        DatasetError: there is no checkpoint, or the dataset is not where it was.
    """
    reals = open_images(reals_name or dataset_of(run), split=split, resize=resize)
    entries = history(run, reals, asked)
    names = list(dict.fromkeys(name for entry in entries for name in flat(entry["metrics"])))
    click.echo(f"{'kimg':>9}  {'level':>5}  " + "  ".join(f"{name:>10}" for name in names))
    for entry in entries:
        values = flat(entry["metrics"])
        click.echo(
            f"{entry['kimg']:>9.1f}  {entry['level']:>5}  "
            + "  ".join(f"{_figure(values.get(name)):>10}" for name in names)
        )
    _write_json({"history": entries}, asked)
    target = plot_file or run / "metrics.png"
    # Its own older picture in a run directory may always be replaced.
    with landing_file(target, overwrite=asked.overwrite or plot_file is None) as part:
        plot(entries, part)
    click.echo(f"The curves: {target}")


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


def _write_json(values: dict[str, Any], asked: Asked) -> None:
    if asked.json_file is not None:
        with landing_file(asked.json_file, overwrite=asked.overwrite) as part:
            part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def history(run: Path, reals: Images, asked: Asked) -> list[dict[str, Any]]:
    """Measure the average generator of every checkpoint that a run has kept; warns of damaged ones.

    Each is measured at its own level, against the reals at that size; those of the first levels,
    which have no room for patches, only by other metrics.

    Returns:
        One entry a checkpoint, the oldest first: kimg, level and what `Report.to_json` gives.

    Raises:
        DatasetError: the run has no sound checkpoint.
    """
    checkpoints = Checkpoints(run / "checkpoints")
    paths = checkpoints.sound(door.warn)
    if not paths:
        damaged = (
            "has none but damaged checkpoints" if checkpoints.all() else "has no checkpoint yet"
        )
        raise DatasetError(f"{run} {damaged}.")
    count = common_count(reals, asked.count or _USUAL_HISTORY)
    # A checkpoint holds tensors alone; the model file beside it knows how frequent the classes are.
    named = (run / MODEL_NAME).is_file()
    class_counts = read_model(run).class_counts if named else ()
    entries = []
    with progress("Measuring checkpoints", total=len(paths), unit="checkpoints") as bar:
        for path in paths:
            average, nimg = read_average(run, path)
            size = 2**average.level
            names = [name for name in asked.names if name != "swd" or size >= COARSEST]
            model = ModelFile(generator=average, class_counts=class_counts)
            fakes = ModelImages(str(path), model, count, asked.seed)
            if names:
                report = measure(
                    reals.at(size),
                    fakes,
                    names=names,
                    count=count,
                    seed=asked.seed,
                    detector=asked.detector,
                    mirror=config_of(path, run).mirror if asked.mirror is None else asked.mirror,
                    baseline=False,
                )
                head = {"kimg": nimg / 1000, "level": average.level}
                entries.append(head | report.to_json())
            bar.advance()
    return entries


def plot(entries: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the curves of a run's history as a PNG, one panel a metric."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for entry in entries for name in entry["metrics"]))
    figure, panels = pyplot.subplots(
        len(names), 1, figsize=(8, 1 + 2.6 * len(names)), sharex=True, squeeze=False
    )
    for name, panel in zip(names, panels[:, 0], strict=True):
        curves: dict[str, list[tuple[float, float, float]]] = {}
        for entry in entries:
            values = flat({name: entry["metrics"].get(name, {})})
            errors = flat({name: entry["uncertainties"].get(name, {})})
            for key, value in values.items():
                curves.setdefault(key, []).append((entry["kimg"], value, errors.get(key) or 0.0))
        for key, points in curves.items():
            kimg, value, error = zip(*points, strict=True)
            label = key.removeprefix(f"{name} ")
            panel.errorbar(kimg, value, yerr=error, marker="o", markersize=3, label=label)
        panel.set_ylabel(f"{name} ({METRICS[name].better} is better)")
        panel.grid(alpha=0.3)
        if len(curves) > 1:
            panel.legend(fontsize="small")
    panels[-1, 0].set_xlabel("thousand real images shown")
    figure.tight_layout()
    figure.savefig(path, dpi=120, format="png")
    pyplot.close(figure)
