"""Curves are written as the picture that their file is called."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tools.conftest import Tool
from tools.figures import save_figure


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.png", "PNG"), ("x.jpg", "JPEG"), ("x.JPEG", "JPEG"), ("x.webp", "WEBP"),
        ("x", "PNG"), ("x.v2", "PNG"),
    ],
)  # fmt: skip
def test_a_figure_is_written_in_the_format_of_its_name(
    tmp_path: Path, name: str, kind: str
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.add_axes((0, 0, 0.5, 1)).set_facecolor("#ff0000")
    save_figure(figure, tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert picture.format == kind
        assert picture.size == (240, 120)
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(pixels[60, 60] - (255, 0, 0)).max() <= 3
    assert np.abs(pixels[60, 200] - 255).max() <= 3


@pytest.mark.parametrize("name", ["x.svg", "x.bmp", "x.GIF"])
def test_other_pictures_are_refused_before_any_work(tool: Tool, name: str) -> None:
    for words in (("bench",), ("metrics", "--history", "nowhere")):
        ended = tool(*words, "--plot", name)
        assert ended.status == 2
        assert f"--plot: no {name[1:]} file can be written" in ended.err
