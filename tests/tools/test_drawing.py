import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets import pictures
from datasets.errors import DatasetError
from progan.latents import latents_of_seeds
from progan.layers import Convolution
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
    # The largest layer gives 8 maps of 16 pixels a side.
    for numbers, size in ((1, 1), (4 * 2048, 4), (2**20, 11)):
        monkeypatch.setattr(drawing, "_NUMBERS_AT_ONCE", numbers)
        parts = list(drawing.images(generator, points, labels))
        assert max(len(part) for part in parts) == size
        made.append(np.concatenate(parts))
    assert made[0].shape == (11, 3, 16, 16)
    assert made[0].dtype == np.float32
    assert made[1] == pytest.approx(made[0], abs=1e-5)
    assert made[2] == pytest.approx(made[0], abs=1e-5)
    assert_pixels_of(generator, drawing.draw(generator, points, labels), made[0])


def test_parts_take_about_the_same_memory_at_every_level() -> None:
    generator = small_generator(resolution=64)
    for level in (2, 4, 6):
        size = drawing.parts(generator.stand(level))
        # nf(level - 1) maps: at most 8, and 64 / 2**(level - 1).
        numbers = size * min(8, 128 >> level) << 2 * level
        assert 2**20 < numbers <= 2**21


class Narrow(Generator):
    """A generator on a device that has room for a few images at once."""

    def __init__(self, room: int) -> None:
        super().__init__(resolution=4, fmap_base=8, fmap_max=4)
        self.room = room
        self.asked: list[int] = []

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        self.asked.append(len(latents))
        if len(latents) > self.room:
            raise torch.OutOfMemoryError("Tried to allocate 99 GiB. …")
        return super().forward(latents, labels)


def test_where_memory_is_short_fewer_images_are_made_at_once() -> None:
    narrow = Narrow(3).requires_grad_(False)
    points = latents_of_seeds(range(10), 4)
    made = np.concatenate(list(drawing.images(narrow, points)))
    assert narrow.asked[-5:] == [2] * 5
    narrow.room = 99
    assert made == pytest.approx(np.concatenate(list(drawing.images(narrow, points))), abs=1e-5)


def test_a_device_without_memory_is_a_sentence() -> None:
    with pytest.raises(DatasetError, match="cpu has not enough free memory"):
        drawing.draw(Narrow(0), np.zeros((5, 4), np.float32))


def test_pixels_are_those_of_the_picture_files() -> None:
    levels = np.arange(-300, 600, 0.5, dtype=np.float32) / 127.5 - 1
    odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, -1, 1e-30], np.float32)
    images = np.resize(np.concatenate([levels, odd]), (3, 3, 16, 16))
    images[1] = np.random.default_rng(0).normal(size=(3, 16, 16))
    found = drawing.as_pixels(torch.from_numpy(images)).numpy()
    assert found.dtype == np.uint8
    assert np.array_equal(found, pictures.to_uint8(images))
    assert np.isnan(images).any()  # It was not changed.


@pytest.mark.parametrize(
    ("off", "same"),
    [
        ({}, True),
        ({1: 5000}, True),
        ({2: 1}, True),
        ({2: 2}, False),
        ({3: 1}, False),
        ({255: 1}, False),
    ],
)
def test_pictures_agree_to_one_grey_level(off: dict[int, int], same: bool) -> None:
    first = np.zeros((5, 20, 50, 3), np.uint8)  # 15000 values: one may be two levels off.
    second = first.copy()
    for levels, values in off.items():
        second.reshape(-1)[:values] = levels
    assert drawing.agree(first, second) is same
    assert drawing.agree(second, first) is same
    with pytest.raises(ValueError, match="cannot be compared"):
        drawing.agree(first, second[:1])


def test_half_precision_is_taken_where_pictures_agree() -> None:
    generator = small_generator(classes=2)
    colours = generator.to_rgb["4"].get_parameter("weight")
    colours.mul_(0.1)  # Of trained ones, too, few colours are cut off.
    points, labels = latents_of_seeds(range(8), 8), np.arange(8) % 2
    half = drawing.in_half_precision(generator, points, labels)
    assert half is not None
    for network, precision in ((half, torch.float16), (generator, None)):
        layer = network.get_submodule("blocks.4.conv1")
        assert isinstance(layer, Convolution) and layer.precision == precision
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float32}
    assert drawing.agree(
        drawing.draw(half, points, labels), drawing.draw(generator, points, labels)
    )
    # Weights that 16 bits do not hold.
    generator.get_parameter("blocks.4.conv1.weight").mul_(1e6)
    assert drawing.in_half_precision(generator, points, labels) is None


def test_the_precision_that_is_asked_for_is_taken_and_a_processor_keeps_float32() -> None:
    generator = small_generator()
    points = latents_of_seeds(range(8), 8)
    assert drawing.quickest(generator, points) is generator
    exact = next(drawing.images(generator, points))
    for name, size in (("float16", 2**-11), ("bfloat16", 2**-8), ("float32", 0.0)):
        found = drawing.quickest(generator, points, precision=name)
        wrong = np.abs(next(drawing.images(found, points)) - exact).max() / np.abs(exact).max()
        assert (wrong > 0) == (size > 0) and wrong <= 16 * size, name


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
