"""What a run will do, and how long each level will take: `train.py --dry-run`."""

import json

import click
import torch

from datasets.progress import duration
from progan.config import Config
from progan.estimate import measure


def print_plan(config: Config, device: torch.device, processes: int = 1) -> None:
    """Print the configuration and the schedule with estimated times."""
    click.echo(json.dumps(config.to_json(), indent=2))
    click.echo(f"\n{'level':>5} {'size':>11} {'phase':>5} {'kimg':>19} {'minibatch':>9} "
               f"{'learning rate':>13} {'estimated time':>15}")  # fmt: skip
    estimates = {level: (s, measured) for level, s, measured in measure(config, device, processes)}
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
        click.echo(
            f"{phase.level:>5} {f'{size}×{size}':>11} {'fade' if phase.fading else 'hold':>5} "
            f"{images:>19} {stage.minibatch:>9} {stage.learning_rate:>13g} {took:>15}"
        )
    click.echo(f"in all: {config.kimg:g} kimg, {duration(total)}")
    click.echo("(times from two training steps a level on this machine; ~ extrapolated from the "
               "level below by the number of operations)")  # fmt: skip
