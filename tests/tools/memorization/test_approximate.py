import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from datasets.pyramid import Dataset
from tests.tools.conftest import Tool
from tests.tools.making import names
from tests.tools.memorization.making import held_out, training
from tests.tools.memorization.test_search import Training
from tools.memorization import approximate, examine
from tools.memorization.approximate import Index, recall
from tools.memorization.search import Neighbours, nearest

Vectors = NDArray[np.float32]

needs_faiss = pytest.mark.skipif(
    not approximate.installed(), reason="faiss-cpu (requirements-extras.txt) is not installed"
)


def correlated(count: int, seed: int) -> Vectors:
    """Vectors of 96 numbers that are mixtures of ten, near to one of forty centres."""
    mixed = np.random.default_rng(0).normal(size=(10, 96))
    centres = np.random.default_rng(1).normal(0, 4, (40, 10))
    chance = np.random.default_rng(seed)
    near = centres[chance.integers(0, 40, count)] + chance.normal(size=(count, 10))
    return np.asarray(near @ mixed, np.float32)


def searched(count: int) -> Training:
    vectors = correlated(count, 2)
    return Training(vectors, np.ascontiguousarray(vectors[:, ::-1]))


@needs_faiss
def test_it_finds_nearly_all_and_measures_exactly() -> None:
    among = searched(6000)
    queries = np.concatenate(
        [correlated(200, 3), among.vectors[[0, 5999]], among.mirrored[[7, 4000]]]
    )
    found, exact = Index(among).nearest(queries, 5), nearest(queries, among, 5)
    seen = recall(found, exact)
    assert (seen.images, seen.wanted) == (204, 5)
    assert seen.first > 0.95
    assert seen.all > 0.95
    # Copies are found, mirrored ones too.
    assert found.rows[-4:, 0].tolist() == [0, 5999, 7, 4000]
    assert found.mirrored[-4:, 0].tolist() == [False, False, True, True]
    assert (found.distances[-4:, 0] == 0).all()
    same = found.rows == exact.rows
    assert same.mean() > 0.9
    assert np.array_equal(found.distances[same], exact.distances[same])
    assert np.array_equal(found.mirrored[same], exact.mirrored[same])
    assert (np.diff(found.distances, axis=1) >= 0).all()
    assert all(len(set(rows)) == 5 for rows in found.rows.tolist())


@needs_faiss
def test_a_query_does_not_find_itself() -> None:
    among = searched(3000)
    own = np.array([5, -1, 2999])
    found = Index(among).nearest(among.vectors[[5, 5, 2999]], 4, own=own)
    assert 5 not in found.rows[0]
    assert found.rows[1, 0] == 5
    assert 2999 not in found.rows[2]
    assert (found.distances[[0, 2], 0] > 0).all()


@needs_faiss
def test_one_index_is_like_another_and_leaves_chance_alone() -> None:
    among, queries = searched(2000), correlated(50, 4)
    state = torch.get_rng_state()
    first, second = (Index(among, seed=3).nearest(queries, 5) for _ in range(2))
    assert np.array_equal(first.rows, second.rows)
    assert torch.equal(state, torch.get_rng_state())


@needs_faiss
@pytest.mark.parametrize("count", [1, 2, 40, 300])
def test_where_too_few_are_proposed_the_search_is_exact(
    count: int, capfd: pytest.CaptureFixture[str]
) -> None:
    among, queries = searched(count), correlated(20, 5)
    found = Index(among).nearest(queries, 250)
    exact = nearest(queries, among, 250)
    assert found.rows.shape == exact.rows.shape == (20, min(count, 250))
    assert np.isfinite(found.distances).all()
    assert recall(found, exact).all > 0.9
    assert capfd.readouterr().err == ""
    none = Index(among).nearest(queries[:0], 3)
    assert none.rows.shape == (0, min(count, 3))


@needs_faiss
def test_pictures_of_one_colour_do_no_harm() -> None:
    flat = np.zeros((500, 48), np.float32)
    found = Index(Training(flat, flat)).nearest(flat[:9], 3)
    assert (found.distances == 0).all()
    assert all(len(set(rows)) == 3 for rows in found.rows.tolist())


def test_recall_counts_what_is_missed() -> None:
    def listed(rows: list[list[int]], distances: list[list[float]]) -> Neighbours:
        return Neighbours(
            rows=np.array(rows),
            mirrored=np.zeros((len(rows), 2), np.bool_),
            distances=np.array(distances),
        )

    exact = listed([[1, 2], [3, 4], [5, 6]], [[1, 2], [1, 2], [1, 2]])
    # One nearest is missed; another is as near as the one that the exact search names.
    found = listed([[1, 2], [4, 9], [8, 6]], [[1, 2], [2, 3], [1, 2]])
    seen = recall(found, exact)
    assert seen.first == pytest.approx(2 / 3)
    assert seen.all == pytest.approx((1 + 0.5 + 0.5) / 3)


@needs_faiss
def test_the_report_says_what_the_search_may_have_missed(
    tool: Tool, tmp_path: Path, portraits: Dataset
) -> None:
    np.save(tmp_path / "i.npy", np.concatenate([training(portraits)[:6], held_out(portraits)]))
    ended = tool("neighbours", "i.npy", portraits.path, "out", "--search", "approximate")
    assert ended.status == 0
    found = json.loads((tmp_path / "out/report.json").read_text())
    assert found["settings"]["search"] == found["summary"]["search"] == "approximate"
    for space in found["summary"]["spaces"].values():
        assert space["recall"]["images"] == 30
        assert 0.9 < space["recall"]["first"] <= 1
    assert "(recall): pixels: " in (tmp_path / "out/report.html").read_text()
    assert found["summary"]["near_duplicates"] >= 6
    ended = tool("neighbours", "i.npy", portraits.path, "exact")
    assert ended.status == 0
    found = json.loads((tmp_path / "exact/report.json").read_text())
    assert found["summary"]["search"] == "exact"
    assert found["summary"]["spaces"]["pixels"]["recall"] is None
    assert "recall" not in (tmp_path / "exact/report.html").read_text()


@needs_faiss
def test_a_large_problem_is_searched_approximately_unless_told_otherwise(
    tool: Tool, tmp_path: Path, portraits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examine, "MOST_EXACT", 1000)
    np.save(tmp_path / "i.npy", held_out(portraits))
    ended = tool("neighbours", "i.npy", portraits.path, "a", "--features", "pixels")
    assert ended.status == 0
    assert "the search is approximate" in ended.err
    words = ["--features", "pixels", "--search", "exact"]
    ended = tool("neighbours", "i.npy", portraits.path, "b", *words)
    assert ended.status == 0
    assert "the search is" not in ended.err
    kinds = [json.loads((tmp_path / f"{n}/report.json").read_text())["summary"] for n in "ab"]
    assert [kind["search"] for kind in kinds] == ["approximate", "exact"]


def test_without_faiss_the_program_says_what_to_install(
    tool: Tool, tmp_path: Path, portraits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    np.save(tmp_path / "i.npy", held_out(portraits))
    ended = tool("neighbours", "i.npy", portraits.path, "out", "--search", "approximate")
    assert (ended.status, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    assert "pip install faiss-cpu" in ended.err
    assert names(tmp_path) == ["i.npy"]
    monkeypatch.setattr(examine, "MOST_EXACT", 1000)
    ended = tool("neighbours", "i.npy", portraits.path, "out", "--features", "pixels")
    assert ended.status == 0
    assert "takes about 1 min. " in ended.err
    assert "pip install faiss-cpu" in ended.err
    found = json.loads((tmp_path / "out/report.json").read_text())
    assert found["summary"]["search"] == "exact"
