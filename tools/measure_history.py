"""The figures of every checkpoint that a run has kept: text, JSON and curves."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click

from datasets import door
from datasets.errors import DatasetError
from datasets.progress import progress
from progan.checkpoint import MODEL_NAME, Checkpoints, ModelFile, read_model
from progan.runs import config_of, read_average
from tools.detectors import Detector
from tools.images import Images, ModelImages, Split, open_images, refuse_unused_range
from tools.measure import common_count, measurable, measure, photographs
from tools.measure_command import Asked, dataset_of, figure, flat, told_mirrored
from tools.metrics.registry import METRICS
from tools.outputs import landing_file

# Images of each side, of each checkpoint of a run.
_USUAL_COUNT = 1000
# Thousand images to either side of a lone checkpoint, so that its photographs' line is seen.
_LONE = 0.5

Entry: TypeAlias = dict[str, Any]
"""A checkpoint's kimg, level, and what `Report.to_json` gives; its `baseline` is its level's."""
Curve: TypeAlias = list[tuple[float, float, float]]
"""Thousand images, a figure, and its uncertainty (0 where that is not known)."""


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
    reals = open_images(
        reals_name or dataset_of(run), split=split, resize=resize, value_range=asked.value_range
    )
    refuse_unused_range(asked.value_range, reals)
    target = plot_file or run / "metrics.png"
    # Its own older picture in a run directory may always be replaced.
    overwrite = asked.overwrite or plot_file is None
    with landing_file(target, overwrite=overwrite) as part, asked.json_place() as write:
        entries = history(run, reals, asked)
        write({"history": entries})
        plot(entries, part)
    click.echo(table(entries))
    click.echo(f"The curves: {target}")


def history(run: Path, reals: Images, asked: Asked) -> list[Entry]:
    """Measure the average generator of every checkpoint that a run has kept; warns of damaged ones.

    Each is measured at its own level, against the reals at that size, mirrored as in its training.
    A level that is too small for a metric goes without it: swd has no room for patches below 16
    pixels, and a critic sees no images smaller than its own.

    Returns:
        One entry a checkpoint, the oldest first. The baseline of each level is measured once, on
        two halves with as many images as a checkpoint's figures, if there are so many.

    Raises:
        DatasetError: the run has no sound checkpoint, or none that can be measured.
    """
    paths = _sound(run)
    count = common_count(reals, asked.count or _USUAL_COUNT)
    # A checkpoint holds tensors alone; the model file beside it knows how frequent the classes are.
    named = (run / MODEL_NAME).is_file()
    class_counts = read_model(run).class_counts if named else ()
    detector = asked.find_detector()
    baselines: dict[tuple[int, bool], Entry | None] = {}
    entries = []
    with progress("Measuring checkpoints", total=len(paths), unit="checkpoints") as bar:
        for path in paths:
            average, nimg = read_average(run, path)
            level, size = average.level, 2**average.level
            names = measurable(asked.names, size, reals.channels, detector)
            if names:
                mirror = config_of(path, run).mirror if asked.mirror is None else asked.mirror
                model = ModelFile(generator=average, class_counts=class_counts)
                report = measure(
                    reals.at(size),
                    ModelImages(str(path), model, count, asked.seed),
                    names=names,
                    count=count,
                    seed=asked.seed,
                    detector=detector,
                    mirror=mirror,
                    baseline=False,
                )
                if (level, mirror) not in baselines:
                    own = _photographs(reals.at(size), names, count, asked.seed, detector, mirror)
                    baselines[level, mirror] = own
                own = baselines[level, mirror]
                head = {"kimg": nimg / 1000, "level": level}
                entries.append(head | report.to_json() | {"baseline": own})
            bar.advance()
    if not entries:
        raise DatasetError(
            f"{run} has no checkpoint that {', '.join(asked.names)} can measure: its largest "
            f"images have {size}×{size} pixels."
        )
    return entries


def _sound(run: Path) -> list[Path]:
    checkpoints = Checkpoints(run / "checkpoints")
    paths = checkpoints.sound(door.warn)
    if not paths:
        damaged = (
            "has none but damaged checkpoints" if checkpoints.all() else "has no checkpoint yet"
        )
        raise DatasetError(f"{run} {damaged}.")
    return paths


def _photographs(
    reals: Images,
    names: Sequence[str],
    count: int,
    seed: int,
    detector: Detector | None,
    mirror: bool,
) -> Entry | None:
    """Measure the reals against themselves, in halves of `count` images where there are so many."""
    both = min(reals.count, 2 * count)
    found = photographs(reals, names=names, count=both, seed=seed, detector=detector, mirror=mirror)
    if found is None:
        return None
    return {
        "metrics": found.values,
        "uncertainties": found.uncertainties,
        "images": both // 2,
    }


def table(entries: Sequence[Entry]) -> str:
    """Lay a history out as text: a line a checkpoint, and the photographs' own lines."""
    names = list(
        dict.fromkeys(n for entry in _fullest_first(entries) for n in flat(entry["metrics"]))
    )
    rows = [["kimg", "level", *names]]
    rows += [[f"{entry['kimg']:.1f}", str(entry["level"]), *_cells(entry, names)]
             for entry in entries]  # fmt: skip
    several = len({entry["mirrored"] for entry in entries}) > 1
    for level, mirrored, own in _baselines(entries):
        which = "photographs"
        if several:
            which += ", mirrored" if mirrored else ", as they are"
        rows.append([which, str(level), *_cells(own, names)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]
    counts = {entry["images"] for entry in entries}
    halves = sorted({own["images"] for _, _, own in _baselines(entries)})
    better = [
        f"{name} {METRICS[name].words}" for name in dict.fromkeys(n.split()[0] for n in names)
    ]
    lines += [
        "",
        f"images:       {', '.join(map(str, sorted(counts)))} of each side",
        "photographs:  "
        + (f"two halves of {', '.join(map(str, halves))}" if halves else "too few for two halves"),
        f"better:       {', '.join(better)}",
        f"mirrored:     {_mirrored(entries)}",
    ]
    return "\n".join(lines)


def _fullest_first(entries: Sequence[Entry]) -> list[Entry]:
    """Sort entries by their number of figures: names come in the order of those with the most."""
    return sorted(entries, key=lambda entry: -len(flat(entry["metrics"])))


def _cells(entry: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    values, errors = flat(entry["metrics"]), flat(entry["uncertainties"])
    return [
        figure(values.get(name))
        + (f" ± {errors[name]:.2g}" if errors.get(name) is not None else "")
        for name in names
    ]


def _baselines(entries: Sequence[Entry]) -> Iterator[tuple[int, bool, Entry]]:
    """Go through the photographs' own figures: level, whether mirrored, and what was measured."""
    seen = set()
    for entry in entries:
        key = entry["level"], entry["mirrored"]
        if entry["baseline"] is not None and key not in seen:
            seen.add(key)
            yield *key, entry["baseline"]


def _mirrored(entries: Sequence[Entry]) -> str:
    kinds = {entry["mirrored"] for entry in entries}
    return "as in each training" if len(kinds) > 1 else told_mirrored(kinds == {True})


def plot(entries: Sequence[Entry], path: Path) -> None:
    """Draw the curves of a history as a PNG, one panel a metric.

    Bars are the figures' uncertainties. Dashed, in the curve's colour, are the photographs' own
    figures, with a band of their uncertainty, over the checkpoints of their level.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from tools.figures import save_figure

    names = list(dict.fromkeys(n for entry in _fullest_first(entries) for n in entry["metrics"]))
    figures, panels = pyplot.subplots(
        len(names), 1, figsize=(8, 1 + 2.6 * len(names)), sharex=True, squeeze=False
    )
    for name, panel in zip(names, panels[:, 0], strict=True):
        curves = _curves(entries, name)
        for number, (key, points) in enumerate(curves.items()):
            colour, label = f"C{number % 10}", key.removeprefix(f"{name} ")
            kimg, value, error = zip(*points, strict=True)
            panel.errorbar(
                kimg, value, yerr=error, marker="o", markersize=3, capsize=2, label=label,
                color=colour,
            )  # fmt: skip
            for own in _segments(entries, key):
                place = [kimg for kimg, _, _ in own]
                low = [value - error for _, value, error in own]
                high = [value + error for _, value, error in own]
                middle = [value for _, value, _ in own]
                panel.plot(place, middle, linestyle="--", linewidth=1, color=colour)
                panel.fill_between(place, low, high, alpha=0.15, linewidth=0, color=colour)
        if any(True for key in curves for _ in _segments(entries, key)):
            panel.plot([], [], linestyle="--", linewidth=1, color="0.4", label="photographs")
        panel.set_ylabel(f"{name}\n({_best(name)})")
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    panels[0, 0].set_title(f"mirrored: {_mirrored(entries)}", fontsize="small")
    panels[-1, 0].set_xlabel("thousand real images shown")
    figures.tight_layout()
    save_figure(figures, path)
    pyplot.close(figures)


def _best(name: str) -> str:
    metric = METRICS[name]
    return f"best {metric.words}" if metric.better == "as reals" else f"{metric.words} is better"


def _curves(entries: Sequence[Entry], name: str) -> dict[str, Curve]:
    """Gather the curves of a metric by the names of its figures."""
    names = (
        key for e in _fullest_first(entries) for key in flat({name: e["metrics"].get(name, {})})
    )
    curves: dict[str, Curve] = {key: [] for key in names}
    for entry in entries:
        values = flat({name: entry["metrics"].get(name, {})})
        errors = flat({name: entry["uncertainties"].get(name, {})})
        for key, value in values.items():
            curves[key].append((entry["kimg"], value, errors.get(key) or 0.0))
    return curves


def _segments(entries: Sequence[Entry], key: str) -> Iterator[Curve]:
    """Go through the stretches of checkpoints of one level, with the photographs' own figure.

    A stretch reaches halfway to the next one; that of a lone checkpoint has some width, too.
    """
    numbers = range(len(entries))
    ends = [
        n for n in numbers if n + 1 == len(entries) or _stand(entries, n) != _stand(entries, n + 1)
    ]
    begin = 0
    for end in ends:
        own = entries[end]["baseline"]
        value = None if own is None else flat(own["metrics"]).get(key)
        if own is not None and value is not None:
            error = flat(own["uncertainties"]).get(key) or 0.0
            left, right = _border(entries, begin), _border(entries, end + 1)
            wider = _LONE if left == right else 0.0
            yield [(left - wider, value, error), (right + wider, value, error)]
        begin = end + 1


def _stand(entries: Sequence[Entry], number: int) -> tuple[int, bool]:
    return entries[number]["level"], entries[number]["mirrored"]


def _border(entries: Sequence[Entry], number: int) -> float:
    """Return the place between a checkpoint and the one before, in thousand images."""
    last = len(entries) - 1
    before, after = entries[max(0, number - 1)]["kimg"], entries[min(last, number)]["kimg"]
    return float(before + after) / 2
