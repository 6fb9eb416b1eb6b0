"""The minibatch divided among processes is still the minibatch."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from progan.errors import ProganError
from progan.free_memory import processes_here
from progan.layers import minibatch_deviation
from progan.parallel import Processes, joined
from tests.progan.float64 import train_to_files
from tests.starting import start


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


@pytest.mark.parametrize("text", ["abc", "", "0", "-2", "1.5", "²", "9" * 5000])
@pytest.mark.parametrize("variable", ["WORLD_SIZE", "LOCAL_WORLD_SIZE"])
def test_an_environment_that_counts_no_processes_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, text: str, variable: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ProganError, match=f"{variable} is .* not a number of processes") as caught:
        if variable == "WORLD_SIZE":
            with joined():
                pass
        else:
            processes_here()
    assert len(str(caught.value)) < 300


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(variable, raising=False)
    with joined() as processes:
        assert (processes, processes_here()) == (Processes(), 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The states of one, two and four processes after 50 steps, in the fade of a level."""
    folder = tmp_path_factory.mktemp("trained")
    runs = [start(folder, train_to_files, [(folder, 25)] * count) for count in (1, 2, 4)]
    for run in runs:
        statuses = run.statuses()
        assert set(statuses) == {0}, [run.said(rank) for rank in range(len(statuses))]
    return folder


def test_fifty_steps_of_several_processes_are_those_of_one(trained: Path) -> None:
    alone = torch.load(trained / "0-of-1.pt")
    alone.pop("scalars")
    for count in (2, 4):
        state = torch.load(trained / f"0-of-{count}.pt")
        differences = {name: (state[name] - alone[name]).abs().max() for name in alone}
        assert max(differences.values()) < 1e-5, (count, differences)


def test_all_processes_have_the_same_bits_and_the_same_scalars(trained: Path) -> None:
    alone = torch.load(trained / "0-of-1.pt")["scalars"]
    for count in (2, 4):
        first, *others = [torch.load(trained / f"{rank}-of-{count}.pt") for rank in range(count)]
        # Each has seen other images, but notes the means over all.
        assert first["scalars"] == pytest.approx(alone, rel=1e-5)
        for other in others:
            assert other.pop("scalars") == first["scalars"]
            assert all(torch.equal(first[name], tensor) for name, tensor in other.items())


def test_augmentation_adapts_alike_in_several_processes(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "objective": "relativistic",
        "gamma": "0.2",
        "augment": "colour,translation,cutout",
        "augment_target": 0.1,
        "augment_kimg": 0.3,
    }
    train = partial(train_to_files, **changes)
    runs = [start(tmp_path, train, [(tmp_path, 25)] * count) for count in (1, 2)]
    for run in runs:
        statuses = run.statuses()
        assert set(statuses) == {0}, [run.said(rank) for rank in range(len(statuses))]
    alone = torch.load(tmp_path / "0-of-1.pt")
    two = [torch.load(tmp_path / f"{rank}-of-2.pt") for rank in range(2)]
    assert alone.pop("scalars") == pytest.approx(two[0].pop("scalars"), rel=1e-5)
    assert alone["augmentation.probability"] > 0.05
    for name, tensor in alone.items():
        assert (two[0][name] - tensor).abs().max() < 1e-5, name
        assert torch.equal(two[1][name], two[0][name]), name
