"""What preset `auto` stands for: a table of what is chosen, by hand."""

from typing import Any

import pytest

from progan.automatic import choose
from progan.config import Config, preset
from progan.growth import ByResolution


def config_of(device: str, resolution: int, photographs: int, **asked: Any) -> Config:
    chosen = choose(device, resolution=resolution, photographs=photographs, **asked)
    settings = dict(chosen.settings)
    if "asked_kimg" in asked:
        settings["kimg"] = asked["asked_kimg"]
    return preset(chosen.preset, **settings)


@pytest.mark.parametrize(
    ("device", "resolution", "photographs", "name", "side", "kimg"),
    [
        # Without a GPU: 64 pixels from 300 images on, 32 for fewer; never more than there are.
        ("cpu", 1024, 30_000, "modern", 64, 260),
        ("cpu", 128, 830, "modern", 64, 250),  # 300 times each of 830, to two figures
        ("cpu", 128, 300, "modern", 64, 90),
        ("cpu", 128, 299, "modern", 32, 90),
        ("cpu", 64, 100, "modern", 32, 40),  # a third of what many would get
        ("cpu", 32, 830, "modern", 32, 120),
        ("cpu", 16, 30_000, "modern", 16, 60),
        ("cpu", 4, 30_000, "modern", 4, 20),
        ("mps", 256, 5_000, "modern", 64, 260),
        # With one: all of the dataset's pixels, and the release's length for 30,000 photographs.
        ("cuda", 1024, 30_000, "v2", 1024, 12_000),
        ("cuda", 1024, 20_000, "v2", 1024, 8_000),
        ("cuda", 1024, 830, "v2", 1024, 3_000),
        ("cuda", 128, 30_000, "v2", 128, 5_000),
        ("cuda", 128, 5_000, "v2", 128, 2_000),
        ("cuda", 32, 830, "v2", 32, 380),
        ("xpu", 256, 70_000, "v2", 256, 7_000),
    ],
)
def test_the_choice(
    device: str, resolution: int, photographs: int, name: str, side: int, kimg: float
) -> None:
    config = config_of(device, resolution, photographs)
    assert (config.preset, config.resolution, config.kimg) == (name, side, kimg)
    assert config.mirror


def test_32_pixels_on_a_processor_are_preset_modern_as_it_is() -> None:
    assert config_of("cpu", 32, 830) == preset("modern", resolution=32)


def test_64_pixels_on_a_processor_are_the_network_in_the_box() -> None:
    # As docs/quality.md tells how it was made.
    expected = preset(
        "modern", resolution=64, kimg=250, fmap_base=1024, fade_kimg="3,8:1,16:2,32:4,64:8",
        hold_kimg="5,4:1,8:1,16:2,32:36", learning_rate="0.004,64:0.003",
    )  # fmt: skip
    assert config_of("cpu", 64, 830) == expected


def test_many_photographs_at_1024_pixels_with_a_gpu_are_preset_v2_as_it_is() -> None:
    assert config_of("cuda", 1024, 30_000) == preset("v2")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("asked", [4, 8, 16, 32, 64, 128, 256, 512, 1024])
@pytest.mark.parametrize("photographs", [2, 100, 830, 100_000])
@pytest.mark.parametrize("kimg", [None, 0.5, 10_000])
def test_every_choice_can_be_trained_and_reaches_its_resolution(
    device: str, asked: int, photographs: int, kimg: float | None
) -> None:
    config = config_of(
        device, 1024, photographs, asked_resolution=asked,
        **({} if kimg is None else {"asked_kimg": kimg}),
    )  # fmt: skip
    assert config.resolution == asked
    phases = list(config.schedule.phases())
    assert 2 ** phases[-1].level == asked
    # At least a seventh is left for the last level, and more on a processor.
    assert phases[-1].start <= (0.62 if device == "cpu" else 0.86) * config.nimg


def test_a_length_that_is_asked_for_hastens_growth_and_never_slows_it() -> None:
    short, long = (config_of("cpu", 64, 830, asked_kimg=kimg) for kimg in (5.5, 5_500.0))
    # 55 kimg of growth in 3.3: each part a hundredth of 6 times as long.
    assert ByResolution.parse(short.fade_kimg).at == {8: 0.06, 16: 0.12, 32: 0.24, 64: 0.48}
    assert long.fade_kimg == "3,8:1,16:2,32:4,64:8"
    assert config_of("cuda", 64, 830, asked_kimg=40.0).fade_kimg == "2"


@pytest.mark.parametrize(("lopsided", "mirror"), [(None, True), (False, True), (True, False)])
def test_images_whose_left_and_right_differ_are_not_mirrored(
    lopsided: bool | None, mirror: bool
) -> None:
    chosen = choose("cpu", resolution=32, photographs=830, lopsided=lopsided)
    assert preset(chosen.preset, **chosen.settings).mirror == mirror
    assert ("mirror" in chosen.reasons) == (not mirror)
