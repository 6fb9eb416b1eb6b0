"""REALS against FAKES: one pass over each side feeds every metric that is wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError
from tools import feature_cache
from tools.detectors import Detector
from tools.images import Batch, Images
from tools.metrics import inputs, registry
from tools.metrics.measurement import Measurement, Results, SideName
from tools.metrics.swd import divisible, has_levels
from tools.mirroring import Mirrored

# More reals than this are not measured unless asked for: what published FIDs use at most.
MOST_IMAGES = 50_000


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was measured, and all that makes it comparable.

    Attributes:
        fakes: the metrics of fakes against reals.
        baseline: the same between two halves of the reals: the best that any generator can reach
            with half as many images; None where there are too few.
        images: used on each side.
        skipped: pictures of either side that could not be read.
        conditions: resolution, seed, whether reals were mirrored, sides, detector; JSON values.
    """

    fakes: Results
    baseline: Results | None
    images: int
    skipped: int
    conditions: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        baseline = None
        if self.baseline is not None:
            baseline = {
                "metrics": self.baseline.values,
                "uncertainties": self.baseline.uncertainties,
                "images": self.images // 2,
            }
        return {
            "metrics": self.fakes.values,
            "uncertainties": self.fakes.uncertainties,
            "parameters": self.fakes.parameters,
            "baseline": baseline,
            "images": self.images,
            "skipped": self.skipped,
            **self.conditions,
        }


def common_count(reals: Images, wanted: int | None) -> int:
    """Say how many images of each side to measure: all reals, at most `wanted`."""
    return min(reals.count, wanted or MOST_IMAGES)


def matched(reals: Images, fakes: Images) -> tuple[Images, Images]:
    """Take both sides at one size, where one of them holds its images at the other's size.

    A dataset holds all its levels. Nothing is resized: what differs still is left as it is.
    """
    if reals.holds(fakes.resolution):
        return reals.at(fakes.resolution), fakes
    if fakes.holds(reals.resolution):
        return reals, fakes.at(reals.resolution)
    return reals, fakes


def measurable(
    names: Sequence[str], resolution: int, channels: int, detector: Detector | None
) -> list[str]:
    """Choose the metrics that can measure images of this size.

    Args:
        names: metrics, of `registry.METRICS`.
        resolution: height and width in pixels.
        channels: 3 or 1.
        detector: sees the features, for metrics that look at those.
    """
    seen = detector is not None
    if detector is not None and registry.need_features(names):
        try:
            detector.check(resolution, channels)
        except DatasetError:
            seen = False
    return [
        name
        for name in names
        if (seen or registry.METRICS[name].looks_at == "images")
        and (name != "swd" or has_levels(resolution))
    ]


def refuse(reals: Images, fakes: Images, names: Sequence[str], count: int) -> None:
    """Raise DatasetError if these images cannot be compared, as far as is known without reading.

    Args:
        reals: real images.
        fakes: generated images.
        names: metrics, of `registry.METRICS`.
        count: images of each side.
    """
    _refuse_differences(reals, fakes)
    for metric in registry.chosen(names):
        counts = min(reals.count, count), min(fakes.count, count)
        inputs.at_least(metric.least_images, *counts, f"Measuring {metric.name}")
    if "swd" in names:
        divisible((reals.channels, reals.resolution, reals.resolution))


def measure(
    reals: Images,
    fakes: Images,
    *,
    names: Sequence[str],
    count: int,
    seed: int = 0,
    detector: Detector | None = None,
    mirror: bool = False,
    baseline: bool = True,
    advance: Callable[[int], None] = lambda _: None,
) -> Report:
    """Measure fakes against reals.

    Args:
        reals: real images.
        fakes: generated images, of the same size.
        names: metrics, of `registry.METRICS`.
        count: images of each side.
        seed: of all draws that the metrics make.
        detector: sees the features, for metrics that look at those.
        mirror: whether to flip each real image left to right with probability ½, as training with
            mirroring does; in the halves as well.
        baseline: whether to measure the two halves of the reals as well.
        advance: told of images that are done; there are 2 · count.

    Raises:
        DatasetError: sizes differ, there are too few images, or the detector fails.
    """
    refuse(reals, fakes, names, count)
    seen = _wanted(names, detector)
    if seen is not None:
        seen.check(reals.resolution, reals.channels)
    if mirror:
        reals = Mirrored(reals, seed)
    read = 0
    chosen = reals.sample(count, seed)
    first_half = _first_half(reals, chosen, seed)
    with Measurement(names, seed=seed) as main, Measurement(names, seed=seed) as halves:
        known = _Known(reals, seen, count)
        for batch in reals.batches(chosen):
            features = known.features(batch)
            main.add("reals", _channels_first(batch.pixels), features)
            if baseline:
                _add_halves(halves, batch, features, first_half[batch.numbers])
            read += len(batch.numbers)
            advance(len(batch.numbers))
        known.keep()
        for batch in fakes.batches(fakes.sample(count, seed)):
            features = None if seen is None else seen.features(batch.pixels)
            main.add("fakes", _channels_first(batch.pixels), features)
            read += len(batch.numbers)
            advance(len(batch.numbers))
        return Report(
            fakes=main.results(),
            baseline=halves.results() if baseline and count >= 2 * main.least_images else None,
            images=count,
            skipped=2 * count - read,
            conditions=_conditions(reals, fakes, seed, seen) | {"mirrored": mirror},
        )


def _wanted(names: Sequence[str], detector: Detector | None) -> Detector | None:
    """Return the detector if some of the metrics look at features; DatasetError without one."""
    if not registry.need_features(names):
        return None
    if detector is None:
        raise DatasetError(
            f"{', '.join(names)}: features are needed, so give --detector inception, critic:RUN or "
            "a TorchScript file."
        )
    return detector


def photographs(
    reals: Images,
    *,
    names: Sequence[str],
    count: int,
    seed: int = 0,
    detector: Detector | None = None,
    mirror: bool = False,
) -> Results | None:
    """Measure two halves of real images against each other, as the baseline of `measure` is.

    Args:
        reals: real images.
        names: metrics, of `registry.METRICS`.
        count: images of both halves together.
        seed: of all draws that the metrics make.
        detector: sees the features, for metrics that look at those.
        mirror: whether to flip each image left to right with probability ½.

    Returns:
        The metrics of one half against the other; None where there are too few images.
    """
    if mirror:
        reals = Mirrored(reals, seed)
    chosen = reals.sample(count, seed)
    first_half = _first_half(reals, chosen, seed)
    with Measurement(names, seed=seed) as halves:
        if count < 2 * halves.least_images:
            return None
        known = _Known(reals, _wanted(names, detector), count)
        for batch in reals.batches(chosen):
            _add_halves(halves, batch, known.features(batch), first_half[batch.numbers])
        known.keep()
        return halves.results()


def _first_half(reals: Images, chosen: Sequence[int], seed: int) -> NDArray[np.bool_]:
    """Draw which of the chosen images are the first half, bool [reals.count]."""
    count = len(chosen)
    found = np.zeros(reals.count, np.bool_)
    found[np.random.default_rng([seed, count]).permutation(chosen)[: count // 2]] = True
    return found


def _refuse_differences(reals: Images, fakes: Images) -> None:
    if reals.resolution != fakes.resolution:
        raise DatasetError(
            f"{reals.name} has {reals.resolution}×{reals.resolution} pixels and {fakes.name} "
            f"{fakes.resolution}×{fakes.resolution}: give --resize "
            f"{min(reals.resolution, fakes.resolution)}."
        )
    if reals.channels != fakes.channels:
        raise DatasetError(
            f"{reals.name} has {reals.channels} channels and {fakes.name} {fakes.channels}: they "
            "cannot be compared."
        )


def _channels_first(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.moveaxis(pixels, 3, 1))


def _add_halves(
    halves: Measurement,
    batch: Batch,
    features: NDArray[np.float32] | None,
    first: NDArray[np.bool_],
) -> None:
    sides: tuple[tuple[SideName, NDArray[np.bool_]], ...] = (("reals", first), ("fakes", ~first))
    for side, which in sides:
        if which.any():
            some = None if features is None else features[which]
            halves.add(side, _channels_first(batch.pixels[which]), some)


def _conditions(
    reals: Images, fakes: Images, seed: int, detector: Detector | None
) -> dict[str, Any]:
    described = {
        side: {"name": images.name, "kind": images.kind, **images.details}
        for side, images in (("reals", reals), ("fakes", fakes))
    }
    seen = None if detector is None else {"name": detector.name, "sha256": detector.sha256}
    return {"resolution": reals.resolution, "seed": seed, "detector": seen, **described}


class _Known:
    """Features of the reals, from the cache where they are there."""

    def __init__(self, reals: Images, detector: Detector | None, count: int) -> None:
        self._detector = detector
        self._path = None
        self._found = None
        self._made: list[NDArray[np.float32]] = []
        if detector is not None and "fingerprint" in reals.details:
            parts = (reals.details, reals.resolution, reals.channels, count, detector.sha256)
            self._path = feature_cache.entry(parts)
            self._found = feature_cache.read(self._path, count)

    def features(self, batch: Batch) -> NDArray[np.float32] | None:
        if self._detector is None:
            return None
        if self._found is not None:
            return self._found[batch.numbers]
        self._made.append(self._detector.features(batch.pixels))
        return self._made[-1]

    def keep(self) -> None:
        """Put what was made into the cache."""
        if self._path is not None and self._found is None and self._made:
            feature_cache.write(self._path, np.concatenate(self._made))
