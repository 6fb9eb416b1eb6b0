"""The settings of a run: a new one's of preset and options, or those that it began with."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datasets import door
from datasets.landing import landing, sync
from progan.config import Config, begun_with, preset
from progan.errors import DamagedFile, ProganError
from tools.setting_options import as_typed

if TYPE_CHECKING:
    from datasets.pyramid import Dataset
    from progan.parallel import Processes


def settle_config(
    preset_name: str,
    given: dict[str, Any],
    data: "Dataset",
    run: Path,
    processes: "Processes",
    *,
    chosen: Mapping[str, Any] | None = None,
    preset_was_typed: bool = False,
    accept_changed_data: bool = False,
) -> Config:
    """Make or take up the run's configuration in process 0, and tell the others.

    What is `given` replaces what was `chosen`, and that what the preset says.
    """
    if processes.rank == 0:
        saved = _saved_config(run, data, accept_changed_data=accept_changed_data)
        if saved is None:
            config = _new_config(preset_name, {**(chosen or {}), **given}, data, processes)
        else:
            if preset_was_typed:
                _refuse_other_preset(preset_name, saved, run)
            config = _continued_config(saved, given, run)
            begun = begun_with(config)
            if begun not in (None, processes.count):
                click.echo(
                    f"This run keeps the minibatches and learning rates that preset v2 gave it for "
                    f"{begun} {'process' if begun == 1 else 'processes'}."
                )
        processes.tell({"config": config.to_json(), "fingerprint": data.fingerprint})
        return config
    told = processes.tell(None)
    if told["fingerprint"] != data.fingerprint:
        raise ProganError(
            f"{data.path} holds other data on {socket.gethostname()} than where process 0 is (the "
            "fingerprints differ): give all machines the same dataset"
        )
    return Config.from_json(told["config"])


def _saved_config(
    run: Path, data: "Dataset", *, accept_changed_data: bool
) -> dict[str, Any] | None:
    """Read the settings of a run that has begun; None for a new one."""
    from progan.run_record import NAME, read_record

    path = run / NAME
    try:
        saved = read_record(run, door.warn)
    except DamagedFile as error:
        raise ProganError(f"{error}: this run cannot be continued") from None
    if saved is None:
        # Hidden names may be what a process left that was killed as it began.
        if run.is_dir() and any(not inner.name.startswith(".") for inner in run.iterdir()):
            raise ProganError(
                f"{run} is not empty and holds no run (no {NAME}): choose another folder for RUN, "
                "which comes after DATASET"
            )
        if run.exists() and not run.is_dir():
            raise ProganError(f"{run} is a file: choose another name for the run directory")
        return None
    settings: dict[str, Any] = saved["config"]
    try:
        # Networks that were imported have no dataset before the first that they go on with.
        known = saved["dataset"]
        fingerprint = data.fingerprint if known is None else known["fingerprint"]
    except (KeyError, TypeError) as error:
        raise ProganError(f"{path} is damaged ({error}): this run cannot be continued") from None
    changed = fingerprint != data.fingerprint
    if changed and not accept_changed_data:
        raise ProganError(
            f"{run} was trained on other data than {data.path} (the fingerprints differ): give the "
            "run's own dataset, begin another run, or give --accept-changed-data to go on with "
            "this one"
        )
    # Also of the run's own dataset: whoever wrote config.json may have claimed that it is.
    _refuse_misfit(settings, data, run)
    if changed or known is None:
        _refuse_other_classes(data, run)
    return settings


def _refuse_misfit(settings: dict[str, Any], data: "Dataset", run: Path) -> None:
    """Refuse a dataset that the run's networks have no shape for."""
    config = Config.from_json(settings)
    for name, wanted, found in (
        ("channels", config.num_channels, data.channels),
        ("classes", config.label_size, len(data.classes or ())),
    ):
        if wanted != found:
            raise ProganError(
                f"the networks in {run} are for {wanted} {name}, and {data.path} has {found}: give "
                "another dataset"
            )
    if config.resolution > data.resolution:
        raise ProganError(
            f"the networks in {run} are for {config.resolution} pixels, and {data.path} has "
            f"{data.resolution}: prepare it with --resolution {config.resolution}"
        )


def _refuse_other_classes(data: "Dataset", run: Path) -> None:
    """Refuse a dataset of other classes for networks which have had another one, or none."""
    if data.classes is None or not (run / "generator.safetensors").is_file():
        return
    from progan.checkpoint import read_model

    names: tuple[str, ...] = ()
    with suppress(DamagedFile):  # then it will be written again
        names = read_model(run).classes
    if names and names != tuple(data.classes):
        raise ProganError(
            f"the networks in {run} know the classes {', '.join(names)}, and {data.path} has "
            f"{', '.join(data.classes)}: give a dataset with the same ones"
        )


def _new_config(
    name: str, given: dict[str, Any], data: "Dataset", processes: "Processes"
) -> Config:
    """Make the configuration of a new run from preset, options and dataset."""
    resolution = given.setdefault("resolution", data.resolution)
    if resolution > data.resolution:
        raise click.BadParameter(
            f"{resolution} is more than the {data.resolution} pixels of the dataset {data.path}",
            param_hint="--resolution",
        )
    classes = len(data.classes or ())
    try:
        return preset(
            name, processes.count, num_channels=data.channels, label_size=classes, **given
        )
    except ProganError as error:
        raise click.UsageError(as_typed(str(error))) from None


def _refuse_other_preset(name: str, saved: dict[str, Any], run: Path) -> None:
    """Refuse a preset that a run did not begin with, and would take nothing of."""
    begun = Config.from_json(saved).preset
    if name != begun:
        raise click.UsageError(
            f"--preset {name} cannot be given for {run}, which began with {begun!r:.60}: leave the "
            "option away, or begin another run"
        )


def _continued_config(saved: dict[str, Any], given: dict[str, Any], run: Path) -> Config:
    """Take up a run's configuration; refuse options that would make it another run."""
    from progan.run_record import MAY_CHANGE

    # A run may be older than a setting, which it began without, and so with its default.
    begun = Config.from_json(saved).to_json()
    for name, value in given.items():
        if name not in MAY_CHANGE and begun[name] != value:
            raise click.UsageError(
                f"--{name.replace('_', '-')} {value} cannot be changed in {run}, which began with "
                f"{begun[name]}: leave the option away, or begin another run. Of the settings "
                f"only {' and '.join(f'--{n}' for n in sorted(MAY_CHANGE))} may change, besides "
                "what is no setting of the run: --device, --compile, how often it is saved, shown "
                "and measured, and --keep"
            )
    try:
        return Config.from_json(saved | {n: v for n, v in given.items() if n in MAY_CHANGE})
    except ProganError as error:
        raise click.UsageError(as_typed(str(error))) from None


def begin(run: Path, config: Config, data: "Dataset", nimg: int) -> None:
    """Write a new run's config.json, or what has changed in that of one that goes on at `nimg`."""
    from progan.runs import datasets_until, imported_from, read_rollbacks

    run.mkdir(parents=True, exist_ok=True)
    saved: dict[str, Any] = {
        "config": config.to_json(),
        "dataset": {"path": str(data.path.resolve()), "fingerprint": data.fingerprint},
    }
    if origin := imported_from(run):
        saved["official"] = origin
    if earlier := datasets_until(run, nimg, data.fingerprint):
        saved["earlier_datasets"] = earlier
        if earlier[-1]["until_nimg"] == nimg:
            click.echo(
                f"From {nimg / 1000:g} kimg on, {run} learns from other data than before; "
                "config.json and the model file will say so."
            )
    if rollbacks := read_rollbacks(run):
        saved["rollbacks"] = rollbacks
    write_record(run, saved)
    with suppress(PermissionError):  # a folder may let others make folders in it, and not look
        sync(run.resolve().parent)


def write_record(run: Path, record: dict[str, Any]) -> None:
    """Write a run's config.json."""
    from progan.run_record import NAME, sealed_text

    with landing(run / NAME, overwrite=True) as part:
        part.write_text(sealed_text(record), encoding="utf-8")


def mend_config(run: Path, data: "Dataset") -> None:
    """Write config.json again from a checkpoint where it is missing or damaged.

    What is damaged is kept under another name.

    Args:
        run: the run directory, in which nobody else is at work.
        data: the run's dataset, whose place a checkpoint does not know.

    Raises:
        ProganError: no checkpoint says what it said.
    """
    from progan.checkpoint import set_aside
    from progan.run_record import NAME, read_record, read_sealed

    path = run / NAME
    try:
        read_sealed(path)
        return
    except FileNotFoundError:
        damaged = False
    except DamagedFile:
        damaged = True
    record = read_record(run)
    if record is None:
        return  # a new run
    known = record.get("dataset")
    if isinstance(known, dict) and known.get("fingerprint") == data.fingerprint:
        record["dataset"] = {**known, "path": str(data.path.resolve())}
    if damaged:
        click.echo(f"The damaged {NAME} is kept as {set_aside(path).name}.", err=True)
    write_record(run, record)


def config_text(run: Path) -> bytes | None:
    """Give the bytes of a run's config.json; None where there is none yet."""
    try:
        return (run / "config.json").read_bytes()
    except OSError:
        return None
