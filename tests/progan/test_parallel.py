"""The minibatch divided among processes is still the minibatch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from progan.errors import ProganError
from progan.layers import minibatch_deviation
from progan.parallel import Processes


@given(st.sampled_from([1, 2, 3, 4]), st.sampled_from([1, 2, 4]), st.integers(1, 3))
def test_shares_cover_the_minibatch_and_keep_groups_whole(
    count: int, group: int, groups_each: int
) -> None:
    minibatch = count * group * groups_each
    shares = [Processes(rank, count).share(minibatch, group) for rank in range(count)]
    assert sorted(torch.cat(shares).tolist()) == list(range(minibatch))
    features = torch.randn(minibatch, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    whole = minibatch_deviation(features, group)
    for share in shares:
        torch.testing.assert_close(minibatch_deviation(features[share], group), whole[share])


def test_one_process_has_the_minibatch_in_its_own_order() -> None:
    assert Processes().share(12, 4).tolist() == list(range(12))


def test_groups_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ProganError, match="12 makes 3 groups of 4"):
        Processes(0, 2).share(12, 4)


def test_one_process_averages_nothing_and_agrees_with_itself() -> None:
    tensor = torch.tensor([1.0, 2.0])
    Processes().average_([tensor])
    assert tensor.tolist() == [1.0, 2.0]
    assert Processes().any(True)
    assert not Processes().any(False)
