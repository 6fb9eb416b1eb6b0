"""Presets against the published table, and impossible settings."""

import json
from typing import Any

import pytest
import torch

from progan.config import PRESETS, Config, preset
from progan.errors import ProganError

RESOLUTIONS = [4, 8, 16, 32, 64, 128, 256, 512, 1024]

# The paper's and the release's settings, written out resolution by resolution.
PUBLISHED: dict[tuple[str, int], tuple[list[int], list[float]]] = {
    ("paper", 1): ([16] * 6 + [14, 6, 3], [0.001] * 9),
    ("v2", 1): ([128, 128, 128, 64, 32, 16, 8, 4, 4], [0.001] * 8 + [0.0015]),
    ("v2", 2): ([256, 256, 128, 64, 32, 16, 8, 8, 8], [0.001] * 7 + [0.0015, 0.002]),
    ("v2", 4): ([512, 256, 128, 64, 32, 16, 16, 16, 16], [0.001] * 6 + [0.0015, 0.002, 0.003]),
    ("v2", 8): (
        [512, 256, 128, 64, 32, 32, 32, 32, 32],
        [0.001] * 5 + [0.0015, 0.002, 0.003, 0.003],
    ),
}


@pytest.mark.parametrize(("name", "processes"), list(PUBLISHED))
def test_presets_have_the_published_minibatches_and_learning_rates(
    name: str, processes: int
) -> None:
    minibatches, learning_rates = PUBLISHED[name, processes]
    course = preset(name, processes).schedule
    levels = range(2, 11)
    assert [int(course.minibatch[level]) for level in levels] == minibatches
    assert [course.learning_rate[level] for level in levels] == pytest.approx(learning_rates)


def test_presets_have_the_published_lengths_and_group_sizes() -> None:
    paper, v2 = preset("paper"), preset("v2")
    assert (paper.nimg, v2.nimg) == (19_000_000, 12_000_000)
    assert {paper.schedule.fade_kimg[level] for level in range(3, 11)} == {800}
    assert {v2.schedule.hold_kimg[level] for level in range(2, 11)} == {600}
    assert (paper.mbstd_group_size, v2.mbstd_group_size) == (16, 4)
    for config in (paper, v2):
        assert (config.fmap_base, config.fmap_max, config.latent_size) == (8192, 512, None)
        assert (config.adam_beta2, config.adam_epsilon) == (0.99, 1e-8)
        assert (config.average_decay, config.minibatch_repeats) == (0.999, 4)
        assert (config.penalty_weight, config.drift_weight) == (10, 0.001)


# All that the narrow presets set, written out; what stands in neither table is the release's.
NARROW: dict[str, dict[str, Any]] = {
    "small": {
        "fmap_base": 512,
        "fmap_max": 64,
        "kimg": 60.0,
        "fade_kimg": "8,8:4,16:6",
        "hold_kimg": "5,4:8,8:4,16:4",
        "minibatch": "8",
        "learning_rate": "0.002",
        "average_decay": 0.998,
        "penalty_full_size": False,
    },
    "modern": {
        "fmap_base": 512,
        "fmap_max": 64,
        "kimg": 120.0,
        "fade_kimg": "3,8:1,16:2",
        "hold_kimg": "5,4:1,8:1,16:2",
        "minibatch": "8",
        "learning_rate": "0.004",
        "average_halflife_kimg": 5.0,
        "penalty_interval": 4,
        "penalty_curvature": False,
        "share_fakes": True,
        "penalty_full_size": False,
    },
}
RELEASE: dict[str, Any] = {
    "resolution": 1024,
    "num_channels": 3,
    "label_size": 0,
    "fmap_base": 8192,
    "fmap_max": 512,
    "latent_size": None,
    "fused_scale": True,
    "pool_first": False,
    "mbstd_group_size": 4,
    "minibatch_repeats": 4,
    "critic_rate": 1.0,
    "adam_beta1": 0.0,
    "adam_beta2": 0.99,
    "adam_epsilon": 1e-8,
    "average_decay": 0.999,
    "average_halflife_kimg": 0.0,
    "average_rampup": 0.05,
    "objective": "wasserstein",
    "gamma": "0.0032,4:0.0002,8:0.0008,32:0.0128,64:0.0512,128:0.2048,256:0.8192,"
    "512:3.2768,1024:13.1072",
    "penalty_weight": 10.0,
    "penalty_target": 1.0,
    "penalty_full_size": True,
    "penalty_interval": 1,
    "penalty_curvature": True,
    "share_fakes": False,
    "drift_weight": 0.001,
    "label_weight": 1.0,
    "share_labels": True,
    "augment": "",
    "augment_probability": 1.0,
    "augment_target": 0.0,
    "augment_kimg": 500.0,
    "mirror": True,
    "precision": "float32",
    "seed": 0,
}


@pytest.mark.parametrize("name", list(NARROW))
def test_the_narrow_presets_set_what_is_written_here(name: str) -> None:
    assert preset(name).to_json() == RELEASE | NARROW[name] | {"preset": name}


@pytest.mark.parametrize("name", ["paper", "v2"])
def test_all_else_of_the_published_presets_is_the_releases(name: str) -> None:
    found = preset(name).to_json()
    by_table = {"preset", "kimg", "fade_kimg", "hold_kimg", "minibatch", "learning_rate"}
    if name == "paper":
        by_table.add("mbstd_group_size")
    assert {n: v for n, v in found.items() if n not in by_table} == {
        n: v for n, v in RELEASE.items() if n not in by_table
    }


def test_a_run_keeps_what_was_done_before_there_was_a_setting() -> None:
    written = preset("paper", resolution=64).to_json()
    for name in ("pool_first", "penalty_full_size", "share_labels"):
        del written[name]
    old = Config.from_json(written)
    assert (old.pool_first, old.penalty_full_size, old.share_labels) == (True, False, False)
    assert Config.from_json(old.to_json()) == old
    assert preset("paper", resolution=64).to_json() == old.to_json() | {
        "pool_first": False,
        "penalty_full_size": True,
        "share_labels": True,
    }


def test_v2_is_refused_for_other_numbers_of_processes() -> None:
    with pytest.raises(ProganError, match="1, 2, 4 or 8 processes, not 3"):
        preset("v2", 3)


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(ProganError, match="paper, v2, small, modern"):
        preset("v3")


def test_modern_is_the_small_network_on_a_shorter_course() -> None:
    small, modern = preset("small", resolution=32), preset("modern", resolution=32)
    for name in ("fmap_base", "fmap_max", "minibatch", "objective", "resolution"):
        assert getattr(modern, name) == getattr(small, name)
    starts = [
        next(p.start for p in config.schedule.phases() if p.level == 5)
        for config in (small, modern)
    ]
    assert starts == [26_000, 7_000]


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_configuration_survives_json(name: str) -> None:
    config = preset(name, seed=7, latent_size=100, resolution=64)
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_whole_numbers_for_fractions_are_as_good() -> None:
    written = preset("small", resolution=16).to_json() | {"adam_beta1": 0, "kimg": 1}
    config = Config.from_json(json.loads(json.dumps(written)))
    assert (type(config.adam_beta1), type(config.kimg)) == (float, float)
    torch.optim.Adam([torch.zeros(1)], betas=(config.adam_beta1, config.adam_beta2))


@pytest.mark.parametrize("name", ["seed", "penalty_weight"])
def test_truth_is_no_number(name: str) -> None:
    for value in (True, False):
        with pytest.raises(ProganError, match=f"{name} has an unusable value: {value}"):
            Config.from_json(preset("small").to_json() | {name: value})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"minibatch": "0"}, "minibatch"),
        ({"minibatch": "16,32:2.5"}, "whole"),
        ({"minibatch": "6"}, "mbstd_group_size 4"),
        ({"learning_rate": "-1"}, "learning_rate"),
        ({"learning_rate": "nan"}, "learning_rate"),
        ({"fade_kimg": "-1"}, "fade_kimg"),
        ({"kimg": 0.0}, "kimg"),
        ({"kimg": float("nan")}, "kimg"),
        ({"kimg": 0.0009}, "kimg must be at least 0.001, which is one image"),
        ({"adam_beta2": 1.0}, "adam_beta2"),
        ({"average_decay": -0.1}, "average_decay"),
        ({"minibatch_repeats": 0}, "minibatch_repeats"),
        ({"minibatch_repeats": 10_001}, "minibatch_repeats must be at most 10000, not 10001"),
        ({"penalty_weight": -1.0}, "penalty_weight"),
        ({"penalty_weight": 10**400}, "penalty_weight"),
        ({"penalty_target": 0.0}, "penalty_target"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"fmap_base": 100}, "fmap_base 100"),
        ({"fmap_max": 0}, "fmap_max"),
        ({"fmap_base": 2**20 + 1}, "fmap_base must be at most 1048576"),
        ({"fmap_max": 2**20 + 1}, "fmap_max must be at most 1048576"),
        ({"latent_size": 2**20 + 1}, "latent_size must be at most 1048576"),
        ({"label_size": 2**20 + 1}, "label_size must be at most 1048576"),
        ({"latent_size": 10**4000}, r"not 1\d{59}$"),
        ({"mbstd_group_size": 0}, "mbstd_group_size"),
        ({"latent_size": 0}, "latent_size"),
        ({"resolution": 48}, "resolution"),
        ({"num_channels": 2}, "num_channels"),
        ({"objective": "hinge"}, "wasserstein, logistic, relativistic"),
        ({"gamma": "-1"}, "gamma"),
        ({"gamma": "much"}, "gamma"),
        ({"critic_rate": 0.0}, "critic_rate"),
        ({"adam_beta1": 1.0}, "adam_beta1"),
        ({"average_halflife_kimg": -1.0}, "average_halflife_kimg"),
        ({"average_rampup": float("nan")}, "average_rampup"),
        ({"augment": "colour,rotation"}, "no 'rotation'"),
        ({"augment": "colour,"}, "no ''"),
        ({"augment_probability": 1.5}, "augment_probability"),
        ({"augment_kimg": 0.0}, "augment_kimg"),
        ({"augment_target": 0.6, "objective": "logistic"}, "give augment"),
        ({"augment_target": 0.6, "augment": "colour"}, "logistic or relativistic"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ProganError, match=words):
        Config(**changes)


def test_the_largest_settings_and_a_single_image_are_allowed() -> None:
    most = {"fmap_base": 2**20, "fmap_max": 2**20, "latent_size": 2**20, "label_size": 2**20}
    assert Config(**most, kimg=0.001, minibatch_repeats=10_000).nimg == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"resolutoin": 64},
        {"resolution": "64"},
        {"kimg": True},
        {"mirror": 1},
        {"minibatch": 16},
        {"seed": 1.5},
    ],
)
def test_a_damaged_configuration_file_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ProganError):
        Config.from_json(settings)
