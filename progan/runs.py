"""The networks of a run, out of its checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from progan.checkpoint import Checkpoints
from progan.config import Config
from progan.errors import ProganError
from progan.networks import Critic, Generator
from progan.run_record import NAME, read_record, said_by
from progan.training import build

Network = TypeVar("Network", Generator, Critic)


def read_config(run: Path) -> Config:
    """Read what a run is a function of.

    Raises:
        ProganError: the folder is no run directory, or its config.json is damaged and no
            checkpoint says what it said.
    """
    record = read_record(run)
    if record is None:
        raise ProganError(f"{run} is not a run directory: it has no {NAME}")
    return _config(record, run / NAME)


def _config(record: dict[str, Any], path: Path) -> Config:
    try:
        return Config.from_json(record["config"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProganError(f"{path} is damaged ({error})") from None


def _record_or_nothing(run: Path) -> dict[str, Any]:
    try:
        return read_record(run) or {}
    except (OSError, ProganError):
        return {}


def imported_from(run: Path) -> dict[str, Any] | None:
    """Say which official file a run began with, JSON values; None for one that began by itself."""
    origin = _record_or_nothing(run).get("official")
    return origin if isinstance(origin, dict) else None


def earlier_datasets(run: Path) -> list[dict[str, Any]]:
    """Say which other datasets a run has learned from before its own, the first one first.

    Returns:
        For each, its `path`, its `fingerprint`, and `until_nimg`: images shown when the next one
        took its place. Empty for a run that has had but one.

    Raises:
        ProganError: config.json is damaged.
    """
    try:
        return _spans((read_record(run) or {}).get("earlier_datasets", []))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProganError(f"{run / NAME} is damaged ({error})") from None


def datasets_until(run: Path, nimg: int, fingerprint: str) -> list[dict[str, Any]]:
    """Say which other datasets a run has learned from that goes on with this one.

    Args:
        run: the run directory, whose config.json tells of the last start.
        nimg: where the run goes on, which may lie before datasets that it has known.
        fingerprint: of the dataset that it goes on with.

    Returns:
        As `earlier_datasets` does.

    Raises:
        ProganError: config.json is damaged.
    """
    spans = earlier_datasets(run)
    record = read_record(run)
    if record is not None:
        try:
            last = record["dataset"]
            # Networks that were imported have none before the first that they go on with.
            spans += [] if last is None else _spans([{**last, "until_nimg": nimg}])
        except (ValueError, KeyError, TypeError) as error:
            raise ProganError(f"{run / NAME} is damaged ({error})") from None
    found: list[dict[str, Any]] = []
    for span in spans:
        until = min(span["until_nimg"], nimg)
        if found and found[-1]["fingerprint"] == span["fingerprint"]:
            found.pop()
        elif until <= (found[-1]["until_nimg"] if found else 0):
            continue
        found.append(span | {"until_nimg": until})
    if found and found[-1]["fingerprint"] == fingerprint:
        found.pop()
    return found


def _spans(listed: Any) -> list[dict[str, Any]]:
    spans = []
    for span in listed:
        until = span["until_nimg"]
        if type(until) is not int:
            raise TypeError("until_nimg is not a whole number")
        spans.append(
            {
                "path": str(span["path"]),
                "fingerprint": str(span["fingerprint"]),
                "until_nimg": until,
            }
        )
    return spans


def read_rollbacks(run: Path) -> list[dict[str, Any]]:
    """Say where a run has gone back since it went bad, the earliest first; `nimg` is where to."""
    rollbacks = _record_or_nothing(run).get("rollbacks", [])
    if not isinstance(rollbacks, list):
        return []
    return [rollback for rollback in rollbacks if isinstance(rollback, dict)]


def read_critic(run: Path, warn: Callable[[str], None] | None = None) -> Critic:
    """Give the critic of a run's newest sound checkpoint, standing where it was, for inference.

    Args:
        run: the run directory; nothing is changed in it.
        warn: takes a sentence for each newer checkpoint that is damaged.

    Raises:
        ProganError: there is none, or all are damaged.
    """
    checkpoints = Checkpoints(run / "checkpoints")
    newest = checkpoints.newest(warn, only_read=True)
    if newest is None:
        raise ProganError(f"{run} has no checkpoint yet")
    tensors, nimg = newest
    config = config_of(checkpoints.path(nimg), run)
    return _standing(_shapes(config)[1], "critic", tensors, config, nimg)


def read_average(run: Path, checkpoint: Path) -> tuple[Generator, int]:
    """Give the average generator of one checkpoint of a run, and how many images it had seen.

    Raises:
        ProganError: it is damaged, or not of this run.
    """
    tensors, nimg = Checkpoints.read(checkpoint)
    config = config_of(checkpoint, run)
    return _standing(_shapes(config)[2], "average", tensors, config, nimg), nimg


def config_of(checkpoint: Path, run: Path) -> Config:
    """Read the settings that a checkpoint was made with; of an older one, those of the run.

    Raises:
        ProganError: they are damaged.
    """
    record = said_by(checkpoint) if checkpoint.is_file() else None
    return read_config(run) if record is None else _config(record, checkpoint)


def _shapes(config: Config) -> tuple[Generator, Critic, Generator]:
    """Build the networks without memory: settings that claim giants cost nothing.

    Raises:
        ProganError: they cannot be built.
    """
    try:
        with torch.device("meta"):
            return build(config, torch.device("meta"))
    except (RuntimeError, OverflowError, TypeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ProganError(f"the run's settings ask for impossible networks: {reason}") from None


def _standing(
    network: Network, part: str, tensors: dict[str, Tensor], config: Config, nimg: int
) -> Network:
    weights = {
        name.removeprefix(f"{part}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{part}.")
    }
    try:
        if not all(tensor.dtype == torch.float32 for tensor in weights.values()):
            raise ValueError(part)
        network.load_state_dict(weights, assign=True)
    except (RuntimeError, ValueError):
        raise ProganError("the checkpoint does not fit the run's settings") from None
    stage = config.schedule.at(nimg)
    network.stand(stage.level, stage.fade)
    return network.requires_grad_(False).eval()
