import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from progan import official
from progan.errors import ProganError
from tests.progan import official_form as form
from tests.progan.making import one_thread as one_thread

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {"resolution": 16, "num_channels": 3, "fmap_base": 64, "fmap_max": 16}


def written(path: Path, value: Any, dialect: str = "release") -> Path:
    path.write_bytes(form.pickled(value, dialect))
    return path


def tiny() -> tuple[form.Network, ...]:
    return form.triple(lod=0.5, resolution=8, label_size=1, fmap_base=4, fmap_max=2)[0]


# ---- the same pictures ----


@pytest.mark.parametrize("lod", [0.0, 0.7, 1.0, 1.25, 2.0])
@pytest.mark.parametrize("fused", [True, False])
def test_pictures_and_scores_are_those_of_the_file(tmp_path: Path, fused: bool, lod: float) -> None:
    found, (generator, critic, average) = form.triple(
        lod=lod, label_size=2, latent_size=7, fused_scale=fused, **SMALL
    )
    loaded = official.load(written(tmp_path / "n.pkl", found))
    numbers = np.random.default_rng(5)
    z, classes = numbers.standard_normal((4, 7)), np.array([0, 1, 1, 0])
    for network, variables in ((loaded.generator, generator), (loaded.average, average)):
        made = network(torch.from_numpy(z).float(), torch.from_numpy(classes))
        level = 4 - math.floor(lod)
        assert made.shape == (4, 3, 2**level, 2**level)
        expected = form.pictures(variables, z, np.eye(2)[classes], resolution=16)
        assert expected.shape == (4, 3, 16, 16) and np.abs(expected).max() > 0.5
        assert official.at_full_size(made, 16).numpy() == pytest.approx(expected, abs=1e-4)
    size = 2**loaded.critic.level
    images = numbers.standard_normal((4, 3, size, size))
    expected = form.scores(critic, form.repeated(images, 16 // size), lod_in=lod, group=4)
    made = loaded.critic(torch.from_numpy(images).float())
    assert expected.shape == (4, 3) and np.ptp(expected[:, 0]) > 0.01
    assert made.numpy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("dialect", form.FORMS)
def test_pickles_of_all_times(tmp_path: Path, dialect: str) -> None:
    # Arrays of more than 64 KiB, which protocol 2 writes as long texts; and in Fortran's order.
    found, (_, _, variables) = form.triple(lod=0.3, resolution=8, fmap_base=128, fmap_max=64)
    turned = [(name, np.asfortranarray(value) if name != "lod" else value)
              for name, value in variables.items()]  # fmt: skip
    found[2].variables = turned
    assert variables["8x8/Conv1/weight"].nbytes > 2**15 < variables["4x4/Dense/weight"].nbytes
    loaded = official.load(written(tmp_path / "n.pkl", found, dialect))
    z = np.random.default_rng(1).standard_normal((3, 64))
    expected = form.pictures(variables, z, resolution=8)
    made = loaded.average(torch.from_numpy(z).float())
    assert made.numpy() == pytest.approx(expected, abs=1e-4)
    assert (loaded.resolution, loaded.lod) == (8, float(np.float32(0.3)))


def test_what_the_tests_write_is_what_python_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tiny()
    module = type(sys)("tfutil")
    vars(module)["Network"] = form.Network
    monkeypatch.setitem(sys.modules, "tfutil", module)
    for dialect in ("release", "protocol2", "protocol4", "protocol5"):
        read = pickle.loads(form.pickled(found, dialect))
        for network, again in zip(found, read, strict=True):
            assert again.static_kwargs == network.static_kwargs
            for (name, value), (other, same) in zip(
                network.variables,
                again.variables,
                strict=True,
            ):
                assert name == other and np.array_equal(value, same)


def test_the_networks_stand_each_where_its_own_lod_says(tmp_path: Path) -> None:
    found, _ = form.triple(lod=1.0, **SMALL)
    found[2].variables[0] = ("lod", np.array(0.5, np.float32))
    found[1].variables.pop(0)
    loaded = official.load(written(tmp_path / "n.pkl", found))
    stands = [(n.level, n.fade) for n in (loaded.generator, loaded.critic, loaded.average)]
    assert stands == [(3, 1.0), (3, 1.0), (4, 0.5)]


# ---- what is not understood is named ----


def changed(change: Callable[[Any], None]) -> tuple[form.Network, ...]:
    found, _ = form.triple(**SMALL)
    change(found[0])
    return found


def kwargs(**new: Any) -> Callable[[Any], None]:
    return lambda network: network.static_kwargs.update(new)


def variable(name: str, value: Any) -> Callable[[Any], None]:
    def change(network: Any) -> None:
        network.variables[:] = [p for p in network.variables if p[0] != name]
        if value is not None:
            network.variables.append((name, value))

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (kwargs(use_wscale=False), "G has use_wscale False, and True can be read"),
        (kwargs(use_pixelnorm=False), "G has use_pixelnorm False, and True"),
        (kwargs(use_leakyrelu=False), "G has use_leakyrelu False"),
        (kwargs(normalize_latents=False), "G has normalize_latents False"),
        (kwargs(pixelnorm_epsilon=1e-4), "G has pixelnorm_epsilon 0.0001, and 1e-08 can be read"),
        (kwargs(dtype="float16"), "G has dtype 'float16', and 'float32' can be read"),
        (kwargs(fmap_decay=0.5), "G has fmap_decay 0.5, and 1 can be read"),
        (kwargs(structure="round"), "G has an unknown structure 'round'"),
        (kwargs(mapping_layers=8), "G has an unknown argument 'mapping_layers'"),
        (kwargs(fmap_max=2**40), "G has an unusable fmap_max, 1099511627776"),
        (kwargs(fmap_max=[[]]), "G has an unusable fmap_max, a list"),
        (kwargs(resolution=24), "resolution must be a power of two"),
        (kwargs(fused_scale=None), "G has fused_scale None"),
        (kwargs(fused_scale=False), "unknown variable '16x16/Conv0_up/bias', '16x16/Conv0_up/wei"),
        (kwargs(latent_size=15), "4x4/Dense/weight of G has the shape [16, 256], and [15, 256]"),
        (variable("4x4/Conv/bias", None), "G has no variable '4x4/Conv/bias'"),
        (variable("4x4/Noise/weight", np.zeros(1)), "unknown variable '4x4/Noise/weight'"),
        (variable("4x4/Conv/bias", np.zeros(16)), "numbers of the type float64, and float32"),
        (variable("4x4/Conv/bias", np.float32(0)), "4x4/Conv/bias of G is no array"),
        (variable("4x4/Conv/bias", np.full(16, np.nan, "f4")), "numbers that are not finite"),
        (variable("lod", np.float32(2.5)), "G has lod 2.5, which is not from 0 to 2"),
        (variable("lod", np.float32(np.nan)), "G has lod nan"),
        (variable("lod", None), "G has no usable variable lod"),
        (lambda n: n.variables.append(n.variables[0]), "G has the variable 'lod' twice"),
        (lambda n: setattr(n, "version", 1), "version is not 2"),
        (lambda n: delattr(n, "version"), "has no version"),
        (lambda n: setattr(n, "build_func_name", "G_style"), "built by 'G_style', and G_paper can"),
        (lambda n: setattr(n, "components", {}), "unknown field 'components'"),
        (lambda n: delattr(n, "name"), "has no 'name'"),
    ],
)
def test_what_is_not_understood_is_named(
    tmp_path: Path, change: Callable[[Any], None], sentence: str
) -> None:
    path = written(tmp_path / "n.pkl", changed(change))
    with pytest.raises(ProganError) as error:
        official.load(path)
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"{path} cannot be read as official networks: ")


def test_critic_without_minibatch_deviation_and_other_orders_are_refused(tmp_path: Path) -> None:
    found, _ = form.triple(**SMALL)
    found[1].static_kwargs["mbstd_group_size"] = 0
    with pytest.raises(ProganError, match="D cannot be built: mbstd_group_size must be at least 1"):
        official.load(written(tmp_path / "a.pkl", found))
    found, _ = form.triple(**SMALL)
    with pytest.raises(ProganError, match="D was built by 'G_paper', and D_paper can be read"):
        official.load(written(tmp_path / "b.pkl", (found[0], found[2], found[1])))
    with pytest.raises(ProganError, match="does not hold three networks"):
        official.load(written(tmp_path / "c.pkl", found[2]))


def test_weights_that_are_stored_once_do_not_count_often(tmp_path: Path) -> None:
    # One array for all layers of its shape: much memory out of a small file.
    found, _ = form.triple(resolution=64, fmap_base=512, fmap_max=8)
    one = np.zeros((3, 3, 8, 8), np.float32)
    for network in found:
        network.variables[:] = [
            (name, one if np.shape(value) == one.shape else value)
            for name, value in network.variables
        ]
    with pytest.raises(ProganError, match="more weights than there are bytes in the file"):
        official.load(written(tmp_path / "n.pkl", found))


# ---- hostile files ----


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def array(shape: tuple[int, ...], code: str = "f4", data: bytes = b"\0" * 4) -> bytes:
    sides = b"".join(b"\x8a\x08" + side.to_bytes(8, "little") for side in shape)
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
        + b"(K\x01(" + sides + b"t"
        + b"cnumpy\ndtype\n(" + text(code) + b"K\x00K\x01tR(K\x03" + text("<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89B" + len(data).to_bytes(4, "little") + data + b"tb"
    )  # fmt: skip


class Evil:
    """Pickles to a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def hostile(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Files by name, with what is said of them; any that ran would leave a mark in the folder."""
    mark = f"touch {folder}/ran"
    network = b"ctfutil\nNetwork\n)\x81"
    system = pickle.dumps(Evil(os.system, mark), 2)
    nested = pickle.dumps((Evil(eval, f"open({str(folder / 'ran')!r}, 'w')"),) * 3, 4)
    in_place, _ = form.triple(resolution=8, fmap_base=4, fmap_max=2)
    in_place[0].variables.append(("x", Evil(os.system, mark)))
    end = b"."
    # Each tuple holds the one before twice: 2**200 in all.
    bomb = b")q\x00" + b"".join(b"h%c\x86q%c" % (n, n + 1) for n in range(200))
    return {
        "os.system": (system, "asks for 'posix.system'"),
        "builtins.eval": (nested, "asks for 'builtins.eval'"),
        "a call within a network": (form.pickled(in_place), "asks for 'posix.system'"),
        "a call of a call": (
            b"\x80\x02cnumpy\ndtype\n(" + text("f4") + b"K\0K\1tR(K\1tR" + end,
            "calls something that is no function",
        ),
        "an attribute": (b"\x80\x04" + b"\x8c\x06tfutil\x8c\x10Network.__init__\x93" + end,
                         "asks for 'tfutil.Network.__init__'"),
        "STACK_GLOBAL of a number": (b"\x80\x04K\x01K\x02\x93.", "something else where a text"),
        "INST": (b"\x80\x02(" + text(mark) + b"iposix\nsystem\n.", "uses the operation INST"),
        "OBJ": (b"\x80\x02(ctfutil\nNetwork\no.", "uses the operation OBJ"),
        "NEWOBJ_EX": (b"\x80\x04ctfutil\nNetwork\n)}\x92.", "uses the operation NEWOBJ_EX"),
        "a persistent id": (b"\x80\x02" + text(mark) + b"Q.", "uses the operation BINPERSID"),
        "the extension registry": (b"\x80\x02\x82\x01.", "uses the operation EXT1"),
        "an extension by number": (b"\x80\x02\x84\x01\0\0\0.", "uses the operation EXT4"),
        "BUILD of a class": (
            b"\x80\x02ctfutil\nNetwork\nN}" + text("__setstate__") + text("x") + b"s\x86b.",
            "gives an object a content that does not belong to it",
        ),
        "BUILD of a function": (
            b"\x80\x02c_codecs\nencode\n}" + text("__setstate__") + text("x") + b"sb.",
            "gives an object a content that does not belong to it",
        ),
        "BUILD twice": (
            b"\x80\x02" + network + b"}" + text("__setstate__") + b"c_codecs\nencode\nsb}b.",
            "gives an object a content that does not belong to it",
        ),
        "BUILD of slots": (
            b"\x80\x02" + network + b"N}\x86b.", "gives an object a content that does not belong"
        ),
        "a network of arguments": (b"\x80\x02ctfutil\nNetwork\nK\1\x85\x81.", "with arguments"),
        "a network as a function": (b"\x80\x02ctfutil\nNetwork\n)R.", "calls tfutil.Network in a"),
        "another codec": (
            b"\x80\x02c_codecs\nencode\n" + text("x") + text("zlib") + b"\x86R.",
            "calls _codecs.encode in a way that NumPy does not",
        ),
        "a huge array": (
            b"\x80\x02" + array((2**20, 2**20)) + end, "1048576×1048576 numbers of 4 bytes in 4"
        ),
        "an array of an endless side": (b"\x80\x02" + array((2**62,)) + end, "impossible shape"),
        "an array of sides below nothing": (
            b"\x80\x02" + array((2**64 - 2, 2**64 - 2)) + end, "impossible shape"
        ),
        "an array of objects": (b"\x80\x02" + array((1,), "O8") + end, "of the type 'O8'"),
        "an array of records": (b"\x80\x02" + array((1,), "V4") + end, "of the type 'V4'"),
        "bytes without end": (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + end, "is cut off"),
        "text without end": (b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f" + end, "is cut off"),
        "a name without end": (b"\x80\x02c" + b"x" * 10**6 + end, "has a name without an end"),
        "a number without end": (b"\x80\x02\x8b\xff\xff\xff\x7f" + end, "operation LONG4"),
        "a frame without end": (b"\x80\x04\x95" + b"\xff" * 8 + b"N.", "not hold three networks"),
        "a memo bomb": (b"\x80\x02" + bomb + end, "does not hold three networks"),
        "a far place in the memo": (b"\x80\x02Nr\xff\xff\xff\xff.", "not hold three networks"),
        "the same text again and again": (
            b"\x80\x02X" + (2**17).to_bytes(4, "little") + b"x" * 2**17 + b"q\0"
            + (b"c_codecs\nencode\nh\0" + text("latin1") + b"\x86R") * 3 + b".",
            "again and again",
        ),
        "deep lists": (b"\x80\x02" + b"]" * 30_000 + b"a" * 29_999 + end, "not hold three netw"),
        "deep tuples": (b"\x80\x02)" + b"\x85" * 60_000 + end, "does not hold three networks"),
        "deep keys": (b"\x80\x02})" + b"\x85" * 60_000 + b"Ns.", "where a text is expected"),
        "deep networks": (
            b"\x80\x02" + network + (b"}" + text("x") + network) * 8_000
            + b"}b" + b"sb" * 8_000 + b"\x85.",
            "does not hold three networks",
        ),
        "deep settings": (deep_settings(), "G has an unusable fmap_max, a list"),
        "a list in itself": (b"\x80\x02]q\0h\0ah\0ah\0a.", "something else than networks"),
        "many operations": (b"\x80\x02" + b"N" * 10**6, "more than 65536 operations"),
        "protocol 0": (b"cposix\nsystem\n(S'" + mark.encode() + b"'\ntR.", "does not begin as"),
        "a later protocol": (b"\x80\x06N.", "is a pickle of protocol 6"),
        "more after the end": (b"\x80\x02N." + system, "goes on after its end"),
        "two values": (b"\x80\x02NN.", "ends in the middle of something"),
        "nothing": (b"\x80\x02.", "ends in the middle of something"),
        "no end": (b"\x80\x02N", "is cut off"),
        "an empty file": (b"", "is empty"),
        "a picture": (b"\x89PNG\r\n\x1a\n", "does not begin as a pickle"),
    }  # fmt: skip


def deep_settings() -> bytes:
    """Three networks, one of which has lists in lists for a setting."""
    found, _ = form.triple(resolution=8, fmap_base=4, fmap_max=2)
    found[0].static_kwargs["fmap_max"] = "deep"
    made = form.pickled(found, "protocol2")
    return made.replace(text("deep"), b"]" * 30_000 + b"a" * 29_999)


def test_hostile_files_do_nothing_and_are_refused_in_a_sentence(tmp_path: Path) -> None:
    # Another process, so that a crash is seen, and memory can be kept short.
    cases = hostile(tmp_path)
    for number, (data, _) in enumerate(cases.values()):
        (tmp_path / f"{number}.pkl").write_bytes(data)
    code = (
        "import resource, sys, time\n"
        "from pathlib import Path\n"
        "from progan import official\n"
        "from progan.errors import ProganError\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**28,) * 2)\n"
        "for number in range(int(sys.argv[2])):\n"
        "    before = time.process_time()\n"
        "    try:\n"
        "        official.load(Path(sys.argv[1]) / f'{number}.pkl')\n"
        "    except ProganError as error:\n"
        "        print(error, flush=True)\n"
        "    else:\n"
        "        print('loaded', flush=True)\n"
        "    assert time.process_time() - before < 20\n"
    )
    if not Path("/proc/self/statm").exists():
        code = "\n".join(line for line in code.splitlines() if "used" not in line)
    command = [sys.executable, "-c", code, str(tmp_path), str(len(cases))]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    said = ended.stdout.splitlines()
    assert len(said) == len(cases)
    for number, (name, (_, expected)) in enumerate(cases.items()):
        assert said[number].startswith(f"{tmp_path}/{number}.pkl "), name
        assert expected in said[number], name
        assert len(said[number]) < 400 + len(str(tmp_path)), name
    assert not (tmp_path / "ran").exists()


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ProganError, match=r"^there is no file .*none\.pkl$"):
        official.load(tmp_path / "none.pkl")
    with pytest.raises(ProganError, match="there is no file"):
        official.load(tmp_path)
    with (tmp_path / "giant.pkl").open("wb") as file:
        file.truncate(2**32 + 1)
    with pytest.raises(ProganError, match="more than 4 GiB"):
        official.load(tmp_path / "giant.pkl")


VALID = [form.pickled(tiny(), dialect) for dialect in form.FORMS]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid file with some bytes changed, taken out, put in or taken from another one."""
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        match draw(st.integers(0, 3)):
            case 0:
                data[place] = draw(st.integers(0, 255))
            case 1:
                del data[place : place + draw(st.integers(1, 8))]
            case 2:
                data[place:place] = draw(st.binary(min_size=1, max_size=8))
            case 3:
                other = draw(st.sampled_from(VALID))
                start = draw(st.integers(0, len(other) - 1))
                data[place:place] = other[start : start + draw(st.integers(1, 200))]
        data = data or bytearray(b"\x80")
    return bytes(data)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=mutated())
def test_damaged_files_are_refused_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "n.pkl"
    path.unlink(missing_ok=True)  # not written over: arrays that were read are views of it
    path.write_bytes(data)
    try:
        loaded = official.load(path)
    except ProganError as error:
        assert str(error).startswith(str(path)) and len(str(error).splitlines()) == 1
    else:
        assert loaded.average.level in (2, 3)
