"""How fast is training on a GPU, by level, precision and compilation, and how far from its limits?

    python -m benchmarks.gpu [--level 5 --level 7 …] [--precision bfloat16 …] [--passes compiled …]

Prints a table in Markdown, line by line as it is measured: seconds per kimg and peak memory of the
real training step, with the minibatches of preset v2, each level held. The last columns compare
with what the machine can do at most: a plain 3×3 convolution in the same precision, forward and
back, measured in the same moments; a large bfloat16 product; and a copy, by the bytes that the
step's operations would read and write if each were done for itself. With half precision, features
lie in channels-last memory on a GPU. Without a GPU it measures the processor, and says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from progan.config import PRECISIONS, Config
from progan.devices import is_out_of_memory
from progan.errors import ProganError
from progan.precision import computing_type
from progan.training import Trainer
from tools.bench import Noise, Speed, ceilings, configuration, plain_convolution, speed
from tools.options import find_device

_HEAD = (
    "| pixels | minibatch | precision | passes | s/kimg | times quicker | memory "
    "| of the plain convolution | of the bfloat16 product | of the copy |\n"
    "|---:|---:|---|---|---:|---:|---:|---:|---:|---:|"
)


class CountBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes that operations read and write while it is active; views need none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view and func is not torch.ops.aten._unsafe_view.default:
            touched = tree_leaves((args, kwargs or {}, found))
            self.total += sum(each.nbytes for each in touched if isinstance(each, torch.Tensor))
        return found


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        precision: as in the configuration.
        passes: eager or compiled.
        speed: what was measured; None where it cannot be done, for a reason.
        reason: why it cannot.
        bytes_per_image: that an eager step reads and writes.
    """

    precision: str
    passes: str
    speed: Speed | None
    reason: str = ""
    bytes_per_image: float = 0.0


def bytes_per_image(config: Config, level: int, device: torch.device) -> float:
    """Count the bytes that a step's operations read and write, one by one, for an image."""
    at_once = replace(
        config, resolution=2**level, fade_kimg="0", hold_kimg="0", minibatch_repeats=1
    )
    trainer = Trainer(at_once, Noise(config), device=device)
    with CountBytes() as counted:
        trainer.round()
    total: int = counted.total
    return total / trainer.stage.minibatch


def rows(
    config: Config,
    level: int,
    precisions: Sequence[str],
    passes: Sequence[str],
    device: torch.device,
    repeats: int,
    maps: int,
) -> Iterator[Row]:
    """Measure a level in all ways, one after the other."""
    for precision in precisions:
        as_precise = replace(config, precision=precision)
        ceiling = plain_convolution(device, computing_type(precision) or torch.float32, maps)
        for way in passes:
            try:
                moved = bytes_per_image(as_precise, level, device)
                found = speed(
                    as_precise,
                    level,
                    device,
                    ceiling,
                    fading=False,
                    repeats=repeats,
                    compiled=way == "compiled",
                )
            except ProganError as error:
                yield Row(precision, way, None, str(error))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                yield Row(precision, way, None, "out of memory")
            else:
                yield Row(precision, way, found, bytes_per_image=moved)
        if device.type == "cuda":
            torch.cuda.empty_cache()


def line(row: Row, level: int, first: float | None, most: dict[str, float]) -> str:
    """Lay a row out.

    Args:
        row: what to tell.
        level: whose it is.
        first: seconds per kimg of the level's first row; None where that could not be measured.
        most: of `tools.bench.ceilings`.
    """
    found = row.speed
    if found is None:
        return f"| {2**level} | | {row.precision} | {row.passes} | {row.reason} | | | | | |"
    quicker = "" if first is None else f"{first / found.seconds_per_kimg:.2f}"
    rate = found.operations_per_second
    moved = row.bytes_per_image * found.images_per_second
    return (
        f"| {2**level} | {found.minibatch} | {row.precision} | {row.passes} "
        f"| {found.seconds_per_kimg:.3g} | {quicker} | {found.peak_memory / 2**30:.2f} GiB "
        f"| {rate / found.ceiling:.0%} of {found.ceiling / 1e12:.3g} T/s "
        f"| {rate / most['bfloat16 product']:.0%} | {moved / most['copy']:.0%} |"
    )


@click.command()
@click.option("--level", "levels", type=click.IntRange(2, 10), multiple=True, help="Default: all.")
@click.option("--precision", "precisions", type=click.Choice(PRECISIONS), multiple=True)
@click.option("--passes", type=click.Choice(["eager", "compiled"]), multiple=True)
@click.option("--minibatch", type=click.IntRange(1, 4096), help="By default as preset v2.")
@click.option("--fmap-base", type=click.IntRange(1), help="By default the paper's.")
@click.option("--fmap-max", type=click.IntRange(1), help="By default the paper's.")
@click.option("--repeats", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option(
    "--product",
    type=click.IntRange(16),
    default=8192,
    show_default=True,
    help="Its matrices' side.",
)
@click.option(
    "--plain-maps",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="Of the plain convolution; fewer are for trying out.",
)
@click.option("--device", default="auto", show_default=True)
def main(
    levels: tuple[int, ...],
    precisions: tuple[str, ...],
    passes: tuple[str, ...],
    minibatch: int | None,
    fmap_base: int | None,
    fmap_max: int | None,
    repeats: int,
    product: int,
    plain_maps: int,
    device: str,
) -> None:
    """Print the table."""
    where = find_device(device)
    config = configuration("v2", minibatch, fmap_base, fmap_max)
    top = config.resolution.bit_length() - 1
    chosen = list(dict.fromkeys(levels)) or list(range(2, top + 1))
    if max(chosen) > top:
        raise click.BadParameter(f"the widths leave no maps at level {max(chosen)}")
    name = "the processor: no GPU is here, or none was asked for"
    if where.type == "cuda":
        name = torch.cuda.get_device_name(where)
    click.echo(
        f"Measured on {name}; PyTorch {torch.__version__}, preset v2, `fmap_base` "
        f"{config.fmap_base}, `fmap_max` {config.fmap_max}; medians of {repeats} steps."
    )
    most = ceilings(where, product)
    told = ", ".join(f"{what} {rate / 1e12:.3g} T/s" for what, rate in most.items())
    click.echo(f"At most: {told}.\n\n{_HEAD}")
    for level in chosen:
        first: float | None = None
        measured = rows(
            config,
            level,
            precisions or PRECISIONS,
            passes or ("eager", "compiled"),
            where,
            repeats,
            plain_maps,
        )
        for number, row in enumerate(measured):
            if number == 0 and row.speed is not None:
                first = row.speed.seconds_per_kimg
            click.echo(line(row, level, first, most))


if __name__ == "__main__":
    main()
