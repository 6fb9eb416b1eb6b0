"""The benchmark counts what the step does, and measures the step itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image

from benchmarks import gpu
from progan.config import preset
from progan.convolution import plain_convolutions
from progan.training import Trainer
from tests.progan.making import one_thread as one_thread
from tests.tools.conftest import Tool
from tools.bench import CountOperations, Noise

pytestmark = pytest.mark.usefixtures("one_thread")


def test_operations_are_those_of_the_definition() -> None:
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    weight = torch.randn(5, 3, 4, 4, requires_grad=True)
    with CountOperations() as counted:
        found = F.conv2d(images, weight, stride=2, padding=1)
    forward = 2 * (2 * 5 * 4 * 4) * (3 * 4 * 4)
    assert counted.total == forward
    with CountOperations() as counted:
        torch.autograd.grad(found.sum(), images, retain_graph=True)
    assert counted.total == forward  # the weight's gradient was not asked for
    with CountOperations() as counted:
        torch.autograd.grad(found.sum(), (images, weight))
    assert (counted.total, counted.convolutions) == (2 * forward, 2)
    up = torch.randn(3, 5, 4, 4)
    with CountOperations() as counted:
        F.conv_transpose2d(images, up, stride=2, padding=1)
    assert counted.total == 2 * (2 * 8 * 8) * 3 * 5 * 16
    with CountOperations() as counted:
        F.linear(torch.randn(7, 11), torch.randn(13, 11), torch.randn(13))
    assert counted.total == 2 * 7 * 11 * 13


@pytest.mark.parametrize(
    ("settings", "by_critic", "by_generator"),
    [
        # Critic: 3 passes for reals, 3 for fakes, 6 for the penalty. Generator: 1 for the critic's
        # fakes, 3 of its own, 2 through the critic.
        ({}, 14, 4),
        ({"share_fakes": True}, 14, 3),
        ({"penalty_curvature": False}, 12, 4),
        ({"penalty_interval": 4}, 8 + 6 / 4, 4),
        ({"penalty_interval": 4, "penalty_curvature": False, "share_fakes": True}, 9, 3),
    ],
)
def test_a_step_computes_no_gradient_that_is_not_used(
    settings: dict[str, Any], by_critic: float, by_generator: float
) -> None:
    config = preset(
        "paper",
        resolution=16,
        fade_kimg="0",
        hold_kimg="0",
        minibatch="16",
        mbstd_group_size=4,
        minibatch_repeats=4,
        fmap_base=512,
        fmap_max=64,
        **settings,
    )
    trainer = Trainer(config, Noise(config))
    with plain_convolutions():
        with CountOperations() as critic, torch.no_grad():
            trainer.critic(torch.randn(16, 3, 16, 16))
        with CountOperations() as generator, torch.no_grad():
            trainer.generator(torch.randn(16, 64))
        with CountOperations() as step:
            trainer.round()
    expected = by_critic * critic.total + by_generator * generator.total
    assert 0.9 * expected < step.total / 4 <= expected


def test_the_command_prints_and_writes_what_it_measured(tool: Tool, tmp_path: Path) -> None:
    words = ("--level", "2", "--level", "3", "--minibatch", "8", "--fmap-base", "16",
             "--fmap-max", "4", "--repeats", "1", "--preset", "small")  # fmt: skip
    ended = tool("bench", *words, "--json", "b.json", "--plot", "b.png", "--device", "cpu")
    assert ended.status == 0, ended.err
    assert len(ended.out.splitlines()) == 4
    speeds = json.loads((tmp_path / "b.json").read_text())["speeds"]
    assert [(s["level"], s["fading"]) for s in speeds] == [(2, False), (3, False), (3, True)]
    for speed in speeds:
        assert speed["minibatch"] == 8
        assert speed["seconds_per_kimg"] == pytest.approx(1000 / speed["images_per_second"])
        assert speed["operations_per_image"] > 0
    # While it fades, a level costs more operations: the colours below take part.
    assert speeds[2]["operations_per_image"] > speeds[1]["operations_per_image"]
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size[0] > 500

    refused = tool("bench", "--level", "9", "--fmap-base", "16")
    assert (refused.status, "leaves no maps at level 9" in refused.err) == (1, True)


def test_a_precision_is_measured(tool: Tool, tmp_path: Path) -> None:
    words = ("--level", "2", "--minibatch", "8", "--fmap-base", "16", "--fmap-max", "4")
    ended = tool("bench", *words, "--repeats", "1", "--precision", "bfloat16", "--json", "b.json",
                 "--device", "cpu")  # fmt: skip
    assert ended.status == 0, ended.err
    found = json.loads((tmp_path / "b.json").read_text())
    assert (found["precision"], found["compiled"]) == ("bfloat16", False)


def test_bytes_are_those_that_are_read_and_written() -> None:
    x = torch.zeros(10, 3)
    with gpu.CountBytes() as counted:
        x.t().reshape(30)  # a view, and a copy that reads and writes all
        x.add_(1)
    assert counted.total == 4 * 30 * 2 + 4 * 30 * 2


def test_the_gpu_benchmark_prints_a_table_on_a_processor_too() -> None:
    words = ["--level", "2", "--level", "3", "--fmap-base", "16", "--fmap-max", "4"]
    words += ["--minibatch", "8", "--repeats", "1", "--product", "32", "--plain-maps", "4"]
    words += ["--passes", "eager", "--precision", "float32", "--precision", "bfloat16"]
    ended = CliRunner().invoke(gpu.main, [*words, "--device", "cpu"])
    assert ended.exit_code == 0, ended.output
    lines = ended.output.splitlines()
    assert "no GPU is here" in lines[0]
    table = [row.strip("| ").split(" | ") for row in lines if row.startswith("|")]
    assert [row[:4] for row in table[2:]] == [
        [pixels, "8", precision, "eager"]
        for pixels in ("4", "8")
        for precision in ("float32", "bfloat16")
    ]
    assert {len(row) for row in table[2:]} == {10} and table[2][5] == "1.00"
    assert all(float(row[4]) > 0 and row[7].endswith("T/s") for row in table[2:])
    refused = CliRunner().invoke(gpu.main, [*words, "--level", "9", "--device", "cpu"])
    assert refused.exit_code == 2 and "no maps at level 9" in refused.output
