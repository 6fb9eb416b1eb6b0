"""Growth: where training stands after so many images, as a pure function (PAPER: section 2, A.1).

A level is faded in and then held; the first one is only held. Nothing here remembers anything, so
a run can be continued, or looked at, at any position.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

FIRST_LEVEL = 2
LAST_LEVEL = 10


def level_of(resolution: int) -> int:
    """Give the level L of images of 2**L pixels.

    Raises:
        ValueError: the resolution is not a power of two from 4 to 1024.
    """
    level = resolution.bit_length() - 1
    if not FIRST_LEVEL <= level <= LAST_LEVEL or resolution != 2**level:
        raise ValueError(f"resolution must be a power of two from 4 to 1024, not {resolution}")
    return level


@dataclass(frozen=True)
class ByResolution:
    """A number with exceptions at some resolutions, written `16,256:14,512:6`.

    Attributes:
        base: the number at every resolution that is not named.
        at: resolution in pixels -> the number there.
    """

    base: float
    at: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `BASE[,RESOLUTION:VALUE…]`.

        Raises:
            ValueError: the text is not of that form.
        """
        first, *rest = text.split(",")
        try:
            at: dict[int, float] = {}
            for part in rest:
                resolution, value = part.split(":")
                at[int(resolution)] = float(value)
            parsed = cls(float(first), at)
        except ValueError:
            raise ValueError(
                f"{text!r} is not a number with exceptions by resolution, such as 16,256:14,512:6"
            ) from None
        wrong = [
            r for r in at if r not in {2**level for level in range(FIRST_LEVEL, LAST_LEVEL + 1)}
        ]
        if wrong:
            raise ValueError(
                f"{text!r} names the resolution {wrong[0]}, which is not a power of two from 4 "
                "to 1024"
            )
        return parsed

    def __getitem__(self, level: int) -> float:
        """Give the number at a level."""
        return self.at.get(2**level, self.base)

    def __str__(self) -> str:
        """Write the form that `parse` reads."""
        return ",".join([f"{self.base:g}", *(f"{r}:{value:g}" for r, value in self.at.items())])

    def values(self) -> list[float]:
        """List all the numbers."""
        return [self.base, *self.at.values()]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where training stands.

    Attributes:
        level: images of 2**level pixels.
        fade: weight in [0, 1] of that level; 1 once it is held.
        fading: whether the level is being faded in.
        minibatch: images a step, over all processes.
        learning_rate: Adam's.
    """

    level: int
    fade: float
    fading: bool
    minibatch: int
    learning_rate: float

    @property
    def phase(self) -> tuple[int, bool]:
        """What Adam's moments belong to: they are reset when this changes."""
        return self.level, self.fading


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training at one level, faded in or held.

    Attributes:
        level: images of 2**level pixels.
        fading: whether the level is being faded in.
        start: images shown before.
        end: images shown after; None for the last phase, which has no end of its own.
    """

    level: int
    fading: bool
    start: int
    end: int | None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The course of growth.

    Attributes:
        top_level: the last level.
        fade_kimg: thousand images over which a level is faded in.
        hold_kimg: thousand images for which a level is held then; the top level is held for ever.
        minibatch: images a step, over all processes.
        learning_rate: Adam's.
    """

    top_level: int
    fade_kimg: ByResolution
    hold_kimg: ByResolution
    minibatch: ByResolution
    learning_rate: ByResolution

    def phases(self) -> Iterator[Phase]:
        """Go through the phases in their order; those without any image are left out."""
        start = 0
        for level in range(FIRST_LEVEL, self.top_level + 1):
            faded = start
            if level > FIRST_LEVEL:
                faded += round(1000 * self.fade_kimg[level])
            if faded > start:
                yield Phase(level=level, fading=True, start=start, end=faded)
            held = faded + round(1000 * self.hold_kimg[level])
            if level == self.top_level:
                yield Phase(level=level, fading=False, start=faded, end=None)
            elif held > faded:
                yield Phase(level=level, fading=False, start=faded, end=held)
            start = held

    def at(self, nimg: int) -> Stage:
        """Give the stage after `nimg` real images have been shown."""
        phase = next(p for p in self.phases() if p.end is None or nimg < p.end)
        fade = 1.0
        if phase.fading and phase.end is not None:
            fade = (nimg - phase.start) / (phase.end - phase.start)
        return Stage(
            level=phase.level,
            fade=fade,
            fading=phase.fading,
            minibatch=int(self.minibatch[phase.level]),
            learning_rate=self.learning_rate[phase.level],
        )

    def position(self, level: int, fade: float) -> int:
        """Give the number of images after which a level is faded in so far: what `at` undoes.

        Args:
            level: one of the course.
            fade: in [0, 1]; 1 is the beginning of the stretch for which the level is held.

        Raises:
            ValueError: the course has no such stretch.
        """
        for phase in self.phases():
            if phase.level != level or phase.fading != (fade < 1):
                continue
            if not phase.fading or phase.end is None:
                return phase.start
            length = phase.end - phase.start
            return phase.start + min(round(fade * length), length - 1)
        what = "fades in" if fade < 1 else "holds"
        raise ValueError(f"the course of growth never {what} level {level}")
