import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.errors import DatasetError
from progan.latents import latents_of_seeds
from progan.networks import Generator
from tests.tools.making import assert_pixels_of, small_generator
from tools import drawing


def npy(header: str, data: bytes = bytes(64)) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def saved(array: object) -> bytes:
    buffer = BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


def test_images_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = small_generator(classes=3)
    points = latents_of_seeds(range(11), generator.latent_size)
    labels = np.arange(11) % 3
    made = []
    for pixels in (1, 4 * 256, 2**20):
        monkeypatch.setattr(drawing, "_PIXELS_AT_ONCE", pixels)
        parts = list(drawing.images(generator, points, labels))
        assert max(len(part) for part in parts) * 256 <= max(pixels, 256)
        made.append(np.concatenate(parts))
    assert made[0].shape == (11, 3, 16, 16)
    assert made[0].dtype == np.float32
    assert made[1] == pytest.approx(made[0], abs=1e-5)
    assert made[2] == pytest.approx(made[0], abs=1e-5)
    assert_pixels_of(generator, drawing.draw(generator, points, labels), made[0])


def test_parts_take_the_same_memory_at_every_level() -> None:
    generator = small_generator(resolution=64)
    most = [drawing.parts(generator.stand(level)) << 2 * level for level in (2, 4, 6)]
    assert len(set(most)) == 1


def test_a_device_without_memory_is_a_sentence() -> None:
    class Huge(Generator):
        def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
            raise torch.OutOfMemoryError("Tried to allocate 99 GiB. …")

    with pytest.raises(DatasetError, match="cpu has not enough free memory"):
        drawing.draw(Huge(resolution=4, fmap_base=8, fmap_max=4), np.zeros((1, 4), np.float32))


@pytest.mark.parametrize("kind", ["<f4", ">f8", "f2", "i4", "u1"])
def test_latents_of_every_kind_of_number_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "latents.npy"
    path.write_bytes(saved(np.arange(24).reshape(3, 8).astype(kind)))
    latents = drawing.read_latents(path, 8)
    assert latents.dtype == np.float32
    assert latents.tolist() == np.arange(24).reshape(3, 8).tolist()
    latents[0] = 1  # They are numbers of their own, which torch takes without a warning.


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    array = np.empty((1, 8), object)
    array[:] = Trap()
    path = tmp_path / "latents.npy"
    path.write_bytes(saved(array))
    with pytest.raises(DatasetError, match="not a NumPy array file of numbers"):
        drawing.read_latents(path, 8)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not a NumPy array"),
        (b"words", "not a NumPy array"),
        (saved(np.zeros((3, 8)))[:-1], "not a NumPy array"),
        (saved(np.zeros((3, 8)))[:40], "not a NumPy array"),
        (saved(np.zeros((3, 8), bool)), "not a NumPy array"),
        (saved(np.zeros((3, 8), complex)), "not a NumPy array"),
        (saved([["words"] * 8]), "not a NumPy array"),
        (npy("{"), "not a NumPy array"),
        (npy("'''"), "not a NumPy array"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 8), }"), "not a NumPy"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 8), }"), "not a NumPy"),
        (
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 8), }"),
            "not a NumPy array",
        ),
        (
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905, 8), }"),
            "not a NumPy array",
        ),
        (saved(np.zeros((3, 7))), r"the shape \[3, 7\].*\[N, 8\]"),
        (saved(np.zeros(8)), r"the shape \[8\]"),
        (saved(np.zeros((1, 3, 8))), r"the shape \[1, 3, 8\]"),
        (saved(np.zeros((0, 8))), r"the shape \[0, 8\]"),
        (saved(np.full((1, 8), np.nan)), "not finite"),
        (saved(np.full((1, 8), -np.inf)), "not finite"),
        (saved(np.full((1, 8), 1e300)), "not finite"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_other_latents_are_refused_with_a_sentence(
    tmp_path: Path, data: bytes, sentence: str
) -> None:
    path = tmp_path / "latents.npy"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=rf"latents\.npy .*{sentence}"):
        drawing.read_latents(path, 8)


def test_an_archive_of_arrays_is_no_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "latents.npz", np.zeros((3, 8)))
    with pytest.raises(DatasetError, match="not a NumPy array file"):
        drawing.read_latents(tmp_path / "latents.npz", 8)
