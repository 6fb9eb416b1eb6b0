"""Where do convolutions with fewer multiplications pay? (progan/convolution.py)

    python -m benchmarks.convolutions [--minibatch 16] [--maps 64 --maps 128 …] [--threads 1]

Times a 3×3 convolution and one that halves the size, forward and back to images and kernels, by
turns with the plain ones, and prints how many times quicker they are: medians of processor time.
"""

import statistics
import time

import click
import torch

from progan.convolution import plain_convolutions
from progan.layers import Convolution, DownConvolution, Scaled
from progan.memory import keep_freed_memory


def seconds(layer: Scaled, images: torch.Tensor) -> float:
    """Time one pass forward and back; the processor's time, which other work disturbs least."""
    start = time.process_time()
    found = layer(images)
    torch.autograd.grad(found.sum(), [images, *layer.parameters()])
    return time.process_time() - start


def ratio(layer: Scaled, images: torch.Tensor, repeats: int) -> float:
    """Give how many times quicker a layer is than its plain form."""
    quick, plain = [], []
    for _ in range(repeats + 1):
        quick.append(seconds(layer, images))
        with plain_convolutions():
            plain.append(seconds(layer, images))
    return statistics.median(plain[1:]) / statistics.median(quick[1:])


@click.command()
@click.option("--minibatch", type=click.IntRange(1), default=16, show_default=True)
@click.option("--maps", multiple=True, type=click.IntRange(1), default=(64, 128, 256, 512))
@click.option("--side", multiple=True, type=click.IntRange(8), default=(8, 16, 32, 64))
@click.option("--repeats", type=click.IntRange(1), default=7, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
def main(
    minibatch: int, maps: tuple[int, ...], side: tuple[int, ...], repeats: int, threads: int
) -> None:
    """Print a table: maps, side, and the ratio for both kinds of layers."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    click.echo(f"{'maps':>5} {'side':>5} {'3×3':>6} {'halving':>8}   (times quicker)")
    for count in maps:
        for pixels in side:
            images = torch.randn(minibatch, count, pixels, pixels, requires_grad=True)
            same = ratio(Convolution(count, count, side=pixels), images, repeats)
            halving = DownConvolution(count, count, fused=True, side=pixels)
            half = ratio(halving, images, repeats)
            click.echo(f"{count:>5} {pixels:>5} {same:>6.2f} {half:>8.2f}")


if __name__ == "__main__":
    main()
