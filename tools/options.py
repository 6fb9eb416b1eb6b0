"""What the commands of this door have in common: options, and what is read from them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from datasets import door
from progan.config import PRECISIONS, PRESETS
from progan.errors import ProganError

if TYPE_CHECKING:
    import torch

    from progan.checkpoint import ModelFile
    from tools.detectors import Detector
    from tools.value_range import ValueRange

PATH = click.Path(path_type=Path)
PRESET = click.Choice(list(PRESETS))
# Random numbers are drawn from 64 bits of seed; what is typed stays well below.
SEED = click.IntRange(0, 10**18)
MOST_IMAGES = 1_000_000
_MOST_SEEDS = 1_000_000

# What files are called that this program does not write as pictures, and no folder is.
_OTHER_FILES = frozenset(
    (
        *(".apng", ".avif", ".bmp", ".dds", ".dib", ".eps", ".exr", ".gif", ".hdr", ".heic"),
        *(".heif", ".ico", ".jfif", ".jp2", ".jpe", ".jxl", ".pbm", ".pcx", ".pdf", ".pgm"),
        *(".pnm", ".ppm", ".ps", ".psd", ".qoi", ".svg", ".svgz", ".tga", ".tif", ".tiff"),
        *(".xbm", ".xpm", ".avi", ".mkv", ".mov", ".mp4", ".webm", ".7z", ".gz", ".npz"),
        *(".onnx", ".pt", ".pt2", ".pth", ".safetensors", ".tar", ".zip"),
    )
)

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any] | click.Command)

model = click.argument("model", type=PATH)
out = click.argument("out", type=PATH)

trust = click.option(
    "--trust",
    is_flag=True,
    help="Run a TorchScript file that is not one of the field's well-known ones: it is a program.",
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace an older result of this name.")
device = click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, xpu or auto."
)

training_precision = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="What the convolutions compute in.",
)

drawing_precision = click.option(
    "--precision",
    type=click.Choice(("auto", *PRECISIONS)),
    default="auto",
    show_default=True,
    help="What the convolutions compute in. auto: on a GPU float16, if some of the pictures are "
    "the same to one grey level of 256 as in float32; else float32.",
)

truncation = click.option(
    "--truncation",
    type=door.Number(0, 1),
    default=1.0,
    show_default=True,
    metavar="PSI",
    help="Draw all faces toward the average one: below 1 fewer are odd, and all are more alike.",
)

json_file = click.option("--json", "json_file", type=PATH, help="Write the figures to this file.")

quality = click.option(
    "--quality",
    type=click.IntRange(0, 51),
    default=17,
    show_default=True,
    help="x264's constant rate factor: 0 loses next to nothing, more is smaller.",
)


def fps(default: int) -> Callable[[_Decorated], _Decorated]:
    """Give a film the option --fps."""
    return click.option("--fps", type=click.IntRange(1, 240), default=default, show_default=True)


def film_zoom(sentence: str) -> Callable[[_Decorated], _Decorated]:
    """Give a film the option --zoom, with its sentence in --help."""
    return click.option("--zoom", type=click.IntRange(1, 1024), help=sentence)


def seed(sentence: str | None = None) -> Callable[[_Decorated], _Decorated]:
    """Give a command the option --seed, which is 0 by default, with its sentence in --help."""
    return click.option("--seed", type=SEED, default=0, show_default=True, help=sentence)


class Range(click.ParamType["ValueRange"]):
    """Numbers that mean black and white, such as `-1:1`."""

    name = "low:high"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> "ValueRange":
        """Turn what was typed into a range, or end with a usage error."""
        from tools.value_range import ValueRange, parse_range

        if isinstance(value, ValueRange):
            return value
        try:
            return parse_range(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a range of numbers such as -1:1 or 0:255.", param, ctx)


value_range = click.option(
    "--range",
    "value_range",
    type=Range(),
    metavar="LOW:HIGH",
    help="Of a .npy array that is not of uint8: the numbers that mean black and white, such as "
    "-1:1, 0:1 or 0:255; by default found out.",
)


class Seeds(click.ParamType[list[int]]):
    """Seeds such as `0-63` or `1,5,9-12`."""

    name = "seeds"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        """Turn what was typed into seeds, or end with a usage error."""
        seeds: list[int] = []
        for part in str(value).split(","):
            match = re.fullmatch(r"\s*([0-9]{1,18})(?:-([0-9]{1,18}))?\s*", part, re.ASCII)
            if not match:
                self.fail(f"{value!r} is not a list of seeds such as 0-63 or 1,5,9-12.", param, ctx)
            first = int(match[1])
            last = int(match[2] or first)
            if last < first:
                self.fail(f"{part.strip()!r} runs backwards.", param, ctx)
            if len(seeds) + last - first >= _MOST_SEEDS:
                self.fail(f"{value!r} is more than {_MOST_SEEDS} seeds.", param, ctx)
            seeds += range(first, last + 1)
        return seeds


class Grid(click.ParamType[tuple[int, int]]):
    """Columns and rows such as `8x8`."""

    name = "grid"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Turn what was typed into columns and rows, or end with a usage error."""
        match = re.fullmatch(r"([1-9][0-9]{0,2})x([1-9][0-9]{0,2})", str(value), re.ASCII)
        if not match:
            self.fail(f"{value!r} is not columns and rows such as 8x8.", param, ctx)
        return int(match[1]), int(match[2])


def find_device(name: str) -> "torch.device":
    """Find the device that --device means.

    Raises:
        click.BadParameter: there is no such device.
    """
    from progan.devices import named, settle
    from tools.drawing import best_device

    try:
        where = named(str(best_device()) if name == "auto" else name)
    except ProganError as error:
        raise click.BadParameter(str(error), param_hint="--device") from None
    settle(where)
    return where


def read_model(path: Path, device_name: str) -> "ModelFile":
    """Read the generator that MODEL means, onto the device that --device means.

    Raises:
        click.BadParameter: there is no such device.
        ProganError: there is no such model, or it is damaged.
    """
    from progan.checkpoint import read_model

    return read_model(path, find_device(device_name))


def find_detector(
    text: str | None, where: "torch.device", *, trust: bool = False
) -> "Detector | None":
    """Open the detector that --detector means; None where the option was not given.

    Raises:
        DatasetError: there is none, or it cannot be had.
    """
    if text is None:
        return None
    from tools.detectors import open_detector

    return open_detector(text, where, trust=trust)


def refuse_other_than_mp4(out: Path) -> None:
    """Refuse a film by another name than films have.

    Raises:
        click.BadParameter: OUT does not end in .mp4.
    """
    if out.suffix.lower() != ".mp4":
        raise click.BadParameter("the film's name must end in .mp4", param_hint="OUT")


def refuse_other_pictures(out: Path, hint: str) -> None:
    """Refuse a picture by the name of a kind of file that is not written.

    Args:
        out: what was typed.
        hint: which argument or option it was typed for.

    Raises:
        click.BadParameter: it ends as files of another kind do.
    """
    if out.suffix.lower() in _OTHER_FILES:
        raise click.BadParameter(
            f"no {out.suffix} file can be written; a picture's name must end in .png, .jpg or "
            ".webp",
            param_hint=hint,
        )


def refuse_input_as_output(out: Path, *inputs: Path | None) -> None:
    """Refuse to replace what is being read.

    Raises:
        click.BadParameter: OUT is one of the inputs.
    """
    for given in inputs:
        if given is not None and out.exists() and given.exists() and out.samefile(given):
            raise click.BadParameter(f"{out} is read from: choose another name", param_hint="OUT")
