"""What train.py says before its first step, and what it refuses there."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.__main__ import datasets as datasets_main
from datasets.pyramid import Dataset
from progan.config import preset
from progan.errors import ProganError
from tests.datasets.conftest import Ended, Program
from tests.datasets.conftest import program as program
from tools import beginning
from tools.setting_options import as_typed
from train import main

TrainPy = Callable[..., Ended]

# Of preset auto: a narrow network for 16 pixels, and two rounds of 32 images.
BRIEF = ["--kimg", "0.064", "--tick-seconds", "0", "--device", "cpu", "--fmap-max", "4"]
QUIET = [*BRIEF, "--no-watch-memorization"]


@pytest.fixture(autouse=True)
def undisturbed() -> Iterator[None]:
    """Put back what the door changes in this process; small networks need one thread."""
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for number, handler in usual.items():
        signal.signal(number, handler)


def prepared(path: Path, source: object, *words: object) -> Path:
    command = ["prepare", source, path, "--resolution", 16, "--workers", 1, *words]
    datasets_main([str(word) for word in command], standalone_mode=False)
    return path


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("data") / "drawn", "drawn:40")


@pytest.fixture
def train_py(program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrainPy:
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Ended:
        return program(main, *words, errors=(ProganError,))

    return call


def settings_of(run: Path) -> dict[str, object]:
    return dict(json.loads((run / "config.json").read_text())["config"])


def test_without_a_preset_one_is_chosen_told_and_kept(train_py: TrainPy, dataset: Path) -> None:
    ended = train_py(dataset, "run", *QUIET)
    assert ended.status == 0, ended.err
    (told,) = [line for line in ended.out.splitlines() if line.startswith("Preset auto chose")]
    assert told.startswith("Preset auto chose modern, 16×16 pixels. Expected time: ")
    assert ", about " in next(line for line in ended.out.splitlines() if "Begin:" in line)
    settings = settings_of(Path("run"))
    growth = {"fade_kimg", "hold_kimg"}
    plain = preset("modern", resolution=16, kimg=0.064, fmap_max=4).to_json()
    assert {name for name in settings if settings[name] != plain[name]} == growth
    # 5 kimg of growth in 0.6 of 64 images.
    assert settings["fade_kimg"] == "3,8:0.0077,16:0.015"
    # It goes on with what it has, whatever auto would choose now; and is no other preset's.
    for words in ([], ["--preset", "auto"], ["--preset", "modern"]):
        again = train_py(dataset, "run", *words, "--kimg", 0.128, "--device", "cpu")
        assert again.status == 0, again.err
        assert "Preset auto" not in again.out
        assert settings_of(Path("run")) == settings | {"kimg": 0.128}
    assert train_py(dataset, "run", "--preset", "small", "--device", "cpu").status == 2


def test_a_dry_run_tells_the_choice_after_the_plan(train_py: TrainPy, dataset: Path) -> None:
    ended = train_py(dataset, "run", "--dry-run", "--device", "cpu")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out[: ended.out.index("}") + 1])["preset"] == "modern"
    last = ended.out.splitlines()[-1]
    # A third of what many images would get; 38 are not held out.
    assert last == (
        "Preset auto chose modern, 16×16 pixels, 20 kimg (each of 38 images about 530 times), "
        "--watch-memorization (fewer than 2000 images)."
    )
    assert not Path("run").exists()


@pytest.mark.parametrize("lopsided", [True, False, None])
@pytest.mark.parametrize("given", [{}, {"mirror": True}])
def test_images_that_must_not_be_mirrored_are_not(
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lopsided: bool | None,
    given: dict[str, Any],
) -> None:
    monkeypatch.setattr(Dataset, "lopsided", lopsided, raising=False)
    data = Dataset.open(dataset)
    choice = beginning.chosen(data, torch.device("cpu"), given)
    config = preset(choice.preset, **{**choice.settings, **given})
    # What is typed counts.
    assert config.mirror == (not lopsided or "mirror" in given)
    told = beginning.sentence(choice, config, given, watched=False)
    assert ("--no-mirror (left and right of these images differ)" in told) == (not config.mirror)
    # Another preset mirrors them all the same, which is warned of where it was not asked for.
    capsys.readouterr()
    beginning.warn_of_data(preset("modern"), data, mirror_was_given="mirror" in given)
    warned = "--no-mirror shows them as they are" in capsys.readouterr().err
    assert warned == (bool(lopsided) and not given)


def test_few_images_are_watched_for_copies_unless_told_otherwise(
    train_py: TrainPy, dataset: Path
) -> None:
    ended = train_py(dataset, "watched", *BRIEF)
    assert ended.status == 0, ended.err
    assert "--watch-memorization (fewer than 2000 images)" in ended.out
    # Looks that nobody asked for: one, at the end; and as often as --metric-kimg says.
    assert ended.out.count("copies? ") == 1
    words = ["--metric-kimg", "0.032", "--metric-images", 9, "--on-copying", "stop"]
    often = train_py(dataset, "often", *BRIEF, *words)
    assert often.out.count("copies? ") >= 1 and " of 9 images" in often.out
    refused = train_py(dataset, "other", *QUIET, "--on-copying", "stop")
    assert (refused.status, "needs --watch-memorization" in refused.err) == (2, True)


def test_many_images_are_not_watched_by_default(
    train_py: TrainPy, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.beginning.WATCHED_BELOW", 38)
    ended = train_py(dataset, "run", *BRIEF)
    assert ended.status == 0 and "copies? " not in ended.out
    refused = train_py(dataset, "other", *BRIEF, "--on-copying", "stop")
    assert (refused.status, "needs --watch-memorization" in refused.err) == (2, True)


@pytest.mark.parametrize(("days", "warned"), [(29, False), (31, True), (15 * 365.25, True)])
def test_a_run_longer_than_a_month_is_warned_of_and_goes_on(
    train_py: TrainPy,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    warned: bool,
) -> None:
    seconds = days * 86400 / 64

    def measured(*_: object) -> Iterator[tuple[int, float, bool]]:
        return ((level, seconds, False) for level in (2, 3, 4))

    monkeypatch.setattr("tools.observers.measure", measured)
    ended = train_py(dataset, "run", *QUIET, "--preset", "small", "--minibatch", 8)
    assert ended.status == 0
    assert ("at the speed of this machine, training will take" in ended.err) == warned
    if days > 1000:
        assert "training will take 15 years" in ended.err and "about 15 years" in ended.out


def test_what_is_given_in_the_wrong_place_is_told(
    train_py: TrainPy, dataset: Path, tmp_path: Path
) -> None:
    assert train_py(dataset, "run", *QUIET).status == 0
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    Image.new("RGB", (8, 8)).save(photographs / "a.JPG")
    (tmp_path / "empty").mkdir()
    (tmp_path / "around").mkdir()
    dataset.rename(tmp_path / "around/drawn")
    (tmp_path / "a.zip").write_bytes(b"PK")
    inner = tmp_path / "around/drawn"
    try:
        for words, status, sentence in (
            (["run", inner], 2, f"run is a run and {inner} a dataset"),
            (["run", inner], 2, f"python train.py {inner} run"),
            (["photographs", inner], 2, f"{inner} is a dataset, and no place for a run"),
            ([inner, inner], 2, "no place for a run"),
            (["run", "other"], 2, "run is a run, and no dataset"),
            (["run", "run"], 2, "run is a run, and no dataset"),
            (["photographs", "other"], 1, "a folder of pictures: make a dataset of them with"),
            (["photographs", "other"], 1, "python -m datasets prepare photographs DATASET"),
            (["around", "other"], 1, "did you mean around/drawn?"),
            (["empty", "other"], 1, "it is empty"),
            (["nowhere", "other"], 1, "there is no such folder"),
            (["a.zip", "other"], 1, "but a file; make one with: python -m datasets prepare a.zip"),
            (["run/generator.safetensors", "other"], 1, "but a network"),
            ([inner, "photographs"], 1, "photographs is not empty and holds no run"),
        ):
            ended = train_py(*words, *QUIET)
            said = " ".join(ended.err.split())
            assert (ended.status, sentence in said) == (status, True), (words, said)
            assert "Traceback" not in said
    finally:
        inner.rename(dataset)
    assert not (tmp_path / "other").exists()
    assert [path.name for path in photographs.iterdir()] == ["a.JPG"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--kimg", "-5"], "--kimg must be positive, not -5"),
        (["--kimg", "nan"], "--kimg must be positive, not nan"),
        (["--kimg", "120k"], "'120k' is not a number; it counts thousand images: give 120."),
        (["--kimg", "0.5M"], "it counts thousand images: give 500."),
        (["--kimg", "12,000"], "it counts thousand images: give 12000."),
        (["--kimg", "ten"], "'ten' is not a number."),
        (["--seed", "1.5"], "'1.5' is not a whole number."),
        (["--fmap-base", "8k"], "'8k' is not a whole number: give 8000."),
        (["--penalty-weight", "-1"], "--penalty-weight must not be negative"),
        (["--adam-beta2", "1"], "--adam-beta2 must be in [0, 1)"),
        (["--fade-kimg", "3kimg"], "--fade-kimg: '3kimg' is not a number"),
        (["--learning-rate", "0"], "--learning-rate '0': every number must be positive"),
        (["--minibatch", "6"], "groups of --mbstd-group-size 4"),
        (["--augment", "colours"], "--augment 'colours': there is no 'colours'"),
        (["--augment-target", "0.6"], "needs something to augment: give --augment, too"),
        (["--preset", "paper2"], "paper2"),
        (["--resolution", "2k"], "power of two"),
    ],
)
def test_settings_that_cannot_be_are_named_as_they_are_typed(
    train_py: TrainPy, dataset: Path, words: list[str], sentence: str
) -> None:
    ended = train_py(dataset, "run", *words, "--device", "cpu")
    said = " ".join(ended.err.split())
    assert (ended.status, ended.out) == (2, "")
    assert sentence in said
    assert words[0] in said
    assert not Path("run").exists()


def test_a_length_that_cannot_be_is_named_for_a_run_that_goes_on(
    train_py: TrainPy, dataset: Path
) -> None:
    assert train_py(dataset, "run", *QUIET).status == 0
    ended = train_py(dataset, "run", "--kimg", "-5", "--device", "cpu")
    assert (ended.status, "--kimg must be positive, not -5" in ended.err) == (2, True)


def test_words_of_a_sentence_are_no_options() -> None:
    assert as_typed("kimg must be whole") == "--kimg must be whole"
    assert as_typed("a seed of fmap_base 4 at resolution 16") == (
        "a seed of --fmap-base 4 at resolution 16"
    )
    assert as_typed("take preset paper and give --minibatch and --learning-rate") == (
        "take preset paper and give --minibatch and --learning-rate"
    )
    assert as_typed("label_size must be at most 9") == "label_size must be at most 9"


def test_color_is_colour(train_py: TrainPy, dataset: Path) -> None:
    words = [*QUIET, "--augment"]
    assert train_py(dataset, "run", *words, "color,translation").status == 0
    assert settings_of(Path("run"))["augment"] == "colour,translation"
    for spelling in ("colour", "color"):
        again = train_py(dataset, "run", "--augment", f"{spelling},translation", "--device", "cpu")
        assert (again.status, "already trained" in again.out) == (0, True), again.err
    assert preset("small", augment="color") == preset("small", augment="colour")


def test_too_few_images_are_refused_or_warned_of(train_py: TrainPy, tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    Image.fromarray(pixels[0]).save(photographs / "0.png")
    one = prepared(tmp_path / "one", photographs, "--held-out", 0)
    ended = train_py(one, "run", *BRIEF)
    assert (ended.status, "has 1 training image" in ended.err) == (1, True)
    assert not Path("run").exists()
    for number in (1, 2):
        Image.fromarray(pixels[number]).save(photographs / f"{number}.png")
    three = prepared(tmp_path / "three", photographs, "--held-out", 0)
    ended = train_py(three, "run", *BRIEF)
    assert ended.status == 0, ended.err
    assert "has 3 training images" in ended.err and "a minibatch of 8 at" in ended.err
    # Said once, not at every start.
    again = train_py(three, "run", *BRIEF[2:], "--kimg", "0.096")
    assert again.status == 0 and "training images" not in again.err


def test_a_run_that_ends_before_it_has_grown_is_told_so(train_py: TrainPy, dataset: Path) -> None:
    ended = train_py(dataset, "run", *QUIET, "--preset", "small")
    assert ended.status == 0
    # 8 + (4 + 4) kimg at the sizes before, as the preset says: 8 + 4 + 4.
    assert "0.064 kimg end at 4×4 of 16×16 pixels" in ended.err
    assert "begin to fade in after 16: give a larger --kimg" in ended.err
    planned = train_py(dataset, "other", *QUIET, "--preset", "small", "--dry-run")
    assert "0.064 kimg end at 4×4 of 16×16 pixels" in planned.err
