"""The names of the metrics, and what each needs: all that a command line must know of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from datasets.errors import DatasetError

# This module imports no NumPy, so that `--help` can list the metrics at once.


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric that can be asked for.

    Attributes:
        name: as users write it.
        looks_at: "images", or "features" of a detector.
        least_images: on each side, for there to be a figure.
        better: whether a lower or a higher value is better; or "as reals" where a generator is best
            whose value is the reals' own, since either side of it is a fault.
        summary: what it tells, in a few words.
    """

    name: str
    looks_at: Literal["images", "features"]
    least_images: int
    better: Literal["lower", "higher", "as reals"]
    summary: str

    @property
    def words(self) -> str:
        """What is better, as one says it in a table or beside an axis."""
        return "as the photographs'" if self.better == "as reals" else self.better

    @property
    def sign(self) -> str:
        """The same as one sign: ↓, ↑, or ≈ for as near to the photographs' as may be."""
        return {"lower": "↓", "higher": "↑", "as reals": "≈"}[self.better]


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            name="swd",
            looks_at="images",
            least_images=1,
            better="lower",
            summary="sliced Wasserstein distance of patches at each scale, ×1000",
        ),
        Metric(
            name="ms-ssim",
            looks_at="images",
            least_images=2,
            better="as reals",
            summary="similarity of pairs of fakes: lower is more varied, noise the most",
        ),
        Metric(
            name="fid",
            looks_at="features",
            least_images=2,
            better="lower",
            summary="Fréchet distance of Gaussians fitted to features",
        ),
        Metric(
            name="kid",
            looks_at="features",
            least_images=2,
            better="lower",
            summary="kernel distance of features, without bias",
        ),
        Metric(
            name="precision",
            looks_at="features",
            least_images=4,
            better="higher",
            summary="share of fakes that lie among the reals",
        ),
        Metric(
            name="recall",
            looks_at="features",
            least_images=4,
            better="higher",
            summary="share of reals that lie among the fakes",
        ),
        Metric(
            name="density",
            looks_at="features",
            least_images=6,
            better="as reals",
            summary="how thickly reals surround the fakes",
        ),
        Metric(
            name="coverage",
            looks_at="features",
            least_images=6,
            better="higher",
            summary="share of reals with a fake nearby",
        ),
    )
}


def chosen(names: Iterable[str]) -> tuple[Metric, ...]:
    """Look up metrics by name.

    Args:
        names: keys of `METRICS`; what is named twice counts once.

    Returns:
        The metrics, in the order in which they were named.

    Raises:
        DatasetError: there is no such metric, or none was named.
    """
    wanted = tuple(dict.fromkeys(names))
    if not wanted:
        raise DatasetError(f"No metric was named; choose from {', '.join(METRICS)}.")
    for name in wanted:
        if name not in METRICS:
            raise DatasetError(f"There is no metric {name!r}; choose from {', '.join(METRICS)}.")
    return tuple(METRICS[name] for name in wanted)


def need_features(names: Iterable[str]) -> bool:
    """Say whether any of these metrics looks at features, so that a detector is needed."""
    return any(metric.looks_at == "features" for metric in chosen(names))
