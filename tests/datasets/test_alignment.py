"""The oriented crop, against formulas written out once more and against drawn patterns."""

import cmath

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from datasets.alignment import cut_out, face_square
from datasets.errors import UnusableError
from datasets.framing import Framing, frame
from tests.datasets.making import Pixels, file_bytes, noise
from tests.datasets.test_framing import STORED

Points = NDArray[np.float32]

# An upright face, as a part of the distance between its eyes, around the middle of the eyes.
FACE = np.array([-0.5, 0.5, -0.4 + 1.05j, 0.4 + 1.05j])


def a_face(centre: complex, eyes_apart: float, degrees: float = 0.0) -> Points:
    """Points of a turned face, as x and y of pixels; a positive angle is clockwise."""
    turned = centre + FACE * eyes_apart * cmath.rect(1, np.deg2rad(degrees))
    return np.stack([turned.real, turned.imag], axis=1).astype(np.float32)


def paper_corners(points: Points) -> tuple[complex, complex, complex]:
    """Centre, x and y of the square by the paper's formulas, in complex float64 numbers.

    rot90 of a vector is its product with i; places count from the corner of the first pixel.
    """
    left, right, left_corner, right_corner = (complex(x, y) + 0.5 + 0.5j for x, y in points)
    e, m = (left + right) / 2, (left_corner + right_corner) / 2
    h, v = right - left, m - e
    x = h - 1j * v
    x = x / abs(x) * max(2.0 * abs(h), 1.8 * abs(v))
    return e + 0.1 * v, x, 1j * x


def in_crop(points: Points, resolution: int) -> NDArray[np.float64]:
    """Where the points of a face must lie in its crop, as x and y of pixels."""
    centre, x, y = paper_corners(points)
    places = []
    for place in points:
        away = complex(*place) + 0.5 + 0.5j - centre
        along = [(away * axis.conjugate()).real / abs(axis) ** 2 for axis in (x, y)]
        places.append([(part + 1) / 2 * resolution - 0.5 for part in along])
    return np.array(places)


PLACE = st.tuples(st.floats(-500, 500), st.floats(-500, 500))


@given(st.tuples(PLACE, PLACE, PLACE, PLACE))
def test_the_square_is_that_of_the_paper(places: tuple[tuple[float, float], ...]) -> None:
    points = np.array(places, np.float32)
    e, m = points[:2].mean(axis=0), points[2:].mean(axis=0)
    h, v = points[1] - points[0], m - e
    # Points whose directions cancel out have no square.
    assume(abs(complex(*h) - 1j * complex(*v)) > 1)
    centre, x, y = paper_corners(points)
    expected = [centre - x - y, centre + x - y, centre + x + y, centre - x + y]
    corners = face_square(points).corners
    assert np.allclose(corners[:, 0] + 1j * corners[:, 1], expected, rtol=1e-9, atol=1e-3)
    assert face_square(points).side == pytest.approx(2 * abs(x))


def marked(width: int, height: int, points: Points, radius: float) -> Pixels:
    """A picture with a soft spot at each point: the eyes red and green, the mouth's corners blue
    (left) and white (right)."""
    rows, columns = np.indices((height, width), float)
    picture = np.full((height, width, 3), 20.0)
    for (x, y), colour in zip(points, [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)], strict=True):
        spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
        picture += 200 * spot[..., None] * np.array(colour)
    return np.asarray(np.rint(np.clip(picture, 0, 255)), np.uint8)


def spot_near(picture: Pixels, place: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """The centre of mass of the spot whose pixels lie around a place, as x and y."""
    x, y = np.rint(place).astype(int)
    around = picture[y - reach : y + reach + 1, x - reach : x + reach + 1].astype(float)
    weights = around.max(axis=-1) - 20
    weights[weights < 10] = 0
    rows, columns = np.indices(weights.shape)
    total = weights.sum()
    return np.array(
        [x - reach + (columns * weights).sum() / total, y - reach + (rows * weights).sum() / total]
    )


@pytest.mark.parametrize("degrees", [0, 17, -40, 90, 155, 180])
@pytest.mark.parametrize(("eyes_apart", "resolution"), [(90, 128), (24, 128), (90, 32), (60, 256)])
def test_eyes_and_mouth_land_where_the_formulas_say(
    degrees: float, eyes_apart: float, resolution: int
) -> None:
    points = a_face(300.3 + 310.7j, eyes_apart, degrees)
    picture = marked(620, 600, points, eyes_apart / 14)
    framing = Framing(resolution=resolution, crop="face", upscale=True)
    crop = frame(picture, framing, points)
    expected = in_crop(points, resolution)
    for place in expected:
        assert np.abs(spot_near(crop, place, resolution // 12) - place).max() < 0.2
    # Upright, the left eye at the left: their colours tell them apart.
    red, green, blue, white = (crop[round(y), round(x)] for x, y in expected)
    assert red.argmax() == 0
    assert green.argmax() == 1
    assert blue.argmax() == 2
    assert white.min() > 100
    assert expected[0, 1] == pytest.approx(expected[1, 1], abs=1e-3)


@pytest.mark.parametrize("orientation", STORED)
def test_points_count_in_the_upright_picture(orientation: int) -> None:
    points = a_face(60 + 50j, 30, 20)
    upright = marked(130, 140, points, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    framing = Framing(resolution=64, crop="face")
    crop = frame(file_bytes(stored, exif=exif), framing, points)
    assert np.array_equal(crop, frame(upright, framing, points))


# Eyes 16 pixels apart make a square of 64, here with whole pixels for corners: nothing is turned
# and nothing resampled, so every pixel of the result is one of the picture.
SIDE = 64


def whole_pixels(left: int, top: int) -> Points:
    """Points whose square has its upper left corner there."""
    eyes = complex(left + 32 - 0.5, top + 31 - 0.5)
    points = eyes + np.array([-8, 8, -6 + 10j, 6 + 10j])
    return np.stack([points.real, points.imag], axis=1).astype(np.float32)


def test_a_square_of_whole_pixels_is_cut_out_as_it_is() -> None:
    picture = noise(100, 110, 3)
    crop = frame(picture, Framing(resolution=SIDE, crop="face"), whole_pixels(17, 9))
    assert np.array_equal(crop, picture[9 : 9 + SIDE, 17 : 17 + SIDE])


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize(
    ("left", "top"), [(-20, 10), (30, 10), (10, -20), (10, 40), (-15, -25), (-30, 5)]
)
def test_beyond_the_picture_only_what_is_outside_is_made_up(
    left: int, top: int, channels: int
) -> None:
    picture = noise(80, 70, channels)
    framing = Framing(resolution=SIDE, crop="face", channels=channels)
    crop = frame(picture, framing, whole_pixels(left, top))
    rows, columns = np.arange(SIDE) + top, np.arange(SIDE) + left
    inside = np.ix_(
        (rows >= 0) & (rows < picture.shape[0]), (columns >= 0) & (columns < picture.shape[1])
    )
    low_row, low_column = max(top, 0), max(left, 0)
    expected = picture[low_row : top + SIDE, low_column : left + SIDE]
    assert 0 < expected.shape[0] * expected.shape[1] < SIDE**2
    assert np.array_equal(crop[inside], expected)


def test_the_picture_goes_on_mirrored_then_blurred_then_as_the_median_colour() -> None:
    # Upright stripes, whose height tells how far they are blended away.
    picture = np.empty((120, 120, 3), np.uint8)
    picture[...] = 100 * (np.arange(120) % 5 >= 2)[None, :, None] + np.array([0, 60, 120])
    crop = frame(picture, Framing(resolution=SIDE, crop="face"), whole_pixels(-30, 20)).astype(int)
    mirrored = picture[20 : 20 + SIDE, 1:31][:, ::-1].astype(int)
    outside = crop[:, :30]
    median = np.median(picture, axis=(0, 1))
    # One pixel out, it is nearly the mirrored picture.
    assert np.abs(outside[:, -1] - mirrored[:, -1]).max() <= 25
    assert np.abs(outside[:, -2] - mirrored[:, -2]).max() <= 50
    # 0.3 of the side out, it is the median colour and nothing else.
    assert np.abs(outside[:, : 30 - 20] - median).max() <= 1
    # In between, less and less of the stripes, of which each five pixels hold a whole one, is left.
    unlike = np.abs(outside - median).mean(axis=(0, 2))[::-1]
    near, middle, far = (unlike[first : first + 5].mean() for first in (0, 5, 10))
    assert near > 1.3 * middle > 1.7 * far > 0


def test_what_lies_across_the_edge_is_mirrored_and_not_shifted() -> None:
    picture = np.full((120, 120, 3), 50, np.uint8)
    picture[50:54, 2:4] = 250
    crop = frame(picture, Framing(resolution=SIDE, crop="face"), whole_pixels(-30, 20)).astype(int)
    # Columns 2 and 3 of the picture are seen again 2 and 3 pixels to the left of column 0.
    brightest = crop[30:34, :30].mean(axis=(0, 2))
    assert brightest.argmax() in (30 - 2, 30 - 3)
    assert brightest[30 - 1] < 120


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.zeros((4, 2), np.float32), "points that are no face"),
        (a_face(-200 + 40j, 20), "a face outside of the picture"),
        (a_face(40 + 300j, 20), "a face outside of the picture"),
        (a_face(40 + 40j, 2000), "a face outside of the picture"),
        (None, "no face was found"),
    ],
)
def test_what_is_no_face_is_a_reason(points: Points | None, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        frame(noise(80, 90, 3), Framing(resolution=16, crop="face"), points)


def test_small_faces_are_enlarged_only_when_asked() -> None:
    points = a_face(40 + 40j, 10)
    with pytest.raises(UnusableError, match="smaller than 64 pixels"):
        frame(noise(80, 90, 3), Framing(resolution=64, crop="face"), points)
    assert frame(noise(80, 90, 3), Framing(resolution=64, crop="face", upscale=True), points).size


def test_large_squares_are_reduced_without_a_shift() -> None:
    # Ten times the result and turned: reduced by a whole factor before it is turned.
    points = a_face(350.2 + 325.9j, 160, 30)
    picture = marked(700, 700, points, 15)
    crop = np.asarray(cut_out(Image.fromarray(picture), face_square(points), 64))
    for place in in_crop(points, 64):
        assert np.abs(spot_near(crop, place, 5) - place).max() < 0.1


@pytest.mark.parametrize("times", [2.0, 3.5, 4.5])
@pytest.mark.parametrize("degrees", [23, -40])
def test_fine_stripes_keep_their_contrast(times: float, degrees: float) -> None:
    """Three eighths of a period in each pixel of the result, which it can show in full."""
    resolution, periods = 64, 24
    # Aslant in the crop, where the filters of both directions pass them.
    direction = np.exp(1j * np.deg2rad(degrees + 47))
    points = a_face(300 + 290j, times * resolution / 4, degrees)
    centre, x, y = paper_corners(points)
    frequency = 2 * np.pi * periods / (2 * abs(x))

    def phases(places: NDArray[np.complex128]) -> NDArray[np.float64]:
        return np.asarray(frequency * (places * direction.conjugate()).real, np.float64)

    rows, columns = np.indices((600, 620)) + 0.5
    stripes = np.rint(127.5 + 100 * np.sin(phases(columns + 1j * rows))).astype(np.uint8)
    crop = frame(stripes[..., None], Framing(resolution=resolution, crop="face"), points)[..., 0]
    down, across = 2 * (np.indices((resolution, resolution)) + 0.5) / resolution - 1
    expected = phases(centre + across * x + down * y)
    waves = np.stack([np.sin(expected), np.cos(expected), np.ones_like(expected)], axis=-1)
    sine, cosine, _ = np.linalg.lstsq(waves.reshape(-1, 3), crop.ravel(), rcond=None)[0]
    assert 0.97 < np.hypot(sine, cosine) / 100 < 1.1
    assert abs(np.arctan2(cosine, sine)) < 0.03
