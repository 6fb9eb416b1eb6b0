"""No option of any command takes what is not a finite number."""

from collections.abc import Iterator

import click
import pytest

import train
from datasets import door
from datasets.__main__ import datasets
from tools.__main__ import main as tools


def options(command: click.Command) -> Iterator[tuple[str, click.Parameter]]:
    """Give all options of a command and of those below it."""
    for parameter in command.params:
        yield f"{command.name} {parameter.name}", parameter
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from options(below)


RANGES = [
    (name, option)
    for command in (datasets, tools, train.main)
    for name, option in options(command)
    if isinstance(option.type, click.FloatRange)
]


@pytest.mark.parametrize(("name", "option"), RANGES, ids=[name for name, _ in RANGES])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_it_is_refused(name: str, option: click.Parameter, text: str) -> None:
    with pytest.raises(click.BadParameter):
        option.type.convert(text, option, None)


def test_there_are_such_options() -> None:
    names = {name for name, _ in RANGES}
    assert {"prepare held_out", "neighbours false_alarm"} <= names
    assert any(name.endswith("checkpoint_kimg") for name in names)


@pytest.mark.parametrize("text", ["0.5", "1", "1e-3"])
def test_a_number_is_taken(text: str) -> None:
    assert door.Number(0, 1).convert(text, None, None) == float(text)
