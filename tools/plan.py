"""What `train.py --dry-run` prints."""

import json

import click
import torch

from datasets.progress import duration
from progan.config import Config
from progan.estimate import measure
from progan.free_memory import free_bytes
from progan.parallel import Processes
from tools.fitting import Thrift, fit


def print_plan(config: Config, device: torch.device, thrift: Thrift, processes: Processes) -> float:
    """Print the configuration and the schedule with the memory needed and estimated times.

    Returns:
        The seconds that all of it will take.

    Raises:
        ProganError: a level does not fit into memory.
    """
    click.echo(json.dumps(config.to_json(), indent=2))
    fitted = fit(config, device, thrift, processes, every=True)
    splits = {level: found.split for level, found in fitted.items()}
    click.echo(f"\n{'level':>5} {'size':>11} {'phase':>5} {'kimg':>19} {'minibatch':>9} "
               f"{'learning rate':>13} {'memory':>9} {'estimated time':>15}")  # fmt: skip
    estimates = {
        level: (s, measured)
        for level, s, measured in measure(config, device, processes.count, splits)
    }
    total = 0.0
    for phase in config.schedule.phases():
        end = config.nimg if phase.end is None else min(phase.end, config.nimg)
        if phase.start >= end:
            continue
        seconds, measured = estimates[phase.level]
        total += seconds * (end - phase.start)
        size = 2**phase.level
        images = f"{phase.start / 1000:g} – {end / 1000:g}"
        stage = config.schedule.at(phase.start)
        took = ("" if measured else "~") + duration(seconds * (end - phase.start))
        found = fitted[phase.level]
        need = f"{'' if found.tried else '~'}{found.need / 2**30:.2f} GiB"
        split = "" if str(found.split) == "whole" else f"  {found.split}"
        click.echo(
            f"{phase.level:>5} {f'{size}×{size}':>11} {'fade' if phase.fading else 'hold':>5} "
            f"{images:>19} {stage.minibatch:>9} {stage.learning_rate:>13g} {need:>9} {took:>15}"
            f"{split}"
        )
    click.echo(f"in all: {config.kimg:g} kimg, {duration(total)}")
    click.echo("(times from two training steps a level on this machine; ~ extrapolated from the "
               "level below by the number of operations)")  # fmt: skip
    room = free_bytes(device)
    free = "how much is free is not known here" if room is None else f"{room / 2**30:.1f} GiB free"
    click.echo(f"(memory of a process on {device}; ~ estimated, else a step was tried; {free})")
    return total
