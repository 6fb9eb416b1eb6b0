"""How fast films are made beside the generator alone, and how much memory they take.

    python -m benchmarks.film run/ --seconds 10 --seconds 300
    python -m benchmarks.film --resolution 64 --fmap-base 512 --fmap-max 64

The generator alone and short films take turns, so that both see the same load of the machine; what
is told is the median, and the processor time of both. Peaks of memory are taken in a process for
each length, so that they do not mix.
"""

import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch

from datasets import door
from progan.checkpoint import ModelFile, read_model
from progan.errors import ProganError
from progan.latents import SmoothWalk
from progan.networks import Generator
from tools.drawing import pixels
from tools.options import find_device
from tools.video import frames_at_once, write_video

_FPS = 60


@click.command()
@click.argument("model", required=False)
@click.option("--resolution", type=door.Resolution(), default=64, show_default=True)
@click.option("--fmap-base", default=8192, show_default=True, help="Of a random network.")
@click.option("--fmap-max", default=512, show_default=True, help="Of a random network.")
@click.option("--seconds", type=float, multiple=True, default=[10.0, 300.0], show_default=True)
@click.option("--frames", default=600, show_default=True, help="That are timed in each turn.")
@click.option("--turns", default=5, show_default=True)
@click.option("--threads", type=int, help="Of the generator; by default one a processor.")
@click.option("--device", default="auto", show_default=True)
def main(
    model: str | None,
    resolution: int,
    fmap_base: int,
    fmap_max: int,
    seconds: tuple[float, ...],
    frames: int,
    turns: int,
    threads: int | None,
    device: str,
) -> None:
    """Time films of MODEL, or of a network with random weights, at 60 frames a second."""
    plan = (model, resolution, fmap_base, fmap_max, device, threads)
    made = _open(*plan)
    alone, film = [], []
    for _ in range(turns):
        alone.append(_timed(lambda: _draw(made, frames)))
        film.append(_timed(lambda: _film(made, frames)))
    click.echo(f"{torch.get_num_threads()} threads, {2**made.generator.level} pixels")
    for name, times in (("the generator alone", alone), ("a film", film)):
        clock, processor = (statistics.median(values) for values in zip(*times, strict=True))
        click.echo(
            f"{name}: {frames / clock:.0f} frames/s; processor: {1000 * processor / frames:.2f} ms "
            "a frame"
        )
    ratio = statistics.median(a[0] / f[0] for a, f in zip(alone, film, strict=True))
    click.echo(f"the film's frames a second beside the generator's: {100 * ratio:.0f} %")
    context = multiprocessing.get_context("spawn")
    for length in seconds:
        process = context.Process(target=_tell_peak, args=(length, *plan))
        process.start()
        process.join()


def _open(
    model: str | None,
    resolution: int,
    fmap_base: int,
    fmap_max: int,
    device: str,
    threads: int | None,
) -> ModelFile:
    if threads is not None:
        torch.set_num_threads(threads)
    where = find_device(device)
    if model is not None:
        return read_model(model, where)
    torch.manual_seed(0)
    generator = Generator(resolution=resolution, fmap_base=fmap_base, fmap_max=fmap_max)
    return ModelFile(generator=generator.requires_grad_(False).eval().to(where))


def _walk(model: ModelFile, frames: int) -> SmoothWalk:
    size = model.generator.latent_size
    return SmoothWalk(frames=frames, cells=1, latent_size=size, smoothing=_FPS, seed=0)


def _draw(model: ModelFile, frames: int) -> None:
    """Draw pictures in full precision, in the batches of the film, of latents at hand."""
    size = frames_at_once(model.generator, 1)
    points = _walk(model, size).chunk(0, size)[:, 0]
    for start in range(0, frames, size):
        for _ in pixels(model.generator, points[: frames - start]):
            pass


def _film(model: ModelFile, frames: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_video(
            model,
            _walk(model, frames),
            None,
            Path(folder, "film.mp4"),
            columns=1,
            fps=_FPS,
            quality=17,
            zoom=None,
            overwrite=False,
        )


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Give seconds of the clock and of all processors."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def _tell_peak(
    length: float,
    model: str | None,
    resolution: int,
    fmap_base: int,
    fmap_max: int,
    device: str,
    threads: int | None,
) -> None:
    made = _open(model, resolution, fmap_base, fmap_max, device, threads)
    _draw(made, frames_at_once(made.generator, 1))
    before = _peak()
    clock, processor = _timed(lambda: _film(made, round(length * _FPS)))
    click.echo(
        f"{length:g} s of film, {round(length * _FPS)} frames: peak {_peak():.0f} MB, "
        f"{before:.0f} MB of it before the first; {clock:.0f} s, {processor:.0f} s of processors"
    )


def _peak() -> float:
    """Give the most memory that this process has had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # What the system accounts to a process begins with what its parent had.
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    door.run(main, ProganError)
