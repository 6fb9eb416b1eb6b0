"""What `python -m tools import-official` makes of the networks that the paper's authors published.

A model file of the average generator; and, if asked for, a run directory whose one checkpoint holds
all three networks, from which training goes on.
"""

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from datasets.landing import landing
from progan import official
from progan.checkpoint import MODEL_NAME, Checkpoints, save_model
from progan.config import Config, preset
from progan.errors import ProganError
from progan.official import OfficialNetworks
from progan.run_record import NAME, for_checkpoints, sealed_text
from tools.outputs import landing_file

_PIECE = 2**20


def import_official(
    file: Path,
    out: Path,
    *,
    run: Path | None = None,
    preset_name: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> str:
    """Turn an official file into a model file, and into a run directory if asked for.

    Args:
        file: the authors' pickle; nothing in it is run.
        out: the model file.
        run: the run directory, which must not be there yet; None for none.
        preset_name: how the run is to go on, one of PRESETS; by default the one whose minibatch
            standard deviation has groups as large as the file's.
        seed: what the run's further draws follow from.
        overwrite: whether an older model file gives way.

    Returns:
        A sentence that says what the networks are.

    Raises:
        ProganError: the file cannot be read, or its networks cannot be trained on.
        DatasetError: an output's place is taken, or its folder is missing.
    """
    with ExitStack() as outputs:
        model_part = outputs.enter_context(landing_file(out, overwrite=overwrite))
        run_part = None if run is None else outputs.enter_context(landing(run))
        networks = official.load(file)
        trained = {
            "official": {
                "file": file.name,
                "sha256": _sha256(file),
                "resolution": networks.resolution,
                "lod": networks.lod,
            }
        }
        save_model(model_part, networks.average, trained=trained)
        if run_part is not None:
            config = _config(networks, preset_name, seed, file)
            _write_run(run_part, config, networks, trained)
    average = networks.average
    size = 2**average.level
    faded = "" if average.fade == 1 else f", of which {average.fade:.0%} are faded in"
    classes = f", {average.label_size} classes" if average.label_size else ""
    return (
        f"Networks of {networks.resolution}×{networks.resolution} pixels, standing at "
        f"{size}×{size}{faded}{classes}"
    )


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _config(networks: OfficialNetworks, name: str | None, seed: int, file: Path) -> Config:
    """Give the settings with which these networks are trained on."""
    generator, critic = networks.generator, networks.critic
    if networks.average.architecture != generator.architecture:
        raise ProganError(f"{file}: G and Gs are of different build, so that no run can go on")
    shared = ("resolution", "num_channels", "label_size", "fmap_base", "fmap_max")
    settings: dict[str, Any] = {}
    for setting in shared:
        value, other = getattr(generator, setting), getattr(critic, setting)
        if value != other:
            raise ProganError(
                f"{file}: G has {setting} {value} and D has {other}, so that no run can go on"
            )
        settings[setting] = value
    group_size = critic.mbstd_group_size
    return preset(
        name or ("paper" if group_size == 16 else "v2"),
        **settings,
        latent_size=generator.latent_size,
        fused_scale=generator.fused_scale,
        mbstd_group_size=group_size,
        seed=seed,
    )


def _write_run(
    folder: Path, config: Config, networks: OfficialNetworks, trained: dict[str, Any]
) -> None:
    """Fill a run directory: settings, one checkpoint without optimizer state, the model file."""
    generator = networks.generator
    try:
        nimg = config.schedule.position(generator.level, generator.fade)
    except ValueError as error:
        raise ProganError(f"preset {config.preset} cannot go on from here: {error}") from None
    folder.mkdir()
    # No dataset yet: the first one that the run goes on with becomes its own.
    record = {"config": config.to_json(), "dataset": None, **trained}
    (folder / NAME).write_text(sealed_text(record), encoding="utf-8")
    parts = {
        "generator": networks.generator,
        "critic": networks.critic,
        "average": networks.average,
    }
    state = {
        f"{part}.{name}": tensor
        for part, network in parts.items()
        for name, tensor in network.state_dict().items()
    }
    Checkpoints(folder / "checkpoints").save(state, nimg, for_checkpoints(record))
    save_model(folder / MODEL_NAME, networks.average, trained=trained)
