"""The README can be followed: its commands run in their order, and what it names is there."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributed.run import get_args_parser

import train
from datasets.__main__ import datasets as datasets_main
from progan.automatic import AUTO
from progan.config import PRESETS, preset
from tests.tools.making import write_model
from tools.__main__ import main as tools_main

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = {"datasets": datasets_main, "tools": tools_main}

# So that the walk takes seconds. What is made smaller here is as in the README otherwise.
SMALLER = {"drawn:4000": "drawn:40", "0-999": "0-9", "0-99": "0-9"}
OF_OPTIONS = {"--resolution": "16", "--seconds": "0.4"}
BRIEFER = {
    "train.py": ["--kimg", "0.128", "--fmap-max", "4", "--tick-seconds", "0", "--device", "cpu"],
    "neighbours": ["--images", "20"],
    "metrics": ["--images", "20"],
    "project": ["--steps", "2"],
    "timelapse": ["--seconds", "0.4"],
    "video": ["--fps", "10"],
}
# What needs a network, a file of somebody else's or several processes, or does not end.
ONLY_READ = ("inception", "karras2018.pkl", "torchrun", "tensorboard", "make")


def commands(page: Path) -> list[list[str]]:
    """List the commands in a page's code blocks, each in words, without comments."""
    blocks = re.findall(r"^```\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    # Of alternatives, `folder|tar`, the first one.
    found = [[word.split("|")[0] for word in shlex.split(line, comments=True)] for line in lines]
    return [words for words in found if words and (words[0] in ("python", *ONLY_READ))]


def program_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """Find the program that a command begins with `python`, and its arguments."""
    if words[1] == "-m":
        return PROGRAMS[words[2]], words[3:]
    assert words[1] == "train.py", words
    return train.main, words[2:]


def parse(command: click.Command, words: list[str]) -> None:
    """Read arguments as the program does, without doing anything; files need not be there."""
    context = command.make_context(command.name, list(words), resilient_parsing=False)
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        _, below, rest = command.resolve_command(context, rest)
        assert below is not None
        try:
            below.make_context(below.name, rest, parent=context)
        except click.BadParameter as error:
            if "does not exist" not in error.message:
                raise


def smaller(words: list[str]) -> list[str]:
    """Make a command small: the word after an option, or the word itself."""
    found = []
    for before, word in zip(["", *words], words, strict=False):
        if before in OF_OPTIONS:
            found.append(OF_OPTIONS[before])
        else:
            found.append(SMALLER.get(word, word))
    for name, more in BRIEFER.items():
        if name in found[:4]:
            # A later word of the same option counts.
            found += more
    return found


def photographs(folder: Path, count: int) -> None:
    """Draw pictures of upright format: an oval on a ground, of other colours each time."""
    folder.mkdir()
    numbers = np.random.default_rng(0)
    down, across = np.mgrid[-1:1:40j, -1:1:32j]
    for number in range(count):
        ground, oval = numbers.integers(0, 256, (2, 3))
        inside = (across - numbers.uniform(-0.2, 0.2)) ** 2 + (down + 0.3) ** 2 < 0.3
        pixels = np.where(inside[..., None], oval, ground) + numbers.normal(0, 9, (40, 32, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.jpg")


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_its_commands_run_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("train.StopSignals", lambda processes: lambda: False)
    (tmp_path / "networks").symlink_to(ROOT / "networks")
    photographs(tmp_path / "photographs", 40)
    (tmp_path / "anna.jpg").write_bytes((tmp_path / "photographs/7.jpg").read_bytes())
    done = []
    for words in commands(README):
        if any(word in ONLY_READ for word in words):
            continue
        if words[-1].endswith((".onnx", ".pt2")) or "faces.onnx" in words:
            # Half a minute; tests/tools/test_exporting.py does that.
            continue
        program, arguments = program_of(smaller(words))
        try:
            program.main(arguments, standalone_mode=False)
        except (Exception, SystemExit) as error:
            pytest.fail(f"{shlex.join(words)}: {error!r}\n{capsys.readouterr().err[-2000:]}")
        done.append(words[1] if words[1] != "-m" else words[3])
    assert {"prepare", "describe", "train.py", "generate", "video", "timelapse", "project"} <= {
        *done
    }
    assert {"neighbours", "metrics"} <= {*done} and len(done) > 15
    # It has made what it says.
    for name in (
        "portraits.png", "portraits.mp4", "sheet.png", "run/generator.safetensors", "grid.png",
        "film.mp4", "tour.mp4", "growth.mp4", "report/report.html",
        "run/samples", "classes.png", "glasses.mp4", "drawn-run/samples/classes.txt",
    ):  # fmt: skip
        assert (tmp_path / name).exists(), name
    assert len(list(Path("faces").glob("*.png"))) == 10
    with Image.open("grid.png") as grid:
        assert grid.size == (8 * 16, 8 * 16)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_options_of_its_commands_are_there(page: Path) -> None:
    for words in commands(page):
        match words[0]:
            case "python" if words[1:2] == ["-m"] and words[2] in PROGRAMS:
                parse(*program_of(words))
            case "python" if words[1] == "train.py":
                parse(*program_of(words))
            case "torchrun":
                place = words.index("train.py")
                get_args_parser().parse_args(words[1:])
                parse(train.main, words[place + 1 :])
            case "make":
                target = words[1]
                assert f"\n{target}:" in (ROOT / "Makefile").read_text("utf-8"), words
            case "python":
                assert importlib.util.find_spec(words[2]) is not None, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_files_that_it_links_to_are_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link


def test_the_options_in_its_sentences_are_there() -> None:
    text = re.sub(r"^```.*?^```$", "", README.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"(?<![-\w])(--[a-z][a-z-]+)", text))

    def options(command: click.Command) -> Iterator[str]:
        for parameter in command.params:
            yield from (*parameter.opts, *parameter.secondary_opts)
        for below in getattr(command, "commands", {}).values():
            yield from options(below)

    known = {name for each in (datasets_main, tools_main, train.main) for name in options(each)}
    assert named and named - known == {"--help", "--max-restarts"}  # click's, and torchrun's


def test_its_table_lists_the_presets_and_their_lengths() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*?) \|$", README.read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in rows] == [AUTO, *PRESETS]
    for name, shown in rows[1:]:
        number, unit = shown.split(";")[0].split()
        images = int(number) * {"thousand": 1_000, "million": 1_000_000}[unit]
        assert images == preset(name).nimg, name


def test_the_example_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    write_model(Path("run/generator.safetensors"))
    example = README.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(example, str(README), "exec"), {})
    with Image.open("three.png") as picture:
        assert picture.size == (48, 16)
