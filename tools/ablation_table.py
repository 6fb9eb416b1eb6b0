"""The results of an ablation side by side: one table, and one plot over the budget."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.ablation import Budget
from tools.measure_command import flat
from tools.metrics.registry import METRICS

Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""Variant -> what `Run.finish` gave, a seed each."""
PHOTOGRAPHS, AS_THEY_ARE = "photographs", "photographs as they are"
"""Names of the rows of the photographs' own figures; the second where variants differ."""


def summary(results: Results) -> dict[str, dict[str, Any]]:
    """Bring the seeds of each variant together.

    Args:
        results: of all runs.

    Returns:
        By variant: how many runs there are and how many broke down, thousand images shown, and by
        figure its mean and standard deviation over the seeds (None for one seed).
    """
    found = {}
    for name, runs in results.items():
        whole = [run for run in runs if not run["broken"]]
        values: dict[str, list[float]] = {}
        for run in whole:
            for figure, value in flat(dict(run["figures"])).items():
                if figure != "size" and value is not None:
                    values.setdefault(figure, []).append(float(value))
        found[name] = {
            "runs": len(runs),
            "broken": len(runs) - len(whole),
            "kimg": statistics.mean(run["nimg"] for run in runs) / 1000,
            "figures": {figure: _spread(several) for figure, several in values.items()},
        }
    return found


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "deviation": deviation}


def compared_with(mirrored: Mapping[str, bool]) -> str:
    """Return what variants were compared with; by variant, whether training mirrored."""
    kinds = set(mirrored.values())
    if len(kinds) > 1:
        return "photographs mirrored as in each training"
    return "photographs, half mirrored at random" if kinds == {True} else "photographs as they are"


def markdown(
    results: Results, baselines: Mapping[str, Mapping[str, Any]], facts: Sequence[str]
) -> str:
    """Write the table, a variant a row, the best mean swd first.

    Below follow those without swd, the ms-ssim that is nearest to the photographs' first.

    Args:
        results: of all runs.
        baselines: the photographs' own figures, by the name of the row; none where there are too
            few photographs.
        facts: sentences that make the figures comparable, for below.
    """
    rows = summary(results)
    names = list(dict.fromkeys(name for row in rows.values() for name in row["figures"]))
    heads = [f"{name} {_arrow(name)}".strip() for name in names]
    lines = [
        "| variant | runs | kimg | " + " | ".join(heads) + " |",
        "|---|---:|---:|" + "---:|" * len(names),
    ]
    variety = next((each.get("ms-ssim") for each in baselines.values()), None)
    for variant, row in sorted(rows.items(), key=lambda item: _rank(item[1], variety)):
        runs = f"{row['runs']}" + (f" ({row['broken']} broke down)" if row["broken"] else "")
        cells = [_cell(row["figures"].get(name)) for name in names]
        lines.append(f"| {variant} | {runs} | {row['kimg']:.1f} | " + " | ".join(cells) + " |")
    for row_name, baseline in baselines.items():
        own = flat(dict(baseline))
        cells = [f"{own[name]:.3g}" if own.get(name) is not None else "–" for name in names]
        lines.append(f"| *{row_name}* | – | – | " + " | ".join(cells) + " |")
    signs = ["↓ lower is better", "↑ higher is better", "≈ best as the photographs' own"]
    meant = [sign for sign in signs if any(head.endswith(sign[0]) for head in heads)]
    facts = [*facts, *([", ".join(meant)] if meant else [])]
    return "\n".join([*lines, "", *(f"- {fact}" for fact in facts)]) + "\n"


def _rank(row: Mapping[str, Any], variety: float | None) -> tuple[int, float]:
    """Return where a row stands: by swd, else by how near its ms-ssim is to the photographs'."""
    distance, similarity = (row["figures"].get(name) for name in ("swd mean", "ms-ssim"))
    if distance is not None:
        return 0, float(distance["mean"])
    if similarity is not None and variety is not None:
        return 1, abs(float(similarity["mean"]) - variety)
    return 2, 0.0


def _arrow(name: str) -> str:
    metric = METRICS.get(name.split()[0])
    return "" if metric is None else metric.sign


def _cell(figure: Mapping[str, float | None] | None) -> str:
    if figure is None:
        return "–"
    mean, deviation = figure["mean"], figure["deviation"]
    return f"{mean:.3g}" + ("" if deviation is None else f" ± {deviation:.1g}")


def plot(
    results: Results, budget: Budget, resolution: int, path: Path, *, mirrored: Mapping[str, bool]
) -> None:
    """Draw mean swd at full size over the budget: a line a variant, a thin one each seed.

    Args:
        results: of all runs.
        budget: in whose unit the axis is.
        resolution: of the full size; measurements at smaller sizes are over other levels, and are
            left out.
        path: a PNG.
        mirrored: by variant, whether its training mirrored photographs.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(8, 5))
    scale, unit = (1000, "thousand real images shown") if budget.kimg else (60, "minutes")
    for number, (name, runs) in enumerate(results.items()):
        curves = [
            [(p["spent"] / scale, p["swd"]) for p in run["curve"] if _shown(p, resolution)]
            for run in runs
        ]
        curves = [curve for curve in curves if curve]
        for curve in curves:
            panel.plot(*zip(*curve, strict=True), color=f"C{number % 10}", alpha=0.35, linewidth=1)
        # Runs of a variant are measured at the same places, but for those that broke down.
        shared = list(zip(*curves, strict=False))
        middle = [[statistics.mean(column) for column in zip(*p, strict=True)] for p in shared]
        if middle:
            panel.plot(*zip(*middle, strict=True), color=f"C{number % 10}", marker="o", label=name)
    panel.set_xlabel(unit)
    panel.set_ylabel(
        f"mean swd at {resolution}×{resolution} (lower is better)\n"
        f"against {compared_with(mirrored)}"
    )
    panel.set_yscale("log")
    panel.grid(alpha=0.3, which="both")
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120, format="png")
    pyplot.close(figure)


def _shown(point: Mapping[str, Any], resolution: int) -> bool:
    return point["size"] == resolution and point["swd"] is not None
