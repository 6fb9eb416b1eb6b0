"""Splits keep the groups of the minibatch standard deviation whole, and save more step by step."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from progan.layers import minibatch_deviation
from progan.parallel import Processes
from progan.splitting import Split, divided, in_parts, splits


@given(st.sampled_from([1, 2, 4]), st.integers(1, 2), st.integers(1, 7), st.integers(1, 9))
def test_parts_cover_a_share_and_keep_groups_whole(
    group: int, processes: int, groups: int, count: int
) -> None:
    minibatch = group * groups * processes
    features = torch.randn(minibatch, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    whole = minibatch_deviation(features, group)
    rows = Processes(processes - 1, processes).share(minibatch, group)
    parts = divided(rows, group, count)
    assert sorted(torch.cat(parts).tolist()) == sorted(rows.tolist())
    assert len(parts) == min(count, groups)
    assert max(map(len, parts)) - min(map(len, parts)) <= group
    for part in parts:
        torch.testing.assert_close(minibatch_deviation(features[part], group), whole[part])


def test_a_minibatch_smaller_than_a_group_is_one_part() -> None:
    assert [part.tolist() for part in divided(torch.arange(3), 16, 4)] == [[0, 1, 2]]


@given(st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 16]))
def test_each_split_has_less_in_memory_than_the_one_before(groups: int, group: int) -> None:
    def most(split: Split) -> int:
        """Give the samples that a pass has in memory at a time."""
        parts = divided(torch.arange(groups * group), group, split.parts)
        return split.at_once or max(map(len, parts))

    found = list(splits(groups * group, group))
    sizes = [most(split) for split in found]
    assert sizes == sorted(set(sizes), reverse=True)
    assert (found[0], sizes[-1]) == (Split(), 1)
    # Nothing is computed twice before all groups are alone.
    assert all(split.at_once is None or split.parts == groups for split in found)
    whole = list(splits(groups * group, group, recompute=False))
    assert whole == [split for split in found if split.at_once is None]


@pytest.mark.parametrize(
    ("count", "split"),
    [
        (1, Split()),
        (3, Split(3)),
        (4, Split(4)),
        (5, Split(4, 2)),  # 4 groups of 3 samples: of two, and of one
        (12, Split(4, 1)),
        (100, Split(4, 1)),
    ],
)
def test_more_parts_than_groups_take_groups_apart(count: int, split: Split) -> None:
    assert in_parts(count, 12, 3) == split


def test_a_split_is_said_in_words() -> None:
    assert [str(s) for s in (Split(), Split(3), Split(1, 1), Split(2, 4))] == [
        "whole",
        "in 3 parts",
        "one image at a time, recomputed",
        "in 2 parts, 4 images at a time, recomputed",
    ]
