"""Whether what `--metric` asks for can be measured: seen before a run's first step."""

from collections.abc import Sequence

import torch

from datasets import door
from datasets.errors import DatasetError
from datasets.pyramid import Dataset
from progan.config import Config
from tools.detectors import CriticDetector, Detector, open_detector
from tools.images import DatasetImages
from tools.metrics.laplacian import COARSEST
from tools.metrics.registry import METRICS

# Enough for a detector to say that it cannot.
_TRIED = 2


def measurable(names: Sequence[str], size: int, count: int, detector: Detector | None) -> list[str]:
    """List those metrics that can be measured.

    Args:
        names: of `registry.METRICS`.
        size: of the images, in pixels.
        count: of the images, on each side.
        detector: sees the features; None where no metric looks at any.
    """
    least = detector.side if isinstance(detector, CriticDetector) else 0
    return [
        name
        for name in names
        if count >= METRICS[name].least_images
        and not (name == "swd" and size < COARSEST)
        and not (METRICS[name].looks_at == "features" and size < least)
    ]


def detector_that_works(
    names: Sequence[str],
    text: str | None,
    config: Config,
    data: Dataset,
    *,
    images: int,
    device: torch.device,
    trust: bool,
) -> Detector | None:
    """Open the detector of a run's metrics, and try it; None where no metric needs one.

    Args:
        names: metrics that will be measured as the run goes on.
        text: what `--detector` means.
        config: the run.
        data: its dataset.
        images: to be measured of each side.
        device: where the detector computes.
        trust: open a file whoever it is from.

    Raises:
        DatasetError: a metric can never be measured in this run, or the detector does not work.
    """
    if not names:
        return None
    _refuse_too_little(names, config, data, images)
    if text is None:
        return None
    detector = open_detector(text, device, trust=trust)
    sample = DatasetImages(str(data.path), data, "train", config.resolution)
    detector.features(sample.read(range(_TRIED)).pixels)
    return detector


def _refuse_too_little(names: Sequence[str], config: Config, data: Dataset, images: int) -> None:
    """Refuse metrics for which a run has too few images or pixels; warn of too few held out."""
    if "swd" in names and config.resolution < COARSEST:
        raise DatasetError(
            f"--metric swd needs images of {COARSEST} pixels, and this run grows to "
            f"{config.resolution}: leave it away, or take ms-ssim"
        )
    training, held = (len(data.rows(split)) for split in ("train", "held-out"))
    for name in names:
        least = METRICS[name].least_images
        if images < least:
            raise DatasetError(f"--metric {name} needs --metric-images {least} or more")
        if training < least:
            raise DatasetError(
                f"--metric {name} needs {least} training images, and {data.path} has {training}"
            )
        if 0 < held < least:
            door.warn(
                f"--metric {name} needs {least} images, and {data.path} has {held} held out: it "
                "is measured against training images alone"
            )
