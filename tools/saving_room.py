"""How much a run's checkpoints will take of the disk, said before days are spent on them."""

import shutil
from pathlib import Path

from torch.nn import Module

from progan.checkpoint import Checkpoints
from progan.errors import ProganError
from progan.training import Trainer

# The running averages of gradients and of their squares, which Adam keeps for every weight.
_ADAM_AVERAGES = 2
# States that are kept from before what is not judged yet (`Checkpoints.open_since`).
_BEFORE = 2


def checkpoint_bytes(trainer: Trainer) -> int:
    """Give the size of a checkpoint at the end of growth, the largest; headers not counted."""
    size = _network_bytes(trainer.average)
    for network in (trainer.generator, trainer.critic):
        weights = sum(weight.numel() * weight.element_size() for weight in network.parameters())
        size += _network_bytes(network) + _ADAM_AVERAGES * weights
    return size


def _network_bytes(network: Module) -> int:
    tensors = network.state_dict().values()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def room_for_checkpoints(trainer: Trainer, run: Path, checkpoints: Checkpoints) -> tuple[str, bool]:
    """Say how much the checkpoints will take, and how much is free.

    Args:
        trainer: whose states will be saved.
        run: the run directory, which exists.
        checkpoints: those that it has already, and how many will be kept.

    Returns:
        A sentence, and whether the disk has room for all of them. Not to have it is no reason to
        stop: much may be moved elsewhere until the last milestone comes.

    Raises:
        ProganError: there is no room for two, so that none could ever take another's place.
    """
    one = checkpoint_bytes(trainer)
    model = _network_bytes(trainer.average)
    free = shutil.disk_usage(run).free
    there = sum(path.stat().st_size for path in checkpoints.all())
    # A new file is there before the old one goes.
    least = 2 * one + 2 * model
    if free + there < least:
        raise ProganError(
            f"{run} has {readable(free)} free, and training needs {readable(least - there)}: a "
            f"checkpoint takes {readable(one)}, and the one before goes only when it is whole. "
            "Make room, or take a smaller network (--fmap-max)"
        )
    milestones = 0
    kept = f"the newest {checkpoints.keep}"
    if checkpoints.milestone_kimg is not None:
        milestones = int(trainer.config.kimg / checkpoints.milestone_kimg) + 1
        kept += f" and up to {milestones} milestones"
    need = (checkpoints.keep + _BEFORE + milestones + 1) * one + 2 * model
    sentence = (
        f"A checkpoint takes up to {readable(one)}; {kept} are kept, and up to {_BEFORE} "
        "older ones until it is known that nothing has gone wrong since, which takes "
        f"{readable(need)} with the model file and one on its way; {readable(free + there)} are "
        "free or taken by them"
    )
    return sentence, need <= free + there


def readable(size: int) -> str:
    """Write a number of bytes in powers of a thousand, as disks are sold."""
    value, units = float(size), iter(("bytes", "kB", "MB", "GB"))
    unit = next(units)
    while value >= 999.5 and unit != "GB":
        value, unit = value / 1000, next(units)
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
