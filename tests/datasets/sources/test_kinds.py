"""Each kind of source, from its files to a step of training."""

import gzip
import json
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from datasets import drawn
from datasets.__main__ import datasets
from datasets.errors import DatasetError, UnusableError
from datasets.pyramid import Dataset
from datasets.sources.opening import recognize
from tests.datasets.conftest import Program
from tests.datasets.making import Pixels, noise
from tests.datasets.sources import making
from tests.datasets.sources.conftest import Prepare
from tests.datasets.sources.making import check, pictures, png

Train = Callable[[Dataset], None]


def members(images: list[Pixels], folders: tuple[str, ...] = ("cats", "dogs")) -> dict[str, Pixels]:
    return {f"{folders[n % len(folders)]}/{n}.png": image for n, image in enumerate(images)}


def first_folder(names: dict[str, Pixels]) -> dict[str, str]:
    return {name: name.partition("/")[0] for name in names}


def test_a_folder(tmp_path: Path, prepared: Prepare, train_a_step: Train) -> None:
    images = members(pictures())
    for name, image in images.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(png(image))
    assert recognize(str(tmp_path / "in")) == "folder"
    dataset = prepared(tmp_path / "in", "--classes", "folders")
    check(dataset, images, first_folder(images))
    train_a_step(dataset)
    check(prepared(f"file://{tmp_path}/in", name="other"), images)


@pytest.mark.parametrize("method", [0, 8, 12])
def test_a_zip_archive(tmp_path: Path, prepared: Prepare, train_a_step: Train, method: int) -> None:
    images = members(pictures(), ("all/cats", "all/dogs"))
    packed = {name: png(image) for name, image in images.items()}
    making.write_zip(tmp_path / "in.bin", packed, method)
    assert recognize(str(tmp_path / "in.bin")) == "zip"
    dataset = prepared(tmp_path / "in.bin", "--classes", "folders")
    # A folder that holds everything is no class.
    check(dataset, images, {name: name.split("/")[1] for name in images})
    if method == 0:
        train_a_step(dataset)


@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_tar_archive(tmp_path: Path, prepared: Prepare, train_a_step: Train, prefix: str) -> None:
    long = "l" * 200 + "/"  # Longer than the header has room for.
    images = members(pictures(), (f"{prefix}cats", f"{prefix}{long}dogs"))
    making.write_tar(tmp_path / "in.tar", {name: png(image) for name, image in images.items()})
    assert recognize(str(tmp_path / "in.tar")) == "tar"
    dataset = prepared(tmp_path / "in.tar", "--classes", "folders")
    check(dataset, images, {name: "cats" if "cats" in name else "l" * 200 for name in images})
    if not prefix:
        train_a_step(dataset)


@pytest.mark.parametrize("packed", [False, True])
def test_stylegan_labels_in_a_folder_and_in_an_archive(
    tmp_path: Path, prepared: Prepare, train_a_step: Train, packed: bool
) -> None:
    images = {f"00000/img{n:08d}.png": image for n, image in enumerate(pictures())}
    numbers = {name: n % 3 + 9 for n, name in enumerate(images)}
    files = {name: png(image) for name, image in images.items()}
    files["dataset.json"] = json.dumps({"labels": [[n, c] for n, c in numbers.items()]}).encode()
    if packed:
        making.write_zip(tmp_path / "in", files, 0)
    else:
        for name, data in files.items():
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / name).write_bytes(data)
    dataset = prepared(tmp_path / "in", "--classes", "labels")
    check(dataset, images, {name: f"{number:02d}" for name, number in numbers.items()})
    assert dataset.classes == ("09", "10", "11")
    train_a_step(dataset)


def test_one_lsun_database_and_several(
    tmp_path: Path, prepared: Prepare, train_a_step: Train
) -> None:
    # Small values lie in the leaves, large ones in pages of their own; many make a deep tree.
    images = {f"{n:040x}": image for n, image in enumerate(pictures(8, count=300))}
    images["f" * 40] = noise(64, 64, 3, seed=999)
    entries = {name.encode(): png(image) for name, image in images.items()}
    making.write_lmdb(tmp_path / "lsun" / "church_outdoor_train_lmdb", entries)
    beds = {bytes([n, 255]): png(image) for n, image in enumerate(pictures(8, count=4))}
    making.write_lmdb(tmp_path / "lsun" / "bedroom_val_lmdb", beds)
    one = making.opened(tmp_path / "lsun" / "church_outdoor_train_lmdb", "labels")
    assert list(one.names) == sorted(images)
    assert making.loaded(one) == [entries[name.encode()] for name in one.names]
    assert one.class_of(0) == "church_outdoor"
    assert recognize(str(tmp_path / "lsun")) == "lmdb"
    dataset = prepared(tmp_path / "lsun", "--classes", "labels")
    expected = {f"church_outdoor_train_lmdb/{name}": image for name, image in images.items()}
    expected |= {f"bedroom_val_lmdb/{n:02x}ff": image for n, image in enumerate(pictures(count=4))}
    del expected["church_outdoor_train_lmdb/" + "f" * 40]
    rows = [row for row, name in enumerate(dataset.names) if name in expected]
    assert len(rows) == len(expected) == dataset.count - 1
    for row in rows:
        assert np.array_equal(dataset.level(3)[row], expected[dataset.names[row]])
        assert dataset.names[row].startswith(str(dataset.entries[row].class_name))
    train_a_step(dataset)


def test_values_that_were_replaced_and_removed(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "db"), map_size=2**24) as database:
        for _ in range(3):
            with database.begin(write=True) as writing:
                for n in range(50):
                    writing.put(b"%03d" % n, bytes([n]) * (n * 200))
        with database.begin(write=True) as writing:
            for n in range(0, 50, 2):
                writing.delete(b"%03d" % n)
            writing.put(b"001", b"short")
    source = making.opened(tmp_path / "db")
    assert list(source.names) == [f"{n:03d}" for n in range(1, 50, 2)]
    rest = [bytes([n]) * (n * 200) for n in range(3, 50, 2)]
    assert making.loaded(source) == [b"short", *rest]


def test_cifar_10_binary(tmp_path: Path, prepared: Prepare, train_a_step: Train) -> None:
    images, labels = pictures(32), [n % 3 for n in range(8)]
    making.write_cifar10(tmp_path / "in", images, labels)
    assert recognize(str(tmp_path / "in")) == "cifar"
    dataset = prepared(tmp_path / "in", "--classes", "labels", resolution=32)
    names = [f"{'data_batch_1' if n < 4 else 'test_batch'}/{n % 4:05d}" for n in range(8)]
    words = ("plane", "car", "bird")
    check(
        dataset,
        dict(zip(names, images, strict=True)),
        {name: words[label] for name, label in zip(names, labels, strict=True)},
    )
    train_a_step(dataset)


def test_cifar_100_binary(tmp_path: Path, prepared: Prepare, train_a_step: Train) -> None:
    images, fine = pictures(32), [n % 2 for n in range(8)]
    folder = tmp_path / "in"
    folder.mkdir()
    rows = making.cifar_rows(images, [bytes([19, label]) for label in fine])
    (folder / "train.bin").write_bytes(rows)
    (folder / "fine_label_names.txt").write_text("apple\nfish\n")
    (folder / "coarse_label_names.txt").write_text("food\n")
    dataset = prepared(folder, "--classes", "labels", resolution=32)
    classes = {f"train/{n:05d}": ("apple", "fish")[label] for n, label in enumerate(fine)}
    check(dataset, dict(zip(classes, images, strict=True)), classes)
    train_a_step(dataset)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_cifar_10_for_python(tmp_path: Path, prepared: Prepare, protocol: int) -> None:
    images = pictures(32)
    making.write_cifar_python(tmp_path / "in", images, [0, 1, 2, 0, 1, 2, 0, 1], protocol)
    dataset = prepared(tmp_path / "in", "--classes", "labels", resolution=32)
    names = [f"data_batch_1/{n:05d}" for n in range(8)]
    check(
        dataset,
        dict(zip(names, images, strict=True)),
        {name: ("plane", "car", "bird")[n % 3] for n, name in enumerate(names)},
    )


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist(tmp_path: Path, prepared: Prepare, train_a_step: Train, suffix: str) -> None:
    digits = noise(8, 28, 28)
    labels = np.array([7, 1, 7, 1, 3, 3, 7, 1], np.uint8)
    (tmp_path / "in").mkdir()
    for name, part in (("train", slice(0, 5)), ("t10k", slice(5, 8))):
        making.write_idx(tmp_path / "in" / f"{name}-images-idx3-ubyte{suffix}", digits[part])
        making.write_idx(tmp_path / "in" / f"{name}-labels-idx1-ubyte{suffix}", labels[part])
    assert recognize(str(tmp_path / "in")) == "mnist"
    dataset = prepared(tmp_path / "in", "--channels", "1", "--classes", "labels", resolution=32)
    names = [f"train/{n:05d}" for n in range(5)] + [f"t10k/{n:05d}" for n in range(3)]
    padded = np.zeros((8, 32, 32, 1), np.uint8)
    padded[:, 2:30, 2:30, 0] = digits
    classes = {name: str(label) for name, label in zip(names, labels, strict=True)}
    check(dataset, dict(zip(names, padded, strict=True)), classes)
    train_a_step(dataset)


def test_the_checksum_of_the_tests_is_the_known_one() -> None:
    assert making.slow_crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("one_hot", [True, False])
def test_tfrecords(tmp_path: Path, prepared: Prepare, train_a_step: Train, one_hot: bool) -> None:
    images = pictures(8)
    small = [image.reshape(4, 2, 4, 2, 3).mean((1, 3)).astype(np.uint8) for image in images]
    making.write_tfrecords(tmp_path / "in", {2: small, 3: images})
    labels = np.array([1, 0, 1, 2, 2, 0, 1, 1])
    array = np.eye(3, dtype=np.float32)[labels] if one_hot else labels
    with (tmp_path / "in" / "faces-rxx.labels").open("wb") as file:
        np.save(file, array)
    assert recognize(str(tmp_path / "in")) == "tfrecords"
    dataset = prepared(tmp_path / "in", "--classes", "labels")
    names = [f"{n:08d}" for n in range(8)]
    check(
        dataset,
        dict(zip(names, images, strict=True)),
        {name: str(label) for name, label in zip(names, labels, strict=True)},
    )
    train_a_step(dataset)


ATTRIBUTES = """8
5_o_Clock_Shadow Eyeglasses Male
""" + "".join(f"{n:06d}.jpg -1 {1 if n % 2 else -1:2d} {1 if n < 4 else -1:2d}\n" for n in range(8))


def test_aligned_celeba_with_attributes(
    tmp_path: Path, prepared: Prepare, train_a_step: Train
) -> None:
    images = [noise(12, 10, 3, seed=n) for n in range(8)]
    files = {f"img_align_celeba/{n:06d}.png": png(image) for n, image in enumerate(images)}
    making.write_zip(tmp_path / "in.zip", files)
    (tmp_path / "list_attr_celeba.txt").write_text(ATTRIBUTES)
    dataset = prepared(
        *(tmp_path / "in.zip", "--crop", "1,3,8", "--classes", "Eyeglasses+Male"),
        *("--attributes", tmp_path / "list_attr_celeba.txt"),
    )
    check(
        dataset,
        {name: image[3:11, 1:9] for name, image in zip(files, images, strict=True)},
        {
            name: ("Eyeglasses+" if n % 2 else "not-Eyeglasses+")
            + ("Male" if n < 4 else "not-Male")
            for n, name in enumerate(files)
        },
    )
    train_a_step(dataset)


EYE_LEFT, EYE_RIGHT, MOUTH_LEFT, MOUTH_RIGHT = (
    (24.0, 26.0),
    (40.0, 26.0),
    (26.0, 42.0),
    (38.0, 42.0),
)


def photographs(folder: Path, suffix: str) -> list[Pixels]:
    """Smooth, so that a crop that is moved by a pixel shows, and one by a rounding does not."""
    folder.mkdir(parents=True)
    y, x = np.mgrid[:64, :64]
    images = [
        np.stack([4 * x, 4 * y, 2 * (x + y) * (n + 1) / 4], axis=-1).astype(np.uint8)
        for n in range(4)
    ]
    for n, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{n:05d}{suffix}")
    return images


def check_faces(dataset: Dataset) -> None:
    # Eyes 16 apart and 16 above the mouth: the square has its centre at (32, 27.6), and its half
    # side is max(2 × 16, 1.8 × 16) = 32.
    assert dataset.count == 3
    top = dataset.level(4)
    for row in range(3):
        middle = top[row][4:12, 4:12].astype(float)  # 4 pixels each, from 16 on
        x = 4 * (16 + 4 * np.arange(8) + 1.5)
        y = 4 * (27.6 - 32 + 16 + 4 * np.arange(8) + 1.5)
        assert np.abs(middle[..., 0] - x[None, :]).max() < 4
        assert np.abs(middle[..., 1] - y[:, None]).max() < 4


def test_celeba_with_landmarks(tmp_path: Path, prepared: Prepare, train_a_step: Train) -> None:
    photographs(tmp_path / "img_celeba", ".png")
    # In the order of CelebA: eyes, nose, corners of the mouth; left as seen comes first.
    columns = ["lefteye", "righteye", "nose", "leftmouth", "rightmouth"]
    points = (EYE_LEFT, EYE_RIGHT, (32, 34), MOUTH_LEFT, MOUTH_RIGHT)
    lines = ["3", " ".join(f"{column}_{axis}" for column in columns for axis in "xy")]
    for n in range(3):
        numbers = "  ".join(str(int(value)) for point in points for value in point)
        lines.append(f"{n:05d}.jpg  {numbers}")
    (tmp_path / "list_landmarks_celeba.txt").write_text("\n".join(lines) + "\n")
    dataset = prepared(
        *(tmp_path / "img_celeba", "--crop", "face"),
        *("--landmarks", tmp_path / "list_landmarks_celeba.txt"),
        resolution=16,
    )
    check_faces(dataset)
    train_a_step(dataset)


@pytest.mark.parametrize("folder", ["in-the-wild-images", "images1024x1024"])
def test_ffhq_with_landmarks(
    tmp_path: Path, prepared: Prepare, train_a_step: Train, folder: str
) -> None:
    photographs(tmp_path / folder / "00000", ".png")
    points = (EYE_LEFT, EYE_RIGHT, MOUTH_LEFT, MOUTH_RIGHT)
    entries = json.loads(making.ffhq_json({f"{n:05d}.png": points for n in range(3)}))
    # The other kind of picture has its face somewhere else.
    other = "image" if folder.startswith("in") else "in_the_wild"
    for entry in entries.values():
        entry[other]["face_landmarks"] = [[1.0, 2.0 + n] for n in range(68)]
    (tmp_path / "ffhq-dataset-v2.json").write_text(json.dumps(entries, indent=1))
    dataset = prepared(
        *(tmp_path / folder, "--crop", "face"),
        *("--landmarks", tmp_path / "ffhq-dataset-v2.json"),
        resolution=16,
    )
    check_faces(dataset)
    train_a_step(dataset)


def test_drawn_faces(prepared: Prepare, train_a_step: Train) -> None:
    dataset = prepared("drawn:8", "--seed", 4)
    check(dataset, {f"drawn-{n:06d}": drawn.draw(n, 8, seed=4, channels=3) for n in range(8)})
    train_a_step(dataset)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("format", ["folder", "stylegan-zip", "tfrecords"])
def test_what_was_exported_comes_back(
    tmp_path: Path,
    program: Program,
    prepared: Prepare,
    train_a_step: Train,
    format: str,
    channels: int,
) -> None:
    images = members(pictures(16, channels), ("z last", "ä first", 'm "quoted", comma'))
    making.write_zip(tmp_path / "in.zip", {name: png(image) for name, image in images.items()})
    options = ["--channels", channels, "--classes"]
    dataset = prepared(tmp_path / "in.zip", *options, "folders", resolution=16, name="first")
    out = tmp_path / ("out.zip" if format == "stylegan-zip" else "out")
    ended = program(datasets, "export", tmp_path / "first", out, "--format", format)
    assert ended.status == 0, ended.err
    again = prepared(out, *options, "labels", resolution=16, name="second")
    if format == "tfrecords":
        assert again.classes == ("0", "1", "2")  # That format has no names for them.
        named = prepared(out, *options, out / "index.csv", resolution=16, name="third")
        assert named.classes == dataset.classes
    else:
        assert again.classes == dataset.classes
    assert again.labels is not None
    assert dataset.labels is not None
    assert again.levels == dataset.levels
    for row, name in enumerate(again.names):
        # Exported pictures are numbered as the rows were.
        origin = int(Path(name).stem.removeprefix("img"))
        assert again.labels[row] == dataset.labels[origin]
        for level in dataset.levels:
            assert np.array_equal(again.level(level)[row], dataset.level(level)[origin])
    train_a_step(again)


@pytest.mark.parametrize("method", ["gzip", "zlib"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_compressed_tfrecords_are_called_so(
    tmp_path: Path, program: Program, method: str, suffix: str
) -> None:
    making.write_tfrecords(tmp_path / "in", {2: pictures(4), 3: pictures(8)})
    pack = gzip.compress if method == "gzip" else zlib.compress
    for path in sorted((tmp_path / "in").iterdir()):
        (tmp_path / "in" / (path.name + suffix)).write_bytes(pack(path.read_bytes()))
        if suffix:
            path.unlink()
    ended = program(datasets, "prepare", tmp_path / "in", tmp_path / "made", "--resolution", 8)
    assert ended.status == 1
    assert f"is compressed ({method.upper()})" in ended.err
    assert "damaged" not in ended.err
    assert not (tmp_path / "made").exists()
    # Where both are there, the plain files are read.
    making.write_tfrecords(tmp_path / "both", {2: pictures(4), 3: pictures(8)})
    (tmp_path / "both" / "faces-r03.tfrecords.gz").write_bytes(b"\x1f\x8b")
    assert len(making.opened(tmp_path / "both").names) == 8


def test_several_files_of_labels_beside_tfrecords(tmp_path: Path) -> None:
    making.write_tfrecords(tmp_path / "in", {2: pictures(4, count=3), 3: pictures(8, count=3)})
    for name, labels in (("a-rxx", [0, 1, 1]), ("b-rxx", [1, 0, 0])):
        with (tmp_path / "in" / f"{name}.labels").open("wb") as file:
            np.save(file, np.array(labels))
    with pytest.raises(DatasetError, match="several files of labels"):
        making.opened(tmp_path / "in")
    # The one that is called as the pictures are.
    with (tmp_path / "in" / "faces-rxx.labels").open("wb") as file:
        np.save(file, np.array([1, 2, 0]))
    source = making.opened(tmp_path / "in", "labels")
    assert [source.class_of(item) for item in range(3)] == ["1", "2", "0"]


def test_mnist_of_which_a_part_has_labels(tmp_path: Path) -> None:
    digits = noise(5, 28, 28)
    making.write_idx(tmp_path / "old-images-train-images.idx3-ubyte", digits[:3])
    making.write_idx(tmp_path / "t10k-images-idx3-ubyte", digits[3:])
    # Written otherwise than the pictures.
    labels = np.array([7, 1, 3], np.uint8)
    making.write_idx(tmp_path / "old-images-train-labels-idx1-ubyte.gz", labels)
    source = making.opened(tmp_path, "labels")
    found = {name: item for item, name in enumerate(source.names)}
    for number, digit in enumerate("713"):
        assert source.class_of(found[f"old-images-train/{number:05d}"]) == digit
    with pytest.raises(UnusableError, match="has no class"):
        source.class_of(found["t10k/00000"])


def test_an_empty_line_among_the_classes_of_cifar_moves_none(tmp_path: Path) -> None:
    making.write_cifar10(tmp_path / "in", pictures(32, count=4), [0, 1, 2, 0])
    (tmp_path / "in" / "batches.meta.txt").write_text("plane\n\nbird\n\n\n")
    source = making.opened(tmp_path / "in", "labels")
    # Not "bird" for the second: numbers, where there is no name for one.
    assert [source.class_of(item) for item in range(4)] == ["0", "1", "2", "0"]


def test_a_file_of_cifar_that_says_two_things(tmp_path: Path) -> None:
    folder = making.write_cifar_python(tmp_path / "in", pictures(32, count=2), [0, 1])
    names = {b"label_names": [b"a", b"b"], "label_names": [b"b", b"a"]}
    (folder / "batches.meta").write_bytes(pickle.dumps(names, 2))
    with pytest.raises(DatasetError, match="holds a field twice"):
        making.opened(folder)


def test_keys_of_databases_in_every_alphabet(tmp_path: Path) -> None:
    names = ["José.png", "Ärger.png", "ж.png"]
    entries = {name.encode(): png(noise(8, 8, 3, seed=n)) for n, name in enumerate(names)}
    making.write_lmdb(tmp_path / "db", entries)
    (tmp_path / "t.csv").write_text("name,class\nJosé.png,a\nÄrger.png,b\nж.png,c\n", "utf-8")
    source = making.opened(tmp_path / "db", str(tmp_path / "t.csv"))
    found = {name: source.class_of(item) for item, name in enumerate(source.names)}
    assert found == dict(zip(names, "abc", strict=True))
