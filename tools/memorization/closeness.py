"""Do images, taken together, lie closer to the training photographs than new photographs do?

Copies that were changed may each be as far from their originals as a new photograph is from its
nearest. Together they still differ from new photographs: each of them is closer to one training
photograph than to the next. Most often they are closer altogether, too (the data-copying test, and
authenticity); but so are images that are smooth, typical or little varied, which lie near to many
photographs alike. So the first decides, and the others say more about it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.memorization.finding import Found
from tools.memorization.statistics import (
    DataCopying,
    coincidence,
    effective,
    lower_tail,
    mann_whitney,
)
from tools.memorization.yardstick import Sample, Yardstick

Numbers = NDArray[np.float64]

# Fewer images or photographs than this say nothing together.
_LEAST = 20
# Held-out photographs are few. They need not show anything by themselves, but must not deny what
# they show together with those that were left out: of new images, 5 % get past them.
_HELD_OUT_AGREE = 0.05
# Ways to be closer, of which each has its part of the chance.
_WAYS = 2


@dataclass(frozen=True, kw_only=True)
class Closeness:
    """What one space says of all images together.

    Every chance is that of new images, 1 where there are too few images or photographs to tell.

    Attributes:
        effective: as how many independent images they count.
        c_t: the three-sample test against the calibration.
        c_t_held_out: the same against held-out photographs alone.
        c_t_chance: of so low a C_T.
        authentic: share of images farther from their nearest photograph than its own nearest.
        authentic_new: the same of photographs.
        authentic_chance: of so few authentic images.
        single: z-score of how near the nearest photograph is, in parts of the distance to the
            next; about standard normal for new images, far below zero where each image is near to
            one photograph alone.
        single_held_out: the same against held-out photographs alone.
        single_chance: of so low a z-score; 1 where held-out photographs alone deny it.
    """

    effective: float
    c_t: DataCopying | None
    c_t_held_out: DataCopying | None
    c_t_chance: float
    authentic: float | None
    authentic_new: float | None
    authentic_chance: float
    single: float | None
    single_held_out: float | None
    single_chance: float

    @property
    def closer_chance(self) -> float:
        """The chance that new images are so much closer, in either way."""
        return min(1.0, _WAYS * min(self.c_t_chance, self.authentic_chance))


def effective_images(yardstick: Yardstick, space: str, found: Found) -> float:
    """Compute as how many independent images they count in a space.

    Images that are one again have the same nearest photograph. New photographs sometimes have, too,
    so what counts is how much more often two images do.
    """
    left = yardstick.left_out
    usual = coincidence(left.found[space].nearest[left.single])
    return effective(len(found.nearest), coincidence(found.nearest) - usual)


def closeness(
    yardstick: Yardstick,
    space: str,
    found: Found,
    *,
    copying: DataCopying | None,
    copying_held_out: DataCopying | None,
) -> Closeness:
    """Compare images with new photographs in one space.

    Args:
        yardstick: made of the dataset.
        space: its name.
        found: the images' neighbours in it.
        copying: their test against the calibration; None for too few images.
        copying_held_out: their test against held-out photographs alone.
    """
    held, left = yardstick.held_out, yardstick.left_out
    samples = [held] if yardstick.independent else [held, left]
    # Distances that come in pairs say half as much.
    half = 1 if yardstick.independent else 2
    images, counted = len(found.nearest), effective_images(yardstick, space, found)

    def chance(z: float | None, photographs: int, worth: int) -> float:
        if z is None:
            return 1.0
        spread = (1 / counted + worth / photographs) / (1 / images + 1 / photographs)
        return lower_tail(z / math.sqrt(spread))

    ours = _authentic(yardstick, space, found)
    theirs = np.concatenate([_authentic_of(yardstick, space, sample) for sample in samples])
    leads = yardstick.leads(space, found)
    usual = np.concatenate([yardstick.leads(space, s.found[space])[s.single] for s in samples])
    single = _test(leads, usual)
    alone = _test(leads, yardstick.leads(space, held.found[space])[held.single])
    denied = alone is not None and chance(alone, int(held.single.sum()), 1) >= _HELD_OUT_AGREE
    return Closeness(
        effective=counted,
        c_t=copying,
        c_t_held_out=copying_held_out,
        c_t_chance=chance(
            None if copying is None else copying.z / copying.spread, yardstick.count, half
        ),
        authentic=_share(ours),
        authentic_new=_share(theirs),
        authentic_chance=chance(_test(ours, theirs), len(theirs), half),
        single=single,
        single_held_out=alone,
        single_chance=1.0 if denied else chance(single, len(usual), half),
    )


def _authentic(
    yardstick: Yardstick, space: str, found: Found, own: NDArray[np.int64] | None = None
) -> Numbers:
    """Return 1 for authentic images, 0 for others, and NaN where it is not known, [N]."""
    spacing = yardstick.spacing(space, found, own=own)
    return np.where(np.isnan(spacing), np.nan, found.distances > spacing)


def _authentic_of(yardstick: Yardstick, space: str, sample: Sample) -> Numbers:
    """Return the same for photographs that have no duplicate."""
    # To itself, a photograph that was left out is no neighbour of its neighbour.
    own = sample.numbers if sample is yardstick.left_out else None
    return _authentic(yardstick, space, sample.found[space], own)[sample.single]


def _share(values: Numbers) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _test(ours: Numbers, theirs: Numbers) -> float | None:
    """Compute the Mann-Whitney z-score of what is known; None for too few numbers."""
    first, second = (values[~np.isnan(values)] for values in (ours, theirs))
    return None if min(len(first), len(second)) < _LEAST else mann_whitney(first, second)
