import errno
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import DatasetError
from tools.metrics.shelf import Shelf


def rows(count: int, first: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.arange(first * 3, (first + count) * 3, dtype=np.float32).reshape(count, 3)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(0, 200))
def test_rows_come_back_wherever_they_are_kept(sizes: list[int], memory: int) -> None:
    shelf = Shelf(3, most_rows=40, memory=memory)
    for size in sizes:
        shelf.append(rows(size, shelf.count))
    if shelf.count:
        assert (shelf.rows() == rows(sum(sizes))).all()
    assert shelf.count == sum(sizes)
    shelf.close()


def test_rows_can_be_read_between_additions() -> None:
    shelf = Shelf(3, most_rows=9, memory=0)
    shelf.append(rows(2))
    assert (shelf.rows() == rows(2)).all()
    shelf.append(rows(2, 2))
    assert (shelf.rows() == rows(4)).all()
    shelf.close()


def test_temporary_files_are_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shelf = Shelf(3, most_rows=9, memory=0)
    shelf.append(rows(2))
    shelf.rows()
    shelf.close()
    shelf.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    shelf = Shelf(3, most_rows=9, memory=24)
    shelf.append(rows(2))
    with pytest.raises(DatasetError, match=r"no space left.*TMPDIR"):
        shelf.append(rows(1))


def test_other_failures_are_not_mistaken_for_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/folder")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    with pytest.raises(PermissionError):
        Shelf(3, most_rows=9, memory=0).append(rows(1))
