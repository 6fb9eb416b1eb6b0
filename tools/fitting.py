"""Whether a run fits into memory: asked before its first step, and told."""

from dataclasses import dataclass

import click
import torch

from datasets.progress import progress
from progan.config import Config
from progan.fitting import Fit, fits, levels_to_come
from progan.free_memory import free_bytes, processes_here
from progan.parallel import Processes
from progan.splitting import Split


@dataclass(frozen=True, kw_only=True)
class Thrift:
    """What may be done to need less memory; changes no weight but for rounding.

    Attributes:
        parts: of a minibatch; None: as few as needed.
        recompute: whether what would be kept for derivatives may be computed again.
    """

    parts: int | None
    recompute: bool


def fit(
    config: Config,
    device: torch.device,
    thrift: Thrift,
    processes: Processes,
    *,
    nimg: int = 0,
    every: bool = False,
) -> dict[int, Fit]:
    """Find how the levels to come fit, by level; `every` for those that are light, too.

    Raises:
        ProganError: one does not.
    """
    room = free_bytes(device, processes_here())
    found: dict[int, Fit] = {}
    total = len(levels_to_come(config, nimg))
    silent = processes.rank != 0
    with progress("Seeing what fits into memory", total=total, unit="levels", silent=silent) as bar:
        for fitted in fits(
            config,
            device,
            room=room,
            processes=processes.count,
            nimg=nimg,
            parts=thrift.parts,
            recompute=thrift.recompute,
            every=every,
        ):
            found[fitted.level] = fitted
            bar.advance()
        bar.advance(total - len(found))
    return dict(sorted(found.items()))


def splits_that_fit(
    config: Config, device: torch.device, thrift: Thrift, processes: Processes, nimg: int
) -> dict[int, Split]:
    """Find the splits with which a run fits, and say so where there are any.

    Raises:
        ProganError: a level does not fit however it is split.
    """
    if thrift.parts == 1:
        return {}
    fitted = fit(config, device, thrift, processes, nimg=nimg, every=thrift.parts is not None)
    splits = {level: found.split for level, found in fitted.items() if found.split != Split()}
    mine = {str(level): str(split) for level, split in splits.items()}
    reason = "To fit into memory, each" if thrift.parts is None else "Each"
    if processes.rank == 0 and mine:
        click.echo(f"{reason} minibatch is taken {sentence(splits)}.")
    if mine != processes.tell(mine):  # another machine, with other memory
        said = sentence(splits) if splits else "whole"
        click.echo(f"In process {processes.rank}, each minibatch is taken {said}.")
    return splits


def sentence(splits: dict[int, Split]) -> str:
    """Say which levels are split, and how: levels that are split alike together."""
    levels: dict[str, list[int]] = {}
    for level, split in splits.items():
        levels.setdefault(str(split), []).append(2**level)
    return "; ".join(
        f"{how} at {' and '.join(f'{size}×{size}' for size in sizes)}"
        for how, sizes in levels.items()
    )
