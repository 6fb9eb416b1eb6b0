"""How good is the estimate of a step's memory on a processor? (progan/memory_need.py)

    python -m benchmarks.memory [--quick]

Takes two steps of each configuration in a process of its own, and prints what the process took at
most (its resident set, less what it had before there were networks) beside the estimate, and how
long a step took.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import torch

from progan.config import Config, preset
from progan.memory import keep_freed_memory
from progan.memory_need import Blank, Needs
from progan.splitting import Split, in_parts
from progan.training import Trainer
from tools.watching import memory_bytes

# Preset, level, fmap_base, fmap_max, minibatch, group size and parts.
_QUICK = (
    ("small", 5, 512, 64, 8, 4, 1),
    ("small", 5, 512, 64, 64, 4, 1),
    ("small", 5, 512, 64, 64, 4, 4),
    ("small", 7, 512, 64, 8, 4, 1),
    ("small", 7, 512, 64, 8, 4, 2),
    ("small", 7, 512, 64, 8, 4, 8),
    ("small", 8, 512, 64, 8, 4, 1),
    ("small", 9, 512, 64, 4, 4, 1),
    ("small", 9, 512, 64, 4, 4, 4),
)
_SLOW = (
    ("small", 6, 2048, 64, 16, 4, 1),
    ("small", 6, 2048, 64, 16, 4, 4),
    ("small", 7, 2048, 64, 8, 4, 1),
    ("paper", 3, 8192, 512, 16, 16, 1),
    ("paper", 4, 8192, 512, 16, 16, 1),
    ("paper", 4, 8192, 512, 16, 16, 16),
    ("paper", 5, 8192, 512, 16, 16, 1),
)
_Row = tuple[str, int, int, int, int, int, int]


def configuration(row: _Row) -> tuple[Config, Split]:
    """Give a row's run, which is for ever in the midst of its last fade, and its split."""
    name, level, base, most, minibatch, group, parts = row
    size = 2**level
    config = preset(
        name,
        resolution=size,
        fmap_base=base,
        fmap_max=most,
        minibatch=str(minibatch),
        mbstd_group_size=group,
        minibatch_repeats=1,
        hold_kimg="0",
    )
    fading = replace(config, fade_kimg=f"0,{size}:1000000")
    return fading, in_parts(parts, minibatch, group)


def take_two_steps(row: _Row) -> None:
    """Train, and print bytes and seconds as JSON."""
    keep_freed_memory()
    torch.set_num_threads(1)
    config, split = configuration(row)
    level = row[1]
    warm = torch.randn(1, 8, 16, 16, requires_grad=True)
    found = torch.nn.functional.conv2d(warm, torch.randn(8, 8, 3, 3)).sum()
    found.backward()  # type: ignore[no-untyped-call]
    before = memory_bytes(torch.device("cpu"))
    trainer = Trainer(config, Blank(config), splits={level: split})
    trainer.round()
    start = time.process_time()
    trainer.round()
    seconds = time.process_time() - start
    most = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    click.echo(json.dumps([most - before, seconds]))


@click.command()
@click.option("--quick", is_flag=True, help="Only what takes seconds.")
@click.option("--row", hidden=True, help="Take the steps of this one, in this process.")
def main(quick: bool, row: str | None) -> None:
    """Print a table: what was run, the estimate, what was taken, their ratio, and seconds."""
    if row is not None:
        take_two_steps(tuple(json.loads(row)))
        return
    click.echo(
        f"{'preset':>6} {'size':>5} {'base':>5} {'maps':>5} {'images':>6}  {'split':<42} "
        f"{'tensors':>9} {'estimate':>9} {'taken':>9} {'ratio':>6} {'s/step':>7}"
    )
    for some in _QUICK if quick else _QUICK + _SLOW:
        config, split = configuration(some)
        need = Needs(config)(some[1], split)
        words = [sys.executable, "-m", "benchmarks.memory", "--row", json.dumps(some)]
        ended = subprocess.run(
            words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
        )
        taken, seconds = json.loads(ended.stdout)
        estimate = need.on(torch.device("cpu"))
        name, level, base, most, minibatch, _, _ = some
        sizes = "".join(f"{n / 2**20:>5.0f} MiB" for n in (need.tensors, estimate, taken))
        click.echo(
            f"{name:>6} {2**level:>5} {base:>5} {most:>5} {minibatch:>6}  {split!s:<42} "
            f"{sizes} {taken / estimate:>6.2f} {seconds:>7.2f}"
        )


if __name__ == "__main__":
    main()
