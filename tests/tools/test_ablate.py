"""Ablations: every variant with every seed, equal cost, what is finished is kept."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from datasets.pyramid import Dataset
from progan.checkpoint import Checkpoints, read_model
from progan.training import Trainer
from tests.progan.making import one_thread as one_thread
from tests.tools.conftest import Tool
from tests.tools.making import names
from tools import ablation, ablation_table
from tools.ablate import read_variant

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = "fmap_base=32,fmap_max=4,minibatch=8,fade_kimg=0.032,hold_kimg=0.032"
WIDE = TINY.replace("fmap_max=4", "fmap_max=8")


def test_a_variant_is_a_name_and_options_whose_values_may_hold_commas() -> None:
    variant = read_variant("a:fade-kimg=2,16:3,mirror=false,adam_beta1=0.5,latent_size=9", "small")
    assert (variant.name, variant.preset) == ("a", "small")
    assert variant.settings == {
        "fade_kimg": "2,16:3", "mirror": False, "adam_beta1": 0.5, "latent_size": 9,
    }  # fmt: skip
    assert read_variant("plain", "paper").settings == {}
    both = read_variant("b:preset=v2,augment=colour,cutout", "small")
    assert (both.preset, both.settings) == ("v2", {"augment": "colour,cutout"})


def test_variants_are_trained_measured_and_laid_side_by_side(
    tool: Tool, faces: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["ablate", faces.path, "out", "--seeds", "0-1", "--kimg", "0.24", "--images", "30",
             "--points", "4", "--variant", f"wide:{WIDE}",
             "--variant", f"logistic:{TINY},objective=logistic,augment=cutout"]  # fmt: skip
    ended = tool(*words)
    assert ended.status == 0, ended.err
    out = Path("out")
    assert names(out) == ["ablation.json", "plot.png", "runs", "table.json", "table.md"]
    assert names(out / "runs") == ["logistic-seed0", "logistic-seed1", "wide-seed0", "wide-seed1"]
    with Image.open(out / "plot.png") as plot:
        assert plot.size[0] > 500
    whole = json.loads((out / "table.json").read_text())
    for variant, maps in (("wide", 8), ("logistic", 4)):
        runs = whole["runs"][variant]
        assert [run["config"]["seed"] for run in runs] == [0, 1]
        found = [run["figures"]["swd"]["mean"] for run in runs]
        row = whole["summary"][variant]["figures"]["swd mean"]
        assert row["mean"] == pytest.approx(statistics.mean(found)) and found[0] != found[1]
        assert row["deviation"] == pytest.approx(statistics.stdev(found))
        for run in runs:
            assert (run["nimg"], run["broken"], run["figures"]["size"]) == (256, None, 16)
            # Four measurements; the first was at 8 pixels, which have no patches.
            assert [point["nimg"] for point in run["curve"]] == [64, 128, 192, 256]
            assert [point["swd"] is None for point in run["curve"]] == [True] + [False] * 3
            assert run["curve"][-1]["swd"] == run["figures"]["swd"]["mean"]
            assert 0 <= run["figures"]["flagged"] <= 1
        model = read_model(out / "runs" / f"{variant}-seed1" / "generator.safetensors")
        assert model.generator.maps(1) == maps
        assert model.trained["config"]["seed"] == 1
    table = (out / "table.md").read_text().splitlines()
    means = [whole["summary"][row.split("|")[1].strip()]["figures"]["swd mean"]["mean"]
             for row in table[2:4]]  # fmt: skip
    assert means == sorted(means)
    assert "*photographs*" in table[4] and table[0] in ended.out

    # Given again with one more variant, only that one is trained.
    trained = []
    usual = ablation.Run.finish

    def noted(run: ablation.Run, advance: Callable[[int], None]) -> dict[str, Any]:
        trained.append(run.folder.name)
        return usual(run, advance)

    monkeypatch.setattr(ablation.Run, "finish", noted)
    again = tool(*words, "--variant", f"third:{TINY},objective=relativistic")
    assert again.status == 0, again.err
    assert trained == ["third-seed0", "third-seed1"]
    rows = (out / "table.md").read_text().splitlines()
    assert set(table[2:4]) < set(rows) and any(row.startswith("| third | 2 |") for row in rows)

    other = tool(*[word.replace("0.24", "0.32") if isinstance(word, str) else word
                   for word in words])  # fmt: skip
    assert other.status == 1
    assert "holds a run of other settings (config kimg: 0.24, not 0.32)" in other.err


@pytest.mark.parametrize("between", [False, True], ids=["a round", "state and note"])
def test_a_run_that_was_broken_off_goes_on_to_the_same_bits(
    tool: Tool, faces: Dataset, monkeypatch: pytest.MonkeyPatch, between: bool
) -> None:
    words = ("--seeds", "3", "--kimg", "0.32", "--images", "16", "--points", "3", "--variant",
             f"a:{TINY}")  # fmt: skip
    assert tool("ablate", faces.path, "straight", *words).status == 0
    usual = Trainer.round

    def stopping(trainer: Trainer) -> None:
        if trainer.nimg >= 250:
            raise KeyboardInterrupt
        usual(trainer)

    save = Checkpoints.save

    def saving(checkpoints: Checkpoints, tensors: dict[str, torch.Tensor], nimg: int) -> None:
        save(checkpoints, tensors, nimg)
        if nimg == 224:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if between:
            patch.setattr(Checkpoints, "save", saving)
        else:
            patch.setattr(Trainer, "round", stopping)
        ended = tool("ablate", faces.path, "broken", *words)
    assert (ended.status, names(Path("broken"))) == (1, ["ablation.json", "runs"])
    rounds = []

    def noted(trainer: Trainer) -> None:
        rounds.append(trainer.nimg)
        usual(trainer)

    monkeypatch.setattr(Trainer, "round", noted)
    assert tool("ablate", faces.path, "broken", *words).status == 0
    # One third or two, at the end of a round of 32 images.
    assert rounds[0] == (128 if between else 224)
    straight, broken = (Path(n) / "runs" / "a-seed3" for n in ("straight", "broken"))
    for name in ("generator.safetensors", "samples.png", "result.json"):
        assert (straight / name).read_bytes() == (broken / name).read_bytes(), name


def test_what_ends_before_it_has_grown_is_measured_by_what_can_be(
    tool: Tool, faces: Dataset
) -> None:
    held = TINY.replace("hold_kimg=0.032", "hold_kimg=1")
    ended = tool("ablate", faces.path, "out", "--seeds", "0", "--kimg", "0.08", "--images", "16",
                 "--points", "1", "--variant", f"held:{held}")  # fmt: skip
    assert ended.status == 0, ended.err
    (run,) = json.loads(Path("out/table.json").read_text())["runs"]["held"]
    assert run["figures"].keys() == {"ms-ssim", "size"}
    assert run["figures"]["size"] == 4


def test_a_budget_of_time_is_the_processors_and_not_the_clocks(
    tool: Tool, faces: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = [0.0]
    usual = Trainer.round

    def slow(trainer: Trainer) -> None:
        usual(trainer)
        spent[0] += 2.0 if trainer.config.fmap_max == 8 else 1.0

    monkeypatch.setattr(Trainer, "round", slow)
    monkeypatch.setattr("time.process_time", lambda: spent[0])
    ended = tool("ablate", faces.path, "out", "--seeds", "0", "--minutes", "0.2", "--images", "16",
                 "--points", "3", "--variant", f"narrow:{TINY}",
                 "--variant", f"wide:{WIDE}")  # fmt: skip
    assert ended.status == 0, ended.err
    runs = json.loads(Path("out/table.json").read_text())["runs"]
    assert (runs["narrow"][0]["nimg"], runs["wide"][0]["nimg"]) == (12 * 32, 6 * 32)
    assert [point["spent"] for point in runs["narrow"][0]["curve"]] == [4, 8, 12]


def test_a_variant_that_breaks_down_is_told_and_the_others_are_measured(
    tool: Tool, faces: Dataset
) -> None:
    ended = tool("ablate", faces.path, "out", "--seeds", "0", "--kimg", "1.2", "--images", "16",
                 "--points", "1", "--variant", f"good:{TINY}",
                 "--variant", f"bad:{TINY},learning_rate=1e8,drift_weight=1e30")  # fmt: skip
    assert ended.status == 0, ended.err
    whole = json.loads(Path("out/table.json").read_text())
    assert whole["summary"]["good"]["broken"] == 0 and whole["summary"]["good"]["figures"]
    assert whole["summary"]["bad"]["broken"] == 1 and not whole["summary"]["bad"]["figures"]
    assert "20 steps in a row" in whole["runs"]["bad"][0]["broken"]
    assert "| bad | 1 (1 broke down) |" in Path("out/table.md").read_text()


def test_each_variant_is_compared_with_photographs_as_its_training_saw_them(
    tool: Tool, faces: Dataset
) -> None:
    words = ("ablate", faces.path, "out", "--seeds", "0", "--kimg", "0.16", "--images", "16",
             "--points", "2", "--variant", f"turned:{TINY}")  # fmt: skip
    assert tool(*words).status == 0
    alone = json.loads(Path("out/table.json").read_text())
    assert alone["mirrored"] == {"turned": True} and "photographs as they are" not in alone
    assert "compared with photographs, half mirrored at random" in Path("out/table.md").read_text()
    ended = tool(*words, "--variant", f"plain:{TINY},mirror=false")
    assert ended.status == 0, ended.err
    whole = json.loads(Path("out/table.json").read_text())
    assert whole["mirrored"] == {"turned": True, "plain": False}
    table = Path("out/table.md").read_text()
    assert "but plain, trained without mirroring, with photographs as they are" in table
    assert whole["photographs"] == alone["photographs"] != whole["photographs as they are"]
    assert "| *photographs* |" in table and "| *photographs as they are* |" in table
    for name, mirror in whole["mirrored"].items():
        # What the command on its own model says, which knows how it was trained.
        ended = tool("metrics", faces.path, f"out/runs/{name}-seed0/generator.safetensors",
                     "--images", "16", "--json", "o.json", "--overwrite")  # fmt: skip
        assert ended.status == 0, ended.err
        said = json.loads(Path("o.json").read_text())
        assert said["mirrored"] is mirror
        (run,) = whole["runs"][name]
        assert said["metrics"]["swd"] == pytest.approx(run["figures"]["swd"])
        assert run["curve"][-1]["swd"] == run["figures"]["swd"]["mean"]


def test_figures_of_an_earlier_version_are_measured_again_against_mirrored_photographs(
    tool: Tool, faces: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("ablate", faces.path, "out", "--seeds", "0", "--kimg", "0.2", "--images", "16",
             "--points", "4", "--variant", f"turned:{TINY}",
             "--variant", f"plain:{TINY},mirror=false")  # fmt: skip
    assert tool(*words).status == 0
    before = json.loads(Path("out/table.json").read_text())
    for name in before["runs"]:
        path = Path(f"out/runs/{name}-seed0/result.json")
        old = json.loads(path.read_text())
        old["conditions"].pop("mirrored", None)
        old["figures"]["swd"] = {"16": 99.0, "mean": 99.0}
        for point in old["curve"]:
            point["swd"] = 99.0
        path.write_text(json.dumps(old))
    monkeypatch.setattr(Trainer, "round", lambda trainer: pytest.fail("trained again"))
    ended = tool(*words)
    assert ended.status == 0, ended.err
    after = json.loads(Path("out/table.json").read_text())
    assert after["runs"]["plain"][0]["figures"]["swd"]["mean"] == 99  # whose figures still hold
    (run,), (known,) = after["runs"]["turned"], before["runs"]["turned"]
    assert run["figures"] == known["figures"] and "outdated" not in run
    # Of the generators on the way nothing is left to measure.
    assert [point["swd"] for point in run["curve"]] == [None] * 3 + [known["curve"][-1]["swd"]]
    assert tool(*words).status == 0  # and now it is finished
    assert json.loads(Path("out/table.json").read_text()) == after


def test_without_swd_the_variant_stands_first_that_is_as_varied_as_the_photographs() -> None:
    def run(**figures: object) -> list[dict[str, Any]]:
        return [{"broken": None, "nimg": 1000, "figures": figures, "curve": []}]

    results = {
        "noise": run(**{"ms-ssim": 0.05}),
        "alike": run(**{"ms-ssim": 0.42}),
        "right": run(**{"ms-ssim": 0.27}),
        "patches": run(swd={"16": 40.0, "mean": 40.0}, **{"ms-ssim": 0.9}),
        "broken": [{"broken": "at once", "nimg": 0, "figures": {}, "curve": []}],
    }
    text = ablation_table.markdown(results, {"photographs": {"ms-ssim": 0.25}}, ["a fact"])
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    expected = ["patches", "right", "alike", "noise", "broken", "*photographs*"]
    assert rows[1:] == expected  # .02 from the photographs', .17 above, .2 below
    head = text.splitlines()[0]
    assert "| ms-ssim ≈ |" in head and "| swd mean ↓ |" in head
    assert "- ↓ lower is better, ≈ best as the photographs' own" in text


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--variant", "a"], 2, "either --minutes or --kimg"),
        (["--variant", "a", "--kimg", "1", "--minutes", "1"], 2, "either --minutes or --kimg"),
        (["--variant", "a:gama=1", "--kimg", "1"], 2, "no option 'gama'"),
        (["--variant", "a:seed=1", "--kimg", "1"], 2, "no option 'seed'"),
        (["--variant", "a:mirror=yes", "--kimg", "1"], 2, "true or false"),
        (["--variant", "a:fmap_max=many", "--kimg", "1"], 2, "a whole number"),
        (["--variant", "a:fmap_max", "--kimg", "1"], 2, "not one option=value"),
        (["--variant", "../a", "--kimg", "1"], 2, "name of letters"),
        (["--variant", "a", "--variant", "a:mirror=true", "--kimg", "1"], 2, "named twice"),
        (["--variant", "a:preset=best", "--kimg", "1"], 1, "a: there is no preset 'best'"),
        (["--variant", "a:objective=hinge", "--kimg", "1"], 1, "a: there is no objective"),
        (["--variant", "a:resolution=64", "--kimg", "1"], 1, "has 16 pixels, not 64"),
    ],
)
def test_misuse_is_a_sentence(
    tool: Tool, faces: Dataset, words: list[str], status: int, sentence: str
) -> None:
    ended = tool("ablate", faces.path, "out", *words)
    assert (ended.status, sentence in ended.err) == (status, True), ended.err
    assert not Path("out").exists()


def test_places_that_hold_something_else_are_left_alone(tool: Tool, faces: Dataset) -> None:
    Path("out").mkdir()
    Path("out/letter.txt").write_text("dear")
    ended = tool("ablate", faces.path, "out", "--variant", f"a:{TINY}", "--kimg", "0.1")
    assert (ended.status, "holds no ablation" in ended.err) == (1, True)
    assert names(Path("out")) == ["letter.txt"]
