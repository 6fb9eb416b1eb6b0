"""The pieces of evidence for copying, what each is worth, and what they say in words.

New images are called anything but new with a chance of at most `LEVEL`, whatever is asked of them:
each of the tests that decide has an equal part of it (Bonferroni). Near duplicates need no test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tools.memorization.closeness import Closeness

Kind = Literal[
    "near duplicates",
    "flagged",
    "discoveries",
    "single photographs",
    "C_T",
    "authenticity",
]

LEVEL = 0.01
"""The chance that new images are called anything else."""
_DECIDING_TESTS = 3
LEVEL_OF_ONE = LEVEL / _DECIDING_TESTS
"""The part of it that each deciding test has."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One piece of evidence.

    Attributes:
        kind: what it is.
        decides: whether it decides by itself; else it only says more.
        space: the feature space that it is taken from; None for all.
        value: what was measured: a count, a share or a z-score.
        usual: the same of new photographs; None where it is not known.
        chance: that new images have so much of it, all spaces allowed for; None for no test.
        level: below which chance it speaks; None for no test.
        speaks: whether it speaks for copying.
        says: what was found, in a few words.
    """

    kind: Kind
    decides: bool
    space: str | None
    value: float
    usual: float | None
    chance: float | None
    level: float | None
    speaks: bool
    says: str


def weigh(
    *,
    near_duplicates: int,
    flagged: int,
    expected: float,
    flagged_chance: float,
    discovered: int,
    discovered_chance: float,
    spaces: Mapping[str, Closeness],
) -> list[Evidence]:
    """Weigh the evidence.

    Args:
        near_duplicates: how many images are.
        flagged: how many images are.
        expected: how many of new images would be, at most.
        flagged_chance: that so many of new images are, in all spaces together.
        discovered: how many images are discoveries.
        discovered_chance: that new images have p-values so small.
        spaces: what the images are together, by the space's name.

    Returns:
        First what decides, then the rest; of the space that says most.
    """
    found = [
        Evidence(
            kind="near duplicates",
            decides=True,
            space=None,
            value=near_duplicates,
            usual=0,
            chance=None,
            level=None,
            speaks=near_duplicates > 0,
            says=_count(near_duplicates, "near duplicate"),
        ),
        _test(
            "flagged",
            flagged,
            flagged_chance,
            f"{_count(flagged, 'flagged image')} (by chance about {expected:.2g}, so many or more "
            f"with a chance of {chance_in_words(flagged_chance)})",
            usual=expected,
        ),
        _test(
            "discoveries",
            discovered,
            discovered_chance,
            f"{_count(discovered, 'discovery', 'discoveries')} (p-values so small come with a "
            f"chance of {chance_in_words(discovered_chance)})",
        ),
    ]
    return found + _of_closeness(spaces)


def told(evidence: Sequence[Evidence]) -> str:
    """Return what speaks for copying as a part of a sentence; empty if nothing does."""
    return ", ".join(one.says for one in evidence if one.speaks)


def chance_in_words(value: float) -> str:
    """Return a chance as it is written: those that are too small to be known are not claimed."""
    return "under 0.0001" if value < 1e-4 else f"{value:.2g}"


def score_in_words(value: float) -> str:
    """Return a z-score as it is written, with its sign."""
    return f"{value:+.1f}".replace("-", "−")


def _of_closeness(spaces: Mapping[str, Closeness]) -> list[Evidence]:
    count = len(spaces)
    found: list[Evidence] = []
    space = min(spaces, key=lambda name: (spaces[name].single_chance, spaces[name].closer_chance))
    one = spaces[space]

    def add(kind: Kind, value: float, chance: float, says: str, usual: float | None) -> None:
        found.append(
            _test(kind, value, min(1.0, count * chance), says, usual=usual, space=space)
        )  # fmt: skip

    if one.single is not None:
        says = f"the nearest photograph nearer than the next by z = {score_in_words(one.single)}"
        add("single photographs", one.single, one.single_chance, f"{says} in {space}", 0.0)
    if count * one.single_chance >= LEVEL_OF_ONE:
        space = min(spaces, key=lambda name: spaces[name].closer_chance)
        one = spaces[space]
    if one.c_t is not None:
        beside = (
            f" ({score_in_words(one.c_t_held_out.z)} beside the held-out ones alone)"
            if one.c_t_held_out is not None
            else ""
        )
        says = f"C_T of {score_in_words(one.c_t.z)} in {space}{beside}"
        add("C_T", one.c_t.z, 2 * one.c_t_chance, says, 0.0)
    if one.authentic is not None and one.authentic_new is not None:
        says = f"{one.authentic:.0%} authentic in {space} (photographs: {one.authentic_new:.0%})"
        add("authenticity", one.authentic, 2 * one.authentic_chance, says, one.authentic_new)
    return found


def _test(
    kind: Kind,
    value: float,
    chance: float,
    says: str,
    *,
    usual: float | None = None,
    space: str | None = None,
) -> Evidence:
    return Evidence(
        kind=kind,
        decides=kind in ("flagged", "discoveries", "single photographs"),
        space=space,
        value=value,
        usual=usual,
        chance=chance,
        level=LEVEL_OF_ONE,
        speaks=chance < LEVEL_OF_ONE,
        says=says,
    )


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
