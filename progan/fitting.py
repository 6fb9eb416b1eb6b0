"""Splits of the minibatch that a device has room for, found before the first step."""

import bisect
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from progan.config import Config
from progan.devices import is_out_of_memory
from progan.errors import ProganError
from progan.memory_need import Blank, Needs
from progan.splitting import Split, in_parts, splits
from progan.training import Trainer

# Of the memory that is free, the part that is counted on: others take some, too.
_COUNTED_ON = 0.9
# A level that is lighter than one that needs so little of the room is not looked at.
_LITTLE = 0.5


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a level fits.

    Attributes:
        level: images of 2**level pixels.
        split: of this process's share of the minibatch.
        need: bytes that a step needs.
        tried: whether a step was really taken with that; else it is an estimate.
    """

    level: int
    split: Split
    need: int
    tried: bool


def levels_to_come(config: Config, nimg: int) -> list[int]:
    """List the levels at which a run will still train, after so many images shown."""
    found = {
        phase.level
        for phase in config.schedule.phases()
        if (phase.end is None or phase.end > nimg) and phase.start < config.nimg
    }
    return sorted(found) if nimg < config.nimg else []


def fits(
    config: Config,
    device: torch.device,
    *,
    room: int | None,
    processes: int = 1,
    nimg: int = 0,
    parts: int | None = None,
    recompute: bool = True,
    every: bool = False,
) -> Iterator[Fit]:
    """Find splits of the minibatch with which a device has room for all levels to come.

    On a GPU, a whole step is tried at every level that needs more than those that were tried
    before. On other devices, the estimate decides.

    Args:
        config: the run.
        device: where it will compute.
        room: bytes that are free there; None if nobody knows, and then nothing is split.
        processes: how many share the minibatch.
        nimg: real images shown so far.
        parts: take this many parts at every level, whatever is free; None: as few as needed.
        recompute: whether groups of the minibatch standard deviation may be taken apart.
        every: look at every level, not only at those that may not fit.

    Yields:
        The levels that were looked at, the heaviest first. Lighter ones fit as they are.

    Raises:
        ProganError: a level cannot be made to fit.
    """
    needs = Needs(config, processes)
    free = None if room is None or parts is not None else int(_COUNTED_ON * room)
    proven = 0  # bytes of tensors in the heaviest step that was really taken
    for level in sorted(levels_to_come(config, nimg), key=needs.heaviness, reverse=True):
        samples = needs.samples(level)
        ladder = list(splits(samples, config.mbstd_group_size, recompute=recompute))
        if parts is not None:
            ladder = [in_parts(parts, samples, config.mbstd_group_size)]
        counted = needs(level, ladder[0])
        fit = Fit(level=level, split=ladder[0], need=counted.on(device), tried=False)
        if free is not None and device.type == "cuda":
            if counted.tensors > proven:
                fit = _tried(needs, level, ladder, device, free)
                proven = max(proven, needs(level, fit.split).tensors)
        elif free is not None and fit.need > free:
            fit = _estimated(needs, level, ladder, device, free)
        yield fit
        if not every and fit.split == Split() and (free is None or fit.need < _LITTLE * free):
            return


def _estimated(
    needs: Needs, level: int, ladder: Sequence[Split], device: torch.device, free: int
) -> Fit:
    """Find the split that costs least of those that need no more than is free, by the estimate."""
    at = bisect.bisect_left(
        ladder, True, hi=len(ladder) - 1, key=lambda split: needs(level, split).on(device) <= free
    )
    need = needs(level, ladder[at]).on(device)
    if need > free:
        raise _no_room(
            needs,
            level,
            ladder[at],
            f"a step needs about {gib(need)}, and {gib(free)} can be used",
        )
    return Fit(level=level, split=ladder[at], need=need, tried=False)


def _tried(
    needs: Needs, level: int, ladder: Sequence[Split], device: torch.device, free: int
) -> Fit:
    """Find the split that costs least of those with which a step succeeds."""
    # What tensors alone would overfill need not be tried.
    start = bisect.bisect_left(
        ladder, True, hi=len(ladder) - 1, key=lambda split: needs(level, split).tensors <= free
    )
    for split in ladder[start:]:
        taken = take_a_step(needs, level, split, device, free)
        if taken is not None:
            return Fit(level=level, split=split, need=taken, tried=True)
    raise _no_room(needs, level, ladder[-1], f"a step was tried with {gib(free)}")


def take_a_step(
    needs: Needs, level: int, split: Split, device: torch.device, free: int
) -> int | None:
    """Take a step at a level on a GPU, with networks that are thrown away.

    Args:
        needs: the run.
        level: which.
        split: of this process's share of the minibatch.
        device: the GPU.
        free: bytes that the step may take; the rest is for others.

    Returns:
        The bytes that it took, with all that stands between two steps; None if there was not
        enough.
    """
    try:
        with _no_more_than(free, device):
            return _bytes_of_a_step(needs, level, split, device)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        gc.collect()
        torch.cuda.empty_cache()


@contextmanager
def _no_more_than(free: int, device: torch.device) -> Iterator[None]:
    """Let this process take no more of a GPU's memory than is free for it, within the block."""
    # These functions know GPUs by their numbers alone.
    index = torch.cuda.current_device() if device.index is None else device.index
    before = torch.cuda.get_per_process_memory_fraction(index)
    most = (torch.cuda.memory_allocated(index) + free) / torch.cuda.mem_get_info(index)[1]
    torch.cuda.set_per_process_memory_fraction(min(before, most), index)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(before, index)


def _bytes_of_a_step(needs: Needs, level: int, split: Split, device: torch.device) -> int:
    torch.cuda.reset_peak_memory_stats(device)
    trainer = Trainer(needs.config, Blank(needs.config), device=device, splits={level: split})
    stage = needs.stage(level)
    for network in (trainer.generator, trainer.critic, trainer.average):
        network.stand(stage.level, stage.fade)
    for _ in range(2):  # the second one finds Adam's moments there
        trainer.step(stage, 0)
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_reserved(device))


def gib(count: int) -> str:
    """Write a number of bytes."""
    return f"{count / 2**30:.2g} GiB"


def _no_room(needs: Needs, level: int, split: Split, what: str) -> ProganError:
    """Say that a level does not fit, and what to change."""
    at_a_time = min(needs.config.mbstd_group_size, needs.samples(level))
    advice = "for a new run take a smaller --fmap-base, --fmap-max or --resolution"
    if split.at_once is not None:
        at_a_time = split.at_once
    elif at_a_time > 1:
        advice = f"allow it to --recompute, or {advice} or --mbstd-group-size"
    return ProganError(
        f"level {level} ({2**level}×{2**level}) does not fit into memory even with {at_a_time} "
        f"{'image' if at_a_time == 1 else 'images'} at a time: {what}. Make room, or {advice}; "
        "with --accumulate, it begins all the same"
    )
