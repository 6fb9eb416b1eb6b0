import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import progan
import train
from progan.checkpoint import Checkpoints
from progan.errors import ProganError
from progan.labels import labels_of_seeds
from tests.datasets.conftest import Program
from tests.progan import official_form as form
from tests.progan.making import one_thread as one_thread
from tests.tools.conftest import Tool
from tests.tools.making import names

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {"resolution": 16, "num_channels": 3, "fmap_base": 64, "fmap_max": 8}


def write(path: Path, **kwargs: Any) -> form.Variables:
    """An official file; gives the variables of its average generator."""
    found, (_, _, average) = form.triple(**(SMALL | kwargs))
    path.write_bytes(form.pickled(found))
    return average


@pytest.mark.parametrize(
    ("lod", "fused", "classes"),
    [(0.0, True, 0), (0.0, False, 3), (1.0, True, 3), (0.4, False, 0), (1.75, True, 0)],
)
def test_pictures_are_the_same_before_and_after(
    tool: Tool, tmp_path: Path, lod: float, fused: bool, classes: int
) -> None:
    average = write(tmp_path / "g.pkl", lod=lod, fused_scale=fused, label_size=classes)
    z = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    np.save(tmp_path / "z.npy", z)
    ended = tool("import-official", "g.pkl", "g.safetensors")
    assert (ended.status, ended.err) == (0, "")
    words = ["generate", "g.safetensors", "--latents", "z.npy", "--format", "npy"]
    for out in ("a.npy", "b.npy"):
        assert tool(*words[:2], out, *words[2:]).status == 0
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    one_hot = np.eye(classes)[labels_of_seeds(range(5), [1] * classes)] if classes else None
    expected = form.pictures(average, z.astype(np.float64), one_hot, resolution=16)
    made = np.load(tmp_path / "a.npy")
    size = 16 >> int(lod)
    assert made.shape == (5, 3, size, size)
    assert form.repeated(made, 16 // size) == pytest.approx(expected, abs=1e-4)
    # The same file gives the same bytes.
    assert tool("import-official", "g.pkl", "again.safetensors").status == 0
    again = (tmp_path / "again.safetensors").read_bytes()
    assert again == (tmp_path / "g.safetensors").read_bytes()


def test_what_it_says(tool: Tool, tmp_path: Path) -> None:
    write(tmp_path / "g.pkl", lod=1.25, label_size=3)
    ended = tool("import-official", "g.pkl", "g.safetensors")
    assert ended.out == (
        "Networks of 16×16 pixels, standing at 8×8, of which 75% are faded in, 3 classes: "
        "g.safetensors\n"
    )
    trained = progan.read_model(tmp_path / "g.safetensors").trained
    assert trained["official"]["file"] == "g.pkl"
    assert (trained["official"]["resolution"], trained["official"]["lod"]) == (16, 1.25)


def test_a_run_goes_on_from_the_file(
    tool: Tool, program: Program, tmp_path: Path, faces: Any
) -> None:
    average = write(tmp_path / "g.pkl", lod=0.5)
    words = ["import-official", "g.pkl", "g.safetensors", "--run", "run", "--preset", "small"]
    ended = tool(*words, "--seed", "9")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.endswith("To train on: python train.py DATASET run\n")
    assert names(tmp_path / "run") == ["checkpoints", "config.json", "generator.safetensors"]
    config = json.loads((tmp_path / "run/config.json").read_text())["config"]
    told = {name: config[name] for name in ("resolution", "fmap_base", "fmap_max", "seed")}
    assert told == {"resolution": 16, "fmap_base": 64, "fmap_max": 8, "seed": 9}
    # Preset small holds 4 pixels for 8 kimg, fades 8 in over 4 and holds it for 4, and fades 16 in
    # over 6.
    tensors, nimg = Checkpoints.read(tmp_path / "run/checkpoints/000000019000.safetensors")
    assert nimg == 19_000
    bias = average["ToRGB_lod0/bias"]
    assert np.array_equal(tensors["average.to_rgb.4.bias"].numpy(), bias)
    assert not any("adam" in name for name in tensors)
    ended = program(
        train.main, faces.path, "run", "--kimg", "19.064", "--tick-seconds", "100", "--device",
        "cpu", errors=(ProganError,),
    )  # fmt: skip
    assert ended.status == 0
    assert "Continue at 19 kimg" in ended.out and "Trained to 19.064 kimg" in ended.out
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["dataset"]["fingerprint"] == faces.fingerprint
    after = progan.read_model(tmp_path / "run")
    assert after.trained["official"] == config["official"]
    assert after.generator.level == 4
    assert after.generator.fade == pytest.approx(3064 / 6000)
    # It has learned a little: not the file's weights, and not those of a new run.
    moved = np.abs(after.generator.state_dict()["to_rgb.4.bias"].numpy() - bias).max()
    assert 0 < moved < 0.1


def test_a_run_refuses_data_that_do_not_fit(
    tool: Tool, program: Program, tmp_path: Path, faces: Any
) -> None:
    for number, (kwargs, sentence) in enumerate(
        [
            ({"num_channels": 1}, "are for 1 channels, and"),
            ({"label_size": 2}, "are for 2 classes, and"),
            ({"resolution": 32}, "are for 32 pixels, and"),
        ]
    ):
        write(tmp_path / "g.pkl", **kwargs)
        run = f"run{number}"
        assert tool("import-official", "g.pkl", f"{run}.safetensors", "--run", run).status == 0
        ended = program(train.main, faces.path, run, errors=(ProganError,))
        assert (ended.status, ended.out) == (1, "")
        assert sentence in ended.err
        assert json.loads((tmp_path / run / "config.json").read_text())["dataset"] is None


def test_refusals_leave_nothing(tool: Tool, tmp_path: Path) -> None:
    found, _ = form.triple(**SMALL)
    found[1].static_kwargs["fmap_max"] = 8.0  # the same
    found[2].static_kwargs["use_pixelnorm"] = False
    (tmp_path / "bad.pkl").write_bytes(form.pickled(found))
    other, _ = form.triple(**(SMALL | {"fmap_max": 4}))
    mixed, _ = form.triple(**SMALL)
    (tmp_path / "mixed.pkl").write_bytes(form.pickled((mixed[0], other[1], mixed[2])))
    write(tmp_path / "good.pkl")
    (tmp_path / "taken").mkdir()
    before = names(tmp_path)
    out = ["out.safetensors"]
    for words, status, sentence in (
        (["bad.pkl", *out], 1, "Gs has use_pixelnorm False, and True can be read"),
        (["none.pkl", *out], 1, "there is no file none.pkl"),
        (["mixed.pkl", *out, "--run", "run"], 1, "G has fmap_max 8 and D has 4"),
        (["good.pkl", *out, "--run", "taken"], 1, "taken exists already"),
        (["good.pkl", *out, "--run", "run", "--preset", "paper"], 1, "mbstd_group_size 4"),
        (["good.pkl", *out, "--preset", "paper"], 2, "--preset and --seed are for --run"),
        (["good.pkl", "out.onnx"], 2, "ends in .safetensors"),
        (["good.pkl", "nowhere/out.safetensors"], 1, "make it first"),
    ):
        ended = tool("import-official", *words)
        assert (ended.status, ended.out) == (status, ""), words
        assert sentence in ended.err.replace("\n", " "), words
        assert names(tmp_path) == before, words
    assert tool("import-official", "mixed.pkl", *out).status == 0  # there are pictures to be had
