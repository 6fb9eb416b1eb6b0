import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from progan.checkpoint import ModelFile
from progan.labels import ClassWalk
from progan.latents import SmoothWalk, StillWalk, latents_of_seeds
from progan.networks import Generator
from tests.tools.conftest import Tool
from tests.tools.making import Film, names, recalling, small_generator, write_model
from tools import encoding, video

Array = NDArray[np.float32]

BT709 = 1
LIMITED_RANGE = 1


def flat(*colours: tuple[int, int, int], size: int = 16) -> NDArray[np.uint8]:
    pictures = np.empty((len(colours), size, size, 3), np.uint8)
    pictures[:] = np.array(colours, np.uint8)[:, None, None]
    return pictures


class Standing:
    """A walk that goes from one seed's face to the next, a frame each, and notes its requests."""

    def __init__(self, frames: int, cells: int = 1, faces: int = 1, size: int = 16) -> None:
        self.frames, self.cells, self.faces, self.size = frames, cells, faces, size
        self.asked: list[int] = []

    def chunk(self, start: int, count: int) -> Array:
        self.asked.append(count)
        frames = (np.arange(start, start + count)[:, None] + np.arange(self.cells)) % self.faces
        points = latents_of_seeds(frames.reshape(-1).tolist(), self.size)
        return points.reshape(count, self.cells, self.size)


def write(
    model: ModelFile,
    walk: Standing,
    out: Path,
    *,
    labels: NDArray[np.int64] | None = None,
    columns: int = 1,
    fps: int = 10,
    quality: int = 17,
    zoom: int | None = None,
) -> Film:
    video.write_video(
        model,
        walk,
        labels,
        out,
        columns=columns,
        fps=fps,
        quality=quality,
        zoom=zoom,
        overwrite=False,
    )
    return Film(out)


def test_a_film_that_every_player_opens(tool: Tool, tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    words = ["--seconds", 1.5, "--fps", 24, "--grid", "3x2", "--smoothing", 0.3]
    ended = tool("video", "model.safetensors", "film.mp4", *words)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "36 frames, 1.5 s: film.mp4\n"
    film = Film(tmp_path / "film.mp4")
    assert (film.streams, film.codec, film.pix_fmt) == (1, "h264", "yuv420p")
    assert film.fps == 24
    assert film.seconds == pytest.approx(1.5, abs=1e-3)
    # Enlarged by whole numbers to 256 pixels of height: 2 rows of 16 pixels by 8.
    assert film.frames.shape == (36, 256, 384, 3)
    assert film.tags == (BT709, BT709, BT709, LIMITED_RANGE)
    # The table of contents comes first, so that a browser need not load all of it to begin.
    data = (tmp_path / "film.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert names(tmp_path) == ["film.mp4", "model.safetensors"]


@pytest.mark.parametrize("quality", [0, 1, 2, 51])
def test_no_quality_leads_beyond_the_profile_that_players_take(
    tmp_path: Path, quality: int
) -> None:
    # Noise, of which the least factors leave nothing away.
    noise = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    out = tmp_path / "film.mp4"
    film = write(recalling(noise), Standing(4, faces=4), out, quality=quality, zoom=2)
    data = out.read_bytes()
    # In the box avcC: version 1, then the number of the profile, 100 for High (ISO 14496-15).
    place = data.index(b"avcC") + 4
    assert (data[place], data[place + 1], film.pix_fmt) == (1, 100, "yuv420p")
    if quality == 0:
        shown = film.frames[:, ::2, ::2].astype(np.float64)
        assert np.abs(luma(shown) - luma(noise.astype(np.float64))).mean() < 2


def test_the_pictures_that_half_precision_is_judged_by_have_their_own_classes() -> None:
    walk = SmoothWalk(frames=9, cells=3, latent_size=8, smoothing=2, seed=1)
    points, labels = video.spread(walk, np.array([4, 7, 5]), 8)
    # Two frames, the first and the last, of three cells each: classes go by the cell.
    expected = np.concatenate([walk.chunk(0, 1)[0], walk.chunk(8, 1)[0]])
    np.testing.assert_array_equal(points, expected)
    assert labels is not None
    assert labels.tolist() == [4, 7, 5, 4, 7, 5]
    assert video.spread(walk, None, 8)[1] is None

    moving = ClassWalk(frames=9, cells=3, first=0, second=1, label_size=2)
    labels = video.spread(walk, moving, 8)[1]
    assert labels is not None
    np.testing.assert_array_equal(labels[:3], moving.chunk(0, 1)[0])
    np.testing.assert_array_equal(labels[3:], moving.chunk(8, 1)[0])


def luma(pixels: np.ndarray) -> NDArray[np.float64]:
    """Brightness: a film has half the pictures' resolution of colour."""
    return np.asarray(pixels @ np.array([0.2126, 0.7152, 0.0722]))


def test_the_film_loops(tool: Tool, tmp_path: Path) -> None:
    write_model(tmp_path / "m", seed=1)
    words = ["--seconds", 2, "--fps", 20, "--smoothing", 0.25, "--zoom", 1, "--quality", 4]
    assert tool("video", "m", "film.mp4", *words).status == 0
    frames = Film(tmp_path / "film.mp4").frames.astype(np.float64)
    steps = np.abs(frames - np.roll(frames, -1, axis=0)).mean(axis=(1, 2, 3))
    assert steps[-1] < 1.5 * np.max(steps[:-1])
    # And it moves: far more from end to end of a second than from frame to frame.
    assert np.abs(frames[:20] - frames[20:]).mean() > 3 * steps.mean()


def test_the_same_seed_gives_the_same_film(tool: Tool, tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    words = ["--seconds", 0.5, "--fps", 10, "--zoom", 1]
    for out, seed in (("a.mp4", 5), ("b.mp4", 5), ("c.mp4", 6)):
        assert tool("video", "m", out, *words, "--seed", seed).status == 0
    a, b, c = (Film(tmp_path / f"{name}.mp4").frames for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_colours_are_those_of_the_pictures(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 130, 90)]
    model = recalling(flat(*colours))
    film = write(model, Standing(6, faces=6), tmp_path / "film.mp4", quality=4)
    assert len(film.frames) == 6
    height, width = film.frames.shape[1:3]
    for number, (red, green, blue) in enumerate(colours):
        # BT.709, limited range, computed by the standard's formulas.
        luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        expected = (
            16 + 219 / 255 * luma,
            128 + 224 / 255 * (blue - luma) / 1.8556,
            128 + 224 / 255 * (red - luma) / 1.5748,
        )
        chroma = film.planes[number, height:].reshape(2, height // 2, width // 2)
        found = (film.planes[number, :height].mean(), chroma[0].mean(), chroma[1].mean())
        assert found == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("zoom", [1, 2, 3, 4])
def test_every_pixel_keeps_its_place_and_colour_when_enlarged(tmp_path: Path, zoom: int) -> None:
    # Neighbours in pairs, since at an odd zoom two pixels share colours.
    picture = np.random.default_rng(0).integers(30, 226, (1, 8, 8, 3), np.uint8)
    picture = picture.repeat(2, axis=1).repeat(2, axis=2)
    film = write(recalling(picture), Standing(2), tmp_path / "film.mp4", quality=1, zoom=zoom)
    assert film.frames.shape == (2, 16 * zoom, 16 * zoom, 3)
    luma = picture[0] @ (np.array([0.2126, 0.7152, 0.0722]) * 219 / 255) + 16
    expected = luma.repeat(zoom, axis=0).repeat(zoom, axis=1)
    assert np.abs(film.planes[1, : 16 * zoom] - expected).max() <= 3
    if zoom % 2 == 0:
        shown = film.frames[1, zoom // 2 :: zoom, zoom // 2 :: zoom].astype(int)
        assert np.abs(shown - picture[0]).mean() < 3


def test_grey_pictures_become_grey_films(tmp_path: Path) -> None:
    model = recalling(np.full((1, 16, 16, 1), 150, np.uint8))
    film = write(model, Standing(3), tmp_path / "film.mp4", zoom=2)
    assert film.frames.shape == (3, 32, 32, 3)
    assert np.abs(film.frames.astype(int) - 150).max() <= 2


def test_every_cell_of_the_grid_has_its_place_and_its_class(tmp_path: Path) -> None:
    colours = [(250, 20, 20), (20, 250, 20), (20, 20, 250), (250, 250, 20), (20, 250, 250)]
    model = recalling(flat(*colours))
    film = write(model, Standing(4, cells=5, faces=5), tmp_path / "a.mp4", columns=3, zoom=2)
    assert film.frames.shape == (4, 64, 96, 3)
    for frame, cell in np.ndindex(4, 5):
        middle = film.frames[frame, 16 + cell // 3 * 32, 16 + cell % 3 * 32].astype(int)
        assert np.abs(middle - colours[(frame + cell) % 5]).max() <= 8
    assert film.frames[:, 48, 80].min() >= 250  # An empty place is white.


def test_classes_stay_in_their_cells(tool: Tool, tmp_path: Path) -> None:
    generator = write_model(tmp_path / "m", classes=["a", "b", "c"])
    words = ["--seconds", 0.3, "--fps", 10, "--grid", "2x2", "--zoom", 1, "--quality", 1]
    assert tool("video", "m", "turns.mp4", *words).status == 0
    assert tool("video", "m", "b.mp4", *words, "--class", "b").status == 0
    points = SmoothWalk(frames=3, cells=4, latent_size=8, smoothing=10, seed=0).chunk(0, 3)
    for name, labels in (("turns", [0, 1, 2, 0]), ("b", [1, 1, 1, 1])):
        frames = Film(tmp_path / f"{name}.mp4").frames.astype(float)
        with torch.no_grad():
            made = generator(
                torch.from_numpy(points.reshape(12, 8)), torch.tensor(labels * 3)
            ).numpy()
        levels = np.clip(np.moveaxis(made, 1, -1), -1, 1).reshape(3, 4, 16, 16, 3) * 127.5 + 127.5
        for cell in range(4):
            y, x = cell // 2 * 16, cell % 2 * 16
            shown = frames[:, y : y + 16, x : x + 16]
            # Brightness alone: the film has half the pictures' resolution of colour.
            assert np.abs(shown.mean(axis=-1) - levels[:, cell].mean(axis=-1)).mean() < 25


def from_generator(generator: Generator, seeds: list[int], labels: list[int]) -> Array:
    """Pixels [N, H, W, C] that are to be seen, not rounded."""
    points = torch.from_numpy(latents_of_seeds(seeds, generator.latent_size))
    with torch.no_grad():
        made = generator(points, torch.tensor(labels)).numpy()
    return np.asarray(np.clip(np.moveaxis(made, 1, -1), -1, 1) * 127.5 + 127.5)


def test_a_film_from_class_to_class_shows_both_and_returns(tool: Tool, tmp_path: Path) -> None:
    generator = write_model(tmp_path / "m", classes=["a", "b", "c"], seed=1)
    words = ["--class", "c", "--to", "a", "--seconds", 2, "--fps", 12, "--quality", 2]
    words += ["--grid", "2x1", "--seed", 5, "--zoom", 16]
    ended = tool("video", "m", "film.mp4", *words)
    assert ended.status == 0, ended.err
    frames = Film(tmp_path / "film.mp4").frames.astype(np.float64)
    # From the middle of each enlarged pixel, where its neighbours' colours do not reach.
    shown = frames[:, 8::16, 8::16]
    assert shown.shape == (24, 16, 32, 3)
    first, second = (
        np.concatenate(list(from_generator(generator, [5, 6], [label] * 2)), axis=1)
        for label in (2, 0)
    )
    third = np.concatenate(list(from_generator(generator, [5, 6], [1] * 2)), axis=1)
    assert np.abs(shown[0] - first).mean() < 3
    assert np.abs(shown[12] - second).mean() < 3
    assert np.abs(first - second).mean() > 10
    assert np.abs(shown - third).mean(axis=(1, 2, 3)).min() > 6
    # The way back is the way there: nothing else moves.
    for frame in range(1, 12):
        assert np.abs(shown[frame] - shown[24 - frame]).mean() < 3
    steps = np.abs(shown - np.roll(shown, -1, axis=0)).mean(axis=(1, 2, 3))
    assert steps[-1] < 1.5 * steps[:-1].max()


def test_faces_may_change_on_the_way_from_class_to_class(tool: Tool, tmp_path: Path) -> None:
    generator = write_model(tmp_path / "m", classes=["a", "b"])
    words = ["--class", "a", "--to", "b", "--seconds", 1, "--fps", 8, "--quality", 2]
    for path in (["--path", "random"], ["--path", "seeds", "--seeds", "3,9"]):
        out = f"{path[1]}.mp4"
        assert tool("video", "m", out, *words, *path).status == 0
    frames = Film(tmp_path / "seeds.mp4").frames[:, 8::16, 8::16].astype(np.float64)
    faces = from_generator(generator, [3, 9], [0, 1])
    # The second face of the tour, and the second class, are both reached in the middle.
    assert np.abs(frames[0] - faces[0]).mean() < 4
    assert np.abs(frames[4] - faces[1]).mean() < 4
    walking = Film(tmp_path / "random.mp4").frames[:, 8::16, 8::16].astype(np.float64)
    points = SmoothWalk(frames=8, cells=1, latent_size=8, smoothing=8, seed=0).chunk(4, 1)[0]
    with torch.no_grad():
        made = generator(torch.from_numpy(points), torch.tensor([1])).numpy()
    expected = np.clip(np.moveaxis(made, 1, -1), -1, 1)[0] * 127.5 + 127.5
    assert np.abs(walking[4] - expected).mean() < 4


def test_classes_do_not_depend_on_how_many_frames_are_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ModelFile(generator=small_generator(classes=2), classes=("a", "b"))
    films = []
    for number, pixels in enumerate((2**20, 3 * 2 * 256)):
        monkeypatch.setattr(video, "_PIXELS_AT_ONCE", pixels)
        labels = ClassWalk(frames=10, cells=2, first=0, second=1, label_size=2)
        walk = StillWalk(frames=10, points=latents_of_seeds([1, 2], 8))
        out = tmp_path / f"{number}.mp4"
        video.write_video(
            model, walk, labels, out, columns=2, fps=10, quality=0, zoom=1, overwrite=False
        )
        films.append(Film(out).frames)
    assert np.array_equal(films[0], films[1])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--class", "x"], "no class 'x'; give one of a, b, or its number, 0 to 1"),
        (["--class", "a", "--to", "x"], "--to: there is no class 'x'; give one of a, b"),
        (["--class", "a", "--to", "0"], "'0' is the class of --class"),
        (["--to", "a"], "--to needs --class"),
        (["--class", "a", "--path", "still"], "--path still needs --to"),
        (
            ["--class", "a", "--to", "b", "--smoothing", "2"],
            "--smoothing is for --path random, not for --path still",
        ),
        (["--class", "a", "--to", "b", "--path", "seeds"], "--path seeds and --seeds go together"),
        (["--class", "a", "--to", "b", "--seeds", "1,2"], "--path seeds and --seeds go together"),
        (["--class", "a", "--to", "b", "--seconds", "0.01"], "at least two frames, not 1"),
    ],
)
def test_mistaken_classes_are_a_sentence(
    tool: Tool, tmp_path: Path, words: list[str], sentence: str
) -> None:
    write_model(tmp_path / "m", classes=["a", "b"])
    ended = tool("video", "m", "film.mp4", *words)
    assert ended.status in (1, 2)
    assert sentence in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert names(tmp_path) == ["m"]


def test_a_tour_shows_the_faces_of_its_seeds(tool: Tool, tmp_path: Path) -> None:
    generator = write_model(tmp_path / "m")
    words = ["--path", "seeds", "--seeds", "7,3,5", "--quality", 4]
    assert tool("video", "m", "film.mp4", *words, "--seconds", 1.5, "--fps", 12).status == 0
    frames = Film(tmp_path / "film.mp4").frames.astype(np.float64)
    assert frames.shape == (18, 256, 256, 3)
    with torch.no_grad():
        made = generator(torch.from_numpy(latents_of_seeds([7, 3, 5], 8))).numpy()
    faces = np.clip(np.moveaxis(made, 1, -1), -1, 1) * 127.5 + 127.5
    for number in range(3):
        # From the middle of each enlarged pixel, where its neighbours' colours do not reach.
        shown = frames[:, 8::16, 8::16]
        errors = np.abs(shown - faces[number]).mean(axis=(1, 2, 3))
        assert errors.argmin() == 6 * number
        assert errors.min() < 3
    # After the last face it returns to the first: the film ends close to where it began.
    assert np.abs(frames[17] - frames[0]).mean() < np.abs(frames[15] - frames[0]).mean() / 2


def test_a_tour_of_a_model_with_classes_asks_for_one(tool: Tool, tmp_path: Path) -> None:
    write_model(tmp_path / "m", classes=["a", "b"])
    words = ["video", "m", "film.mp4", "--path", "seeds", "--seeds", "1,2", "--seconds", 1]
    ended = tool(*words)
    assert ended.status == 2
    assert "--path seeds needs --class" in ended.err
    assert tool(*words, "--class", "b", "--fps", 4, "--zoom", 1).status == 0


@pytest.mark.parametrize(("frames", "resolution", "zoom"), [(1, 4, 1), (2, 4, 3), (5, 8, None)])
def test_the_smallest_films(tmp_path: Path, frames: int, resolution: int, zoom: int | None) -> None:
    model = recalling(np.full((1, resolution, resolution, 3), 90, np.uint8))
    film = write(model, Standing(frames), tmp_path / "film.mp4", zoom=zoom)
    side = resolution * zoom if zoom else 256
    assert film.frames.shape == (frames, side, side, 3)
    assert np.abs(film.frames.astype(int) - 90).max() <= 2


@pytest.mark.parametrize(
    ("height", "width", "factor"),
    [(4, 4, 64), (64, 64, 4), (200, 200, 1), (256, 256, 1), (1024, 2048, 1), (16, 2048, 2)],
)
def test_small_frames_are_enlarged(height: int, width: int, factor: int) -> None:
    assert encoding.frame_zoom(height, width) == factor


def test_memory_does_not_grow_with_the_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_PIXELS_AT_ONCE", 2**13)
    model = recalling(flat((9, 9, 9)))
    asked = []
    for frames in (40, 90):
        walk = Standing(frames, cells=4)
        film = write(model, walk, tmp_path / f"{frames}.mp4", columns=2, zoom=1)
        assert len(film.frames) == frames == sum(walk.asked)
        asked.append(max(walk.asked))
    assert asked == [8, 8]  # Frames of four pictures of 256 pixels.
    # A frame that is larger than that comes alone, and a short film whole.
    monkeypatch.setattr(video, "_PIXELS_AT_ONCE", 100)
    walk = Standing(3, cells=4)
    write(model, walk, tmp_path / "large.mp4", columns=2, zoom=1)
    assert walk.asked == [1, 1, 1]


def test_frames_are_written_while_others_are_still_to_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_PIXELS_AT_ONCE", 2**10)
    # The walk waits for frames of before to be encoded: had all to be drawn first, it would for
    # ever; and were they held in memory, it would be far ahead of them.
    encoded = threading.Semaphore(0)
    write_group = encoding._Encoder.write
    groups: list[int] = []

    def counting(encoder: encoding._Encoder, frames: NDArray[np.uint8]) -> None:
        write_group(encoder, frames)
        groups.append(len(frames))
        encoded.release()

    class Waiting(Standing):
        def chunk(self, start: int, count: int) -> Array:
            if start:
                assert encoded.acquire(timeout=60)
            assert start // 4 - len(groups) <= 3
            return super().chunk(start, count)

    monkeypatch.setattr(encoding._Encoder, "write", counting)
    film = write(recalling(flat((9, 9, 9))), Waiting(20), tmp_path / "film.mp4", zoom=1)
    assert len(film.frames) == 20
    assert groups == [4] * 5


def test_the_walk_does_not_run_away_from_a_slow_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_PIXELS_AT_ONCE", 2**8)
    begun: list[int] = []
    may_write = threading.Event()
    write_group = encoding._Encoder.write

    def slow(encoder: encoding._Encoder, frames: NDArray[np.uint8]) -> None:
        begun.append(len(walk.asked))
        assert may_write.wait(60)
        write_group(encoder, frames)

    class Hasty(Standing):
        def chunk(self, start: int, count: int) -> Array:
            # Two groups wait, one is being written, and this is the next.
            assert len(self.asked) - len(begun) <= 3
            if len(self.asked) == 2:
                may_write.set()
            return super().chunk(start, count)

    monkeypatch.setattr(encoding._Encoder, "write", slow)
    walk = Hasty(12)
    write(recalling(flat((9, 9, 9))), walk, tmp_path / "film.mp4", zoom=1)
    assert len(begun) == 12


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["film.avi"], 2, "must end in .mp4"),
        (["film"], 2, "must end in .mp4"),
        (["no/film.mp4"], 1, "no is not a folder"),
        (["old.mp4"], 1, "old.mp4 exists already; choose another name, or give --overwrite"),
        (["folder.mp4", "--overwrite"], 1, "folder.mp4 is a folder"),
        (["m.mp4", "--overwrite"], 2, "is read from"),
        (["film.mp4", "--seconds", "nan"], 2, "'nan' is not a number"),
        (["film.mp4", "--seconds", "inf"], 2, "--seconds"),
        (["film.mp4", "--seconds", "0"], 2, "--seconds"),
        (["film.mp4", "--smoothing", "nan"], 2, "'nan' is not a number"),
        (["film.mp4", "--smoothing", "0"], 2, "--smoothing"),
        (["film.mp4", "--fps", "0"], 2, "--fps"),
        (["film.mp4", "--seed", "-1"], 2, "--seed"),
        (["film.mp4", "--quality", "52"], 2, "--quality"),
        (["film.mp4", "--grid", "500x500"], 1, "8000×8000 pixels is more than the 4096"),
        (["film.mp4", "--zoom", "300"], 1, "4800×4800 pixels is more than the 4096"),
        (["film.mp4", "--path", "seeds"], 2, "--path seeds and --seeds go together"),
        (["film.mp4", "--seeds", "1,2"], 2, "--path seeds and --seeds go together"),
        (["film.mp4", "--path", "seeds", "--seeds", "1"], 1, "at least two faces"),
        (
            ["film.mp4", "--path", "seeds", "--seeds", "1-9", "--seconds", "0.1"],
            1,
            "9 faces in 6 frames",
        ),
        (["film.mp4", "--path", "seeds", "--seeds", "1,2", "--grid", "2x2"], 2, "not go with"),
        (
            ["film.mp4", "--path", "seeds", "--seeds", "1,2", "--smoothing", "1.0"],
            2,
            "--smoothing is for --path random, not for --path seeds",
        ),
        (
            ["film.mp4", "--path", "seeds", "--seeds", "1,2", "--seed", "0"],
            2,
            "--seed is for --path random and --path still, not for --path seeds",
        ),
        (["film.mp4", "--class", "cat"], 2, "has no classes"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    sentence: str,
) -> None:
    def draw(*_: object) -> Iterator[Array]:
        raise AssertionError("No minutes of work before the refusal.")

    monkeypatch.setattr(video, "pixels", draw)
    write_model(tmp_path / "m.mp4")
    (tmp_path / "old.mp4").write_text("old")
    (tmp_path / "folder.mp4").mkdir()
    before = names(tmp_path)
    ended = tool("video", "m.mp4", *words)
    assert ended.status == status
    assert sentence in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert status == 2 or len(ended.err.splitlines()) == 1
    assert ended.out == ""
    assert names(tmp_path) == before
    assert (tmp_path / "old.mp4").read_text() == "old"


def test_an_older_film_gives_way_when_told(tool: Tool, tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    (tmp_path / "film.mp4").write_text("old")
    words = ["--seconds", 0.2, "--fps", 10, "--zoom", 1, "--overwrite"]
    assert tool("video", "m", "film.mp4", *words).status == 0
    assert len(Film(tmp_path / "film.mp4").frames) == 2
    assert names(tmp_path) == ["film.mp4", "m"]


@pytest.mark.parametrize("drawn", [0, 2])
def test_what_is_interrupted_leaves_nothing(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: int
) -> None:
    write_model(tmp_path / "m")
    parts = [np.zeros((1, 16, 16, 3), np.uint8)] * drawn

    def draw(*_: object) -> Iterator[NDArray[np.uint8]]:
        if not parts:
            raise KeyboardInterrupt
        yield parts.pop()

    monkeypatch.setattr(video, "pixels", draw)
    monkeypatch.setattr(video, "_PIXELS_AT_ONCE", 1)
    ended = tool("video", "m", "film.mp4", "--seconds", 1)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.strip() == "Stopped."
    assert names(tmp_path) == ["m"]


@pytest.mark.parametrize("limit", [0, 2000, 10_000])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    tool: Tool, tmp_path: Path, limit: int
) -> None:
    write_model(tmp_path / "m")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond this: as with a full disk, writing fails in the middle.
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, usual[1]))
    try:
        words = ["--seconds", 3, "--fps", 30, "--quality", 0, "--zoom", 4]
        ended = tool("video", "m", "film.mp4", *words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert (ended.status, ended.out) == (1, "")
    assert "File too large" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert "Traceback" not in ended.err
    assert names(tmp_path) == ["m"]


def test_a_half_faded_in_generator_is_filmed_as_it_stands(tmp_path: Path) -> None:
    generator = small_generator().stand(4, 0.5)
    film = write(ModelFile(generator=generator), Standing(2, size=8), tmp_path / "film.mp4", zoom=1)
    assert film.frames.shape == (2, 16, 16, 3)
