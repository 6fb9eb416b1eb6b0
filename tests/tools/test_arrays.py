"""NumPy array files that lie."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DatasetError
from tools.arrays import open_array


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    with (tmp_path / "good.npy").open("wb") as file:
        np.lib.format.write_array(file, np.ones((3, 5), np.float32), (2, 0))
    return (tmp_path / "good.npy").read_bytes()


def test_arrays_of_all_versions_are_read(tmp_path: Path, whole: bytes) -> None:
    assert open_array(tmp_path / "good.npy").shape == (3, 5)
    np.save(tmp_path / "first.npy", np.zeros(2))
    assert open_array(tmp_path / "first.npy").shape == (2,)


def test_a_header_that_claims_gigabytes_reserves_none(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "x.npy"
    for length in (2**31, 2**32 - 1, len(whole) + 1):
        path.write_bytes(whole[:8] + length.to_bytes(4, "little") + whole[12:])
        tracemalloc.start()
        try:
            with pytest.raises(DatasetError, match="is not a NumPy array file"):
                open_array(path)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"(3, 5)", b"(03, 5"), (b"(3, 5)", b"(3, -5)"), (b"(3, 5)", b"(3, 5))"), (b"<f4", b"|O"),
        (b"'descr'", b"'desc'"), (b"{", b"[" * 50_000), (b"False", b"Fals("), (b"<f4", b"\xff4"),
    ],
)  # fmt: skip
def test_a_header_that_is_none_is_a_sentence(
    tmp_path: Path, whole: bytes, good: bytes, bad: bytes
) -> None:
    header, length = whole[12:].replace(good, bad, 1), int.from_bytes(whole[8:12], "little")
    length += len(bad) - len(good)
    (tmp_path / "x.npy").write_bytes(whole[:8] + length.to_bytes(4, "little") + header)
    with pytest.raises(DatasetError, match="is not a NumPy array file"):
        open_array(tmp_path / "x.npy")
