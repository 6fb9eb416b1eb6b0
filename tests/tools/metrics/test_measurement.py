import json
import subprocess
import sys
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from datasets.errors import DatasetError
from tests.tools.metrics.making import Images, parts_of, varied_images
from tools.metrics import registry
from tools.metrics.fid import fid
from tools.metrics.kid import kid
from tools.metrics.manifold import NEIGHBOURS, manifold
from tools.metrics.measurement import Measurement, Results, SideName
from tools.metrics.ms_ssim import Variation
from tools.metrics.swd import swd

COUNT = 12


def features_of(images: Images) -> NDArray[np.float32]:
    """See eight numbers in an image: means of blocks."""
    means: NDArray[np.float64] = images.reshape(len(images), 8, -1).mean(axis=2)
    return means.astype(np.float32)


def sides(count: int = COUNT) -> dict[SideName, Images]:
    numbers = np.random.default_rng(0)
    return {
        "reals": varied_images(numbers, count, 16),
        "fakes": varied_images(numbers, count, 16, contrast=1.5),
    }


def measured(names: Iterable[str], sizes: list[int], count: int = COUNT) -> Results:
    with Measurement(names, seed=3) as measurement:
        for side, images in sides(count).items():
            for part in parts_of(images, sizes):
                measurement.add(side, part, features_of(part))
        return measurement.results()


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(1, COUNT), min_size=1, max_size=3))
def test_one_pass_gives_what_each_metric_gives(sizes: list[int]) -> None:
    found = measured(registry.METRICS, sizes)
    reals, fakes = sides().values()
    variation = Variation(seed=3)
    variation.add(fakes)
    seen = features_of(reals), features_of(fakes)
    assert found.values == {
        "swd": swd(reals, fakes, seed=3),
        "ms-ssim": variation.result().value,
        "fid": fid(*seen).value,
        "kid": kid(*seen, seed=3).value,
    } | {name: estimate.value for name, estimate in manifold(*seen).items()}
    assert found == measured(registry.METRICS, [COUNT])


def test_results_are_json_of_one_shape() -> None:
    found = measured(registry.METRICS, [5])
    for part in (found.values, found.uncertainties, found.parameters):
        assert json.loads(json.dumps(part, allow_nan=False)) == part
        assert list(part) == list(registry.METRICS)
    assert found.uncertainties["swd"].keys() == found.values["swd"].keys() == {"16", "mean"}
    assert found.parameters["swd"] == {"images": COUNT, "patches": 128, "directions": 512}
    assert found.parameters["ms-ssim"] == {"pairs": COUNT // 2}
    assert found.parameters["kid"] == {
        "reals": COUNT,
        "fakes": COUNT,
        "features": 8,
        "subsets": 100,
        "images in a subset": COUNT // 2,
    }
    assert found.parameters["recall"]["neighbours"] == 3


@pytest.mark.parametrize("name", registry.METRICS)
def test_each_needs_as_many_images_as_it_says(name: str) -> None:
    least = registry.METRICS[name].least_images
    assert Measurement([name]).least_images == least
    assert list(measured([name], [1], least).values) == [name]
    with pytest.raises(DatasetError, match="at least"):
        measured([name], [1], least - 1)


@pytest.mark.parametrize("name", registry.METRICS)
def test_each_looks_at_what_it_says(name: str) -> None:
    whole = measured([name], [COUNT])
    looks_at_features = registry.METRICS[name].looks_at == "features"
    assert registry.need_features([name]) == looks_at_features
    with Measurement([name], seed=3) as measurement:
        for side, images in sides().items():
            measurement.add(
                side,
                None if looks_at_features else images,
                torch.from_numpy(features_of(images)) if looks_at_features else None,
            )
        assert measurement.results() == whole
        with pytest.raises(ValueError, match="there are none"):
            measurement.add("fakes", None, None)


def test_metrics_of_features_are_better_on_the_side_that_they_say() -> None:
    reals = sides(60)["reals"]
    found = []
    for fakes in (varied_images(np.random.default_rng(1), 60, 16), reals // 8):
        with Measurement(registry.METRICS) as measurement:
            measurement.add("reals", reals, features_of(reals))
            measurement.add("fakes", fakes, features_of(fakes))
            found.append(measurement.results().values)
    good, bad = found
    for name in ("fid", "kid", *NEIGHBOURS):
        better = registry.METRICS[name].better
        assert (good[name] < bad[name]) == (better == "lower")


def test_memory_lent_for_a_call_may_be_filled_anew() -> None:
    with Measurement(["fid"], seed=3) as measurement:
        lent = np.empty((1, 8), np.float32)
        for side, images in sides().items():
            for vector in features_of(images):
                lent[0] = vector
                measurement.add(side, None, lent)
        assert measurement.results() == measured(["fid"], [COUNT])


def test_mistakes_of_the_user_are_told() -> None:
    with pytest.raises(DatasetError, match="no metric 'is'; choose from swd, ms-ssim, fid"):
        Measurement(["swd", "is"])
    with pytest.raises(DatasetError, match="No metric was named; choose from swd"):
        Measurement([])
    with pytest.raises(DatasetError, match="seed -1"):
        Measurement(["fid"], seed=-1)
    with Measurement(["fid"]) as measurement:
        measurement.add("reals", None, np.zeros((2, 3), np.float32))
        with pytest.raises(DatasetError, match="one detector"):
            measurement.add("fakes", None, np.zeros((2, 4), np.float32))
        with pytest.raises(ValueError, match="2 images have the features of 1"):
            measurement.add("fakes", np.zeros((2, 3, 8, 8), np.uint8), np.zeros((1, 3), np.float32))


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (np.zeros((2, 3, 16, 16), np.float32), TypeError),
        (np.zeros((2, 16, 16, 3), np.uint8), ValueError),
        (np.zeros((3, 16, 16), np.uint8), ValueError),
    ],
)
def test_mistakes_of_the_caller_are_errors(
    images: NDArray[np.generic], error: type[Exception]
) -> None:
    with Measurement(["swd"]) as measurement, pytest.raises(error):
        measurement.add("reals", images)


def test_metrics_named_twice_count_once() -> None:
    assert [metric.name for metric in registry.chosen(["kid", "fid", "kid"])] == ["kid", "fid"]
    assert registry.need_features(["swd", "fid"])
    assert not registry.need_features(["swd", "ms-ssim"])


def test_their_names_are_known_without_numpy() -> None:
    lines = "import sys, tools.metrics.registry; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", lines], check=True)
