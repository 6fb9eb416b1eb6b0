"""Which rows are held out: groups, duplicates and near duplicates stay on one side."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets import index
from datasets.errors import DatasetError
from datasets.framing import Framing
from datasets.index import Entry, group_names, hold_out, mark_duplicates
from datasets.prepare import prepare
from datasets.sources import open_source
from tests.datasets.making import write_photographs


def entries(hashes: list[int]) -> list[Entry]:
    return mark_duplicates(
        [Entry(f"{row}.png", f"{number:064x}") for row, number in enumerate(hashes)]
    )


def held(chosen: list[Entry]) -> list[int]:
    return [row for row, entry in enumerate(chosen) if entry.split == "held-out"]


def test_the_last_rows_are_held_out() -> None:
    assert held(hold_out(entries(list(range(10))), 0.3)) == [7, 8, 9]
    assert held(hold_out(entries(list(range(10))), 0)) == []
    assert held(hold_out(entries(list(range(10))), 0.001)) == [9]
    assert held(hold_out(entries([1]), 0.5)) == []


def test_a_group_is_held_out_as_a_whole_or_not_at_all() -> None:
    groups = ["a", "b", "c", "a", "b", "c", "d", "a", None, "d"]
    # Backwards: d takes two; 8 alone is the third; a would be too many.
    assert held(hold_out(entries(list(range(10))), 0.3, groups)) == [6, 8, 9]
    # The next that fits after d and 8 is neither a (three) nor c.
    assert held(hold_out(entries(list(range(10))), 0.4, groups)) == [6, 8, 9]
    assert held(hold_out(entries(list(range(10))), 0.5, groups)) == [2, 5, 6, 8, 9]


def test_if_all_groups_are_too_large_the_smallest_is_held_out() -> None:
    groups = ["a"] * 6 + ["b"] * 4
    assert held(hold_out(entries(list(range(10))), 0.1, groups)) == [6, 7, 8, 9]
    # There must be something left to learn from.
    assert held(hold_out(entries(list(range(10))), 0.1, ["a"] * 10)) == []


def test_a_group_with_a_duplicate_is_not_held_out() -> None:
    chosen = hold_out(entries([1, 2, 3, 4, 4]), 0.4, ["a", "b", "c", "d", "c"])
    assert held(chosen) == [0, 1]


def test_near_duplicates_stay_together_and_connect_groups() -> None:
    ten = entries(list(range(10)))
    assert held(hold_out(ten, 0.2, near_duplicates={9: 0})) == [0, 9]
    assert held(hold_out(ten, 0.1, near_duplicates={9: 0})) == [8]
    groups = ["a", "a", None, None, "b", None, None, None, None, "b"]
    # 9 is with 4, and by its resemblance with 0, which is with 1.
    assert held(hold_out(ten, 0.4, groups, {9: 0})) == [0, 1, 4, 9]
    assert held(hold_out(ten, 0.3, groups, {9: 0})) == [6, 7, 8]
    # A resemblance to a picture that occurs twice.
    assert held(hold_out(entries([1, 2, 3, 1, 4]), 0.4, near_duplicates={4: 0})) == [1, 2]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12), st.sampled_from([None, None, "a", "b", "c"]), st.integers(-30, 29)
        ),
        min_size=2,
        max_size=30,
    ),
    st.floats(0, 0.9),
)
def test_nothing_that_belongs_together_is_ever_parted(
    rows: list[tuple[int, str | None, int]], fraction: float
) -> None:
    hashes, groups = [row[0] for row in rows], [row[1] for row in rows]
    near = {row: other for row, (_, _, other) in enumerate(rows) if 0 <= other < row}
    chosen = hold_out(entries(hashes), fraction, groups, near)
    splits = [entry.split for entry in chosen]
    assert "train" in splits
    sides: dict[object, set[str]] = {}
    for row, split in enumerate(splits):
        sides.setdefault(("hash", hashes[row]), set()).add(split)
        if groups[row] is not None:
            sides.setdefault(("group", groups[row]), set()).add(split)
        if row in near:
            assert split == splits[near[row]]
    assert all(len(found) == 1 for found in sides.values())


def test_groups_come_from_names() -> None:
    names = ["anna-1.png", "anna-2.png", "bert-1.png", "x.png", "-9.png"]
    assert group_names(names, re.compile(r"[a-z]+-")) == ["anna-", "anna-", "bert-", None, None]
    assert group_names(names, re.compile(r"([a-z]*)-\d")) == ["anna", "anna", "bert", None, None]
    assert group_names(names, re.compile(r"(?:nobody)|(anna)"))[:3] == ["anna", "anna", None]


@pytest.mark.parametrize("seed", range(3))
def test_a_dataset_holds_out_whole_people(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "photographs"
    write_photographs(folder, 30)
    for path in sorted(folder.iterdir()):
        path.rename(folder / f"person{int(path.stem) // 3}-{path.name}")
    dataset = prepare(
        open_source(str(folder), resolution=8, channels=3, seed=0),
        tmp_path / "d",
        framing=Framing(resolution=8),
        source_name="photographs",
        held_out=0.2,
        seed=seed,
        workers=1,
        group_by=re.compile(r"person(\d+)"),
    ).dataset
    out = {name.split("-")[0] for name in (dataset.names[r] for r in dataset.rows("held-out"))}
    trained = {name.split("-")[0] for name in (dataset.names[r] for r in dataset.rows("train"))}
    assert len(out) == 2
    assert not out & trained
    assert dataset.description.choices == {"group_by": r"person(\d+)"}


def test_near_duplicates_are_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "near-duplicates.csv"
    for near in ({}, {3: 1, 2: 0}):
        index.write_near_duplicates(path, near)
        assert index.read_near_duplicates(path, 4) == near


@pytest.mark.parametrize(
    "text",
    ["", "a,b\r\n", "row,near_duplicate_of\r\n1\r\n", "row,near_duplicate_of\r\n1,1\r\n",
     "row,near_duplicate_of\r\n4,0\r\n", "row,near_duplicate_of\r\n1,-1\r\n",
     "row,near_duplicate_of\r\n1,0\r\n1,0\r\n", "row,near_duplicate_of\r\n1,\u00b2\r\n"],
)  # fmt: skip
def test_a_table_of_near_duplicates_is_not_trusted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "near-duplicates.csv"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(DatasetError, match=r"near-duplicates\.csv is damaged"):
        index.read_near_duplicates(path, 4)
    path.unlink()
    with pytest.raises(DatasetError, match=r"near-duplicates\.csv cannot be read"):
        index.read_near_duplicates(path, 4)


def test_datasets_without_that_table_still_open(tmp_path: Path) -> None:
    """The text of format 1, as it was written before there were near duplicates."""
    from datasets.pyramid import Dataset
    from tests.datasets.making import write_dataset

    dataset = write_dataset(tmp_path / "d", hashes=[1, 2, 3, 4])
    old = replace(dataset.description, format_version=1)
    (tmp_path / "d" / "dataset.json").write_text(old.text(), encoding="utf-8")
    opened = Dataset.open(tmp_path / "d")
    assert opened.description == old
    assert opened.verify() == []
    assert opened.near_duplicates() is None
    # It is still the dataset that a run was begun with.
    assert opened.fingerprint == old.fingerprint
    newer = replace(old, sha256={**old.sha256, "near-duplicates.csv": "0" * 64})
    (tmp_path / "d" / "dataset.json").write_text(newer.text(), encoding="utf-8")
    with pytest.raises(DatasetError, match="does not name the files"):
        Dataset.open(tmp_path / "d")


def with_classes(names: str, hashes: list[int] | None = None) -> list[Entry]:
    """One row for each letter, which is its class."""
    numbers = hashes or list(range(len(names)))
    return [
        replace(entry, class_name=name) for entry, name in zip(entries(numbers), names, strict=True)
    ]


def test_a_class_keeps_a_picture_to_train_on() -> None:
    # Backwards: e has one picture, and of d one may go.
    assert held(hold_out(with_classes("aaabbcddde"), 0.2)) == [7, 8]
    assert held(hold_out(with_classes("aaabbcddee"), 0.4)) == [2, 4, 7, 9]
    assert held(hold_out(with_classes("abcdefghij"), 0.4)) == []
    # One after the other would be allowed, both are not.
    assert held(hold_out(with_classes("aaaabb"), 0.4)) == [3, 5]
    # A group, or two that are nearly the same, may be all of a class, or all that is left of it:
    # after 9, both 7 and 8 would be; 6 is alone; 4 and 5 are all of b.
    groups = ["x", "y", None, None, "z", "z", None, "w", "w", None]
    assert held(hold_out(with_classes("aaaabbcddd"), 0.3, groups)) == [2, 3, 9]
    assert held(hold_out(with_classes("aaabb"), 0.4, near_duplicates={4: 3})) == [1, 2]
    # The smallest of groups that are all too large, as long as it is not all of a class.
    assert held(hold_out(with_classes("aaaabb"), 0.1, [*"xxyyzz"])) == [2, 3]


def test_classes_with_enough_pictures_change_nothing() -> None:
    for fraction in (0.05, 0.3, 0.5):
        plain = held(hold_out(entries(list(range(40))), fraction))
        assert held(hold_out(with_classes("ab" * 20), fraction)) == plain


@given(
    st.lists(
        st.tuples(st.integers(0, 15), st.sampled_from("abcdef"), st.integers(-30, 29)),
        min_size=2,
        max_size=30,
    ),
    st.floats(0, 0.99),
)
def test_no_class_is_ever_without_a_picture_to_train_on(
    rows: list[tuple[int, str, int]], fraction: float
) -> None:
    known = with_classes("".join(row[1] for row in rows), [row[0] for row in rows])
    near = {row: other for row, (_, _, other) in enumerate(rows) if 0 <= other < row}
    chosen = hold_out(known, fraction, None, near)
    trained = {entry.class_name for entry in chosen if entry.split == "train"}
    assert trained == {entry.class_name for entry in known}


@pytest.mark.parametrize("seed", range(3))
def test_a_dataset_with_rare_classes_can_be_trained_on_all_of_them(
    tmp_path: Path, seed: int
) -> None:
    write_photographs(tmp_path / "in" / "common", 20)
    for number in range(15):
        write_photographs(tmp_path / "in" / f"rare{number:02d}", 1, first=20 + number)
    dataset = prepare(
        open_source(str(tmp_path / "in"), resolution=8, channels=3, seed=0, classes="folders"),
        tmp_path / "made",
        framing=Framing(resolution=8),
        source_name="in",
        held_out=0.3,
        seed=seed,
        workers=1,
    ).dataset
    trained = {dataset.entries[row].class_name for row in dataset.rows("train")}
    assert trained == set(dataset.classes or ())
    assert len(trained) == 16
    assert len(dataset.rows("held-out")) == 10
