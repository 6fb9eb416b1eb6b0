"""Files and folders whose names are bytes, and no UTF-8: as old disks and archives have them."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image

import train
from datasets.__main__ import datasets as datasets_main
from progan import paths
from progan.errors import ProganError
from progan.paths import in_utf8
from tests.datasets.conftest import Program
from tests.datasets.conftest import program as program
from tests.tiny_runs import TINY
from tests.tools.making import Film
from tools.__main__ import main as tools_main

NAME = os.fsdecode(b"l\xe4uf")
PLAIN = ["--kimg", "0.12", "--checkpoint-kimg", "0.05", "--milestone-kimg", "0.05"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / NAME
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this system's names are UTF-8")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield place
    torch.set_num_threads(threads)


def test_every_command_takes_them(folder: Path, program: Program) -> None:
    def call(command: click.Command, *words: object) -> str:
        ended = program(command, *words, errors=(ProganError,))
        assert ended.status == 0, ended.err
        return ended.out

    def named(plain: str) -> Path:
        return folder / os.fsdecode(b"\xfc" + plain.encode())

    photographs, data, run = named("photographs"), named("data"), named("run")
    photographs.mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(photographs / f"{NAME}{number:02d}.png")
    call(datasets_main, "prepare", photographs, data, "--resolution", 8, "--workers", 1)
    assert b"l\xe4uf00.png" in (data / "index.csv").read_bytes()

    call(train.main, data, run, *TINY, *PLAIN)
    (events,) = run.glob("events.out.tfevents.*")
    assert b"loss/critic" in events.read_bytes()
    assert "Continue at 0.12" in call(train.main, data, run, "--kimg", "0.15", "--device", "cpu")
    assert len(list(run.glob("events.out.tfevents.*"))) == 2

    for out in ("grid.webp", "array.npy"):
        call(tools_main, "generate", run, named(out), "--seeds", "0-3")
    with Image.open(named("grid.webp")) as picture:
        assert picture.size == (32, 8)
    call(tools_main, "video", run, named("film.mp4"), "--seconds", 0.1, "--fps", 20)
    call(tools_main, "timelapse", run, named("growth.mp4"), "--seconds", 0.2, "--fps", 10)
    assert len(Film(named("film.mp4")).frames) == len(Film(named("growth.mp4")).frames) == 2
    found = named("found")
    call(tools_main, "project", run, photographs / f"{NAME}03.png", found, "--steps", 1)
    assert b"l\xe4uf03.png," in (found / "distances.csv").read_bytes()
    call(tools_main, "export", run, named("program.pt2"))
    (run / "generator.safetensors").rename(named("model.safetensors"))
    call(tools_main, "generate", named("model.safetensors"), named("again.png"), "--seeds", "0-3")


def test_a_name_in_utf8_is_left_as_it_is(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "größe", tmp_path / "nowhere"):
        with in_utf8(path) as name:
            assert name == path


def test_another_name_leads_to_the_same_file_for_the_blocks_time(folder: Path) -> None:
    (folder / NAME).write_text("before")
    with in_utf8(folder / NAME) as name:
        assert str(name).isascii()
        assert name.read_text() == "before"
        name.write_text("after")
        with in_utf8(folder) as place:
            assert [path.name for path in place.iterdir()] == [NAME]
    assert not name.exists()
    assert (folder / NAME).read_text() == "after"


def test_where_there_is_no_other_name_it_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "_OPEN_FILES", folder / "nowhere")
    words = "is not UTF-8: give the file or folder another name"
    with pytest.raises(ProganError, match=words), in_utf8(folder):
        pass
