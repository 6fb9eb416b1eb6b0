import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.errors import DatasetError
from datasets.pyramid import Dataset
from progan.checkpoint import load, read_model, save_model
from progan.latents import latents_of_seeds
from progan.networks import Generator
from tests.progan.making import one_thread as one_thread
from tests.tools.conftest import Tool
from tests.tools.making import names, small_generator, write_model
from tools import exporting

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[2]
WITH_LIBRARY = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
CONFIG = {"preset": "small", "seed": 7, "minibatch": "8", "fade_kimg": "4", "drift_weight": 0.001,
          "penalty_interval": 4}  # fmt: skip
TRAINED = {
    "config": CONFIG,
    "nimg": 60_000,
    "dataset": {"name": "faces|x", "fingerprint": "f" * 64, "images": 830, "resolution": 16,
                "framing": {"crop": "top", "upscale": False}},
    "versions": {"torch": "2.13.0"},
}  # fmt: skip


@pytest.fixture
def mid_fade(tmp_path: Path) -> Generator:
    """A model with classes, in the middle of a fade, and with levels that it has not reached."""
    generator = small_generator(resolution=32, classes=3).stand(4, 0.4)
    save_model(tmp_path / "m.safetensors", generator, classes=("a", "b|c", "d"), trained=TRAINED)
    return generator


def run_onnx(path: Path, given: Mapping[str, np.ndarray]) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (images,) = session.run(["images"], dict(given))
    return np.asarray(images)


def test_onnx_gives_the_generators_images(tool: Tool, tmp_path: Path, mid_fade: Generator) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    ended = tool("export", "m.safetensors", "m.onnx", "--licence", "CC0")
    assert ended.status == 0 and ended.out.startswith("m.onnx and m.onnx.md: images differ by ")
    assert names(tmp_path) == ["m.onnx", "m.onnx.md", "m.safetensors"]
    for count in (1, 3, 8):
        z = np.random.default_rng(count).normal(0, 2, (count, 8)).astype(np.float32)
        labels = np.arange(count) % 3
        with torch.no_grad():
            wanted = mid_fade(torch.from_numpy(z), torch.from_numpy(labels)).numpy()
        found = run_onnx(tmp_path / "m.onnx", {"latents": z, "labels": labels})
        assert found.shape == (count, 3, 16, 16)
        assert found == pytest.approx(wanted, abs=1e-4)
    graph = onnx.load(tmp_path / "m.onnx")
    assert [each.name for each in graph.graph.input] == ["latents", "labels"]
    told = {each.key: each.value for each in graph.metadata_props}
    assert told["classes"] == '["a", "b|c", "d"]' and told["licence"] == "CC0"
    # A file is tried by any name that it can have.
    latin = tmp_path / os.fsdecode(b"\xfc.onnx")
    if sys.platform == "linux":
        shutil.copy(tmp_path / "m.onnx", latin)
        runtime = pytest.importorskip("onnxruntime")
        assert exporting._difference(mid_fade, latin, runtime) < 1e-4
    # Neither names of this machine nor of its program's files.
    data = (tmp_path / "m.onnx").read_bytes()
    assert str(Path(exporting.__file__).parent.parent).encode() not in data
    assert b".py" not in data
    # Unscaled weights, and those of levels that take no part, are not in it.
    weights = sum(each.numel() for each in load(tmp_path / "m.safetensors").parameters())
    assert len(data) < 4 * 2 * weights + 20_000


def test_pt2_gives_the_generators_images(tool: Tool, tmp_path: Path) -> None:
    generator = write_model(tmp_path / "m.safetensors", channels=1)
    assert tool("export", "m.safetensors", "m.pt2").status == 0
    # The card's own lines, run by another program, which knows nothing of this one.
    z = latents_of_seeds(range(3), 8)
    np.save(tmp_path / "z.npy", z)
    card = (tmp_path / "m.pt2.md").read_text()
    code = card.split("```python\n")[1].split("```")[0] + (
        "import sys\n"
        "np.save('out.npy', generator(torch.from_numpy(np.load('z.npy'))).detach().numpy())\n"
        "assert 'progan' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    with torch.no_grad():
        wanted = generator(torch.from_numpy(z)).numpy()
    assert np.load(tmp_path / "out.npy") == pytest.approx(wanted, abs=1e-5)
    with Image.open(tmp_path / "four.png") as picture:
        assert picture.size == (64, 16)
    assert (
        str(Path(exporting.__file__).parent.parent).encode()
        not in (tmp_path / "m.pt2").read_bytes()
    )


def test_a_model_file_to_hand_on_has_half_the_size_and_the_same_pictures(
    tool: Tool, tmp_path: Path, mid_fade: Generator
) -> None:
    ended = tool("export", "m.safetensors", "small.safetensors", "--licence", "CC0")
    assert ended.status == 0, ended.err
    small = read_model(tmp_path / "small.safetensors")
    assert small.classes == ("a", "b|c", "d") and small.trained["nimg"] == 60_000
    assert (small.generator.level, small.generator.fade) == (4, 0.4)
    weights, numbers = small.generator.state_dict(), mid_fade.state_dict()
    for name, tensor in weights.items():
        assert torch.equal(tensor, numbers[name].half().float())
    files = [(tmp_path / name).stat().st_size for name in ("small.safetensors", "m.safetensors")]
    of_weights = sum(tensor.numel() for tensor in weights.values())
    assert files[1] - files[0] == pytest.approx(2 * of_weights, abs=200)
    card = (tmp_path / "small.safetensors.md").read_text("utf-8")
    assert "CC0" in card
    program = card.split("```python\n")[1].split("```")[0]
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, env=WITH_LIBRARY)
    with Image.open(tmp_path / "four.png") as four:
        assert four.size == (64, 16)


def test_a_model_file_whose_pictures_would_differ_does_not_land(tool: Tool, tmp_path: Path) -> None:
    generator = write_model(tmp_path / "m.safetensors")
    for parameter in generator.parameters():
        parameter.mul_(1e6)  # more than a number of 16 bits can be
    save_model(tmp_path / "m.safetensors", generator)
    ended = tool("export", "m.safetensors", "small.safetensors")
    assert ended.status == 1 and "16 bits" in ended.err
    assert names(tmp_path) == ["m.safetensors"]


def test_a_file_that_draws_other_images_does_not_land(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "m.safetensors")
    other = small_generator(seed=1)
    traced = exporting._traced
    monkeypatch.setattr(exporting, "_traced", lambda generator: traced(other))
    ended = tool("export", "m.safetensors", "m.pt2")
    assert ended.status == 1 and "was not written: its images would differ" in ended.err
    assert names(tmp_path) == ["m.safetensors"]


def test_weights_that_lost_half_of_their_digits_do_not_land(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = write_model(tmp_path / "m.safetensors")
    rounded = copy.deepcopy(generator)
    for parameter in rounded.parameters():
        parameter.copy_(parameter.half().float())
    traced = exporting._traced
    monkeypatch.setattr(exporting, "_traced", lambda generator: traced(rounded))
    ended = tool("export", "m.safetensors", "m.pt2")
    assert ended.status == 1
    assert names(tmp_path) == ["m.safetensors"]
    # Pictures that no eye would tell apart, and yet not the generator's.
    points = torch.from_numpy(latents_of_seeds(range(5), 8)).double()
    with torch.no_grad():
        wanted, made = generator.double()(points), rounded.double()(points)
    apart = float((made - wanted).abs().max() / wanted.abs().max())
    assert 2e-4 < apart < 5e-3
    told = re.search(r"would differ from the generator's by (\S+) of their largest", ended.err)
    assert told is not None and float(told[1]) == pytest.approx(apart, rel=0.5)


def test_a_missing_package_is_named(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "m.safetensors")
    # What Python finds here stands for a package that is not installed.
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    ended = tool("export", "m.safetensors", "m.onnx")
    assert (ended.status, names(tmp_path)) == (1, ["m.safetensors"])
    assert ended.err == (
        "Error: export to ONNX needs the package onnxscript; install what it takes with: pip "
        "install onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.31.1\n"
    )


def test_the_pins_are_those_of_the_requirements() -> None:
    lines = (Path(exporting.__file__).parents[1] / "requirements-extras.txt").read_text().split()
    assert {f"{name}=={version}" for name, version in exporting._PACKAGES.items()} <= set(lines)


# ---- the card ----


def card(tmp_path: Path, **sources: Any) -> str:
    from tools import model_card

    model = read_model(tmp_path / "m.safetensors")
    return model_card.card(model, tmp_path / "m.onnx", model_card.Sources(**sources))


def test_the_card_says_what_is_known(tmp_path: Path, mid_fade: Generator) -> None:
    said = card(tmp_path)
    for line in (
        "| dataset | faces\\|x |",
        f"| fingerprint | {'f' * 64} |",
        "| training images | 830 |",
        "| framing | crop: top, upscale: False |",
        "| preset | small |",
        "| images shown (thousands) | 60 |",
        "| seed | 7 |",
        "| settings | fade_kimg 4, minibatch 8, penalty_interval 4 |",
        "| versions | torch 2.13.0 |",
        "| classes | 3: 0 a, 1 b\\|c, 2 d |",
        "| newest level | faded in by 40% |",
    ):
        assert line in said.splitlines(), line
    assert said.count("not stated") == 3  # figures, copies, licence
    assert "## Licence\n\nnot stated\n" in said


def test_the_card_of_a_file_that_says_nothing(tmp_path: Path) -> None:
    write_model(tmp_path / "m.safetensors")
    rows = [line for line in card(tmp_path).splitlines() if line.endswith("| not stated |")]
    assert len(rows) == 10


def test_an_older_models_dataset_is_looked_up(tmp_path: Path, faces: Dataset) -> None:
    config = {"config": {}, "dataset": {"path": str(faces.path)}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for fingerprint, known in ((faces.fingerprint, True), ("0" * 64, False)):
        trained = {"dataset": {"fingerprint": fingerprint, "images": 32}}
        save_model(tmp_path / "m.safetensors", small_generator(), trained=trained)
        said = card(tmp_path, run=tmp_path)
        assert (f"| dataset | {faces.path.name} |" in said) == known
        assert ("crop: centre" in said) == known


def test_the_card_of_a_model_that_was_imported(tmp_path: Path) -> None:
    official = {"file": "g.pkl", "sha256": "0" * 64, "lod": 0.5, "resolution": 16}
    trained = TRAINED | {"official": official}
    save_model(tmp_path / "m.safetensors", small_generator(), trained=trained)
    said = card(tmp_path)
    assert "g.pkl" in said and "how these were trained is not stated" in said
    assert "| 60, counted from where growth would have brought the networks it began with |" in said


def test_figures_of_files(tmp_path: Path, mid_fade: Generator) -> None:
    report = {
        "metrics": {"swd": {"16": 12.5, "mean": 13.25}},
        "uncertainties": {"swd": {"16": 0.5}},
        "images": 1000, "resolution": 16,
        "detector": {"name": "critic:/home/anna/run", "sha256": "0"},
        "reals": {"name": "/home/anna/faces", "kind": "dataset", "fingerprint": "f" * 64},
        "fakes": {"name": "run", "kind": "model", "nimg": 60_000},
    }  # fmt: skip
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(report))
    said = card(tmp_path, metrics=path)
    assert "| swd 16 | 12.5 | 0.5 |" in said and "| swd mean | 13.25 | – |" in said
    assert "1,000 images of each side" in said and "Against faces (dataset" in said
    assert "detector critic:run:" in said and "anna" not in said
    assert "the real ones as they are, " in said
    path.write_text(json.dumps(report | {"mirrored": True}))
    assert "the real ones half mirrored at random, " in card(tmp_path, metrics=path)
    path.write_text(json.dumps({"history": [report | {"kimg": 30.0}, report | {"kimg": 60.0}]}))
    assert "| swd mean | 13.25 | – |" in card(tmp_path, metrics=path)
    summary = {"sentence": "Of 9 images, 0 are copies.", "doubts": ["Few photographs."]}
    (tmp_path / "report.json").write_text(json.dumps({"summary": summary, "model": TRAINED}))
    said = card(tmp_path, memorization=tmp_path)
    assert "Of 9 images, 0 are copies.\n\nTo keep in mind: Few photographs." in said


def test_figures_of_the_runs_own_log(tmp_path: Path, mid_fade: Generator) -> None:
    lines = [
        {"nimg": 30_000, "metrics/swd/train/mean": 20.0},
        {"nimg": 60_000, "metrics/swd/train/mean": 15.0},
        {"nimg": 50_000, "memorization/flagged_share": 0.01, "memorization/expected_share": 0.02},
        {"nimg": 60_000, "loss/critic": 1.0},
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"nimg": 7, "metrics/'
    (tmp_path / "log.jsonl").write_text(text)
    said = card(tmp_path, run=tmp_path)
    assert "While it was trained, at its end:" in said and "| swd/train/mean | 15 |" in said
    assert "Measured against photographs as they are." in said
    lines[1]["mirrored"] = True
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    said = card(tmp_path, run=tmp_path)
    assert "Measured against photographs half mirrored at random." in said
    assert "| mirrored |" not in said
    assert "after 50.0 thousand images (not the exported state): 1.0% of its images" in said


def test_numbers_of_images_that_no_run_can_show_are_not_told(tmp_path: Path) -> None:
    huge = 10**400
    earlier = [{"name": "other", "fingerprint": "e" * 64, "until_nimg": huge}]
    trained = TRAINED | {"nimg": huge, "earlier_datasets": earlier}
    save_model(tmp_path / "m.safetensors", small_generator(), trained=trained)
    lines = [{"nimg": nimg, "metrics/swd/train": nimg / 2000} for nimg in (50_000, 30_000)]
    lines += [{"nimg": nimg, "metrics/swd/train": 99.0} for nimg in (huge, -huge, True)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    said = card(tmp_path, run=tmp_path)
    assert "after 30.0 thousand images" in said and "| swd/train | 15 |" in said
    assert "| images shown (thousands) | not stated |" in said
    assert "| until not stated thousand images | other, fingerprint eee" in said
    (tmp_path / "f.json").write_text(json.dumps({"history": [{"kimg": 60.0}]}))
    with pytest.raises(DatasetError, match="no figures of this model's checkpoint"):
        card(tmp_path, metrics=tmp_path / "f.json")


def test_figures_of_another_model_are_refused(
    tool: Tool, tmp_path: Path, mid_fade: Generator
) -> None:
    def refused(option: str, content: object, sentence: str) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "f.json").write_text(text)
        ended = tool("export", "m.safetensors", "m.pt2", option, "f.json")
        assert (ended.status, ended.out) == (1, "") and sentence in ended.err
        assert names(tmp_path) == ["f.json", "m.safetensors"]

    fakes = {"kind": "model", "nimg": 59_000}
    refused("--metrics", {"metrics": {}, "fakes": fakes}, "measured a model after 59000 images")
    refused("--metrics", {"metrics": {}, "fakes": {"kind": "files"}}, "has no figures of a model")
    refused("--metrics", {"history": []}, "has no figures of this model's checkpoint")
    refused("--metrics", "[" * 100_000, "is damaged, or not made by python -m tools metrics")
    report = {"summary": {"sentence": "None."}, "model": TRAINED | {"nimg": 1}}
    refused("--memorization", report, "examined another model")
    refused("--memorization", {}, "is no memorization report")


def test_names_and_places(tool: Tool, tmp_path: Path) -> None:
    write_model(tmp_path / "m.safetensors")
    ended = tool("export", "m.safetensors", "m.pt")
    assert ended.status == 2 and "must end in .onnx, .pt2 or .safetensors" in ended.err
    (tmp_path / "m.pt2.md").write_text("mine")
    ended = tool("export", "m.safetensors", "m.pt2")
    assert ended.status == 1 and "m.pt2.md exists already" in ended.err
    assert (tmp_path / "m.pt2.md").read_text() == "mine"
    assert names(tmp_path) == ["m.pt2.md", "m.safetensors"]


def test_files_side_by_side_have_a_card_each(tool: Tool, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    write_model(tmp_path / "m.safetensors")
    for name in ("m.pt2", "m.onnx"):
        ended = tool("export", "m.safetensors", name)
        assert ended.status == 0, ended.err
        assert ended.out.startswith(f"{name} and {name}.md: ")
        assert f"in the file `{name}`" in (tmp_path / f"{name}.md").read_text()
    # Whoever gets a file of torch.export is told that it is a program.
    assert "use one only from whom you trust" in (tmp_path / "m.pt2.md").read_text()
    assert "trust" not in (tmp_path / "m.onnx.md").read_text()
