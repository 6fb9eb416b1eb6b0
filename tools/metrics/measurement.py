"""All metrics that are wanted, from one pass over each side."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tools.metrics import draws, inputs, kid, ms_ssim, registry
from tools.metrics.descriptors import PATCHES
from tools.metrics.estimate import Estimate
from tools.metrics.fid import fid
from tools.metrics.manifold import NEIGHBOURS, manifold
from tools.metrics.swd import DIRECTIONS, SlicedWasserstein

if TYPE_CHECKING:
    from tools.metrics.inputs import Array

SideName: TypeAlias = Literal["reals", "fakes"]


@dataclass(frozen=True, kw_only=True)
class Results:
    """What was measured. All three are JSON values, and have the metrics' names as keys.

    Attributes:
        values: a number each; of swd, a number for each level and "mean".
        uncertainties: of the same shape: one standard error, for kid the standard deviation over
            subsets; None where there are too few images to tell.
        parameters: what else makes figures comparable: how many images were used, and numbers of
            pairs, subsets, directions, features and neighbours.
    """

    values: dict[str, Any]
    uncertainties: dict[str, Any]
    parameters: dict[str, dict[str, int]]


class Measurement:
    """Measures two sets of images that come in parts.

    Patches beyond 1 GiB go to temporary files; features, 4 bytes a number, stay in memory. Results
    do not depend on how the images were divided into parts. To be used in a `with` block.

    Attributes:
        least_images: how many each side must have for there to be results.
    """

    def __init__(self, names: Iterable[str], *, seed: int = 0) -> None:
        """Start without images.

        Args:
            names: metrics, of `registry.METRICS`.
            seed: of all draws, 0 to 2**64 - 1.

        Raises:
            DatasetError: there is no such metric, or the seed is out of range.
        """
        self._metrics = registry.chosen(names)
        self._seed = draws.checked(seed)
        self.least_images = max(metric.least_images for metric in self._metrics)
        wanted = {metric.name for metric in self._metrics}
        self._wants_features = registry.need_features(wanted)
        self._patches = SlicedWasserstein(seed=seed) if "swd" in wanted else None
        self._variation = ms_ssim.Variation(seed=seed) if "ms-ssim" in wanted else None
        self._features: dict[SideName, list[NDArray[np.float32]]] = {"reals": [], "fakes": []}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything and delete temporary files."""
        if self._patches is not None:
            self._patches.close()
        self._variation = None
        self._features = {"reals": [], "fakes": []}

    def add(self, side: SideName, images: "Array | None", features: "Array | None" = None) -> None:
        """Take up images, with their features if any wanted metric looks at those.

        Args:
            side: whose images they are.
            images: uint8 [n, C, H, W], 0 … 255; may be None if only features matter.
            features: real numbers [n, D].

        Raises:
            DatasetError: their size, or their features' length, differs from those before, or the
                metrics cannot take images of this size.
            ValueError: what a wanted metric looks at is missing.
        """
        if self._patches is not None:
            add = self._patches.add_reals if side == "reals" else self._patches.add_fakes
            add(_given(images, "images"))
        if self._variation is not None and side == "fakes":
            self._variation.add(_given(images, "images"))
        if self._wants_features:
            before = self._features["reals"] or self._features["fakes"]
            length = before[0].shape[1] if before else None
            found = inputs.as_features(_given(features, "features"), length)
            if images is not None and len(images) != len(found):
                raise ValueError(f"{len(images)} images have the features of {len(found)}")
            # A copy: the array may be another's memory, and be filled anew.
            self._features[side].append(found.copy())

    def results(self) -> Results:
        """Measure.

        Raises:
            DatasetError: a side has fewer than `least_images`.
        """
        estimates: dict[str, Estimate | dict[str, Estimate]] = {}
        parameters: dict[str, dict[str, int]] = {}
        if self._patches is not None:
            estimates["swd"] = self._patches.result()
            images = self._patches.images
            parameters["swd"] = {"images": images, "patches": PATCHES, "directions": DIRECTIONS}
        if self._variation is not None:
            estimates["ms-ssim"] = self._variation.result()
            parameters["ms-ssim"] = {"pairs": self._variation.pairs}
        if self._wants_features:
            self._measure_features(estimates, parameters)
        named = {metric.name: estimates[metric.name] for metric in self._metrics}
        return Results(
            values=_each(named, "value"),
            uncertainties=_each(named, "uncertainty"),
            parameters={name: parameters[name] for name in named},
        )

    def _measure_features(
        self,
        estimates: dict[str, Estimate | dict[str, Estimate]],
        parameters: dict[str, dict[str, int]],
    ) -> None:
        """Add the metrics of features and their parameters."""
        wanted = [metric.name for metric in self._metrics if metric.looks_at == "features"]
        counts = {side: sum(map(len, parts)) for side, parts in self._features.items()}
        least = max(registry.METRICS[name].least_images for name in wanted)
        inputs.at_least(least, counts["reals"], counts["fakes"], f"Measuring {', '.join(wanted)}")
        reals, fakes = (np.concatenate(parts) for parts in self._features.values())
        common = counts | {"features": reals.shape[1]}
        if "fid" in wanted:
            estimates["fid"] = fid(reals, fakes)
            parameters["fid"] = common
        if "kid" in wanted:
            estimates["kid"] = kid.kid(reals, fakes, seed=self._seed)
            size = kid.images_in_subset(len(reals), len(fakes))
            parameters["kid"] = common | {"subsets": kid.SUBSETS, "images in a subset": size}
        if names := [name for name in wanted if name in NEIGHBOURS]:
            estimates |= manifold(reals, fakes, names=names)
            parameters |= {name: common | {"neighbours": NEIGHBOURS[name]} for name in names}


def _given(what: "Array | None", name: str) -> "Array":
    if what is None:
        raise ValueError(f"a wanted metric looks at {name}, and there are none")
    return what


def _each(
    estimates: Mapping[str, Estimate | dict[str, Estimate]], attribute: str
) -> dict[str, Any]:
    """Take one attribute of all estimates, keeping their shape."""
    return {
        name: _each(found, attribute) if isinstance(found, dict) else getattr(found, attribute)
        for name, found in estimates.items()
    }
