"""Run directories that lie."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from progan import runs
from progan.checkpoint import Checkpoints, load, save_model
from progan.errors import ProganError
from progan.networks import Generator
from progan.training import Trainer, build
from tests.progan.making import Patterns, small_config
from tests.progan.making import one_thread as one_thread

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    trainer = Trainer(small_config(), Patterns())
    Checkpoints(tmp_path / "checkpoints").save(trainer.state(), 64)
    (tmp_path / "config.json").write_text(json.dumps({"config": trainer.config.to_json()}))
    return tmp_path


def lie(run: Path, **changes: Any) -> None:
    saved = {"config": small_config().to_json() | changes}
    (run / "config.json").write_text(json.dumps(saved))


def newest(run: Path) -> Path:
    return Checkpoints(run / "checkpoints").all()[-1]


def test_networks_of_a_run_are_those_of_its_checkpoint(run: Path) -> None:
    trainer = Trainer(small_config(), Patterns())
    average, nimg = runs.read_average(run, newest(run))
    assert (nimg, average.level, average.fade) == (64, 3, 0.25)
    for found, expected in ((average, trainer.average), (runs.read_critic(run), trainer.critic)):
        assert not any(p.requires_grad for p in found.parameters())
        wanted = dict(expected.state_dict())
        assert all(torch.equal(t, wanted[name]) for name, t in found.state_dict().items())
    assert average(torch.zeros(1, average.latent_size)).shape == (1, 3, 8, 8)


def test_settings_that_claim_giants_cost_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(*args: Any) -> Any:
        networks = build(*args)
        devices = {p.device.type for network in networks for p in network.parameters()}
        assert devices == {"meta"}
        return networks

    monkeypatch.setattr(runs, "build", without_memory)
    for changes in (
        {"fmap_base": 2**20, "fmap_max": 2**14},
        {"fmap_base": 2**40, "fmap_max": 2**40},
        {"label_size": 2**40},
        {"resolution": 1024, "fmap_base": 8192, "fmap_max": 2**13},
    ):
        lie(run, **changes)
        with pytest.raises(ProganError, match=r"does not fit|must be at most") as raised:
            runs.read_average(run, newest(run))
        with pytest.raises(ProganError):
            runs.read_critic(run)
        assert len(str(raised.value)) < 400 and "\n" not in str(raised.value)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 16
    path.write_bytes(data)


def test_a_damaged_newest_checkpoint_gives_way_and_stays_where_it_is(run: Path) -> None:
    trainer = Trainer(small_config(seed=6), Patterns())
    flip(Checkpoints(run / "checkpoints").save(trainer.state(), 96))
    before = sorted(run.rglob("*"))
    warnings: list[str] = []
    critic = runs.read_critic(run, warnings.append)
    wanted = Trainer(small_config(), Patterns()).critic.state_dict()
    assert all(torch.equal(t, wanted[name]) for name, t in critic.state_dict().items())
    assert critic.fade == 0.25  # at 64 images, not at 96
    (sentence,) = warnings
    assert "000000000096.safetensors is damaged" in sentence and "set aside" not in sentence
    assert "000000000064.safetensors takes its place" in sentence
    assert sorted(run.rglob("*")) == before
    flip(newest(run).with_name("000000000064.safetensors"))
    with pytest.raises(ProganError, match="all 2 checkpoints"):
        runs.read_critic(run)


def test_a_checkpoint_is_read_with_the_settings_that_it_was_made_with(run: Path) -> None:
    trainer = Trainer(small_config(), Patterns())
    record = {"config": trainer.config.to_json(), "dataset": None}
    Checkpoints(run / "checkpoints").save(trainer.state(), 64, record)
    lie(run, fade_kimg="0.01")
    assert runs.read_average(run, newest(run))[0].fade == 0.25
    (run / "config.json").unlink()
    assert runs.read_critic(run).fade == 0.25
    assert runs.read_config(run) == trainer.config


def test_weights_of_another_kind_do_not_fit(run: Path) -> None:
    tensors, nimg = Checkpoints.read(newest(run))
    tensors["average.to_rgb.2.bias"] = tensors["average.to_rgb.2.bias"].to(torch.int32)
    Checkpoints(run / "checkpoints").save(tensors, nimg)
    with pytest.raises(ProganError, match="does not fit"):
        runs.read_average(run, newest(run))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "5", "{}", "\xff", '{"config": 5}', '{"a":' * 9999]
)
def test_settings_that_are_none_are_a_sentence(run: Path, text: str) -> None:
    (run / "config.json").write_bytes(text.encode("latin1"))
    with pytest.raises(ProganError, match="is damaged"):
        runs.read_config(run)
    assert runs.imported_from(run) is None
    assert runs.read_rollbacks(run) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": "a" * 5000}, {"minibatch": "9" * 5000}, {"kimg": "a" * 5000},
        {"a" * 5000: 1}, {"seed": [1] * 5000}, {"preset": "a" * 501},
    ],
)  # fmt: skip
def test_a_sentence_does_not_repeat_what_a_stranger_wrote_at_length(
    run: Path, changes: dict[str, Any]
) -> None:
    lie(run, **changes)
    with pytest.raises(ProganError) as raised:
        runs.read_config(run)
    assert len(str(raised.value)) < 200


def test_nor_does_that_of_a_model_file(tmp_path: Path) -> None:
    generator = Generator(resolution=8, fmap_base=16, fmap_max=4)
    path = tmp_path / "x.safetensors"
    save_model(path, generator)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = next(name for name in header if name != "__metadata__")
    for lie in (header | {name: "a" * 5000}, header | {name: header[name] | {"dtype": "a" * 5000}}):
        text = json.dumps(lie).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
        with pytest.raises(ProganError, match="is damaged") as raised:
            load(path)
        assert len(str(raised.value)) < 600


@pytest.mark.parametrize("rollbacks", [5, [5], {"nimg": 1}, None, ["x", {"nimg": 3}]])
def test_a_history_of_rollbacks_that_is_none_is_left_out(run: Path, rollbacks: object) -> None:
    saved = {"config": small_config().to_json(), "rollbacks": rollbacks}
    (run / "config.json").write_text(json.dumps(saved))
    assert all(isinstance(each, dict) for each in runs.read_rollbacks(run))
