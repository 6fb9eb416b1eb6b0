"""The verdict: what is flagged, and what that and all other evidence say of all images together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tools.memorization.approximate import Recall
from tools.memorization.closeness import Closeness, closeness, effective_images
from tools.memorization.evidence import LEVEL_OF_ONE, Evidence, told, weigh
from tools.memorization.finding import Found
from tools.memorization.statistics import (
    DataCopying,
    authentic,
    chance_of_discoveries,
    chance_of_flagged,
    data_copying,
    different,
    discoveries,
    share_interval,
)
from tools.memorization.yardstick import Yardstick

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Verdict = Literal["no sign of copying", "closer than chance", "some copies", "memorized"]

# Below this share of nearest photographs found, the search is no ground to stand on.
_GOOD_RECALL = 0.95
_FALSE_DISCOVERIES = 0.05
# With fewer held-out photographs than this, their own numbers are a matter of luck.
_LEAST_HELD_OUT = 20
# z-scores beyond this do not come from photographs of one kind.
_DISAGREE = 4.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one space says.

    Attributes:
        p: chance that a new image is as near to a training photograph, [N].
        nearness: how many spreads of the usual distance below its median, [N].
        flagged: at most as many places of the calibration lie below as may, bool [N].
        near_duplicate: as near as only duplicates are, bool [N].
        chance: that new images have so many flags or more; images that are one again count less.
        copying: the three-sample test against the calibration; None for too few images.
        copying_held_out: the same against held-out photographs alone.
        authentic: share of images farther from their nearest training photograph than its kin.
        authentic_held_out: the same of held-out photographs.
        nearest: how many different training photographs are nearest to some image.
        compared: of how many images both of the next two numbers are.
        different: how many different ones are nearest to so many of the images.
        different_new: to so many photographs.
    """

    p: Numbers
    nearness: Numbers
    flagged: Flags
    near_duplicate: Flags
    chance: float
    copying: DataCopying | None
    copying_held_out: DataCopying | None
    authentic: float | None
    authentic_held_out: float | None
    nearest: int
    compared: int
    different: float
    different_new: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What all spaces say together.

    Attributes:
        spaces: by name.
        together: what all images are together, by the space's name.
        p: the smallest p-value of any space times their number, at most 1, [N].
        deciding: which space has it, number in the order of `spaces`, [N].
        flagged: in any space, bool [N].
        near_duplicate: in any space, bool [N].
        discovered: flagged, even when it is allowed for how many images were tested, bool [N].
        order: images from the most suspicious to the least, [N].
        expected: how many flags new images would have on average, at most.
        chance: that new images have so many flags or more, at most.
        interval: 95 % confidence interval of the share flagged.
    """

    spaces: dict[str, Seen]
    together: dict[str, Closeness]
    p: Numbers
    deciding: NDArray[np.int64]
    flagged: Flags
    near_duplicate: Flags
    discovered: Flags
    order: NDArray[np.int64]
    expected: float
    chance: float
    interval: tuple[float, float]

    @property
    def share(self) -> float:
        """The share of images flagged, 0 to 1."""
        return float(self.flagged.mean())

    @property
    def evidence(self) -> list[Evidence]:
        """All that was weighed, and whether it speaks for copying."""
        return weigh(
            near_duplicates=int(self.near_duplicate.sum()),
            flagged=int(self.flagged.sum()),
            expected=self.expected,
            flagged_chance=self.chance,
            discovered=int(self.discovered.sum()),
            discovered_chance=chance_of_discoveries(self.p),
            spaces=self.together,
        )

    @property
    def verdict(self) -> Verdict:
        """What follows from it: see `judge`."""
        chances = {one.kind: one.chance for one in self.evidence if one.chance is not None}
        return decide(
            int(self.flagged.sum()),
            len(self.p),
            self.chance,
            int(self.near_duplicate.sum()),
            discovered_chance=chances["discoveries"],
            closer_chance=chances.get("single photographs", 1.0),
        )


def judge(yardstick: Yardstick, found: dict[str, Found]) -> Judged:
    """Judge images by their distances.

    "memorized": more than half of the images are flagged, and that speaks for copying. "some
    copies": the number of flagged images speaks for copying, or discoveries do; or at least one
    image lies as near to a training photograph as only duplicates do (five spreads of the usual
    distance nearer than usual). "closer than chance": none of these, but all images together show
    that each is closer to one training photograph, compared with the next, than new ones are. Else
    "no sign of copying".

    Args:
        yardstick: made of the dataset.
        found: the images' neighbours, in all spaces of the yardstick; at least one image.
    """
    spaces = {name: _see(yardstick, name, found[name]) for name in yardstick.spaces}
    every = np.stack([seen.p for seen in spaces.values()])
    nearness = np.stack([seen.nearness for seen in spaces.values()])
    p = np.minimum(1.0, every.min(axis=0) * len(spaces))
    flagged = np.any([seen.flagged for seen in spaces.values()], axis=0)
    near = np.any([seen.near_duplicate for seen in spaces.values()], axis=0)
    count = len(p)
    chance = min(1.0, len(spaces) * min(seen.chance for seen in spaces.values()))
    return Judged(
        spaces=spaces,
        together={
            name: closeness(
                yardstick,
                name,
                found[name],
                copying=seen.copying,
                copying_held_out=seen.copying_held_out,
            )
            for name, seen in spaces.items()
        },
        p=p,
        # Of equal places in the calibration, that which is farther out decides.
        deciding=np.lexsort((-nearness, every), axis=0)[0],
        flagged=flagged,
        near_duplicate=near,
        discovered=discoveries(p, _FALSE_DISCOVERIES),
        order=np.lexsort((-nearness.max(axis=0), p)),
        expected=yardstick.rate * count,
        chance=chance,
        interval=share_interval(int(flagged.sum()), count),
    )


def decide(
    flagged: int,
    images: int,
    chance: float,
    near_duplicates: int,
    *,
    discovered_chance: float = 1.0,
    closer_chance: float = 1.0,
) -> Verdict:
    """Return the verdict by the rule of `judge`.

    Args:
        flagged: how many images are flagged.
        images: of how many.
        chance: that so many of new images are.
        near_duplicates: how many images are near duplicates.
        discovered_chance: that new images have p-values so small.
        closer_chance: that new images are so much closer to one photograph than to the next.
    """
    if 2 * flagged > images and chance < LEVEL_OF_ONE:
        return "memorized"
    if near_duplicates > 0 or min(chance, discovered_chance) < LEVEL_OF_ONE:
        return "some copies"
    return "closer than chance" if closer_chance < LEVEL_OF_ONE else "no sign of copying"


def _see(yardstick: Yardstick, name: str, found: Found) -> Seen:
    p = yardstick.p_values(name, found)
    limit = yardstick.places / (yardstick.count + 1)
    flagged = p <= limit * (1 + 1e-9)
    calibration, cells = yardstick.calibration(name)
    held = yardstick.held_out
    # Distances that come in pairs say half as much.
    half = 1 if yardstick.independent else 2
    left = yardstick.left_out.found[name]
    compared = min(len(p), len(left.nearest))
    usual = yardstick.usual[name]
    # Images that are one again are flagged together or not at all.
    counted = max(1, round(effective_images(yardstick, name, found)))
    return Seen(
        p=p,
        nearness=usual.nearness(found.distances),
        flagged=flagged,
        near_duplicate=found.distances <= usual.near,
        chance=chance_of_flagged(
            math.floor(flagged.mean() * counted + 1e-9),
            counted,
            yardstick.places / half,
            (yardstick.count + 1) / half - 1,
        ),
        copying=data_copying(found.distances, calibration, found.cells, cells),
        copying_held_out=data_copying(found.distances, held.distances(name)),
        authentic=authentic(found.distances, yardstick.spacing(name, found)),
        authentic_held_out=authentic(
            held.found[name].distances, yardstick.spacing(name, held.found[name])
        )
        if len(held.rows) >= _LEAST_HELD_OUT
        else None,
        nearest=len(np.unique(found.nearest)),
        compared=compared,
        different=different(found.nearest, compared),
        different_new=different(left.nearest, compared),
    )


def sentence(judged: Judged, yardstick: Yardstick, *, of_a_model: bool) -> str:
    """Return the verdict in a plain sentence, and in another what speaks for it or against it."""
    count, flagged = len(judged.p), int(judged.flagged.sum())
    many = "image" if count == 1 else "images"
    kind = f"generated {many}" if of_a_model else many
    farther = f"{1 - yardstick.rate:.1%}".replace(".0%", "%").replace("%", " %")
    text = (
        f"Of {count:,} {kind}, {flagged:,} {'is' if flagged == 1 else 'are'} closer to a training "
        f"photograph than {farther} of new photographs are; about {_number(judged.expected)} would "
        "be expected by chance"
    )
    near = int(judged.near_duplicate.sum())
    if near:
        text += (
            f", and {near:,} {'is a near duplicate' if near == 1 else 'are near duplicates'} of "
            f"{'one' if near == 1 else 'some'}"
        )
    return f"{text}: {judged.verdict}.{_because(judged)}"


def _because(judged: Judged) -> str:
    """Name the evidence that spoke; empty if none did."""
    evidence = judged.evidence
    said = told(evidence)
    if not said:
        return ""
    if judged.verdict == "closer than chance":
        if any(one.speaks and one.kind in ("C_T", "authenticity") for one in evidence):
            return (
                " Together the images lie closer to the training photographs than new photographs "
                f"do, and each to a single one, though none can be named as a copy: {said}."
            )
        return (
            " Each image hangs on a single training photograph as new photographs do not and "
            "changed copies do, though none can be named as a copy, and together they are no "
            f"closer than new ones: {said}."
        )
    if judged.verdict == "no sign of copying":
        return (
            f" {said[0].upper()}{said[1:]}: by itself that is no sign, as it happens to images "
            "that are smooth, typical or little varied."
        )
    return f" The evidence: {said}."


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _farness(together: Mapping[str, Closeness]) -> list[float]:
    """Return how many standard deviations farther than new ones images lie, in each space."""
    tests = [one.c_t for one in together.values()]
    return [0.0 if test is None else test.z / test.spread for test in tests]


def doubts(
    yardstick: Yardstick,
    *,
    names_dataset: bool | None,
    false_alarm: float,
    recall: Mapping[str, Recall],
    together: Mapping[str, Closeness] | None = None,
) -> list[str]:
    """Say what weakens the verdict, in a sentence each."""
    found = []
    if together and all(far > _DISAGREE for far in _farness(together)):
        found.append(
            "The images lie farther from the training photographs than new photographs do, in "
            "every feature space: they do not look like them. A copy among them would have been "
            "changed beyond what is compared."
        )
    for name, seen in recall.items():
        if seen.first < _GOOD_RECALL:
            found.append(
                f"The approximate search found the nearest training photograph of only "
                f"{seen.first:.0%} of {seen.images} images ({name}): copies may have been missed. "
                "--search exact misses none."
            )
    held, left = yardstick.held_out, yardstick.left_out
    if names_dataset is False:
        found.append(
            "The model file names another dataset: if it was not trained on these photographs, "
            "this says nothing about copying."
        )
    if yardstick.kind == "leave-one-out":
        found.append(
            "The dataset holds no photographs out of training. So its training photographs were "
            "compared with each other, each left out in turn. This is weaker: it takes for granted "
            "that a new photograph is like one of them, and nothing here can check that."
        )
    elif yardstick.kind != "held-out":
        found.append(
            f"{len(held.rows)} held-out photographs are too few for so small a rate. So training "
            f"photographs, each left out in turn and compared with the others, were added "
            f"({left.single.sum():,} of them). By themselves these would be weaker: they take for "
            "granted that a new photograph is like one of them."
        )
    for name in yardstick.spaces:
        z = yardstick.disagreement(name)
        if z is not None and abs(z) > _DISAGREE:
            found.append(
                f"Held-out photographs lie {'farther from' if z > 0 else 'nearer to'} training "
                f"photographs than these do to each other ({name}, z = {z:.1f}): they were not "
                "chosen by chance, or are of another kind, which makes them a doubtful yardstick."
            )
    if yardstick.rate > false_alarm * (1 + 1e-9):
        found.append(
            f"{yardstick.count:,} photographs cannot tell so small a rate as {false_alarm:.2%}: "
            f"images are flagged at {yardstick.rate:.2%} instead."
        )
    return found
