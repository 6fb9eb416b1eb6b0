import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from progan.checkpoint import Checkpoints, save_model
from progan.config import Config, preset
from progan.latents import latents_of_seeds
from progan.networks import Generator
from progan.training import build
from tests.tools.conftest import Tool
from tests.tools.making import Film, names
from tools import timelapse

# Images shown at each checkpoint, and the level that is reached there.
KEPT = {500: 2, 1500: 3, 2500: 3, 4500: 4}


def write_run(path: Path, *, kept: list[int] | None = None, classes: int = 0) -> list[Generator]:
    """A run whose averages have random weights; gives them, standing where they were."""
    config: Config = preset(
        "small", resolution=16, fmap_base=64, fmap_max=8, label_size=classes, kimg=5.0,
        fade_kimg="1", hold_kimg="1",
    )  # fmt: skip
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"config": config.to_json()}))
    generators = []
    for number, nimg in enumerate(kept if kept is not None else KEPT):
        torch.manual_seed(number)
        average = build(config, torch.device("cpu"))[2]
        for parameter in average.parameters():
            parameter.copy_(torch.randn(parameter.shape))
        weights = {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
        Checkpoints(path / "checkpoints", keep=99).save(weights, nimg)
        stage = config.schedule.at(nimg)
        generators.append(average.stand(stage.level, stage.fade))
    return generators


def sheet(
    generator: Generator, seeds: list[int], labels: list[int] | None = None
) -> NDArray[np.uint8]:
    """One row of faces at 16 pixels each, as they are to be seen."""
    points = torch.from_numpy(latents_of_seeds(seeds, generator.latent_size))
    with torch.no_grad():
        made = generator(points, None if labels is None else torch.tensor(labels)).numpy()
    levels = np.rint(np.clip(np.moveaxis(made, 1, -1), -1, 1) * 127.5 + 127.5).astype(np.uint8)
    larger = np.ones((16 // 2**generator.level,) * 2 + (1,), np.uint8)
    return np.concatenate([np.kron(face, larger) for face in levels], axis=1)


def luma(pixels: np.ndarray) -> NDArray[np.float64]:
    """Brightness: a film has half the pictures' resolution of colour."""
    return np.asarray(pixels @ np.array([0.2126, 0.7152, 0.0722]))


def test_every_checkpoint_is_shown_when_its_time_has_come(tool: Tool, tmp_path: Path) -> None:
    generators = write_run(tmp_path / "run")
    words = [
        "--seconds",
        5,
        "--fps",
        10,
        "--hold",
        1,
        "--seeds",
        "3,7",
        "--quality",
        2,
        "--zoom",
        8,
    ]
    ended = tool("timelapse", "run", "film.mp4", *words)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "50 frames, 5 s, from 0.5 to 4.5 kimg: film.mp4\n"
    frames = Film(tmp_path / "film.mp4").frames
    assert frames.shape == (50, 128, 256, 3)
    shown = luma(frames[:, 4::8, 4::8])
    expected = [luma(sheet(generator, [3, 7])) for generator in generators]
    # 4000 images in 40 frames; each is alone for the first half of the time to the next.
    for number, (first, last) in enumerate([(0, 5), (10, 15), (20, 30), (40, 49)]):
        for frame in (first, last):
            assert np.abs(shown[frame] - expected[number]).mean() < 6, (number, frame)
    assert np.abs(expected[0] - expected[1]).mean() > 30
    # Half-way through the fade, the two are mixed.
    mixed = (expected[2] + expected[3]) / 2
    assert np.abs(shown[35] - mixed).mean() < 6
    assert names(tmp_path) == ["film.mp4", "run"]


@pytest.mark.parametrize("hold", [0, 7])
def test_moments_rise_from_the_first_checkpoint_to_the_last(hold: int) -> None:
    plan = timelapse.moments([2, 10, 11, 40], 50, hold)
    places = [moment.checkpoint - 1 + moment.weight for moment in plan]
    assert len(plan) == 50
    assert places[0] == 0
    assert places == sorted(places)
    assert places[50 - hold :] == [3.0] * hold
    assert all(0 <= moment.weight <= 1 for moment in plan)
    # Of checkpoints that come in the same frame, the last one counts.
    few = timelapse.moments([0, 1, 2, 3, 100], 4, 1)
    assert [moment.checkpoint for moment in few] == [1, 4, 4, 4]


def test_captions_tell_what_is_shown(tool: Tool, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    words = ["--seconds", 1, "--fps", 8, "--grid", "2x1", "--zoom", 8, "--quality", 2]
    assert tool("timelapse", "run", "plain.mp4", *words).status == 0
    assert tool("timelapse", "run", "told.mp4", *words, "--captions").status == 0
    plain, told = (Film(tmp_path / f"{name}.mp4").frames for name in ("plain", "told"))
    assert told.shape == (8, 128 + timelapse.caption_height(128), 256, 3)
    assert np.abs(told[:, :120].astype(int) - plain[:, :120]).mean() < 3
    line = timelapse.caption("0.5 kimg, 4 pixels", 24, 256, 3)
    assert np.abs(told[0, 128:].astype(int) - line).mean() < 8
    assert np.abs(told[-1, 128:].astype(int) - line).mean() > 8
    assert line.min() < 60
    assert (line[:, [0, -1]] == 255).all()
    # A long one becomes smaller, and stays within the picture.
    assert (timelapse.caption("long " * 12, 24, 256, 1)[:, [0, -1]] == 255).all()


def test_a_damaged_checkpoint_is_left_out_with_a_warning(tool: Tool, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    damaged = Checkpoints(tmp_path / "run/checkpoints").path(4500)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    words = ["--seconds", 1, "--fps", 4, "--grid", "1x1"]
    ended = tool("timelapse", "run", "film.mp4", *words)
    assert ended.status == 0
    assert "from 0.5 to 2.5 kimg" in ended.out
    assert ended.err.startswith("Warning: ")
    assert "000000004500.safetensors is damaged" in ended.err
    assert damaged.exists()


def test_classes_come_in_turn_or_as_asked(tool: Tool, tmp_path: Path) -> None:
    generators = write_run(tmp_path / "run", kept=[500, 4500], classes=2)
    save_model(tmp_path / "run/generator.safetensors", generators[-1], classes=("cat", "dog"))
    words = ["--seconds", 1, "--fps", 4, "--grid", "2x1", "--zoom", 8, "--quality", 2]
    for options, labels in (([], [0, 1]), (["--class", "dog"], [1, 1])):
        assert tool("timelapse", "run", "film.mp4", *words, *options, "--overwrite").status == 0
        shown = luma(Film(tmp_path / "film.mp4").frames[-1, 4::8, 4::8])
        assert np.abs(shown - luma(sheet(generators[-1], [0, 1], labels))).mean() < 6


@pytest.mark.parametrize(
    ("kept", "words", "status", "sentence"),
    [
        ([], ["film.mp4"], 1, "run has kept 0 checkpoints"),
        ([500], ["film.mp4"], 1, "run has kept 1 checkpoint, and a film of its growth needs two"),
        ([1, 2], ["film.avi"], 2, "must end in .mp4"),
        ([1, 2], ["film.mp4", "--hold", "20"], 2, "--hold"),
        ([1, 2], ["film.mp4", "--grid", "2x1", "--seeds", "1-3"], 2, "3 faces do not fit"),
        ([1, 2], ["film.mp4", "--class", "cat"], 2, "no classes"),
        ([1, 2], ["film.mp4", "--zoom", "1024"], 1, "more than the 4096 a side"),
        ([1, 2], ["run/no/film.mp4"], 1, "is not a folder"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(
    tool: Tool, tmp_path: Path, kept: list[int], words: list[str], status: int, sentence: str
) -> None:
    write_run(tmp_path / "run", kept=kept)
    before = sorted(path for path in tmp_path.rglob("*"))
    ended = tool("timelapse", "run", *words)
    assert (ended.status, ended.out) == (status, "")
    assert sentence in " ".join(ended.err.split())
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_folder_that_is_no_run_is_a_sentence(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = tool("timelapse", "empty", "film.mp4")
    assert (ended.status, ended.out) == (1, "")
    assert "empty is not a run directory" in ended.err


def test_a_run_without_milestones_is_told_what_would_keep_them(tool: Tool, tmp_path: Path) -> None:
    write_run(tmp_path / "run", kept=[4000, 4500])
    ended = tool("timelapse", "run", "film.mp4", "--seconds", 0.5, "--grid", "1x1", "--fps", 4)
    assert ended.status == 0
    assert "--milestone-kimg" in ended.err


def write_samples(run: Path, moments: list[int], *, rows: int = 8) -> list[NDArray[np.uint8]]:
    """Sample grids of 8 faces a row, 16 pixels each, as training draws them."""
    (run / "samples").mkdir()
    numbers = np.random.default_rng(0)
    grids = []
    for nimg in moments:
        faces = numbers.integers(0, 256, (rows, 1, 8, 1, 3), np.uint8)
        faces = np.broadcast_to(faces, (rows, 16, 8, 16, 3))
        grids.append(np.ascontiguousarray(faces.reshape(rows * 16, 128, 3)))
        Image.fromarray(grids[-1]).save(run / "samples" / f"{nimg:012d}.png")
    return grids


def test_a_run_without_milestones_is_shown_from_its_sample_grids(
    tool: Tool, tmp_path: Path
) -> None:
    write_run(tmp_path / "run", kept=[4000, 4500])
    grids = write_samples(tmp_path / "run", [500, 2500, 4500])
    words = ["--seconds", 4, "--fps", 5, "--hold", 1, "--zoom", 8, "--quality", 2]
    ended = tool("timelapse", "run", "film.mp4", *words)
    assert ended.status == 0, ended.err
    assert ended.out == "20 frames, 4 s, from 0.5 to 4.5 kimg: film.mp4\n"
    assert ended.err.startswith("These are the sample grids of run/samples.")
    assert "--milestone-kimg" in ended.err
    frames = Film(tmp_path / "film.mp4").frames
    assert frames.shape == (20, 3 * 128, 4 * 128, 3)
    # 4000 images in 15 frames; halfway is the second grid's time. Twelve faces of eight a row.
    for frame, grid in ((0, grids[0]), (8, grids[1]), (15, grids[2]), (19, grids[2])):
        parts = (grid[:16, :64], grid[:16, 64:], grid[16:32, :64])
        expected = luma(np.concatenate(parts))
        assert np.abs(luma(frames[frame, 4::8, 4::8]) - expected).mean() < 8, frame


def test_faces_of_sample_grids_are_found_by_their_seeds(tool: Tool, tmp_path: Path) -> None:
    write_run(tmp_path / "run", kept=[4500])
    grids = write_samples(tmp_path / "run", [500, 4500])
    words = ["--seconds", 1, "--fps", 4, "--zoom", 8, "--quality", 2, "--captions"]
    assert tool("timelapse", "run", "film.mp4", *words, "--seeds", "9,63").status == 0
    frames = Film(tmp_path / "film.mp4").frames
    line = timelapse.caption_height(128)
    assert frames.shape == (4, 128 + line, 256, 3)
    # Seed 9 is the second face of the second row, seed 63 the last of all.
    expected = luma(np.concatenate([grids[0][16:32, 16:32], grids[0][112:, 112:]], axis=1))
    assert np.abs(luma(frames[0, 4:128:8, 4::8]) - expected).mean() < 8
    # The level is what the schedule says.
    words_of = timelapse.caption("0.5 kimg, 4 pixels", line, 256, 3)
    assert np.abs(frames[0, 128:].astype(int) - words_of).mean() < 8
    # A face that no grid has needs two checkpoints, and there is one.
    refused = tool("timelapse", "run", "other.mp4", *words, "--seeds", "64")
    assert (refused.status, "--milestone-kimg" in refused.err) == (1, True)


def test_checkpoints_from_all_over_the_run_are_preferred(tool: Tool, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    write_samples(tmp_path / "run", [100, 4500])
    words = ["--seconds", 1, "--fps", 4, "--grid", "1x1"]
    ended = tool("timelapse", "run", "film.mp4", *words)
    assert (ended.status, ended.err) == (0, "")
    assert "from 0.5 to 4.5 kimg" in ended.out


def test_with_classes_rows_of_the_sample_grids_are_shown(tool: Tool, tmp_path: Path) -> None:
    generators = write_run(tmp_path / "run", kept=[4500], classes=2)
    save_model(tmp_path / "run/generator.safetensors", generators[-1], classes=("cat", "dog"))
    grids = write_samples(tmp_path / "run", [500, 4500], rows=2)
    words = ["--seconds", 1, "--fps", 4, "--zoom", 8, "--quality", 2]
    assert tool("timelapse", "run", "film.mp4", *words).status == 0
    frames = Film(tmp_path / "film.mp4").frames
    assert frames.shape == (4, 2 * 128, 4 * 128, 3)
    assert np.abs(luma(frames[0, 4::8, 4::8]) - luma(grids[0][:, :64])).mean() < 8
    for other in (["--class", "dog"], ["--seeds", "1"], ["--grid", "4x3"]):
        refused = tool("timelapse", "run", "other.mp4", *words, *other)
        assert (refused.status, "run has kept 1 checkpoint" in refused.err) == (1, True), other


@pytest.mark.parametrize("damage", ["cut", "text", "other size", "pipe"])
def test_damaged_sample_grids_are_sentences(tool: Tool, tmp_path: Path, damage: str) -> None:
    run = tmp_path / "run"
    write_run(run, kept=[4500])
    write_samples(run, [500, 2500, 4500])
    path = run / "samples" / f"{2500:012d}.png"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "text":
        path.write_text("no picture")
    elif damage == "other size":
        Image.new("RGB", (64, 64)).save(path)
    else:
        path.unlink()
        os.mkfifo(path)
    ended = tool("timelapse", "run", "film.mp4", "--seconds", 1, "--fps", 4)
    assert "000000002500.png is damaged" in ended.err
    if damage == "cut":  # seen as it is read
        assert (ended.status, names(tmp_path)) == (1, ["run"])
    else:
        assert (ended.status, "It is left out" in ended.err) == (0, True)
