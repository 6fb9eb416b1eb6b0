from collections.abc import Mapping
from typing import Any

import pytest

from tools.memorization.closeness import Closeness
from tools.memorization.evidence import LEVEL, LEVEL_OF_ONE, Evidence, told, weigh
from tools.memorization.statistics import DataCopying


def one(c_t: float = 1.0, authentic: float = 1.0, single: float = 1.0, **more: Any) -> Closeness:
    """What a space says, by the chances of its three parts."""
    copying = DataCopying(z=-8.46, cells=2, left_out=0.0, spread=0.7)
    held_out = DataCopying(z=-4.6, cells=1, left_out=0.0, spread=1.0)
    values: dict[str, Any] = {
        "effective": 200.0, "c_t": copying, "c_t_held_out": held_out, "c_t_chance": c_t,
        "authentic": 0.35, "authentic_new": 0.72, "authentic_chance": authentic,
        "single": -14.4, "single_held_out": -6.6, "single_chance": single,
    }  # fmt: skip
    return Closeness(**values | more)


def weighed(
    spaces: Mapping[str, Closeness], *, near: int = 0, flagged: float = 1.0, found: float = 1.0
) -> dict[str, Evidence]:
    evidence = weigh(
        near_duplicates=near,
        flagged=12,
        expected=1.8,
        flagged_chance=flagged,
        discovered=3,
        discovered_chance=found,
        spaces=spaces,
    )
    return {each.kind: each for each in evidence}


def test_the_level_is_divided_among_three_tests() -> None:
    assert LEVEL == 0.01
    assert abs(LEVEL_OF_ONE - 0.01 / 3) < 1e-12
    for chance, speaks in ((0.0033, True), (0.0034, False), (0.009, False)):
        assert weighed({"pixels": one()}, flagged=chance)["flagged"].speaks is speaks
        assert weighed({"pixels": one()}, found=chance)["discoveries"].speaks is speaks
        both = weighed({"pixels": one(c_t=chance / 2, single=chance)})
        assert both["C_T"].speaks is speaks
        assert both["single photographs"].speaks is speaks
        assert weighed({"pixels": one(authentic=chance / 2)})["authenticity"].speaks is speaks
    found = weighed({"pixels": one()}, flagged=0.002)
    deciding = {kind for kind, each in found.items() if each.decides}
    assert deciding == {"near duplicates", "flagged", "discoveries", "single photographs"}
    assert sum(each.level or 0 for each in found.values() if each.decides) == pytest.approx(LEVEL)


def test_each_space_has_its_part_of_a_level() -> None:
    spaces = {"pixels": one(), "structure": one(c_t=0.001, single=0.002)}
    found = weighed(spaces)["single photographs"]
    assert (found.space, found.chance, found.speaks) == ("structure", 0.004, False)
    found = weighed({"structure": spaces["structure"]})["single photographs"]
    assert (found.chance, found.speaks) == (0.002, True)
    both = weighed({"pixels": one(), "structure": one(c_t=0.0005, single=0.0016)})
    found = both["single photographs"]
    assert (found.chance, found.speaks) == (0.0032, True)
    # C_T and authenticity share theirs, too.
    assert (both["C_T"].chance, both["C_T"].speaks) == (0.002, True)


def test_the_space_that_says_most_is_shown() -> None:
    # Where one decides, all is told of it; else C_T and authenticity of where images are closer.
    spaces = {"pixels": one(c_t=1e-9), "structure": one(c_t=0.3, single=1e-3)}
    found = weighed(spaces)
    assert {found[kind].space for kind in ("single photographs", "C_T", "authenticity")} == {
        "structure"
    }
    assert (found["single photographs"].speaks, found["C_T"].speaks) == (True, False)
    found = weighed({"pixels": one(c_t=1e-9), "structure": one(c_t=0.3, single=0.01)})
    assert (found["single photographs"].space, found["C_T"].space) == ("structure", "pixels")
    assert (found["single photographs"].speaks, found["C_T"].speaks) == (False, True)
    assert found["C_T"].chance == pytest.approx(4e-9)


def test_what_speaks_is_told_and_nothing_else() -> None:
    assert told(list(weighed({"pixels": one()}).values())) == ""
    found = weighed({"structure": one(c_t=1e-9, authentic=1e-7, single=1e-20)}, flagged=0.003)
    assert told(list(found.values())) == (
        "12 flagged images (by chance about 1.8, so many or more with a chance of 0.003), the "
        "nearest photograph nearer than the next by z = −14.4 in structure, C_T of −8.5 in "
        "structure (−4.6 beside the held-out ones alone), 35% authentic in structure "
        "(photographs: 72%)"
    )
    found = weighed({"pixels": one()}, near=1, found=1e-5)
    assert told(list(found.values())) == (
        "1 near duplicate, 3 discoveries (p-values so small come with a chance of under 0.0001)"
    )


def test_too_few_images_say_nothing_together() -> None:
    few = one(c_t=1.0, c_t_held_out=None)
    assert "beside" not in weighed({"pixels": few})["C_T"].says
    none = one(c_t_held_out=None, authentic_new=None)
    none = Closeness(**vars(none) | {"c_t": None, "single": None})
    assert set(weighed({"pixels": none})) == {"near duplicates", "flagged", "discoveries"}
