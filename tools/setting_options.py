"""The options of train.py that are settings of a run: one for every field of Config."""

import re
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import click

from progan.config import OBJECTIVES, PRECISIONS, Config, spelled

# What the dataset or the preset says, and no option of its own.
_NO_OPTION = {"preset", "num_channels", "label_size", "resolution", "pool_first"}
_CHOICES = {"precision": PRECISIONS, "objective": OBJECTIVES}
_UNITS = {"": 1.0, "k": 1e3, "kimg": 1e3, "m": 1e6, "mimg": 1e6}
_WITH_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)", re.ASCII)


class _Number(click.ParamType[int | float]):
    """A number without a unit; a sentence where it has one.

    Args:
        kind: int or float.
    """

    def __init__(self, kind: type[int] | type[float]) -> None:
        self._kind = kind
        self.name = "integer" if kind is int else "float"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """Turn what was typed into a number, or end with a usage error."""
        text = str(value).strip()
        try:
            return self._kind(text)
        except ValueError:
            asked = "a whole number" if self._kind is int else "a number"
            self.fail(f"{text[:60]!r} is not {asked}{self._hint(text, param)}.", param, ctx)

    def _hint(self, text: str, param: click.Parameter | None) -> str:
        """Return what the number would be without its unit, for a text that has one."""
        found = _WITH_UNIT.fullmatch(text.replace(",", "").replace("_", ""))
        if found is None or found[2].lower() not in _UNITS:
            return ""
        number = float(found[1]) * _UNITS[found[2].lower()]
        if param is not None and str(param.name).endswith("kimg"):
            # 12,000 without a unit is thousands already.
            number /= 1000 if found[2] else 1
            return f"; it counts thousand images: give {number:.12g}"
        return f": give {number:.12g}" if self._kind is float or number == int(number) else ""


class _Augmentations(click.ParamType[str]):
    """Names of augmentations; the American spelling is one, too."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Spell them as Config does."""
        return spelled(str(value))


def setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add one option for every setting of Config to a command, with the setting's own sentence."""
    for name, hint in reversed(get_type_hints(Config, include_extras=True).items()):
        if name in _NO_OPTION:
            continue
        assert get_origin(hint) is Annotated
        kind, text = get_args(hint)
        dashed = name.replace("_", "-")
        if kind is bool:
            option = click.option(f"--{dashed}/--no-{dashed}", name, default=None, help=text)
        else:
            accepted, metavar = _accepted(name, kind)
            option = click.option(
                f"--{dashed}", name, type=accepted, metavar=metavar, default=None, help=text
            )
        command = option(command)
    return command


def _accepted(name: str, kind: Any) -> tuple[Any, str | None]:
    """Return what an option accepts, and what --help shows for it."""
    if name in _CHOICES:
        return click.Choice(_CHOICES[name]), None
    if name == "augment":
        return _Augmentations(), "NAME[,NAME…]"
    if kind is str:
        return str, "N[,RESOLUTION:N…]"
    return _Number(float if kind is float else int), None


def as_typed(sentence: str) -> str:
    """Return a sentence about settings with their names as they are typed: `--fmap-base`.

    Names that are also words of a sentence count where it begins, and after "give".
    """
    for name in get_type_hints(Config):
        if name in _NO_OPTION - {"resolution"}:
            continue
        place = "" if "_" in name else "(?:(?<=give )|^)"
        option = f"--{name.replace('_', '-')}"
        sentence = re.sub(rf"{place}(?<![-\w]){name}(?![-\w])", option, sentence)
    return sentence
