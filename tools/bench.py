"""How fast training is on this machine, and how fast it could be: the real step, not a copy.

Time depends on the machine and on what else it does. What can be compared is the ratio to a plain
convolution measured in the same moments: `conv_equivalents_per_image`, the operations that the
convolution would do in the time that training needs for an image.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from datasets.errors import DatasetError
from progan.config import Config, preset
from progan.convolution import plain_convolutions
from progan.devices import forget_peak, wait_for
from progan.passes import Compiled
from progan.training import Trainer
from tools.outputs import landing_file
from tools.watching import memory_bytes

# The convolution that the machine is measured by: 3×3, 512 -> 512 maps of 32×32, 16 images.
_MAPS, _SIDE, _IMAGES = 512, 32, 16


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast one level trains.

    Attributes:
        level: images of 2**level pixels.
        fading: whether the level is being faded in.
        minibatch: images a step.
        images_per_second: median.
        seconds_per_kimg: the same, the other way round.
        operations_per_image: additions and multiplications of convolutions and matrix products that
            the step does, counted.
        operations_per_second: these, achieved.
        ceiling: operations a second of the plain convolution, forward and backward, in the same
            moments.
        conv_equivalents_per_image: what the convolution would do in the time for an image.
        peak_memory: bytes; of the whole process on a CPU.
    """

    level: int
    fading: bool
    minibatch: int
    images_per_second: float
    seconds_per_kimg: float
    operations_per_image: float
    operations_per_second: float
    ceiling: float
    conv_equivalents_per_image: float
    peak_memory: int


class Noise:
    """Training images that cost nothing to read."""

    def __init__(self, config: Config) -> None:
        self.labels = np.arange(config.label_size) if config.label_size else None
        self._channels = config.num_channels
        self._pixels: np.ndarray | None = None

    def minibatch(
        self, level: int, position: int, count: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Give the same images again and again."""
        shape = (count, 2**level, 2**level, self._channels)
        if self._pixels is None or self._pixels.shape != shape:
            self._pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        return self._pixels, None if self.labels is None else np.resize(self.labels, count)


class CountOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of convolutions and matrix products while it is active.

    A multiplication and an addition are two. Gradients that nobody asked for are not counted,
    since they are not computed.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0
        self.convolutions = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        aten = torch.ops.aten
        if func is aten.convolution.default:
            images, weight, transposed = args[0], args[1], args[6]
            self._add(images if transposed else found, weight, 1)
        elif func is aten.convolution_backward.default:
            gradient, images, weight, transposed, wanted = (args[n] for n in (0, 1, 2, 7, 10))
            self._add(images if transposed else gradient, weight, sum(wanted[:2]))
        elif func is aten.mm.default or func is aten.addmm.default:
            first, second = args[-2:]
            self.total += 2 * first.shape[0] * first.shape[1] * second.shape[1]
        elif func is aten.bmm.default:
            first, second = args
            self.total += 2 * first.numel() * second.shape[2]
        elif func.name() == "mkldnn::_linear_pointwise":
            first, second = args[:2]
            self.total += 2 * first.numel() * second.shape[0]
        return found

    def _add(self, where: torch.Tensor, weight: torch.Tensor, times: int) -> None:
        """Add a convolution that visits every pixel of `where` with its whole kernel."""
        pixels = where.shape[0] * where.shape[2] * where.shape[3]
        self.total += 2 * pixels * weight.numel() * times
        self.convolutions += times


def plain_convolution(
    device: torch.device, dtype: torch.dtype = torch.float32, maps: int = _MAPS
) -> Callable[[], float]:
    """Give a function that does the plain convolution once, and gives operations a second.

    Args:
        device: where.
        dtype: of its numbers. Those of half precision lie in channels-last memory on a GPU.
        maps: in and out; fewer are for trying out.
    """
    last = device.type == "cuda" and dtype != torch.float32
    form = torch.channels_last if last else torch.contiguous_format

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=device).to(dtype, memory_format=form)

    images = numbers(_IMAGES, maps, _SIDE, _SIDE).requires_grad_()
    weight = numbers(maps, maps, 3, 3).requires_grad_()
    gradient = numbers(_IMAGES, maps, _SIDE, _SIDE)
    operations = 3 * 2 * images.numel() * maps * 9

    def run() -> float:
        start = time.perf_counter()
        found = F.conv2d(images, weight, padding=1)
        torch.autograd.grad(found, (images, weight), gradient)
        wait_for(device)
        return operations / (time.perf_counter() - start)

    run()
    return run


def speeds(
    config: Config,
    levels: Sequence[int],
    device: torch.device,
    *,
    repeats: int = 5,
    compiled: bool = False,
) -> Iterator[Speed]:
    """Measure levels, held and in the middle of a fade.

    Args:
        config: the run; its resolution and schedule do not matter.
        levels: which.
        device: where to compute.
        repeats: the median of so many counts.
        compiled: whether the passes are compiled.

    Yields:
        For each level that it can be faded in, and that it is held.
    """
    ceiling = plain_convolution(device)
    for level in levels:
        for fading in (False, True) if level > 2 else (False,):
            yield speed(config, level, device, ceiling, fading=fading, repeats=repeats,
                        compiled=compiled)  # fmt: skip


def speed(
    config: Config,
    level: int,
    device: torch.device,
    ceiling: Callable[[], float],
    *,
    fading: bool,
    repeats: int,
    compiled: bool = False,
) -> Speed:
    """Measure one level.

    Args:
        config: the run; its resolution and schedule do not matter.
        level: which.
        device: where to compute.
        ceiling: of `plain_convolution`, to compare with.
        fading: whether the level is being faded in.
        repeats: the median of so many counts.
        compiled: whether the passes are compiled; operations are counted where they are not.

    Raises:
        ProganError: the passes cannot be compiled here.
    """
    size = 2**level
    # A fade that never gets far, so that both ways through the networks are always taken.
    fade = f"0,{size}:1000000" if fading else "0"
    # A round has one penalty, however rare it is.
    steps = config.penalty_interval
    changes: dict[str, Any] = {"minibatch_repeats": steps, "fade_kimg": fade, "hold_kimg": "0"}
    at_once = replace(config, resolution=size, **changes)
    trainer = Trainer(at_once, Noise(config), device=device)
    minibatch = trainer.stage.minibatch
    images = steps * minibatch
    with plain_convolutions() if compiled else nullcontext(), CountOperations() as counted:
        trainer.round()
    if compiled:
        del trainer
        trainer = Trainer(at_once, Noise(config), device=device, passes=Compiled())
        trainer.round()
    trainer.check()
    forget_peak(device)
    trainer.round()  # takes again what it needs
    trainer.check()
    seconds, rates = [], []
    for _ in range(repeats):
        before = ceiling()
        start = time.perf_counter()
        trainer.round()
        trainer.check()  # waits for the device
        seconds.append((time.perf_counter() - start) / images)
        # Of the moments before and after, so that both saw the same load of the machine.
        rates.append(2 / (1 / before + 1 / ceiling()))
    each = statistics.median(seconds)
    operations = counted.total / images
    return Speed(
        level=level,
        fading=fading,
        minibatch=minibatch,
        images_per_second=1 / each,
        seconds_per_kimg=1000 * each,
        operations_per_image=operations,
        operations_per_second=operations / each,
        ceiling=statistics.median(rates),
        conv_equivalents_per_image=statistics.median(
            s * rate for s, rate in zip(seconds, rates, strict=True)
        ),
        peak_memory=memory_bytes(device),
    )


def ceilings(device: torch.device, size: int | None = None) -> dict[str, float]:
    """Measure what else a GPU can do at most; empty elsewhere, unless a size is given.

    Args:
        device: where.
        size: rows and columns of the matrices; 8192 on a GPU.

    Returns:
        Operations a second of a large bfloat16 product, and bytes a second of a copy (read and
        written).
    """
    if size is None:
        if device.type != "cuda":
            return {}
        size = 8192
    first = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    second = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    return {
        "bfloat16 product": 2 * size**3 / _seconds(lambda: first @ second, device),
        "copy": 2 * first.nbytes / _seconds(first.clone, device),
    }


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    work()
    wait_for(device)
    start = time.perf_counter()
    for _ in range(10):
        work()
    wait_for(device)
    return (time.perf_counter() - start) / 10


def configuration(
    name: str,
    minibatch: int | None,
    fmap_base: int | None,
    fmap_max: int | None,
    **settings: Any,
) -> Config:
    """Give a preset's configuration, with the minibatch and the widths that were asked for.

    Args:
        name: of the preset.
        minibatch: None for the preset's, like the next two.
        fmap_base: of the networks.
        fmap_max: of the networks.
        settings: other fields of Config.

    Raises:
        ProganError: they are impossible.
    """
    given = {
        "minibatch": None if minibatch is None else str(minibatch),
        "fmap_base": fmap_base,
        "fmap_max": fmap_max,
        **settings,
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    resolution = 1024
    # A narrow network ends where it would have no maps left.
    widest = fmap_base or preset(name, resolution=4).fmap_base
    while resolution // 2 > widest:
        resolution //= 2
    return preset(name, resolution=resolution, **changes)


def tell(
    config: Config,
    levels: Sequence[int],
    device: torch.device,
    repeats: int,
    json_file: Path | None,
    plot_file: Path | None,
    *,
    compiled: bool = False,
    overwrite: bool,
) -> None:
    """Measure, print a line as soon as it is known, and write what was asked for.

    Raises:
        DatasetError: an output's place is taken, or the networks have no such level.
    """
    top = config.resolution.bit_length() - 1
    wanted = list(dict.fromkeys(levels)) or list(range(2, top + 1))
    if max(wanted) > top:
        raise DatasetError(
            f"fmap_base {config.fmap_base} leaves no maps at level {max(wanted)}; give a larger "
            "--fmap-base."
        )
    click.echo(_HEAD)
    found = []
    with ExitStack() as stack:
        places = [
            None if file is None else stack.enter_context(landing_file(file, overwrite=overwrite))
            for file in (json_file, plot_file)
        ]
        for measured in speeds(config, wanted, device, repeats=repeats, compiled=compiled):
            found.append(measured)
            click.echo(line(measured))
        if places[0] is not None:
            how = {"precision": config.precision, "compiled": compiled}
            text = json.dumps(how | to_json(found, device), indent=1) + "\n"
            places[0].write_text(text, encoding="utf-8")
        if places[1] is not None:
            plot(found, places[1])
    for name, most in ceilings(device).items():
        click.echo(f"{name}: {most / 1e12:.4g} T/s")


_HEAD = (
    f"{'level':>5} {'size':>11} {'phase':>5} {'minibatch':>9} {'images/s':>9} {'s/kimg':>9} "
    f"{'Gop/image':>10} {'Gop/s':>8} {'ceiling':>8} {'conv-eq. G/image':>17} {'memory':>9}"
)


def line(speed: Speed) -> str:
    """Lay a speed out as a line of text."""
    size = 2**speed.level
    return (
        f"{speed.level:>5} {f'{size}×{size}':>11} {'fade' if speed.fading else 'hold':>5} "
        f"{speed.minibatch:>9} {speed.images_per_second:>9.3g} "
        f"{speed.seconds_per_kimg:>9.3g} {speed.operations_per_image / 1e9:>10.4g} "
        f"{speed.operations_per_second / 1e9:>8.4g} {speed.ceiling / 1e9:>8.4g} "
        f"{speed.conv_equivalents_per_image / 1e9:>17.4g} "
        f"{speed.peak_memory / 2**30:>5.2f} GiB"
    )


def to_json(found: Sequence[Speed], device: torch.device) -> dict[str, Any]:
    """Give everything that was measured as JSON values."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "ceilings": ceilings(device),
        "speeds": [asdict(speed) for speed in found],
    }


def plot(found: Sequence[Speed], path: Path) -> None:
    """Draw seconds per kimg by level as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from tools.figures import save_figure

    figure, panel = pyplot.subplots(figsize=(8, 4.5))
    for fading, label in ((False, "held"), (True, "fading in")):
        some = [speed for speed in found if speed.fading is fading]
        panel.plot(
            [2**speed.level for speed in some],
            [speed.seconds_per_kimg for speed in some],
            marker="o",
            label=label,
        )
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xlabel("pixels a side")
    panel.set_ylabel("seconds per thousand images")
    panel.grid(alpha=0.3, which="both")
    panel.legend()
    figure.tight_layout()
    save_figure(figure, path)
    pyplot.close(figure)
