"""Has a run gone bad? Judged by the scalars that are looked at anyway, and by nothing else.

What is judged are means over windows of at least a thousand images, so that no single bad minibatch
counts. Three things are told, each far beyond what runs do that learn:

*The loss explodes*, three windows in a row. A critic whose gradients are as long as the penalty
asks cannot give two images scores that lie farther apart than the images do, and no two images in
[-1, 1] lie farther apart than 2·√C·2**L for C channels of 2**L pixels. Scores beyond that mean that
the penalty does not hold the critic any more, or that the generator's images have left all bounds.
So does a penalty above its weight: the gradients' lengths are off by more than the length that is
asked for. So do class terms ten times as large as guessing would make them. R1 and R2 ask for no
length, so that under these no score is too far from another.

*The critic has collapsed*: for five windows and ten thousand images, the gradients are on average
not half as long as asked, or more than twice as long. It teaches nothing any more, or nonsense.

*Steps are skipped*, more than half of them, three windows in a row, since something in them was not
finite. (Twenty in a row are told of by the trainer itself.)

Nine runs that learned well, on photographs and drawn faces of 16, 32 and 64 pixels, with and
without classes, have 694 status lines of 670 thousand images. In these, scores lay at most 0.098 of
the bound apart, the penalty was at most 0.042 of its weight, gradients were 0.89 to 1.14 times as
long as asked, class terms at most 0.6 of what guessing makes, and no step was skipped; but for the
first line of one run, where gradients still were 0.11 times as long and the penalty was 0.79 of its
weight, which is why it takes several windows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from progan.config import Config
from progan.errors import ProganError

# A window has at least so many images.
WINDOW = 1000
# So many bad windows in a row are an explosion.
EXPLODED_WINDOWS = 3
# So many windows in a row, and images, with gradients of another length are a collapse.
COLLAPSED_WINDOWS, COLLAPSED_IMAGES = 5, 10_000
# Lengths of gradients, as parts of what is asked for, between which a critic is at work.
SHORTEST, LONGEST = 0.5, 2.0
# Of the class terms, how many times as large as guessing makes them.
GUESSES = 10.0
# Of the steps, how many may be skipped.
MOST_SKIPPED = 0.5


@dataclass(frozen=True)
class Divergence:
    """What has gone wrong.

    Attributes:
        nimg: images shown when it was recognized.
        since: images shown when nothing was wrong yet.
        why: what is wrong: a sentence without its full stop.
    """

    nimg: int
    since: int
    why: str


class Diverged(ProganError):
    """Training has gone bad.

    Attributes:
        divergence: what has gone wrong.
    """

    def __init__(self, divergence: Divergence) -> None:
        at = divergence.nimg / 1000
        super().__init__(f"training has diverged at {at:.1f} kimg: {divergence.why}")
        self.divergence = divergence


@dataclass
class _Window:
    """Scalars, added up with the images that they are means over as weights."""

    begin: int
    images: int = 0
    skipped: float = 0.0
    steps: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)

    def add(self, images: int, scalars: Mapping[str, float | None]) -> None:
        self.images += images
        for name, value in scalars.items():
            # What was not finite was not applied either, and is counted as skipped.
            if value is not None and math.isfinite(value):
                self.sums[name] = self.sums.get(name, 0.0) + images * value
                self.weights[name] = self.weights.get(name, 0) + images

    def mean(self, name: str) -> float | None:
        return self.sums[name] / self.weights[name] if self.weights.get(name) else None


@dataclass
class _Row:
    """Windows in a row of which the same is wrong."""

    windows: int = 0
    since: int = 0

    def count(self, wrong: bool, begin: int) -> None:
        if not wrong:
            self.windows = 0
            return
        if self.windows == 0:
            self.since = begin
        self.windows += 1


class Detector:
    """Looks at a run's scalars, in the order of the images shown.

    Args:
        config: the run.
        nimg: images shown before the first look.
    """

    def __init__(self, config: Config, nimg: int = 0) -> None:
        self.config = config
        self._nimg = nimg
        self._skipped = 0.0
        self._window = _Window(nimg)
        self._exploding, self._collapsing = _Row(), _Row()

    @property
    def doubtful_since(self) -> int | None:
        """Images shown when nothing was wrong yet, if something may be wrong now; else None."""
        return min(self._doubts(), default=None)

    @property
    def open_since(self) -> int:
        """Images shown when all that is not judged yet began, sound as it may turn out to be."""
        return min([self._window.begin, *self._doubts()])

    def _doubts(self) -> list[int]:
        rows = (self._exploding, self._collapsing)
        return [row.since for row in rows if row.windows]

    def look(self, nimg: int, scalars: Mapping[str, float | None]) -> Divergence | None:
        """Look at means since the last look.

        Args:
            nimg: images shown by now.
            scalars: as a line of log.jsonl has them by name; None or not a number for what was
                not finite.

        Returns:
            What has gone wrong; None as long as nothing has.
        """
        images = nimg - self._nimg
        if images <= 0:
            return None
        self._nimg = nimg
        self._window.add(images, scalars)
        self._count_skipped(images, scalars)
        if self._window.images < WINDOW:
            return None
        window, self._window = self._window, _Window(nimg)
        exploding = self._explosion(window, scalars)
        length = self._length(window)
        self._exploding.count(exploding is not None, window.begin)
        wrong = length is not None and not SHORTEST <= length <= LONGEST
        self._collapsing.count(wrong, window.begin)
        if exploding is not None and self._exploding.windows >= EXPLODED_WINDOWS:
            return Divergence(nimg, self._exploding.since, exploding)
        long = nimg - self._collapsing.since >= COLLAPSED_IMAGES
        if wrong and long and self._collapsing.windows >= COLLAPSED_WINDOWS:
            assert length is not None
            return Divergence(
                nimg,
                self._collapsing.since,
                f"the critic has collapsed: its gradients are {length:.3g} times as long as asked "
                f"for, since {self._collapsing.since / 1000:.1f} kimg",
            )
        return None

    def _count_skipped(self, images: int, scalars: Mapping[str, float | None]) -> None:
        skipped = scalars.get("progress/skipped_steps") or 0.0
        minibatch = scalars.get("progress/minibatch") or 1.0
        # A run that goes on counts from the beginning again.
        more = skipped - self._skipped if skipped >= self._skipped else skipped
        self._skipped = skipped
        self._window.skipped += more
        self._window.steps += images / minibatch

    def _explosion(self, window: _Window, scalars: Mapping[str, float | None]) -> str | None:
        """Say what of a window is beyond all bounds; None where nothing is."""
        config = self.config
        if window.skipped > MOST_SKIPPED * window.steps:
            return f"{window.skipped:.0f} of {window.steps:.0f} steps had to be skipped"
        level = scalars.get("progress/level")
        real, fake = window.mean("scores/real"), window.mean("scores/fake")
        bounded = config.objective == "wasserstein" and config.penalty_weight > 0
        if bounded and level is not None and real is not None and fake is not None:
            bound = config.penalty_target * 2 * math.sqrt(config.num_channels) * 2.0**level
            if abs(real - fake) > bound:
                return (
                    f"the critic's scores of real and generated images lie {abs(real - fake):.3g} "
                    f"apart, and {bound:.3g} is as far as its penalty should let them"
                )
        penalty = window.mean("loss/gradient_penalty")
        weight = config.penalty_weight * config.penalty_interval
        if penalty is not None and 0 < weight < penalty:
            return (
                f"the gradient penalty is {penalty:.3g}: the critic's gradients are off by more "
                "than the length that is asked for"
            )
        guessing = config.label_weight * max(1.0, math.log(max(1, config.label_size)))
        for side in ("reals", "fakes"):
            term = window.mean(f"loss/class_of_{side}")
            if term is not None and term > GUESSES * guessing:
                made = f"and guessing would make it {guessing:.3g}"
                return f"the class term of {side} is {term:.3g}, {made}"
        return None

    def _length(self, window: _Window) -> float | None:
        """Give the length of the critic's gradients, as a part of what is asked for."""
        # Where nothing asks for a length, any is right.
        if self.config.penalty_weight == 0 or window.mean("loss/gradient_penalty") is None:
            return None
        length = window.mean("scores/gradient_norm")
        return None if length is None else length / self.config.penalty_target
