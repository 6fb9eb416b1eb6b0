"""The average's half-life, counted out step by step."""

import pytest

from progan.averaging import kept_share


def test_without_a_halflife_the_share_is_fixed() -> None:
    for nimg in (0, 10, 10**7):
        assert kept_share(16, nimg, decay=0.99, halflife_kimg=0, rampup=0.05) == 0.99


@pytest.mark.parametrize("minibatch", [1, 8, 64])
def test_after_the_halflife_half_is_forgotten_for_any_minibatch(minibatch: int) -> None:
    kept = 1.0
    for step in range(6400 // minibatch):
        kept *= kept_share(minibatch, step * minibatch, decay=0.9, halflife_kimg=6.4, rampup=0)
    assert kept == pytest.approx(0.5)


def test_the_rampup_forgets_the_beginning() -> None:
    kept = [
        kept_share(10, nimg, decay=0.9, halflife_kimg=1, rampup=0.1) for nimg in range(0, 20000, 10)
    ]
    assert kept[0] < 0.01
    assert kept[99] == pytest.approx(0.5 ** (10 / 100))  # after 1000 images, a tenth of them
    assert kept[999] == kept[1999] == pytest.approx(0.5 ** (10 / 1000))
    assert kept == sorted(kept)
