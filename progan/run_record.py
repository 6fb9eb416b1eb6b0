"""What a run says of itself: config.json, with a checksum, and the same in every checkpoint.

Its settings, its dataset and where it went back are all that a run follows from. So a digit that
changed there must be noticed as a weight's would be, and what is lost must come back. config.json
has a checksum of what it says (not of how it is spelled: whoever lays it out anew changes nothing),
and each checkpoint holds what config.json said when it was written.
"""

import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from progan.checkpoint import Checkpoints
from progan.config import Config
from progan.errors import DamagedFile, ProganError

NAME = "config.json"
# Version 1 had no checksum.
FORMAT_VERSION = 2
_CHECKSUM = "checksum"
# What a run may change when it is continued: how far it goes, which alters no weight before.
MAY_CHANGE = frozenset({"kimg"})
# What a sentence repeats of a setting.
_LONGEST_SHOWN = 60


def sealed_text(record: Mapping[str, Any]) -> str:
    """Write a record as config.json holds it.

    Args:
        record: JSON values: `config`, what Config.to_json gives; `dataset`, its `path` and
            `fingerprint`, or None before the first; where there is something to say, `official`,
            `earlier_datasets` and `rollbacks` (see `progan.runs`).
    """
    said = {
        name: value for name, value in record.items() if name not in ("format_version", _CHECKSUM)
    }
    said = {"format_version": FORMAT_VERSION, **said}
    return json.dumps(said | {_CHECKSUM: _checksum(said)}, indent=2) + "\n"


def _checksum(said: Mapping[str, Any]) -> str:
    """Give SHA-256 of JSON in its one spelling without spaces, names in order."""
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a config.json alone.

    Raises:
        FileNotFoundError: there is none.
        DamagedFile: it is not as it was written.
        ProganError: a later version of this program wrote it.
        OSError: it cannot be read.
    """
    try:
        record = json.loads(path.read_bytes())
        if not isinstance(record, dict) or not isinstance(record.get("config"), dict):
            raise ValueError("it holds no settings")
        claimed = record.pop(_CHECKSUM, None)
        version = record.get("format_version", 1)
        if claimed is None and version != 1:
            raise ValueError("its checksum is missing")
        if claimed is not None and claimed != _checksum(record):
            raise ValueError("its checksum is not that of its content")
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is damaged ({str(error)[:200]})") from None
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedFile(f"{path} is damaged: the disk cannot read it any more") from None
    if version not in (1, FORMAT_VERSION):
        raise ProganError(
            f"{path} has format version {str(version)[:_LONGEST_SHOWN]}; this program reads 1 and "
            f"{FORMAT_VERSION}"
        )
    return record


def read_record(run: Path, warn: Callable[[str], None] | None = None) -> dict[str, Any] | None:
    """Read what a run says of itself; where config.json is missing or damaged, in a checkpoint.

    Args:
        run: the run directory; nothing is changed in it.
        warn: takes a sentence where a checkpoint is asked.

    Returns:
        What `sealed_text` is given; of a dataset, a checkpoint knows the last part of the path.
        None where there is no config.json, nor a checkpoint that says.

    Raises:
        DamagedFile: config.json is damaged, and no checkpoint says what it said.
        ProganError: all checkpoints are damaged; or a later version of this program wrote it.
        OSError: something cannot be read.
    """
    path = run / NAME
    damage: DamagedFile | None = None
    try:
        return read_sealed(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except DamagedFile as error:
        damage = error
    checkpoints = Checkpoints(run / "checkpoints")
    newest = checkpoints.newest(only_read=True)
    record = None if newest is None else said_by(checkpoints.path(newest[1]))
    if newest is None or record is None:
        if damage is None:
            return None
        raise damage
    if warn is not None:
        trouble = damage or f"{path} is missing"
        name = checkpoints.path(newest[1]).name
        warn(f"{trouble}. What {name} says of the run takes its place.")
    return record


def said_by(checkpoint: Path) -> dict[str, Any] | None:
    """Give what a checkpoint says of its run; None for one of a version that did not say.

    Whether the file is sound is not looked at: that takes reading all of it, as
    `Checkpoints.read` does.

    Raises:
        DamagedFile: it is no checkpoint.
    """
    record = Checkpoints.said(checkpoint)
    return record if isinstance(record, dict) and isinstance(record.get("config"), dict) else None


def for_checkpoints(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a checkpoint is to hold: the same, without where things lie.

    A run that was moved is the same run. And who is given a checkpoint need not know of folders.
    """
    kept = {name: value for name, value in record.items() if name != "format_version"}
    if isinstance(kept.get("dataset"), dict):
        kept["dataset"] = _without_folders(kept["dataset"])
    if isinstance(kept.get("earlier_datasets"), list):
        kept["earlier_datasets"] = [_without_folders(each) for each in kept["earlier_datasets"]]
    return kept


def _without_folders(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return {**dataset, "path": Path(str(dataset.get("path", ""))).name}


def refuse_other_settings(config: Config, checkpoint: Path, run: Path) -> None:
    """Refuse to go on from a checkpoint with settings that it was not made with.

    Args:
        config: what config.json says.
        checkpoint: a sound one, from which the run would go on.
        run: the run directory.

    Raises:
        ProganError: they differ in what may not change.
    """
    record = said_by(checkpoint)
    if record is None:
        return
    now, then = config.to_json(), Config.from_json(record["config"]).to_json()
    other = [name for name in now if name not in MAY_CHANGE and now[name] != then[name]]
    if not other:
        return
    listed = ", ".join(
        f"{name} {repr(now[name])[:_LONGEST_SHOWN]} instead of {repr(then[name])[:_LONGEST_SHOWN]}"
        for name in other[:3]
    )
    raise ProganError(
        f"{run / NAME} is not what {checkpoint.name} was made with ({listed}"
        f"{' and more' if len(other) > 3 else ''}): put the run's own back, or move this one away, "
        "and it is written again from the checkpoint"
    )
