"""Exports with a folder for each class, whatever the classes are called."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.__main__ import datasets
from datasets.class_folders import folders_of
from datasets.exporting import export
from datasets.pyramid import Dataset
from datasets.sources.signatures import is_picture
from tests.datasets.conftest import Program
from tests.datasets.making import write_dataset
from tests.datasets.sources.making import opened, write_zip

HARD = [
    "cat",
    "Cat",
    "CAT",
    "a/b",
    "a%2Fb",
    "..",
    ".",
    ".hidden",
    "/",
    "\\",
    "C:",
    "con",
    "NUL.txt",
    "__MACOSX",
    "index.csv",
    "dataset.json",
    "ends. ",
    " begins",
    "new\nline",
    "tab\0zero",
    "e\u0301t\u00e9",
    "\u00e9t\u00e9",
    "not\udcfftext",
    "x" * 300,
    "x" * 299 + "y",
    "\u732b" * 100,
    "00000",
    "1.png",
]


def test_plain_names_stay(tmp_path: Path) -> None:
    plain = ["cat", "big dog", "Eyeglasses+not-Male", "00", "été", "猫", "v1.5", "a_b"]
    assert folders_of(plain) == {name: name for name in plain}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a/b", "a%2Fb"),
        ("50%", "50%25"),
        ("..", "%2E%2E"),
        (".x", "%2Ex"),
        ("x.", "x%2E"),
        ("aux.c", "%61ux.c"),
        ("é:", "é%3A"),
        ("\udcff", "%FF"),
    ],
)
def test_other_names_become_bytes(name: str, folder: str) -> None:
    assert folders_of([name]) == {name: folder}


def require_good_folders(names: list[str]) -> None:
    folders = folders_of(names)
    assert sorted(folders) == sorted(names)
    lowered = [folder.lower() for folder in folders.values()]
    assert len(set(lowered)) == len(names)
    for folder in folders.values():
        assert Path("root", folder).parent == Path("root")
        assert "\\" not in folder
        assert len(os.fsencode(folder)) < 130
        assert is_picture(f"{folder}/1.png")


def test_folders_are_different_and_no_paths() -> None:
    require_good_folders(HARD)


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=20, unique=True))
def test_folders_of_all_names(names: list[str]) -> None:
    require_good_folders(names)


def test_classes_come_back_from_folders(program: Program, tmp_path: Path) -> None:
    first = write_dataset(tmp_path / "first", hashes=list(range(len(HARD))), classes=HARD)
    out = tmp_path / "out"
    export(first, out, format="folder")
    top = {path.name for path in out.iterdir()}
    assert len(top) == len(HARD) + 2
    assert {path.parent.parent for path in out.rglob("*.png") if path.is_file()} == {out}
    ended = program(
        datasets, "prepare", out, tmp_path / "second", "--resolution", 8, "--classes", "folders"
    )
    assert ended.status == 0, ended.err
    second = Dataset.open(tmp_path / "second")
    assert second.classes == first.classes

    def classes_of(dataset: Dataset) -> dict[bytes, str | None]:
        pixels = dataset.level(3)
        return {
            pixels[row].tobytes(): entry.class_name for row, entry in enumerate(dataset.entries)
        }

    assert classes_of(second) == classes_of(first)
    # The same from StyleGAN's table of labels.
    labelled = opened(out, "labels")
    found = {labelled.class_of(item) for item in range(len(labelled.names))}
    assert found == set(HARD)


def test_a_dataset_without_classes_has_numbered_folders(tmp_path: Path) -> None:
    export(write_dataset(tmp_path / "d", hashes=[1, 2]), tmp_path / "out", format="folder")
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("*.png")) == [
        "00000/img00000000.png",
        "00000/img00000001.png",
    ]


def test_one_class_alone_is_a_folder(tmp_path: Path) -> None:
    export(
        write_dataset(tmp_path / "d", hashes=[1, 2], classes=["a/b", "a/b"]),
        tmp_path / "out",
        format="folder",
    )
    source = opened(tmp_path / "out", "folders")
    assert [source.class_of(item) for item in range(2)] == ["a/b", "a/b"]


def test_the_table_of_folders_is_not_trusted(tmp_path: Path) -> None:
    picture = next((write_dataset(tmp_path / "d", hashes=[1])).path.glob("*.json")).read_bytes()
    tables: list[object] = [[], {"a": 5}, {"a": ""}, {"a": ["b"]}, "a"]
    for told in tables:
        labels = json.dumps({"labels": [["a/1.png", 0]], "folders": told}).encode()
        path = write_zip(
            tmp_path / "x.zip", {"a/1.png": picture, "b/1.png": picture, "dataset.json": labels}
        )
        source = opened(path, "folders")
        assert [source.class_of(item) for item in range(2)] == ["a", "b"]
