from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from datasets.pyramid import Dataset
from tests.datasets.making import noise
from tests.tools.making import write_pixels
from tests.tools.memorization.making import held_out, training, yardstick
from tools.memorization.approximate import Recall
from tools.memorization.verdict import decide, doubts, judge, sentence
from tools.memorization.watch import Watch
from tools.memorization.yardstick import Yardstick


@pytest.mark.parametrize(
    ("flagged", "images", "chance", "near", "verdict"),
    [
        (0, 100, 1.0, 0, "no sign of copying"),
        (3, 100, 0.08, 0, "no sign of copying"),
        (9, 100, 0.0001, 0, "some copies"),
        (0, 100, 1.0, 1, "some copies"),
        (50, 100, 0.0, 9, "some copies"),
        (51, 100, 0.0, 0, "memorized"),
        (100, 100, 0.0, 100, "memorized"),
        # A third of one per cent is what flags may spend.
        (9, 100, 0.0033, 0, "some copies"),
        (9, 100, 0.0034, 0, "no sign of copying"),
        (51, 100, 0.0034, 0, "no sign of copying"),
        (51, 100, 0.0034, 1, "some copies"),
        # One of one: that happens by chance.
        (1, 1, 0.02, 0, "no sign of copying"),
    ],
)
def test_the_rule(flagged: int, images: int, chance: float, near: int, verdict: str) -> None:
    assert decide(flagged, images, chance, near) == verdict


@pytest.mark.parametrize(
    ("flagged", "chance", "near", "discovered", "closer", "verdict"),
    [
        (0, 1.0, 0, 0.004, 0.004, "no sign of copying"),
        (0, 1.0, 0, 1.0, 0.003, "closer than chance"),
        (0, 1.0, 0, 0.003, 1.0, "some copies"),
        (0, 1.0, 0, 0.003, 0.003, "some copies"),
        (0, 1.0, 1, 1.0, 0.003, "some copies"),
        (9, 0.003, 0, 1.0, 0.003, "some copies"),
        (60, 0.003, 0, 1.0, 0.003, "memorized"),
        # More than half of them, which is not known from their number.
        (60, 0.01, 0, 0.003, 0.003, "some copies"),
        (60, 0.01, 0, 1.0, 0.003, "closer than chance"),
    ],
)
def test_other_evidence_speaks_where_flags_do_not(
    flagged: int, chance: float, near: int, discovered: float, closer: float, verdict: str
) -> None:
    found = decide(
        flagged, 100, chance, near, discovered_chance=discovered, closer_chance=closer
    )  # fmt: skip
    assert found == verdict


@pytest.fixture(scope="module")
def both(portraits: Dataset) -> Yardstick:
    return yardstick(portraits)


def test_a_generator_that_copies_has_memorized(portraits: Dataset, both: Yardstick) -> None:
    copies = training(portraits)
    judged = judge(both, both.finder.find([copies]))
    assert judged.verdict == "memorized"
    assert judged.share == 1
    assert judged.chance < 1e-6
    assert judged.interval[0] > 0.95
    for seen in judged.spaces.values():
        assert seen.copying is not None
        assert seen.copying.z < -10
        assert seen.authentic == 0
        assert seen.nearest == len(copies)
        assert seen.near_duplicate.all()


def test_few_copies_among_new_faces_are_found_first(portraits: Dataset, both: Yardstick) -> None:
    images = np.concatenate([held_out(portraits), training(portraits)[[7]]])
    judged = judge(both, both.finder.find([images]))
    assert judged.verdict == "some copies"
    assert judged.order[0] == 24
    assert judged.flagged[24]
    assert judged.near_duplicate.tolist() == [False] * 24 + [True]
    text = sentence(judged, both, of_a_model=False)
    assert text.endswith(
        ", and 1 is a near duplicate of one: some copies. The evidence: 1 near duplicate."
    )


def test_a_generator_that_repeats_one_image_knows_few(portraits: Dataset, both: Yardstick) -> None:
    same = np.repeat(held_out(portraits)[:1], 100, axis=0)
    seen = judge(both, both.finder.find([same])).spaces["pixels"]
    assert seen.nearest == seen.different == 1
    assert seen.different_new > 30


def test_new_images_are_no_sign(portraits: Dataset, both: Yardstick) -> None:
    judged = judge(both, both.finder.find([held_out(portraits)]))
    assert judged.verdict == "no sign of copying"
    text = sentence(judged, both, of_a_model=True)
    assert text.startswith("Of 24 generated images, ")
    assert f"than {1 - both.rate:.1%}".replace("%", " %") in text
    assert text.endswith("would be expected by chance: no sign of copying.")
    # The rate of each space is a part of the whole.
    assert judged.expected == pytest.approx(24 * both.rate)
    for seen in judged.spaces.values():
        assert (seen.p * 2 >= judged.p).all()


def test_p_values_allow_for_the_spaces_and_discoveries_for_the_images(
    portraits: Dataset, both: Yardstick
) -> None:
    images = np.concatenate([held_out(portraits), training(portraits)[[7]]])
    judged = judge(both, both.finder.find([images]))
    every = [seen.p for seen in judged.spaces.values()]
    assert judged.p.tolist() == np.minimum(1, 2 * np.minimum(*every)).tolist()
    assert judged.p.min() == pytest.approx(2 * 2 / 161)
    expected = stats.false_discovery_control(judged.p) <= 0.05
    assert judged.discovered.tolist() == expected.tolist()
    # One image of twenty-five is not discovered by a p-value of one in forty.
    assert (judged.p <= 0.05).any()
    assert not judged.discovered.any()
    copies = judge(both, both.finder.find([training(portraits)[:20]]))
    assert copies.discovered.all()


def test_images_far_from_all_photographs_are_a_doubt(portraits: Dataset, both: Yardstick) -> None:
    judged = judge(both, both.finder.find([255 - training(portraits)]))
    assert judged.verdict == "no sign of copying"
    told = doubts(
        both, names_dataset=None, false_alarm=0.5, recall={}, together=judged.together
    )  # fmt: skip
    assert "They do not look" in told[0] or "they do not look" in told[0]
    new = judge(both, both.finder.find([held_out(portraits)]))
    told = doubts(both, names_dataset=None, false_alarm=0.5, recall={}, together=new.together)
    assert not any("do not look" in doubt for doubt in told)


def test_doubts_are_told(tmp_path: Path, portraits: Dataset, both: Yardstick) -> None:
    told = doubts(both, names_dataset=False, false_alarm=0.01, recall={})
    assert "names another dataset" in told[0]
    assert "24 held-out photographs are too few" in told[1]
    assert "cannot tell so small a rate as 1.00%" in told[2]
    assert doubts(both, names_dataset=True, false_alarm=0.5, recall={}) == [told[1]]
    missed = {"pixels": Recall(images=200, first=0.9, wanted=5, all=0.8)}
    told = doubts(both, names_dataset=True, false_alarm=0.5, recall=missed)
    assert "only 90% of 200 images (pixels)" in told[0]
    dataset = write_pixels(tmp_path / "d", noise(60, 8, 8, 3), held_out=0)
    [weak] = doubts(
        yardstick(dataset, "pixels", false_alarm=0.1),
        names_dataset=None,
        false_alarm=0.1,
        recall={},
    )
    assert "no photographs out of training" in weak
    assert "weaker" in weak
    # Held-out photographs of another kind: smooth ones among noise.
    pictures = noise(80, 8, 8, 3)
    pictures[50:] = (pictures[50:] // 8 + np.arange(0, 192, 24)[None, :, None, None]).astype("u1")
    pictures[:10] = (pictures[:10] // 8 + np.arange(0, 192, 24)[None, :, None, None]).astype("u1")
    other = write_pixels(tmp_path / "o", pictures, held_out=30 / 80)
    told = doubts(yardstick(other, "pixels"), names_dataset=None, false_alarm=0.05, recall={})
    assert any("lie nearer to training photographs" in doubt for doubt in told)


def test_the_watch_sees_it_begin(portraits: Dataset) -> None:
    watch = Watch(portraits, 16, false_alarm=0.02)
    new = watch.look(held_out(portraits))
    copies = watch.look(training(portraits)[:40])
    assert new.flagged_share <= 0.1
    assert (copies.flagged_share, copies.near_duplicates) == (1, 1)
    assert new.expected_share < 0.05
    assert set(copies.c_t) == {"pixels", "structure"}
    for name, z in copies.c_t.items():
        other = new.c_t[name]
        assert z is not None
        assert other is not None
        assert z < -5 < -3 < other
    assert watch.look(held_out(portraits)) == new
    with pytest.raises(ValueError, match="8"):
        watch.look(np.zeros((2, 8, 8, 3), np.uint8))


def test_the_watch_has_a_sign_by_flags_and_near_duplicates_alone(
    portraits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(portraits, 16, features=("pixels",), false_alarm=0.02)
    found = watch._yardstick.left_out.found["pixels"]
    distances = found.neighbours.distances

    def sees(*factors: float) -> bool:
        near = replace(found.neighbours, distances=distances * factors)
        seen = {"pixels": replace(found, neighbours=near)}
        monkeypatch.setattr(watch._yardstick.finder, "find", lambda images: seen)
        return watch.look(held_out(portraits)).sign

    # Closer to single photographs, which is a verdict and no ground to end training.
    assert not sees(0.92, 1)
    assert judge(watch._yardstick, watch._yardstick.finder.find([])).verdict == "closer than chance"
    assert sees(0.3, 1)
    # Its level is not divided, as nothing else has a part of it.
    one = judge(watch._yardstick, watch._yardstick.finder.find([]))
    for chance, sign in ((0.009, True), (0.011, False)):
        judged = replace(one, chance=chance, near_duplicate=one.near_duplicate & False)
        monkeypatch.setattr("tools.memorization.watch.judge", lambda *_, judged=judged: judged)
        assert watch.look(held_out(portraits)).sign is sign
