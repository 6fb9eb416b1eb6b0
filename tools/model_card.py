"""The card beside an exported model: what it is, of which data, how trained, how good, how to use.

It says nothing but what the model file, its run and the given reports say; whatever else one would
like to know is «not stated».
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from datasets.description import Description
from datasets.errors import DatasetError
from progan.checkpoint import ModelFile
from progan.config import Config
from tools.measure_command import dataset_of, flat

UNKNOWN = "not stated"
_MOST_BYTES = 2**28
_MOST_IMAGES = 2**62
# Told in any case; others where they are not the usual ones.
_SETTINGS = ("fade_kimg", "hold_kimg", "minibatch", "learning_rate", "mirror")
_TOLD_ELSEWHERE = ("preset", "resolution", "num_channels", "label_size", "fmap_base", "fmap_max",
                   "latent_size", "kimg", "seed")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the card's facts come from, besides the model file.

    Attributes:
        run: the run directory that the model is of; its log may have figures.
        metrics: a JSON file of `python -m tools metrics`.
        memorization: a report of `python -m tools neighbours`: the folder, or its report.json.
        licence: what the owner says of the licence.
    """

    run: Path | None = None
    metrics: Path | None = None
    memorization: Path | None = None
    licence: str | None = None


def facts(model: ModelFile, sources: Sources) -> dict[str, str]:
    """Give the few facts that a file can carry within it."""
    found = {
        "latents": f"float32 [N, {model.generator.latent_size}], standard normal",
        "images": "float32 [N, C, H, W], nominally -1 … 1, not clipped",
        "licence": sources.licence or UNKNOWN,
    }
    if model.generator.label_size:
        found["labels"] = f"int64 [N], 0 … {model.generator.label_size - 1}"
        if model.classes:
            found["classes"] = json.dumps(model.classes, ensure_ascii=False)
    return found


def card(model: ModelFile, out: Path, sources: Sources) -> str:
    """Write the card's text, in Markdown.

    Args:
        model: what is exported.
        out: the name of the exported file, .onnx, .pt2 or .safetensors.
        sources: where further facts are.

    Raises:
        DatasetError: a given file is not what it should be, or is of another model.
    """
    generator, trained = model.generator, model.trained
    size = 2**generator.level
    kind = {1: "grey", 3: "colour"}[generator.num_channels]
    parts = [
        f"# {_plain(out.stem)}",
        f"A generator of {kind} pictures of {size}×{size} pixels, in the file `{out.name}`. It "
        "makes pictures like its training photographs out of random numbers.",
        _table("Architecture", _architecture(model)),
        _table("Data", _data(trained, sources.run)),
        _table("Training", _training(trained)),
        "## Measured\n\n" + _measured(model, sources),
        "## Does it copy its training photographs?\n\n" + _copies(model, sources),
        f"## Licence\n\n{_plain(sources.licence) if sources.licence else UNKNOWN}",
        "## Use\n\n" + _use(model, out),
    ]
    return "\n\n".join(parts) + "\n"


def _plain(text: object) -> str:
    """Give a stranger's text as text: one line, without signs that Markdown would act on."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", line[:500]) or UNKNOWN


def _table(title: str, rows: Mapping[str, object]) -> str:
    lines = [f"| {name} | {UNKNOWN if value is None else value} |" for name, value in rows.items()]
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *lines])


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _thousands(images: object) -> float | None:
    """Give a stranger's number of images in thousands; None where it is none."""
    return images / 1000 if type(images) is int and 0 <= images < _MOST_IMAGES else None


def _without_folders(name: Any) -> Any:
    """Shorten paths to names: where files lay is nobody's business who gets the card."""
    return re.sub(r"[^:]*[/\\]", "", name) if isinstance(name, str) else name


def _known(value: object) -> str | None:
    return None if value is None or value == "" else _plain(value)


def _architecture(model: ModelFile) -> dict[str, object]:
    generator = model.generator
    weights = sum(each.numel() for each in generator.active_parameters())
    rows: dict[str, object] = {
        "kind": "progressive-growing GAN, the moving average of the generator (Karras, Aila, "
        "Laine, Lehtinen 2018)",
        "latents": f"{generator.latent_size} standard normal numbers",
        "feature maps": f"at most {generator.fmap_max}; fmap_base {generator.fmap_base}",
        "weights": f"{weights:,}",
        "classes": "none",
    }
    if generator.fade < 1:
        rows["newest level"] = f"faded in by {generator.fade:.0%}"
    if generator.label_size:
        names = ", ".join(f"{n} {_plain(name)}" for n, name in enumerate(model.classes))
        rows["classes"] = f"{generator.label_size}: {names or 'without names'}"
    return rows


def _data(trained: Mapping[str, Any], run: Path | None) -> dict[str, object]:
    dataset = _object(trained.get("dataset"))
    if run is not None and "name" not in dataset:  # models did not always say so
        dataset = _on_disk(run, dataset.get("fingerprint")) | dataset
    framing = _object(dataset.get("framing"))
    resolution = dataset.get("resolution")
    told = ", ".join(f"{_plain(name)}: {_plain(value)}" for name, value in framing.items())
    rows: dict[str, object] = {
        "dataset": _known(dataset.get("name")),
        "fingerprint": _known(dataset.get("fingerprint")),
        "training images": _number(dataset.get("images")),
        "pixels": f"{resolution}×{resolution}" if isinstance(resolution, int) else None,
        "framing": told or None,
    }
    earlier = trained.get("earlier_datasets")
    for each in map(_object, earlier if isinstance(earlier, list) else []):
        shown = _number(_thousands(each.get("until_nimg")))
        rows[f"until {shown or UNKNOWN} thousand images"] = (
            f"{_plain(each.get('name'))}, fingerprint {_plain(each.get('fingerprint'))}"
        )
    return rows


def _on_disk(run: Path, fingerprint: object) -> dict[str, Any]:
    """Look the run's dataset up where it was; nothing if it is another one by now, or gone."""
    try:
        path = Path(dataset_of(run))
        described = Description.read(path)
    except DatasetError:
        return {}
    if described.fingerprint != fingerprint:
        return {}
    return {"name": path.name, "framing": dict(described.framing)}


def _training(trained: Mapping[str, Any]) -> dict[str, object]:
    config, origin = _object(trained.get("config")), _object(trained.get("official"))
    rows: dict[str, object] = {}
    if origin:
        lod = _number(origin.get("lod"))
        rows["began with"] = (
            f"networks of the paper's authors' form: {_plain(origin.get('file'))}, sha256 "
            f"{_plain(origin.get('sha256'))}, lod {lod}; how these were trained is {UNKNOWN}"
        )
    shown = _number(_thousands(trained.get("nimg")))
    if shown is not None and origin:
        shown += ", counted from where growth would have brought the networks it began with"
    settings = ", ".join(
        f"{field.name} {_plain(config[field.name])}"
        for field in fields(Config)
        if field.name in config
        and field.name not in _TOLD_ELSEWHERE
        and (field.name in _SETTINGS or config[field.name] != field.default)
    )
    versions = _object(trained.get("versions"))
    rows |= {
        "preset": _known(config.get("preset")),
        "images shown (thousands)": shown,
        "seed": _known(config.get("seed")),
        "settings": settings or None,
        "versions": ", ".join(f"{_plain(k)} {_plain(v)}" for k, v in versions.items()) or None,
    }
    return rows


# ---- figures ----


def _measured(model: ModelFile, sources: Sources) -> str:
    if sources.metrics is not None:
        return _of_metrics(model, sources.metrics)
    logged = _last_logged(sources.run, "metrics/")
    if not logged:
        return UNKNOWN
    rows = "\n".join(
        f"| {_plain(name.removeprefix('metrics/'))} | {_number(value) or UNKNOWN} |"
        for name, value in logged.items()
        if name.startswith("metrics/")
    )
    return (
        f"While it was trained, {_at(model, logged)}:\n\n| metric | value |\n|---|---|\n{rows}\n\n"
        f"Measured against photographs {_mirrored(logged)}."
    )


def _mirrored(figures: Mapping[str, Any]) -> str:
    """Return how the reals were; earlier versions, which do not say, never mirrored them."""
    return "half mirrored at random" if figures.get("mirrored") is True else "as they are"


def _of_metrics(model: ModelFile, path: Path) -> str:
    report = _read_json(path, "python -m tools metrics --json")
    if isinstance(report.get("history"), list):
        kimg = _thousands(model.trained.get("nimg"))
        entries = [_object(each) for each in report["history"]]
        of_model = [e for e in entries if kimg is not None and e.get("kimg") == kimg]
        if not of_model:
            raise DatasetError(f"{path} has no figures of this model's checkpoint.")
        report = of_model[-1]
    fakes, reals = _object(report.get("fakes")), _object(report.get("reals"))
    if not isinstance(report.get("metrics"), dict) or fakes.get("kind") != "model":
        raise DatasetError(f"{path} has no figures of a model.")
    _refuse_another(model, path, fakes.get("nimg"))
    values, errors = flat(report["metrics"]), flat(_object(report.get("uncertainties")))
    lines = [
        f"| {_plain(name)} | {_number(value) or UNKNOWN} | {_number(errors.get(name)) or '–'} |"
        for name, value in values.items()
    ]
    detector = _object(report.get("detector")).get("name")
    name, detector = _without_folders(reals.get("name")), _without_folders(detector)
    side = _number(report.get("resolution"))
    return "\n".join(
        [
            f"Against {_plain(name)} ({_plain(reals.get('kind'))}, "
            f"fingerprint {_known(reals.get('fingerprint')) or UNKNOWN}), "
            f"{_number(report.get('images')) or UNKNOWN} images of each side, the real "
            f"ones {_mirrored(report)}, {side or UNKNOWN} pixels, detector "
            f"{_known(detector) or 'none'}:",
            "",
            "| metric | value | ± |",
            "|---|---|---|",
            *lines,
        ]
    )


def _copies(model: ModelFile, sources: Sources) -> str:
    if sources.memorization is not None:
        return _of_report(model, sources.memorization)
    logged = _last_logged(sources.run, "memorization/")
    flagged, usual = (
        logged.get(f"memorization/{name}") for name in ("flagged_share", "expected_share")
    )
    if not isinstance(flagged, float) or not isinstance(usual, float):
        return UNKNOWN
    return (
        f"While it was trained, {_at(model, logged)}: {flagged:.1%} of its images were nearer to a "
        f"training photograph than new photographs are but for at most {usual:.1%}."
    )


def _of_report(model: ModelFile, path: Path) -> str:
    path = path / "report.json" if path.is_dir() else path
    report = _read_json(path, "python -m tools neighbours")
    summary = _object(report.get("summary"))
    if not isinstance(summary.get("sentence"), str) or "model" not in report:
        raise DatasetError(f"{path} is no memorization report.")
    ours = json.loads(json.dumps(dict(model.trained)), parse_constant=str)
    if report["model"] != ours:
        raise DatasetError(f"{path} examined another model.")
    doubts = summary.get("doubts")
    said = [_plain(each) for each in doubts] if isinstance(doubts, list) else []
    return "\n\n".join(
        [_plain(summary["sentence"]), *(f"To keep in mind: {each}" for each in said)]
    )


def _refuse_another(model: ModelFile, path: Path, nimg: object) -> None:
    ours = model.trained.get("nimg")
    if nimg is not None and ours is not None and nimg != ours:
        raise DatasetError(
            f"{path} measured a model after {_plain(nimg)} images, and this one has seen "
            f"{_plain(ours)}."
        )


def _at(model: ModelFile, logged: Mapping[str, Any]) -> str:
    if logged["nimg"] == model.trained.get("nimg"):
        return "at its end"
    return f"after {logged['nimg'] / 1000:,.1f} thousand images (not the exported state)"


def _last_logged(run: Path | None, prefix: str) -> dict[str, Any]:
    """Give the last line of a run's log that has figures of a kind; nothing where there is none."""
    found: dict[str, Any] = {}
    log = None if run is None else run / "log.jsonl"
    if log is None or not log.is_file() or log.stat().st_size > _MOST_BYTES:
        return found
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if prefix not in line:
                continue
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue  # half a line, written as the process was killed
            if isinstance(entry, dict) and _thousands(entry.get("nimg")) is not None:
                found = entry
    return found


def _read_json(path: Path, made_by: str) -> dict[str, Any]:
    if not path.is_file():
        raise DatasetError(f"there is no {path}; make it with: {made_by}")
    if path.stat().st_size > _MOST_BYTES:
        raise DatasetError(f"{path} is too large to be made by {made_by}.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DatasetError(f"{path} is damaged, or not made by {made_by}.")
    return found


# ---- use ----


def _use(model: ModelFile, out: Path) -> str:
    generator = model.generator
    shape = f"4, {generator.latent_size}"
    labelled = generator.label_size > 0
    if out.suffix == ".onnx":
        given = '{"latents": latents, "labels": labels}' if labelled else '{"latents": latents}'
        lines = [
            "import numpy as np",
            "import onnxruntime",
            "from PIL import Image",
            "",
            f'session = onnxruntime.InferenceSession("{out.name}")',
            f'latents = np.random.default_rng(0).standard_normal(({shape}), dtype="float32")',
            *(["labels = np.zeros(4, np.int64)  # class numbers"] if labelled else []),
            f"(images,) = session.run(None, {given})",
        ]
    else:
        given = "latents, labels" if labelled else "latents"
        small = out.suffix == ".safetensors"
        loaded = f'torch.export.load("{out.name}").module()'
        lines = [
            "import numpy as np",
            *(["import progan"] if small else []),
            "import torch",
            "from PIL import Image",
            "",
            "generator = " + (f'progan.load("{out.name}")' if small else loaded),
            f"latents = torch.randn({shape}, generator=torch.Generator().manual_seed(0))",
            *(["labels = torch.zeros(4, dtype=torch.int64)  # class numbers"] if labelled else []),
            f"images = generator({given}).detach().numpy()",
        ]
    channel = ".squeeze(-1)" if generator.num_channels == 1 else ""
    lines += [
        "pixels = np.rint((images.clip(-1, 1) + 1) * 127.5).astype(np.uint8)",
        f'Image.fromarray(np.hstack(pixels.transpose(0, 2, 3, 1)){channel}).save("four.png")',
    ]
    program = "\n".join(["```python", *lines, "```"])
    if out.suffix == ".pt2":
        return (
            "To load a `.pt2` is to unpickle, and can run whatever somebody put into it: use one "
            f"only from whom you trust.\n\n{program}"
        )
    return program
