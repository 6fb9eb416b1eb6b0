"""Classes on a command line: finding the one that was typed, and telling names."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np

    from progan.checkpoint import ModelFile
    from progan.labels import ClassWalk

# So many class names can be read in a message.
_NAMES_TOLD = 20
_LONGEST_NAME = 60


def readable(name: str) -> str:
    """Give a class's name on one line of a terminal or file, whatever characters it holds."""
    return name if name.isprintable() else ascii(name)[1:-1]


def class_names(model: "ModelFile") -> tuple[str, ...]:
    """Give the names of a model's classes, or their numbers where they have no names."""
    return model.classes or tuple(str(n) for n in range(model.generator.label_size))


def told(names: Sequence[str]) -> str:
    """List names for a message: the first ones, and how many more there are."""
    listed = ", ".join(readable(name[:_LONGEST_NAME]) for name in names[:_NAMES_TOLD])
    more = len(names) - _NAMES_TOLD
    return f"{listed} and {more} more" if more > 0 else listed


def find_class(model: "ModelFile", typed: str, option: str = "--class") -> int:
    """Give the number of the class that was typed, as its name or its number.

    Args:
        model: its generator's classes count.
        typed: a name; or, where no class has that name, a number from 0.
        option: what it was typed as.

    Raises:
        click.BadParameter: there is no such class, or there are no classes.
    """
    size = model.generator.label_size
    if size == 0:
        raise click.BadParameter("this model has no classes", param_hint=option)
    if typed in model.classes:
        return model.classes.index(typed)
    if typed.isascii() and typed.isdigit() and len(typed) < 10 and int(typed) < size:
        return int(typed)
    named = f", or its number, 0 to {size - 1}" if model.classes else ""
    raise click.BadParameter(
        f"there is no class {typed!r}; give one of {told(class_names(model))}{named}",
        param_hint=option,
    )


def walking_labels(
    model: "ModelFile", typed: str | None, to: str | None, *, frames: int, cells: int
) -> "np.ndarray | ClassWalk | None":
    """Give the labels of a film.

    Args:
        model: its generator's classes count.
        typed: what was typed as --class; None for each class in turn.
        to: what was typed as --to; None to stay.
        frames: length of the film.
        cells: pictures in a frame.

    Returns:
        Class numbers int64 [cells], the way from class to class, or None without classes.

    Raises:
        click.BadParameter: there is no such class, or both are the same.
        ProganError: there are too few frames.
    """
    import numpy as np

    from progan.labels import ClassWalk

    size = model.generator.label_size
    if typed is None:
        return np.arange(cells) % size if size else None
    first = find_class(model, typed)
    if to is None:
        return np.full(cells, first, np.int64)
    second = find_class(model, to, "--to")
    if first == second:
        raise click.BadParameter(f"{to!r} is the class of --class", param_hint="--to")
    return ClassWalk(frames=frames, cells=cells, first=first, second=second, label_size=size)
