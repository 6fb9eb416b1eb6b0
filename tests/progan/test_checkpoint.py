"""Model files and checkpoints: what comes back, and what strangers' files can do (nothing)."""

import hashlib
import json
import os
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import progan
from progan.checkpoint import (
    Checkpoints,
    clear_parts,
    load,
    read_model,
    save_model,
    write_atomically,
)
from progan.errors import DamagedFile, ProganError
from progan.networks import Generator


def small_generator(**changes: Any) -> Generator:
    torch.manual_seed(8)
    return Generator(**({"resolution": 16, "fmap_base": 32, "fmap_max": 4} | changes))


def metadata_of(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    found: dict[str, Any] = json.loads(header["__metadata__"]["progan"])
    return found


def rewritten(path: Path, tensors: dict[str, torch.Tensor], **changes: Any) -> Path:
    """A model file like `path`, with other tensors and something changed in its metadata."""
    target = path.with_name("changed.safetensors")
    write_atomically(target, tensors, metadata_of(path) | changes)
    return target


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, small_generator(), trained={"nimg": 5})
    return path


@pytest.mark.parametrize(("level", "fade"), [(2, 1.0), (3, 0.4), (4, 1.0), (4, 0.0)])
def test_a_model_file_gives_the_same_images_again(tmp_path: Path, level: int, fade: float) -> None:
    generator = small_generator(label_size=2, num_channels=1, latent_size=7).stand(level, fade)
    path = tmp_path / "model.safetensors"
    save_model(path, generator, classes=("cat", "dog"), trained={"nimg": 3})
    found = read_model(path)
    latents, labels = torch.randn(3, 7), torch.tensor([0, 1, 1])
    assert (found.generator.level, found.generator.fade) == (level, fade)
    assert torch.equal(found.generator(latents, labels), generator(latents, labels))
    assert found.classes == ("cat", "dog")
    # Nobody has counted them: each is as frequent as the other.
    assert found.class_counts == (1, 1)
    assert found.trained == {"nimg": 3}
    assert not found.generator.training
    assert not any(p.requires_grad for p in found.generator.parameters())


def test_levels_that_were_not_reached_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, small_generator().stand(3))
    assert read_model(path).generator.resolution == 8


def test_the_same_generator_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    save_model(one, small_generator())
    save_model(other, small_generator())
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_model_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    save_model(tmp_path / "model.safetensors", small_generator())
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_run_directory_means_its_newest_average(tmp_path: Path) -> None:
    save_model(tmp_path / "generator.safetensors", small_generator())
    assert progan.load(tmp_path).resolution == 16


def test_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ProganError, match="there is no model file"):
        load(tmp_path / "none.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProganError, match="not a run directory"):
        load(tmp_path / "empty")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_with_a_sentence(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "model.safetensors"
    save_model(path, small_generator())
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        changed = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        changed = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    path.write_bytes(changed)
    if changed == whole:
        load(path)
        return
    with pytest.raises(ProganError, match=re.escape(str(path))):
        load(path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    for name, write in (
        ("a.safetensors", lambda path: path.write_bytes(pickle.dumps(Bomb()))),
        ("b.pt", lambda path: torch.save(Bomb(), path)),
    ):
        path = tmp_path / name
        write(path)
        with pytest.raises(ProganError, match="damaged or not a safetensors file"):
            load(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "architecture",
    [
        {"resolution": 2**40},
        {"fmap_base": 2**62, "fmap_max": 2**62},
        {"latent_size": 10**12},
        {"label_size": 10**15},
        {"resolution": "16"},
        {"resolution": 16.0},
        {"stranger": 1},
    ],
)
def test_claims_that_the_tensors_do_not_bear_out_are_refused(
    model: Path, architecture: dict[str, Any]
) -> None:
    tensors = dict(load(model).state_dict())
    claimed = metadata_of(model)["architecture"] | architecture
    with pytest.raises(ProganError, match="not a usable model file"):
        load(rewritten(model, tensors, architecture=claimed))


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": None},
        {"architecture": []},
        {"level": 9},
        {"level": "4"},
        {"fade": 1.5},
        {"fade": None},
        {"classes": ["one"]},
        {"class_counts": [3]},
        {"classes": 3},
        {"trained": 3},
    ],
)
def test_other_wrong_metadata_is_refused(model: Path, changes: dict[str, Any]) -> None:
    tensors = dict(load(model).state_dict())
    with pytest.raises(ProganError, match="not a usable model file"):
        load(rewritten(model, tensors, **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"kind": "checkpoint"}, "not a model file"), ({"format_version": 3}, "format version 3")],
)
def test_other_kinds_and_versions_are_refused(
    model: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ProganError, match=words):
        load(rewritten(model, dict(load(model).state_dict()), **changes))


def test_wrong_tensors_are_refused(model: Path) -> None:
    tensors = dict(load(model).state_dict())
    name = "to_rgb.4.weight"
    for changed in (
        {n: t for n, t in tensors.items() if n != name},
        tensors | {"more": torch.zeros(1)},
        tensors | {name: tensors[name][:1]},
        tensors | {name: tensors[name].to(torch.int32)},
    ):
        with pytest.raises(ProganError, match="not a usable model file"):
            load(rewritten(model, changed))


def test_a_strangers_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(ProganError, match="not a model file"):
        load(path)


def test_checkpoints_come_back_and_old_ones_go(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert checkpoints.newest() is None
    for nimg in (16, 9_000, 1_000_000_000, 32):
        checkpoints.save({"x": torch.full((3,), float(nimg))}, nimg)
    names = [path.name for path in checkpoints.all()]
    assert names == ["000000009000.safetensors", "001000000000.safetensors"]
    newest = checkpoints.newest()
    assert newest is not None
    assert newest[1] == 1_000_000_000
    assert newest[0]["x"].tolist() == [1e9] * 3


def test_milestones_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2, milestone_kimg=1)
    for nimg in range(400, 5000, 400):
        checkpoints.save({"x": torch.zeros(1)}, nimg)
    kept = [int(path.stem) for path in checkpoints.all()]
    assert kept == [400, 1200, 2000, 3200, 4000, 4400, 4800]
    assert Checkpoints.read(checkpoints.all()[1])[1] == 1200


def test_what_killed_processes_left_is_cleared_away(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save({"x": torch.zeros(1)}, 16)
    (tmp_path / ".000000000032.safetensors.77.part").write_bytes(b"half")
    (tmp_path / ".tmpA1b2C3").write_bytes(b"half")
    (tmp_path / ".tmpfolder").mkdir()
    clear_parts(tmp_path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / ".tmpfolder", path]


def test_the_library_of_the_format_reads_the_same_numbers(tmp_path: Path) -> None:
    torch.manual_seed(3)
    tensors = {
        "a": torch.randn(3, 5),
        "turned": torch.randn(4, 6).t(),
        "number": torch.tensor(7.0),
        "none": torch.zeros(0, 3),
        "b": torch.tensor([True, False, True]),
        **{
            kind: torch.arange(5).to(getattr(torch, kind))
            for kind in [
                "float64",
                "float16",
                "bfloat16",
                "int64",
                "int32",
                "int16",
                "int8",
                "uint8",
            ]
        },
    }
    path = tmp_path / "file.safetensors"
    write_atomically(path, tensors, {"kind": 'a "quoted" ü', "checksum": "of the caller"})
    found = load_file(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert metadata_of(path)["kind"] == 'a "quoted" ü'


def test_the_checksum_is_what_the_documentation_says(tmp_path: Path) -> None:
    whole = Checkpoints(tmp_path).save({"x": torch.arange(9.0)}, 16)
    claimed = metadata_of(whole)["checksum"]
    blank = whole.read_bytes().replace(claimed.encode(), b"0" * 64)
    assert hashlib.sha256(blank).hexdigest() == claimed


def test_every_flipped_bit_is_found_header_and_checksum_included(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save({"x": torch.zeros(4), "y": torch.ones(2)}, 16)
    whole = path.read_bytes()
    # One in five for the sake of time: all bits of a byte have their turn in neighbouring bytes.
    for bit in range(0, 8 * len(whole), 5):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(DamagedFile):
            Checkpoints.read(path)
    path.write_bytes(whole)
    assert Checkpoints.read(path)[1] == 16


def test_files_of_the_first_version_have_no_checksum_and_are_read(tmp_path: Path) -> None:
    path = tmp_path / "000000000016.safetensors"
    metadata = {"kind": "checkpoint", "format_version": 1, "nimg": 16}
    save_file({"x": torch.ones(2)}, path, {"progan": json.dumps(metadata)})
    tensors, nimg = Checkpoints.read(path)
    assert (tensors["x"].tolist(), nimg) == ([1, 1], 16)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 16
    path.write_bytes(data)


def test_the_newest_sound_checkpoint_is_taken_and_damaged_ones_are_set_aside(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path)
    paths = [checkpoints.save({"x": torch.full((9,), float(n))}, n) for n in (16, 32, 48)]
    cut(paths[1])
    flip(paths[2])
    # Who only reads leaves everything as it is.
    assert checkpoints.newest() is not None
    assert checkpoints.all() == paths
    warnings: list[str] = []
    newest = checkpoints.newest(warnings.append)
    assert newest is not None
    assert (newest[1], newest[0]["x"].tolist()) == (16, [16.0] * 9)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "000000000016.safetensors",
        "000000000032.safetensors.damaged",
        "000000000048.safetensors.damaged",
    ]
    assert "000000000048.safetensors is damaged" in warnings[0]
    assert "its checksum is not that of its content" in warnings[0]
    assert "000000000032.safetensors is damaged" in warnings[1]
    assert all("000000000016.safetensors takes its place" in warning for warning in warnings)
    # The place may be damaged again, and the first one stays too.
    cut(checkpoints.save({"x": torch.zeros(1)}, 48))
    checkpoints.newest(warnings.append)
    assert (tmp_path / "000000000048.safetensors.damaged-2").exists()


def test_where_all_checkpoints_are_damaged_they_stay_and_a_sentence_says_so(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path)
    cut(checkpoints.save({"x": torch.zeros(100)}, 16))
    with pytest.raises(ProganError, match=r"000000000016\.safetensors is damaged.*no other"):
        checkpoints.newest(print)
    flip(checkpoints.save({"x": torch.zeros(100)}, 32))
    with pytest.raises(ProganError, match=r"all 2 checkpoints .*of the newest: .*32\.safetensors"):
        checkpoints.newest(print)
    assert len(checkpoints.all()) == 2


def test_what_a_later_version_wrote_is_not_called_damaged(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"x": torch.zeros(1)}, 16)
    later = {"kind": "checkpoint", "format_version": 3, "nimg": 32}
    write_atomically(tmp_path / "000000000032.safetensors", {"x": torch.zeros(1)}, later)
    with pytest.raises(ProganError, match="format version 3"):
        checkpoints.newest(print)
    assert len(checkpoints.all()) == 2


def test_a_failed_write_leaves_the_older_file(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, small_generator())
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*/model\.safetensors"):
        save_model(path, small_generator(latent_size=2))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
