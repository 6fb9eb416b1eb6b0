"""Tables and files beside pictures that say two things of the same picture."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import click

from datasets.sources.source import Unclear

# Of a name that is shown.
_SHOWN = 100

TWO_THINGS = Unclear("two different things are said of it")

T = TypeVar("T")


class TwiceError(ValueError):
    """An object in a JSON file has two fields of the same name with different content."""


def collect(
    pairs: Iterable[tuple[str, T | Unclear]], key: Callable[[str], str] = str
) -> dict[str, T | Unclear]:
    """Make a table of pairs of a name and what is said of it.

    To say the same thing twice is no harm; of a name of which different things are said, the table
    holds `TWO_THINGS`.

    Args:
        pairs: names and what is said of them.
        key: what to make of a name first.
    """
    table: dict[str, T | Unclear] = {}
    for name, value in pairs:
        name = key(name)
        if table.setdefault(name, value) != value:
            table[name] = TWO_THINGS
    return table


def fields_of(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Make the fields of a JSON object, as an `object_pairs_hook`.

    Raises:
        TwiceError: one stands there twice, with different content.
    """
    fields = dict(pairs)
    if len(fields) < len(pairs):
        for name, value in pairs:
            if fields[name] != value:
                raise TwiceError(f"{name[:_SHOWN]} stands there twice, with different content")
    return fields


def warn_of_unclear(found: Sequence[object], names: Sequence[str], place: object) -> None:
    """Print a warning where a file says two things of pictures.

    Args:
        found: what it says of each picture.
        names: names of the pictures.
        place: the file, for the sentence.
    """
    unclear = [name for name, value in zip(names, found, strict=True) if isinstance(value, Unclear)]
    if unclear:
        pictures = "1 picture" if len(unclear) == 1 else f"{len(unclear)} pictures, the first"
        click.echo(
            f"Warning: {place} says two things of {pictures} ({unclear[0][:_SHOWN]}); "
            f"{'it is' if len(unclear) == 1 else 'they are'} skipped.",
            err=True,
        )
