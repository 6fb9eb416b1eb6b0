"""What `python -m tools ablate` does: every variant with every seed, then table and plot."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click
import torch

from datasets.errors import DatasetError
from datasets.landing import landing
from datasets.progress import duration, progress
from datasets.pyramid import Dataset
from progan.config import Config, preset
from progan.errors import ProganError
from tools import ablation_table
from tools.ablation import Budget, Measuring, Run
from tools.images import DatasetImages
from tools.measure import photographs
from tools.metrics.laplacian import COARSEST

_MARK = "ablation.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", re.ASCII)
# What the dataset says, the budget or --seeds, and no variant.
_GIVEN = {"preset", "num_channels", "label_size", "seed", "kimg"}


@dataclass(frozen=True)
class Variant:
    """A name, and the settings in which it differs from the preset."""

    name: str
    preset: str
    settings: dict[str, Any]


def read_variant(text: str, preset_name: str) -> Variant:
    """Read `NAME` or `NAME:option=value,…`; a value may hold commas, as in `fade_kimg=2,16:3`.

    Args:
        text: what was typed.
        preset_name: what the settings begin with, unless `preset=…` is among them.

    Raises:
        click.BadParameter: the text is not of that form, or there is no such option.
    """
    name, _, rest = text.partition(":")
    if not _NAME.fullmatch(name):
        raise click.BadParameter(
            f"{text!r} does not begin with a name of letters, digits, '.', '_' and '-'",
            param_hint="--variant",
        )
    given: dict[str, str] = {}
    option = ""
    for part in rest.split(",") if rest else []:
        first, equals, value = part.partition("=")
        if not equals and option:  # a value of several parts goes on
            given[option] += f",{part}"
            continue
        option = first.strip().replace("-", "_")
        if not equals or option in given:
            raise click.BadParameter(
                f"{name}: {part.strip()!r} is not one option=value", param_hint="--variant"
            )
        given[option] = value
    base = given.pop("preset", preset_name)
    typed = {option: _typed(name, option, value) for option, value in given.items()}
    return Variant(name, base, typed)


def _typed(name: str, option: str, value: str) -> Any:
    """Turn an option's value into the type that Config wants."""
    hints = get_type_hints(Config)
    if option not in hints or option in _GIVEN:
        known = ", ".join(hint for hint in hints if hint not in _GIVEN)
        raise click.BadParameter(
            f"{name}: there is no option {option!r}; there are {known}", param_hint="--variant"
        )
    kind = hints[option]
    if get_origin(kind) is not None or kind == int | None:
        kind = next(inner for inner in get_args(kind) if inner is not type(None))
    try:
        if kind is bool:
            return {"true": True, "false": False}[value.lower()]
        return kind(value)
    except (ValueError, KeyError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise click.BadParameter(
            f"{name}: {option}={value!r} is not {wanted}", param_hint="--variant"
        ) from None


def ablate(
    data: Dataset,
    out: Path,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    *,
    budget: Budget,
    measuring: Measuring,
    device: torch.device,
) -> str:
    """Train what is not trained yet, and write table.md, table.json and plot.png into OUT.

    Args:
        data: the dataset.
        out: the folder; runs that it already holds are kept.
        variants: what to compare.
        seeds: of each variant.
        budget: of each run.
        measuring: what to measure of each.
        device: where to compute; a processor computes with one thread, so that its time is the
            same for all.

    Returns:
        The table, as Markdown.

    Raises:
        ProganError: settings are impossible, or OUT holds something else.
        DatasetError: the dataset is too small, or the detector cannot see images of its size.
    """
    measuring = _fitting(data, measuring)
    runs = {
        variant.name: [
            Run(
                out / "runs" / f"{variant.name}-seed{seed}",
                _config(variant, data, seed),
                data,
                budget=budget,
                measuring=measuring,
                device=device,
            )
            for seed in seeds
        ]
        for variant in variants
    }
    sizes = {run.config.resolution for several in runs.values() for run in several}
    if len(sizes) > 1:
        raise DatasetError(
            "Variants of different resolutions cannot be compared: make two ablations."
        )
    if measuring.detector is not None:
        measuring.detector.check(max(sizes), data.channels)
    _take_place(out)
    if device.type == "cpu":
        torch.set_num_threads(1)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
    _finish(runs, budget)
    for name, several in runs.items():
        for run in several:
            found = run.result()
            assert found is not None
            results[name].append(found)
    return _write(data, out, results, runs, budget, measuring, sizes.pop())


def _finish(runs: dict[str, list[Run]], budget: Budget) -> None:
    """Train and measure what is not finished, and tell of it."""
    left = [(n, r) for n, several in runs.items() for r in several if r.result() is None]
    # By turns of seeds: what is known after half of the time is known of all variants.
    left.sort(key=lambda item: item[1].config.seed)
    total = round(budget.whole) * len(left)
    with progress("Training variants", total=total, unit=budget.unit) as bar:
        for name, run in left:
            click.echo(f"{name}, seed {run.config.seed}: {run.folder}", err=True)
            result = run.finish(bar.advance)
            swd = result["figures"].get("swd", {}).get("mean")
            said = result["broken"] or (f"swd {swd:.3g}" if swd is not None else "measured")
            click.echo(f"{name}, seed {run.config.seed}: {said}", err=True)


def _fitting(data: Dataset, measuring: Measuring) -> Measuring:
    """Take no more images than there are photographs to compare with."""
    photographs = len(data.rows("train"))
    if photographs < 4:
        raise DatasetError(f"{data.path} has {photographs} training pictures: too few to measure.")
    count = min(measuring.images, photographs)
    return Measuring(images=count, points=measuring.points, detector=measuring.detector)


def _config(variant: Variant, data: Dataset, seed: int) -> Config:
    settings = {"resolution": data.resolution} | variant.settings
    wanted = settings["resolution"]
    if wanted > data.resolution:
        raise ProganError(f"{variant.name}: {data.path} has {data.resolution} pixels, not {wanted}")
    try:
        return preset(
            variant.preset,
            num_channels=data.channels,
            label_size=len(data.classes or ()),
            seed=seed,
            **settings,
        )
    except ProganError as error:
        raise ProganError(f"{variant.name}: {error}") from None


def _take_place(out: Path) -> None:
    """Make OUT, or go on in one that was made here."""
    if not (out / _MARK).is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DatasetError(f"{out} exists and holds no ablation; choose another name.")
        out.mkdir(parents=True, exist_ok=True)
        with landing(out / _MARK) as part:
            part.write_text(json.dumps({"format_version": 1}) + "\n", encoding="utf-8")


def _write(
    data: Dataset,
    out: Path,
    results: ablation_table.Results,
    runs: dict[str, list[Run]],
    budget: Budget,
    measuring: Measuring,
    resolution: int,
) -> str:
    mirrored = {name: several[0].config.mirror for name, several in runs.items()}
    rows, halves = _photographs(data, resolution, measuring, set(mirrored.values()))
    each = (
        f"{budget.kimg:g} kimg" if budget.kimg else f"{duration(budget.seconds or 0)} of training"
    )
    facts = [
        f"{len(data.rows('train'))} photographs at {resolution}×{resolution} pixels; {each} a run; "
        f"{measuring.images} images measured of each side; mean ± standard deviation over seeds",
        _told_mirrored(mirrored),
    ]
    if halves:
        facts.append(
            f"photographs: two halves of {halves} against each other, which makes swd larger than "
            f"{measuring.images} would"
            if halves < measuring.images
            else f"photographs: two halves of {halves} against each other"
        )
    if any("flagged" in run["figures"] for several in results.values() for run in several):
        facts.append(
            "flagged: share of images nearer to a training photograph than new ones are; flagged "
            "of new ones: the share of new photographs that would be, at most"
        )
    if measuring.detector is not None:
        facts.append(f"precision and recall: features of {measuring.detector.name}")
    table = ablation_table.markdown(results, rows, facts)
    whole = {
        "summary": ablation_table.summary(results),
        "mirrored": mirrored,
        ablation_table.PHOTOGRAPHS: None,
        **rows,
        "facts": facts,
        "runs": {
            name: [
                {"config": run.config.to_json()} | dict(result)
                for run, result in zip(runs[name], results[name], strict=True)
            ]
            for name in runs
        },
    }
    with landing(out / "table.md", overwrite=True) as part:
        part.write_text(table, encoding="utf-8")
    with landing(out / "table.json", overwrite=True) as part:
        part.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    with landing(out / "plot.png", overwrite=True) as part:
        ablation_table.plot(results, budget, resolution, part, mirrored=mirrored)
    return table


def _told_mirrored(mirrored: dict[str, bool]) -> str:
    """Return the sentence on what the variants were compared with."""
    if len(set(mirrored.values())) == 1:
        return f"compared with {ablation_table.compared_with(mirrored)}"
    plain = ", ".join(name for name, mirror in mirrored.items() if not mirror)
    return (
        "compared with photographs of which half are mirrored at random, as in training; but "
        f"{plain}, trained without mirroring, with photographs as they are"
    )


def _photographs(
    data: Dataset, resolution: int, measuring: Measuring, mirrored: set[bool]
) -> tuple[dict[str, dict[str, Any]], int]:
    """Measure the photographs against themselves, in halves.

    Returns:
        By the name of their row, the figures; of photographs as they are only, or mirrored ones
        only, the row has the usual name. And the size of a half, 0 where there are too few.
    """
    reals = DatasetImages(data.path.name, data, "train", resolution)
    count = min(reals.count, 2 * measuring.images)
    names = ["ms-ssim"] if resolution < COARSEST else ["swd", "ms-ssim"]
    rows: dict[str, dict[str, Any]] = {}
    for mirror in sorted(mirrored, reverse=True):
        found = photographs(reals, names=names, count=count, mirror=mirror)
        if found is not None:
            usual = mirror or len(mirrored) == 1
            name = ablation_table.PHOTOGRAPHS if usual else ablation_table.AS_THEY_ARE
            rows[name] = found.values
    return rows, count // 2 if rows else 0
