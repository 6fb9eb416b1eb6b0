"""Growth against the schedule written out by hand."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progan.growth import ByResolution, Schedule


def schedule(
    *, top: int, fade: str = "600", hold: str = "600", minibatch: str = "16", rate: str = "0.001"
) -> Schedule:
    return Schedule(
        top_level=top,
        fade_kimg=ByResolution.parse(fade),
        hold_kimg=ByResolution.parse(hold),
        minibatch=ByResolution.parse(minibatch),
        learning_rate=ByResolution.parse(rate),
    )


def test_the_release_holds_4_pixels_for_600_kimg_and_then_fades_and_holds_each_level() -> None:
    course = schedule(top=4)
    expected = {
        0: (2, 1.0, False),
        599_999: (2, 1.0, False),
        600_000: (3, 0.0, True),
        900_000: (3, 0.5, True),
        1_199_999: (3, float(Fraction(599_999, 600_000)), True),
        1_200_000: (3, 1.0, False),
        1_799_999: (3, 1.0, False),
        1_800_000: (4, 0.0, True),
        2_250_000: (4, 0.75, True),
        2_400_000: (4, 1.0, False),
        10**12: (4, 1.0, False),
    }
    for nimg, (level, fade, fading) in expected.items():
        stage = course.at(nimg)
        assert (stage.level, stage.fade, stage.fading) == (level, fade, fading), nimg


def test_every_start_and_end_of_a_fade_is_another_phase() -> None:
    # Adam's moments are reset where the phase changes.
    course = schedule(top=4, fade="1", hold="1")
    marks = [0, 1000, 2000, 3000, 4000]
    phases = [course.at(nimg).phase for nimg in marks]
    assert len(set(phases)) == len(marks)
    for mark, following in pairwise(marks):
        assert course.at(mark).phase == course.at(following - 1).phase


def test_numbers_by_resolution_hold_where_they_are_named() -> None:
    course = schedule(
        top=5, fade="1,8:2", hold="1,4:3,16:0", minibatch="16,32:4", rate="0.001,16:0.002"
    )
    phases = [(p.level, p.fading, p.start, p.end) for p in course.phases()]
    assert phases == [
        (2, False, 0, 3000),
        (3, True, 3000, 5000),
        (3, False, 5000, 6000),
        (4, True, 6000, 7000),  # not held at all
        (5, True, 7000, 8000),
        (5, False, 8000, None),
    ]
    assert [course.at(p[2]).minibatch for p in phases] == [16, 16, 16, 16, 4, 4]
    assert course.at(6500).learning_rate == 0.002
    assert course.at(7500).learning_rate == 0.001


def test_without_any_fading_or_holding_training_starts_at_the_top() -> None:
    course = schedule(top=6, fade="0", hold="0")
    stage = course.at(0)
    assert (stage.level, stage.fade, stage.fading) == (6, 1.0, False)


@given(st.integers(0, 30_000), st.integers(2, 6))
def test_the_top_resolution_changes_nothing_before_it(nimg: int, top: int) -> None:
    lower, higher = schedule(top=top, fade="2", hold="3"), schedule(top=7, fade="2", hold="3")
    end = list(lower.phases())[-1].start
    if nimg < end + 3000:
        assert lower.at(nimg) == higher.at(nimg)


@given(st.integers(0, 40_000))
def test_the_fade_lies_from_0_to_1_and_levels_never_fall(nimg: int) -> None:
    course = schedule(top=6, fade="1.5,16:0.7", hold="2,8:0")
    here, next_ = course.at(nimg), course.at(nimg + 1)
    assert 0 <= here.fade <= 1
    assert here.fading or here.fade == 1
    assert (here.level, here.fade) <= (next_.level, next_.fade)


@pytest.mark.parametrize("text", ["", "a", "16,", "16,256", "16,256:x", "16:3", "1,2,3"])
def test_what_is_no_number_by_resolution_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number with exceptions"):
        ByResolution.parse(text)


@pytest.mark.parametrize("text", ["16,100:3", "16,2:3", "16,2048:3", "1,-4:3"])
def test_exceptions_are_only_for_real_resolutions(text: str) -> None:
    with pytest.raises(ValueError, match="power of two from 4 to 1024"):
        ByResolution.parse(text)


def test_the_text_form_comes_back() -> None:
    for text in ("16", "16,256:14,512:6,1024:3", "0.001,1024:0.0015"):
        assert str(ByResolution.parse(text)) == text


@given(
    top=st.integers(2, 10),
    level=st.integers(2, 10),
    fade=st.floats(0, 1),
    fade_kimg=st.sampled_from(["600", "0.001", "8,8:4,16:6"]),
)
def test_a_position_is_where_the_course_stands_there(
    top: int, level: int, fade: float, fade_kimg: str
) -> None:
    course = schedule(top=top, fade=fade_kimg, hold="5,4:8")
    if level > top or (level == 2 and fade < 1):
        with pytest.raises(ValueError, match=f"never (holds|fades in) level {level}"):
            course.position(level, fade)
        return
    nimg = course.position(level, fade)
    stage = course.at(nimg)
    length = 1000 * ByResolution.parse(fade_kimg)[level]
    assert (stage.level, stage.fading) == (level, fade < 1)
    assert stage.fade == pytest.approx(fade, abs=1 / length)
    if fade == 1 and nimg > 0:  # the beginning of the stretch
        assert course.at(nimg - 1).phase != stage.phase
