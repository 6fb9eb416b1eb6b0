"""Time to the end of a run: what levels were estimated at, and what they have taken since.

A tick of a few seconds tells little: it may hold a sample grid, a checkpoint, or another program's
work. So each level's rate is an average over minutes, what is done between rounds is spread over
all images, and levels to come are corrected by what past ones took beyond their estimate.
"""

from collections.abc import Mapping

from progan.config import Config
from progan.estimate import seconds_left

# Seconds after which what a level took counts half.
_HALF_LIFE = 300.0
# An estimate counts as much as so many seconds of training.
_WEIGHT_OF_ESTIMATE = 20.0
# A round this many times as long as expected (and some seconds) was a pause of the machine's.
_LONGEST, _LONGEST_SECONDS = 5.0, 10.0
# Half of the run, after which what was done between rounds counts half.
_PARTS = 2


class TimeLeft:
    """Estimates the time to the end of a run, without a clock of its own.

    Args:
        config: the run.
        estimated: seconds that training takes for an image, by level, above zero.
    """

    def __init__(self, config: Config, estimated: Mapping[int, float]) -> None:
        self._config = config
        self._estimated = dict(estimated)
        # Seconds and images of each level, the older ones counting less.
        self._seconds = dict.fromkeys(estimated, 0.0)
        self._images = dict.fromkeys(estimated, 0.0)
        self._between = 0.0
        self._since = 0.0

    def note(self, level: int, images: int, seconds: float, between: float) -> None:
        """Take in a round.

        Args:
            level: at which it trained.
            images: shown in it, above zero.
            seconds: that it took.
            between: seconds that went into watching and saving since the round before.
        """
        most = _LONGEST * images * self.per_image(level) + _LONGEST_SECONDS
        seconds = min(seconds, most)
        faded = 0.5 ** (seconds / _HALF_LIFE)
        self._seconds[level] = faded * self._seconds[level] + seconds
        self._images[level] = faded * self._images[level] + images
        faded = 0.5 ** (_PARTS * images / self._config.nimg)
        self._between = faded * self._between + between
        self._since = faded * self._since + images

    def per_image(self, level: int) -> float:
        """Return the seconds that training at a level takes for an image."""
        expected = self._estimated[level] * self._correction()
        seconds = self._seconds[level] + _WEIGHT_OF_ESTIMATE
        return seconds / (self._images[level] + _WEIGHT_OF_ESTIMATE / expected)

    def seconds(self, nimg: int) -> float:
        """Return the seconds from `nimg` images shown to the end of the run."""
        levels = {level: self.per_image(level) for level in self._estimated}
        between = self._between / self._since if self._since else 0.0
        images = max(0, self._config.nimg - nimg)
        return seconds_left(self._config, nimg, levels) + images * between

    def _correction(self) -> float:
        """Return how many times as long as estimated the levels took that were trained."""
        expected = sum(self._images[level] * self._estimated[level] for level in self._images)
        taken = sum(self._seconds.values())
        return (taken + _WEIGHT_OF_ESTIMATE) / (expected + _WEIGHT_OF_ESTIMATE)
