from dataclasses import astuple, fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets.drawn import MAX_RESOLUTION, Face, draw
from datasets.drawn.painting import paint


def _reduced(picture: NDArray[np.uint8], step: int) -> NDArray[np.float64]:
    size = picture.shape[0] // step
    blocks = picture.astype(np.float64).reshape(size, step, size, step, -1)
    reduced: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return reduced


@pytest.fixture(scope="module")
def crowd() -> NDArray[np.float64]:
    return np.stack([draw(index, 32) for index in range(128)]).astype(np.float64)


@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_type(resolution: int, channels: int) -> None:
    picture = draw(3, resolution, channels=channels)
    assert picture.shape == (resolution, resolution, channels)
    assert picture.dtype == np.uint8


def test_a_face_is_a_function_of_seed_and_index() -> None:
    np.testing.assert_array_equal(draw(5, 64, seed=2), draw(5, 64, seed=2))
    assert Face.random(2, 5) == Face.random(2, 5)
    others = [Face.random(2, 6), Face.random(3, 5), Face.random(5, 2), Face.random(2, 2**64 - 1)]
    assert Face.random(2, 5) not in others
    for index, seed in ((6, 2), (5, 3), (2, 5)):
        difference = draw(5, 64, seed=2).astype(float) - draw(index, 64, seed=seed)
        assert abs(difference).mean() > 5


def test_seed_is_zero_unless_told() -> None:
    np.testing.assert_array_equal(draw(1, 16), draw(1, 16, seed=0))


@pytest.mark.parametrize("index", range(32))
def test_the_same_face_at_every_resolution(index: int) -> None:
    full = draw(index, MAX_RESOLUTION)
    for resolution in (4, 16, 32, 64, 128):
        difference = draw(index, resolution) - _reduced(full, MAX_RESOLUTION // resolution)
        assert abs(difference).mean() < 1.5
        # No small feature may come and go: not even one pixel is of another colour.
        assert abs(difference).max() < 64


def test_a_small_face_is_the_mean_of_a_larger_one() -> None:
    for index in range(100, 164):
        difference = draw(index, 32) - _reduced(draw(index, 128), 4)
        assert abs(difference).mean() < 1
        assert abs(difference).max() < 32


def test_one_channel_is_the_luminance_of_three() -> None:
    for index in range(4):
        luminance = draw(index, 64) @ np.array([0.299, 0.587, 0.114])
        assert abs(draw(index, 64, channels=1)[..., 0] - luminance).max() <= 1.01


def test_traits_fill_their_ranges_independently() -> None:
    people = np.array([astuple(Face.random(1, index)) for index in range(512)])
    low = np.array([trait.metadata["low"] for trait in fields(Face)])
    high = np.array([trait.metadata["high"] for trait in fields(Face)])
    assert (people >= low).all() and (people <= high).all()
    places = (people - low) / (high - low)
    assert (abs(places.mean(axis=0) - 0.5) < 0.07).all()
    assert (places.std(axis=0) > 0.17).all()
    correlation = np.corrcoef(places.T) - np.eye(len(low))
    assert abs(correlation).max() < 0.25


def test_faces_differ_where_the_features_are(crowd: NDArray[np.float64]) -> None:
    spread = crowd.std(axis=0).mean(axis=-1)
    assert spread[11:16, 8:24].min() > 20  # eyes
    assert spread[18:24, 12:20].min() > 20  # mouth
    assert spread[:4].min() > 15  # background and hair


def test_skin_ranges_from_dark_to_light(crowd: NDArray[np.float64]) -> None:
    cheeks = crowd[:, 17:19, 10:22].mean(axis=(1, 2))
    assert cheeks[:, 0].min() < 90
    assert cheeks[:, 0].max() > 215
    # Whatever the tone and the light, skin has more red than green and more green than blue.
    red, green, blue = np.median(cheeks, axis=0)
    assert red > green > blue


def test_a_turned_head_is_seen_to_be_turned() -> None:
    turned = sorted(range(256), key=lambda index: Face.random(0, index).yaw)
    places = []
    for group in (turned[:32], turned[-32:]):
        crowd = np.mean([draw(index, 32, channels=1)[..., 0] for index in group], axis=0)
        lower = crowd[18:24].mean(axis=0)  # the lower half of the face, brighter than around it
        light = lower - lower.min()
        places.append(light @ np.arange(32) / light.sum())
    assert places[1] - places[0] > 3


def test_turning_past_the_front_is_smooth() -> None:
    for index in range(16):
        face = Face.random(0, index)
        left, right = (paint(replace(face, yaw=yaw), 64) for yaw in (-1e-4, 1e-4))
        assert abs(right - left).max() < 0.05


def test_hair_falls_in_strands() -> None:
    people = {index: Face.random(0, index) for index in range(256)}
    hairy = [i for i, face in people.items() if not face.baldness and face.hair_volume > 0.08][:24]
    for index in hairy:
        top = draw(index, 256, channels=1)[20:44, 90:166, 0].astype(float)
        fine = top[:, 4:-4] - (top[:, :-8] + top[:, 8:]) / 2
        assert fine.std() / top.mean() > 0.008


def test_eyes_and_mouth_read_on_every_skin() -> None:
    tones = sorted(range(64), key=lambda index: Face.random(0, index).tone)
    for index in tones[:4] + tones[-4:]:
        eyes = draw(index, 16, channels=1)[6:9, 4:12].astype(float)
        assert eyes.max() - eyes.min() > 15


@pytest.mark.parametrize("resolution", [0, 2, 48, 512, -4])
def test_refuses_other_resolutions(resolution: int) -> None:
    with pytest.raises(ValueError, match=rf"power of two from 4 to 256, not {resolution}\."):
        draw(0, resolution)


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_refuses_other_channels(channels: int) -> None:
    with pytest.raises(ValueError, match=rf"1 or 3 channels, not {channels}\."):
        draw(0, 16, channels=channels)


@pytest.mark.parametrize(("index", "seed"), [(-1, 0), (0, -1), (2**64, 0), (0, 2**64)])
def test_refuses_numbers_that_are_no_key(index: int, seed: int) -> None:
    with pytest.raises(ValueError, match=r"lies from 0 to 2\*\*64 - 1"):
        draw(index, 16, seed=seed)
