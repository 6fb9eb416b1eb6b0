import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from datasets import pictures
from datasets.pictures import Format
from progan.checkpoint import ModelFile, save_model
from progan.labels import labels_of_seeds
from progan.latents import latents_of_seeds
from progan.networks import Generator
from tests.tools.conftest import Tool
from tests.tools.making import Pixels, assert_pixels_of, names, small_generator, write_model
from tools import drawing, generate
from tools.images import open_images

Array = NDArray[np.float32]


def output_of(generator: Generator, seeds: list[int], labels: list[int] | None = None) -> Array:
    points = torch.from_numpy(latents_of_seeds(seeds, generator.latent_size))
    with torch.no_grad():
        made = generator(points, None if labels is None else torch.tensor(labels))
    return np.asarray(made)


def opened(path: Path, format_name: str = "PNG") -> Pixels:
    with Image.open(path) as picture:
        assert picture.format == format_name
        pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


@pytest.fixture
def model(tmp_path: Path) -> Generator:
    return write_model(tmp_path / "model.safetensors")


def test_a_folder_of_the_pictures_of_some_seeds(
    tool: Tool, tmp_path: Path, model: Generator
) -> None:
    ended = tool("generate", "model.safetensors", "faces", "--seeds", "3,7-9,1234567")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "5 pictures: faces\n"
    seeds = [3, 7, 8, 9, 1234567]
    assert names(tmp_path / "faces") == [f"seed{seed:06d}.png" for seed in seeds]
    made = np.stack([opened(tmp_path / f"faces/seed{seed:06d}.png") for seed in seeds])
    assert_pixels_of(model, made, output_of(model, seeds))
    assert names(tmp_path) == ["faces", "model.safetensors"]


def test_by_default_there_are_64_pictures_of_a_run_directory(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_model(tmp_path / "run" / "generator.safetensors")
    assert tool("generate", "run", "faces").status == 0
    assert names(tmp_path / "faces") == [f"seed{seed:06d}.png" for seed in range(64)]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_has_each_seed_in_its_cell(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    monkeypatch.setattr(drawing, "_NUMBERS_AT_ONCE", 4 * 2048)  # Four pictures.
    generator = write_model(tmp_path / "model.safetensors", channels=channels)
    words = ["generate", "model.safetensors"]
    assert tool(*words, "grid.png", "--grid", "3x2").status == 0
    sheet = opened(tmp_path / "grid.png")
    assert sheet.shape == (32, 48, channels)
    cells = [sheet[y : y + 16, x : x + 16] for y in (0, 16) for x in (0, 16, 32)]
    assert_pixels_of(generator, np.stack(cells), output_of(generator, list(range(6))))
    # Without --grid, a name of a picture makes rows of eight.
    assert tool(*words, "some.png", "--seeds", "5-14").status == 0
    sheet = opened(tmp_path / "some.png")
    assert sheet.shape == (32, 128, channels)
    assert_pixels_of(generator, sheet[None, 16:, 16:32], output_of(generator, [14]))
    assert (sheet[16:, 32:] == 255).all()


def test_numbers_are_the_networks_own(tool: Tool, tmp_path: Path, model: Generator) -> None:
    assert tool("generate", "model.safetensors", "a.npy", "--seeds", "2,0").status == 0
    made = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert (made.dtype, made.shape) == (np.dtype("<f4"), (2, 3, 16, 16))
    assert made == pytest.approx(output_of(model, [2, 0]), abs=1e-5)
    assert np.abs(made).max() > 1
    assert tool("generate", "model.safetensors", "b", "--format", "npy").status == 0
    assert np.load(tmp_path / "b").shape == (64, 3, 16, 16)


def test_latents_of_a_file(tool: Tool, tmp_path: Path, model: Generator) -> None:
    # In 32 bits, which could be handed on as they lie in the file; and longer than they need be.
    points = np.random.default_rng(0).normal(0, 5, (3, 8)).astype(np.float32)
    np.save(tmp_path / "mine.npy", points)
    ended = tool("generate", "model.safetensors", "faces", "--latents", "mine.npy")
    assert (ended.status, ended.err) == (0, "")
    assert names(tmp_path / "faces") == [f"latent{number:06d}.png" for number in range(3)]
    made = np.stack([opened(tmp_path / f"faces/latent{n:06d}.png") for n in range(3)])
    with torch.no_grad():
        assert_pixels_of(model, made, model(torch.from_numpy(points)).numpy())


@pytest.mark.filterwarnings("error")
def test_jpeg_pictures_look_like_the_others(tool: Tool, tmp_path: Path, model: Generator) -> None:
    words = ["generate", "model.safetensors"]
    assert tool(*words, "jpegs", "--seeds", "4", "--format", "jpeg").status == 0
    assert tool(*words, "one.JPG", "--seeds", "4").status == 0
    assert names(tmp_path / "jpegs") == ["seed000004.jpg"]
    made = opened(tmp_path / "jpegs/seed000004.jpg", "JPEG")
    exact = np.moveaxis((np.clip(output_of(model, [4])[0], -1, 1) + 1) * 127.5, 0, -1)
    assert np.abs(made - exact).mean() < 4
    assert np.array_equal(made, opened(tmp_path / "one.JPG", "JPEG"))


@pytest.mark.parametrize("channels", [1, 3])
def test_webp_pictures_are_lossless(tool: Tool, tmp_path: Path, channels: int) -> None:
    write_model(tmp_path / "m", channels=channels)
    for words in (("--seeds", "4-9"), ("--grid", "3x2")):
        assert tool("generate", "m", "one.webp", *words, "--overwrite").status == 0
        assert tool("generate", "m", "one.png", *words, "--overwrite").status == 0
        made, exact = opened(tmp_path / "one.webp", "WEBP"), opened(tmp_path / "one.png")
        np.testing.assert_array_equal(made, np.broadcast_to(exact, made.shape))
    many = ["generate", "m", "many", "--seeds", "4", "--format", "webp", "--overwrite"]
    for _ in range(2):  # the second time, the folder is known as one of ours
        assert tool(*many).status == 0
    assert names(tmp_path / "many") == ["seed000004.webp"]
    with Image.open(tmp_path / "many" / "seed000004.webp") as picture:
        assert picture.format == "WEBP"


def test_single_pictures_of_classes(tool: Tool, tmp_path: Path) -> None:
    generator = write_model(tmp_path / "m", classes=["cat", "dog", "2"])
    for options, seeds, labels in (
        (["--class", "dog"], [2, 3, 4], [1, 1, 1]),
        (["--class", "0"], [2, 3, 4], [0, 0, 0]),
        (["--class", "2"], [2, 3, 4], [2, 2, 2]),
        (["--class", "dog", "--class", "cat"], [2, 3, 4, 2, 3, 4], [1, 1, 1, 0, 0, 0]),
    ):
        assert tool("generate", "m", "a.npy", "--seeds", "2-4", *options).status == 0
        expected = output_of(generator, seeds, labels)
        assert np.load(tmp_path / "a.npy") == pytest.approx(expected, abs=1e-5)
        (tmp_path / "a.npy").unlink()
    words = ["generate", "m", "out", "--seeds", "7,8", "--class", "2", "--class", "cat"]
    assert tool(*words).out == "4 pictures: out\n"
    found = [f"class{c:04d}-seed{s:06d}.png" for c, s in ((0, 7), (0, 8), (2, 7), (2, 8))]
    assert names(tmp_path / "out") == found
    made = np.stack([opened(tmp_path / "out" / name) for name in found])
    assert_pixels_of(generator, made, output_of(generator, [7, 8, 7, 8], [0, 0, 2, 2]))
    # What it wrote gives way to what it writes.
    assert tool(*words, "--overwrite").status == 0
    assert tool("generate", "m", "out", "--seeds", "1", "--overwrite").status == 0
    assert names(tmp_path / "out") == ["seed000001.png"]


def test_single_pictures_have_classes_as_often_as_training_images(
    tool: Tool, tmp_path: Path
) -> None:
    generator = small_generator(classes=3)
    save_model(
        tmp_path / "m.safetensors",
        generator,
        classes=("cat", "dog", "fox"),
        class_counts=(10, 0, 90),
    )
    assert tool("generate", "m.safetensors", "a.npy", "--seeds", "0-99").status == 0
    made = np.load(tmp_path / "a.npy")
    of_class = [output_of(generator, list(range(100)), [label] * 100) for label in range(3)]
    errors = [np.abs(made - images).max(axis=(1, 2, 3)) for images in of_class]
    chosen = np.argmin(errors, axis=0)
    assert np.min(errors, axis=0).max() < 1e-5
    assert 2 <= (chosen == 0).sum() <= 22
    assert not (chosen == 1).any()
    # A seed is the same picture here as where images are measured or examined.
    examined = open_images(str(tmp_path / "m.safetensors"), count=100).read(range(100)).pixels
    assert_pixels_of(generator, examined, made)


@pytest.mark.parametrize(
    ("options", "seeds", "classes", "told"),
    [
        # By default every class, in the order of their names' numbers, with the same eight faces.
        ([], [list(range(8))] * 3, [0, 1, 2], "cat, dog, fox"),
        (["--seeds", "9,4"], [[9, 4]] * 3, [0, 1, 2], "cat, dog, fox"),
        (["--class", "fox", "--class", "cat"], [list(range(8))] * 2, [2, 0], "fox, cat"),
        # More rows than classes: all come again with other faces.
        (["--grid", "2x7"], [[0, 1]] * 3 + [[2, 3]] * 3, [0, 1, 2, 0, 1, 2], "cat, dog, fox"),
        # More classes than rows: they are spread.
        (["--grid", "3x2"], [[0, 1, 2]] * 2, [0, 2], "cat, fox"),
        (
            ["--grid", "2x6", "--seeds", "5-8"],
            [[5, 6]] * 3 + [[7, 8]] * 3,
            [0, 1, 2, 0, 1, 2],
            "cat, dog, fox",
        ),
    ],
)
def test_a_grid_has_one_row_for_each_class(
    tool: Tool,
    tmp_path: Path,
    options: list[str],
    seeds: list[list[int]],
    classes: list[int],
    told: str,
) -> None:
    generator = write_model(tmp_path / "m", classes=["cat", "dog", "fox"])
    ended = tool("generate", "m", "grid.png", *options)
    assert ended.status == 0, ended.err
    columns = len(seeds[0])
    count = columns * len(seeds)
    assert ended.out == f"{count} pictures: grid.png\nRows from the top: {told}\n"
    sheet = opened(tmp_path / "grid.png")
    assert sheet.shape == (16 * len(seeds), 16 * columns, 3)
    cells = sheet.reshape(len(seeds), 16, columns, 16, 3).swapaxes(1, 2).reshape(-1, 16, 16, 3)
    flat = [seed for row in seeds for seed in row]
    labels = [label for label in classes for _ in range(columns)]
    assert_pixels_of(generator, cells, output_of(generator, flat, labels))
    # Down a column the class alone changes, and it shows.
    assert (np.abs(cells[0].astype(int) - cells[columns]).max()) > 8


def test_a_grid_of_one_class_is_full_of_it(tool: Tool, tmp_path: Path) -> None:
    generator = write_model(tmp_path / "m", classes=["cat", "dog"])
    ended = tool("generate", "m", "grid.png", "--grid", "3x2", "--class", "dog")
    assert ended.out == "6 pictures: grid.png\n"
    sheet = opened(tmp_path / "grid.png")
    cells = sheet.reshape(2, 16, 3, 16, 3).swapaxes(1, 2).reshape(-1, 16, 16, 3)
    assert_pixels_of(generator, cells, output_of(generator, list(range(6)), [1] * 6))


def test_a_grid_of_very_many_classes_shows_some_and_says_which(tool: Tool, tmp_path: Path) -> None:
    write_model(tmp_path / "m", classes=[f"c{n:03d}" for n in range(100)], resolution=4)
    ended = tool("generate", "m", "grid.png")
    assert opened(tmp_path / "grid.png").shape == (32 * 4, 8 * 4, 3)
    assert "Rows from the top: c000, c003, c006, c010, " in ended.out
    assert ended.out.endswith(" and 12 more\n")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--class", "fox"], "no class 'fox'; give one of cat, dog, 2, or its number, 0 to 2"),
        (["--class", "3"], "no class '3'; give one of cat, dog, 2,"),
        (["--class", "-1"], "no class '-1'; give one of cat, dog, 2,"),
        (["--class", ""], "no class ''; give one of cat, dog, 2,"),
        (["--class", "9" * 5000], "give one of cat, dog, 2,"),
        (["--class", "cat", "--class", "dgo"], "no class 'dgo'; give one of cat, dog, 2,"),
        (["--class", "cat", "--class", "0"], "a class is named twice"),
        (["--class", "cat", "--class", "2", "--grid", "5x1"], "2 classes do not fit into 5x1"),
        (["--grid", "2x3", "--seeds", "0-2"], "3 faces for each of 3 classes do not fill rows"),
        (["--grid", "2x3", "--seeds", "0-3"], "4 faces for each of 3 classes do not fill rows"),
    ],
)
def test_mistaken_classes_are_told_the_names(
    tool: Tool, tmp_path: Path, options: list[str], sentence: str
) -> None:
    write_model(tmp_path / "m", classes=["cat", "dog", "2"])
    ended = tool("generate", "m", "a.png", *options)
    assert ended.status == 2
    assert sentence in " ".join(ended.err.split())
    assert names(tmp_path) == ["m"]


def test_a_model_without_classes_or_names_says_so(tool: Tool, tmp_path: Path) -> None:
    write_model(tmp_path / "without")
    ended = tool("generate", "without", "a.npy", "--class", "cat")
    assert (ended.status, ended.out) == (2, "")
    assert "this model has no classes" in ended.err
    save_model(tmp_path / "unnamed", small_generator(classes=2))
    ended = tool("generate", "unnamed", "a.npy", "--class", "cat")
    assert "no class 'cat'; give one of 0, 1\n" in ended.err
    assert names(tmp_path) == ["unnamed", "without"]


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["out", "--seeds", "1,2,1"], 2, "a seed is named twice"),
        (["out", "--seeds", "1-x"], 2, "'1-x' is not a list of seeds"),
        (["out", "--seeds", "9-3"], 2, "'9-3' runs backwards"),
        (["out", "--seeds", "0-1000000"], 2, "more than 1000000 seeds"),
        (["out", "--seeds", "-1"], 2, "not a list of seeds"),
        (["out", "--seeds", "1,,2"], 2, "not a list of seeds"),
        (["out", "--seeds", ""], 2, "not a list of seeds"),
        (["out", "--seeds", "٣"], 2, "not a list of seeds"),
        (["out", "--seeds", "1" + "0" * 18], 2, "not a list of seeds"),
        (["out", "--seeds", "1", "--latents", "x.npy"], 2, "either --seeds or --latents"),
        (["out", "--latents", "nowhere.npy"], 1, "nowhere.npy: No such file"),
        (["out", "--latents", "model.safetensors"], 1, "not a NumPy array"),
        (["out", "--latents", "folder"], 1, "folder: Is a directory"),
        (["out", "--grid", "2x2"], 2, "must end in .png, .jpg or .webp"),
        (["out.gif"], 2, "no .gif file can be written; a picture's name must end in .png, .jpg"),
        (["out.TIFF"], 2, "no .TIFF file can be written"),
        (["out.bmp", "--format", "png"], 2, "no .bmp file can be written"),
        (["out.zip"], 2, "no .zip file can be written"),
        (["out.webp", "--format", "jpeg"], 2, "jpeg does not fit out.webp"),
        (["out.png", "--grid", "0x2"], 2, "not columns and rows"),
        (["out.png", "--grid", "2"], 2, "not columns and rows"),
        (["out.png", "--grid", "2x2", "--seeds", "0-4"], 2, "5 pictures do not fit into 2x2"),
        (["out.png", "--format", "jpeg"], 2, "jpeg does not fit out.png"),
        (["out.jpg", "--format", "npy"], 2, "npy does not fit out.jpg"),
        (["out.npy", "--format", "png"], 2, "png does not fit out.npy"),
        (["out.npy", "--grid", "2x2"], 2, "does not go with the format npy"),
        (["out", "--format", "gif"], 2, "--format"),
        (["no/out"], 1, "no is not a folder"),
        (["no/out.png"], 1, "no is not a folder"),
        (["no/out.npy"], 1, "no is not a folder"),
        (["folder"], 1, "folder exists already"),
        (["folder.png"], 1, "folder.png exists already"),
        (["folder.png", "--overwrite"], 1, "folder.png is a folder"),
        (["model.safetensors", "--overwrite"], 2, "is read from"),
        (["folder", "--overwrite"], 1, "folder holds thesis.txt"),
        (["out", "--device", "teapot"], 2, "'teapot' cannot be used on this machine"),
        (["out", "--device", "meta"], 2, "'meta' cannot be used on this machine"),
        (["out", "--device", "cuda:99"], 2, "'cuda:99' cannot be used on this machine"),
        (["out", "--device", ""], 2, "'' cannot be used on this machine"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(
    tool: Tool,
    tmp_path: Path,
    model: Generator,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    sentence: str,
) -> None:
    def draw(*_: object) -> Iterator[Array]:
        raise AssertionError("No minutes of work before the refusal.")

    monkeypatch.setattr(generate, "images", draw)
    monkeypatch.setattr(generate, "pixels", draw)
    for folder in ("folder", "folder.png"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "thesis.txt").write_text("years of work")
    before = names(tmp_path)
    ended = tool("generate", "model.safetensors", *words)
    assert ended.status == status
    assert sentence in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert status == 2 or len(ended.err.splitlines()) == 1
    assert ended.out == ""
    assert names(tmp_path) == before
    assert names(tmp_path / "folder") == names(tmp_path / "folder.png") == ["thesis.txt"]


def test_models_that_are_none(tool: Tool, tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    data = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "cut").write_bytes(data[:-100])
    (tmp_path / "stub").write_bytes(data[:20])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "run").mkdir()
    before = names(tmp_path)
    for model, sentence in (
        ("nowhere", "there is no model file or run directory nowhere"),
        ("cut", "cut is damaged or not a safetensors file"),
        ("stub", "stub is damaged or not a safetensors file"),
        ("empty", "empty is damaged or not a safetensors file"),
        ("noise", "noise is damaged or not a safetensors file"),
        ("run", "run holds no generator.safetensors"),
    ):
        ended = tool("generate", model, "out")
        assert (ended.status, ended.out) == (1, "")
        assert sentence in ended.err
        assert len(ended.err.splitlines()) == 1
        assert names(tmp_path) == before


def test_existing_results_are_replaced_only_when_told(
    tool: Tool, tmp_path: Path, model: Generator
) -> None:
    words = ["generate", "model.safetensors"]
    for out in ("faces", "grid.png", "numbers.npy"):
        assert tool(*words, out, "--seeds", "0-2").status == 0
        ended = tool(*words, out, "--seeds", "5")
        assert (ended.status, ended.out) == (1, "")
        assert (
            ended.err == f"Error: {out} exists already; choose another name, or give --overwrite.\n"
        )
        assert tool(*words, out, "--seeds", "5", "--overwrite").status == 0
    assert names(tmp_path / "faces") == ["seed000005.png"]
    assert opened(tmp_path / "grid.png").shape[:2] == (16, 16)
    assert len(np.load(tmp_path / "numbers.npy")) == 1
    # Pictures of latents are the same verb's, and of the other format too.
    np.save(tmp_path / "mine.npy", np.ones((2, 8)))
    options = ["--latents", "mine.npy", "--format", "jpeg", "--overwrite"]
    assert tool(*words, "faces", *options).status == 0
    assert names(tmp_path / "faces") == ["latent000000.jpg", "latent000001.jpg"]
    (tmp_path / "faces" / "latent000000.jpg").rename(tmp_path / "faces" / "holiday.jpg")
    assert tool(*words, "faces", "--overwrite").status == 1
    assert names(tmp_path / "faces") == ["holiday.jpg", "latent000001.jpg"]


@pytest.mark.parametrize("out", ["faces", "grid.png", "numbers.npy"])
def test_what_is_interrupted_leaves_nothing(
    tool: Tool, tmp_path: Path, model: Generator, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    def draw(*_: object) -> Iterator[Array]:
        yield np.zeros((2, 3, 16, 16), np.float32)
        raise KeyboardInterrupt

    def paint(*_: object) -> Iterator[Pixels]:
        yield np.zeros((2, 16, 16, 3), np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "images", draw)
    monkeypatch.setattr(generate, "pixels", paint)
    ended = tool("generate", "model.safetensors", out, "--seeds", "0-3")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.strip() == "Stopped."
    assert names(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize("out", ["faces", "grid.png", "numbers.npy"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    tool: Tool, tmp_path: Path, model: Generator, out: str
) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond this: as with a full disk, writing fails in the middle.
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, usual[1]))
    try:
        ended = tool("generate", "model.safetensors", out, "--seeds", "0-3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert (ended.status, ended.out) == (1, "")
    assert "File too large" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert names(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize(
    ("out", "grid", "pixels"),
    [
        ("grid.png", "300x300", "19200×19200"),
        ("grid.jpg", "4x500", "256×32000"),
        ("grid.webp", "2x600", "128×38400"),
    ],
)
def test_a_sheet_that_is_too_large_is_refused_before_it_is_drawn(
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    grid: str,
    pixels: str,
) -> None:
    def draw(*_: object) -> Iterator[Array]:
        raise AssertionError("No minutes of work before the refusal.")

    monkeypatch.setattr(generate, "images", draw)
    monkeypatch.setattr(generate, "pixels", draw)
    # Seeds are counted, not drawn: so many latents would take seconds.
    monkeypatch.setattr(
        "progan.latents.latents_of_seeds",
        lambda seeds, size: np.zeros((len(seeds), size), np.float32),
    )
    monkeypatch.setitem(pictures.LONGEST_SIDES, "jpeg", 30000)
    write_model(tmp_path / "model.safetensors", resolution=64)
    ended = tool("generate", "model.safetensors", out, "--grid", grid)
    assert (ended.status, ended.out) == (1, "")
    assert f"{out} would have {pixels} pixels" in ended.err
    assert names(tmp_path) == ["model.safetensors"]


def test_a_grid_can_be_enlarged(tool: Tool, tmp_path: Path) -> None:
    write_model(tmp_path / "m.safetensors")
    for zoom in (1, 3):
        ended = tool("generate", "m.safetensors", f"{zoom}.png", "--grid", "2x2", "--zoom", zoom)
        assert ended.status == 0, ended.err
    small, large = (np.asarray(Image.open(tmp_path / f"{zoom}.png")) for zoom in (1, 3))
    np.testing.assert_array_equal(large, np.kron(small, np.ones((3, 3, 1), np.uint8)))
    refused = tool("generate", "m.safetensors", "folder", "--zoom", "2")
    assert (refused.status, "--zoom is for grids" in refused.err) == (2, True)


class Noting(generate.FacesOfNumbers):
    """Faces that note which of them were asked for."""

    def __init__(self, model: ModelFile, numbers: range, classes: tuple[int, ...]) -> None:
        super().__init__(model, numbers, classes)
        self.asked: list[tuple[int, int]]
        object.__setattr__(self, "asked", [])

    def part(self, start: int, stop: int) -> tuple[Array, NDArray[np.int64] | None]:
        self.asked.append((start, stop))
        return super().part(start, stop)


def test_very_many_pictures_are_drawn_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = small_generator(classes=3)
    model = ModelFile(generator=generator, class_counts=(1, 2, 3))
    monkeypatch.setattr(generate, "_FACES_AT_ONCE", 8)
    monkeypatch.setattr(drawing, "_NUMBERS_AT_ONCE", 3 * 2048)
    for classes in ((), (2, 0)):
        faces = Noting(model, range(5, 30), classes)
        out = tmp_path / f"{len(classes)}.npy"
        generate.generate_array(generator, faces, out, overwrite=False)
        ends = [*range(9, faces.count, 9), faces.count]
        assert faces.asked == list(zip([0, *ends[:-1]], ends, strict=True))
        seeds = list(range(5, 30)) * max(1, len(classes))
        labels = labels_of_seeds(seeds, (1, 2, 3))
        assert labels is not None
        expected = [2] * 25 + [0] * 25 if classes else labels.tolist()
        assert np.load(out) == pytest.approx(output_of(generator, seeds, expected), abs=1e-4)


def test_files_wait_for_the_disk_in_bounded_number(
    tool: Tool, tmp_path: Path, model: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "_FILES_WAITING", 3)
    monkeypatch.setattr(generate, "_WRITERS", 1)
    encode = pictures.encode
    begun: list[int] = []
    behind: list[int] = []

    def slow(image: Pixels, format_name: Format) -> bytes:
        begun.append(1)
        return encode(image, format_name)

    def paint(_: object, points: Array, __: object) -> Iterator[Pixels]:
        for number in range(len(points)):
            behind.append(number - len(begun))
            yield np.full((1, 16, 16, 3), number, np.uint8)

    monkeypatch.setattr(pictures, "encode", slow)
    monkeypatch.setattr(generate, "pixels", paint)
    assert tool("generate", "model.safetensors", "out", "--seeds", "0-39").status == 0
    assert max(behind) <= 5
    for number in range(40):
        assert (opened(tmp_path / f"out/seed{number:06d}.png") == number).all()


def test_truncated_pictures_vary_less(tool: Tool, tmp_path: Path, model: Generator) -> None:
    words = ["generate", "model.safetensors", "--seeds", "0-39"]
    found = []
    for psi in ("", "1", "0.7", "0"):
        options = ["--truncation", psi] if psi else []
        assert tool(*words, f"psi{psi}.npy", *options).status == 0
        found.append(np.load(tmp_path / f"psi{psi}.npy"))
    assert np.array_equal(found[0], found[1])
    spread = [images.var(axis=0).mean() for images in found[1:]]
    assert spread[1] < 0.97 * spread[0]
    assert spread[2] < 1e-9
    for psi in ("1.1", "-1", "nan"):
        ended = tool(*words, "out", "--truncation", psi)
        assert ended.status == 2
        assert "--truncation" in ended.err
