"""Networks in the form of the paper's authors: their variables, their pictures, their pickles.

Written from the facts of the release, in float64 NumPy, and from nothing of the code under test.
"""

import io
import math
import pickle
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from numpy._core import multiarray

Array = npt.NDArray[np.float64]
Variables = dict[str, Any]
SQRT2 = math.sqrt(2)


class Network:
    """What such a pickle holds three of, under the name tfutil.Network."""

    __module__ = "tfutil"
    static_kwargs: dict[str, Any]
    variables: list[tuple[str, Any]]

    def __init__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def make(
    function: str, *, lod: float | None = 0.0, seed: int = 0, **kwargs: Any
) -> tuple[Network, Variables]:
    """A network of random weights, and its variables by name."""
    numbers = np.random.default_rng(seed)
    shapes = (generator_shapes if function == "G_paper" else critic_shapes)(**kwargs)
    variables: Variables = {} if lod is None else {"lod": np.float32(lod)}
    for name, shape in shapes.items():
        scale = 1.0 if name.endswith("weight") else 0.3
        variables[name] = (scale * numbers.standard_normal(shape)).astype(np.float32)
    state = {
        "version": 2,
        "name": function[0],
        "static_kwargs": kwargs,
        "build_module_src": "raise SystemExit('never to be run')",
        "build_func_name": function,
        "variables": list(variables.items()),
    }
    return Network(state), variables


def triple(lod: float = 0.0, **kwargs: Any) -> tuple[tuple[Network, ...], tuple[Variables, ...]]:
    """G, D and Gs of one kind, and the variables of each."""
    critic_kwargs = {k: v for k, v in kwargs.items() if k != "latent_size"}
    made = [
        make("G_paper", lod=lod, seed=1, **kwargs),
        make("D_paper", lod=lod, seed=2, **critic_kwargs),
        make("G_paper", lod=lod, seed=3, **kwargs),
    ]
    return tuple(network for network, _ in made), tuple(variables for _, variables in made)


# ---- names and shapes ----


def nf(stage: int, fmap_base: int, fmap_max: int) -> int:
    return min(int(fmap_base / 2.0**stage), fmap_max)


def generator_shapes(
    *,
    resolution: int,
    num_channels: int = 1,
    label_size: int = 0,
    fmap_base: int = 8192,
    fmap_max: int = 512,
    latent_size: int | None = None,
    fused_scale: bool = True,
    **_: Any,
) -> dict[str, tuple[int, ...]]:
    def maps(stage: int) -> int:
        return nf(stage, fmap_base, fmap_max)

    log2 = int(math.log2(resolution))
    inputs = (latent_size or maps(0)) + label_size
    shapes: dict[str, tuple[int, ...]] = {
        "4x4/Dense/weight": (inputs, maps(1) * 16),
        "4x4/Dense/bias": (maps(1),),
        "4x4/Conv/weight": (3, 3, maps(1), maps(1)),
        "4x4/Conv/bias": (maps(1),),
    }
    for at in range(2, log2 + 1):
        size = f"{2**at}x{2**at}"
        before, now = maps(at - 2), maps(at - 1)
        if at > 2 and fused_scale:
            shapes[f"{size}/Conv0_up/weight"] = (3, 3, now, before)
            shapes[f"{size}/Conv0_up/bias"] = (now,)
        elif at > 2:
            shapes[f"{size}/Conv0/weight"] = (3, 3, before, now)
            shapes[f"{size}/Conv0/bias"] = (now,)
        if at > 2:
            shapes[f"{size}/Conv1/weight"] = (3, 3, now, now)
            shapes[f"{size}/Conv1/bias"] = (now,)
        shapes[f"ToRGB_lod{log2 - at}/weight"] = (1, 1, now, num_channels)
        shapes[f"ToRGB_lod{log2 - at}/bias"] = (num_channels,)
    return shapes


def critic_shapes(
    *,
    resolution: int,
    num_channels: int = 1,
    label_size: int = 0,
    fmap_base: int = 8192,
    fmap_max: int = 512,
    fused_scale: bool = True,
    **_: Any,
) -> dict[str, tuple[int, ...]]:
    def maps(stage: int) -> int:
        return nf(stage, fmap_base, fmap_max)

    log2 = int(math.log2(resolution))
    shapes: dict[str, tuple[int, ...]] = {}
    for at in range(log2, 1, -1):
        size = f"{2**at}x{2**at}"
        now, after = maps(at - 1), maps(at - 2)
        shapes[f"FromRGB_lod{log2 - at}/weight"] = (1, 1, num_channels, now)
        shapes[f"FromRGB_lod{log2 - at}/bias"] = (now,)
        if at > 2:
            second = "Conv1_down" if fused_scale else "Conv1"
            shapes[f"{size}/Conv0/weight"] = (3, 3, now, now)
            shapes[f"{size}/Conv0/bias"] = (now,)
            shapes[f"{size}/{second}/weight"] = (3, 3, now, after)
            shapes[f"{size}/{second}/bias"] = (after,)
    shapes["4x4/Conv/weight"] = (3, 3, maps(1) + 1, maps(1))
    shapes["4x4/Conv/bias"] = (maps(1),)
    shapes["4x4/Dense0/weight"] = (maps(1) * 16, maps(0))
    shapes["4x4/Dense0/bias"] = (maps(0),)
    shapes["4x4/Dense1/weight"] = (maps(0), 1 + label_size)
    shapes["4x4/Dense1/bias"] = (1 + label_size,)
    return shapes


# ---- pictures and scores ----


def scaled(weight: npt.NDArray[np.float32], gain: float, fan_in: int) -> Array:
    return weight.astype(np.float64) * (gain / math.sqrt(fan_in))


def biased(x: Array, bias: npt.NDArray[np.float32]) -> Array:
    return x + bias.astype(np.float64).reshape(1, -1, *[1] * (x.ndim - 2))


def leaky(x: Array) -> Array:
    return np.maximum(0.2 * x, x)


def norm(x: Array) -> Array:
    return np.asarray(x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + 1e-8))


def widened(kernel: Array) -> Array:
    """A 3×3 kernel with zeros around it, four times, one shifted against the other: 4×4."""
    wide = np.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    return np.asarray(wide[1:, 1:] + wide[:-1, 1:] + wide[1:, :-1] + wide[:-1, :-1])


def convolved(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Convolution of kernel [h, w, in, out] that keeps the size, or halves it with stride 2."""
    size = x.shape[2]
    border = (kernel.shape[0] - 1) // 2
    padded = np.pad(x, ((0, 0), (0, 0), (border, border), (border, border)))
    made = np.zeros((len(x), kernel.shape[3], size // stride, size // stride))
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            seen = padded[:, :, row : row + size : stride, column : column + size : stride]
            made += np.einsum("nihw,io->nohw", seen, kernel[row, column])
    return made


def scattered(x: Array, kernel: Array) -> Array:
    """Transposed convolution of stride 2: every pixel puts down a 4×4 kernel [4, 4, out, in]."""
    size = x.shape[2]
    made = np.zeros((len(x), kernel.shape[2], 2 * size + 2, 2 * size + 2))
    for row in range(4):
        for column in range(4):
            made[:, :, row : row + 2 * size : 2, column : column + 2 * size : 2] += np.einsum(
                "nihw,oi->nohw", x, kernel[row, column]
            )
    return made[:, :, 1:-1, 1:-1]


def repeated(x: Array, factor: int) -> Array:
    return x.repeat(factor, axis=2).repeat(factor, axis=3)


def halved(x: Array) -> Array:
    n, c, h, w = x.shape
    return np.asarray(x.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5)))


def pictures(
    variables: Mapping[str, Any], latents: Array, one_hot: Array | None = None, *, resolution: int
) -> Array:
    """The pictures that the authors' generator gives: always of full resolution."""

    def conv(x: Array, name: str, gain: float = SQRT2) -> Array:
        weight = variables[f"{name}/weight"]
        kernel = scaled(weight, gain, math.prod(weight.shape[:3]))
        return biased(convolved(x, kernel), variables[f"{name}/bias"])

    def block(x: Array, at: int) -> Array:
        size = f"{2**at}x{2**at}"
        if at == 2:
            weight = variables["4x4/Dense/weight"]
            x = norm(x) @ scaled(weight, SQRT2 / 4, len(weight))
            x = x.reshape(len(x), -1, 4, 4)
            x = norm(leaky(biased(x, variables["4x4/Dense/bias"])))
            return norm(leaky(conv(x, "4x4/Conv")))
        if f"{size}/Conv0_up/weight" in variables:
            weight = variables[f"{size}/Conv0_up/weight"]
            kernel = widened(scaled(weight, SQRT2, 9 * weight.shape[3]))
            x = biased(scattered(x, kernel), variables[f"{size}/Conv0_up/bias"])
        else:
            x = conv(repeated(x, 2), f"{size}/Conv0")
        return norm(leaky(conv(norm(leaky(x)), f"{size}/Conv1")))

    log2 = int(math.log2(resolution))
    lod_in = float(variables["lod"])
    x = latents if one_hot is None else np.concatenate([latents, one_hot], axis=1)
    x = block(x, 2)
    made = conv(x, f"ToRGB_lod{log2 - 2}", gain=1)
    for at in range(3, log2 + 1):
        lod = log2 - at
        x = block(x, at)
        new = conv(x, f"ToRGB_lod{lod}", gain=1)
        made = new + (repeated(made, 2) - new) * np.clip(lod_in - lod, 0, 1)
    return made


def scores(variables: Mapping[str, Any], images: Array, *, lod_in: float, group: int) -> Array:
    """Scores and class outputs of the authors' critic for images of full resolution."""

    def conv(x: Array, name: str, down: bool = False) -> Array:
        weight = variables[f"{name}/weight"]
        kernel = scaled(weight, SQRT2, math.prod(weight.shape[:3]))
        if down:
            return biased(convolved(x, widened(kernel) / 4, stride=2), variables[f"{name}/bias"])
        return biased(convolved(x, kernel), variables[f"{name}/bias"])

    def dense(x: Array, name: str, gain: float) -> Array:
        weight = variables[f"{name}/weight"]
        return biased(x @ scaled(weight, gain, len(weight)), variables[f"{name}/bias"])

    def block(x: Array, at: int) -> Array:
        size = f"{2**at}x{2**at}"
        x = leaky(conv(x, f"{size}/Conv0"))
        if f"{size}/Conv1_down/weight" in variables:
            return leaky(conv(x, f"{size}/Conv1_down", down=True))
        return halved(leaky(conv(x, f"{size}/Conv1")))

    log2 = int(math.log2(images.shape[2]))
    image = images
    x = leaky(conv(image, "FromRGB_lod0"))
    for at in range(log2, 2, -1):
        lod = log2 - at
        x = block(x, at)
        image = halved(image)
        coarse = leaky(conv(image, f"FromRGB_lod{lod + 1}"))
        x = x + (coarse - x) * np.clip(lod_in - lod, 0, 1)
    grouped = x.reshape(min(group, len(x)), -1, *x.shape[1:])
    deviation = np.sqrt(grouped.var(axis=0) + 1e-8).mean(axis=(1, 2, 3))
    tiled = np.tile(deviation, len(grouped))[:, None, None, None] * np.ones((1, 1, 4, 4))
    x = leaky(conv(np.concatenate([x, tiled], axis=1), "4x4/Conv"))
    x = leaky(dense(x.reshape(len(x), -1), "4x4/Dense0", SQRT2))
    return dense(x, "4x4/Dense1", 1)


# ---- pickles ----


class _OldPickler(pickle._Pickler):
    """Pickles as they were written: with the names that NumPy's functions had."""

    old: ClassVar[dict[Any, tuple[str, str]]] = {
        multiarray._reconstruct: ("numpy.core.multiarray", "_reconstruct"),
        multiarray.scalar: ("numpy.core.multiarray", "scalar"),
    }

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module, name = self.old.get(obj, (obj.__module__, name or obj.__qualname__))
        if self.proto >= 4:  # type: ignore[attr-defined]
            self.save(module)  # type: ignore[attr-defined]
            self.save(name)  # type: ignore[attr-defined]
            self.write(pickle.STACK_GLOBAL)  # type: ignore[attr-defined]
        else:
            self.write(f"c{module}\n{name}\n".encode())  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]

    dispatch: ClassVar[dict[type, Callable[..., None]]] = {
        **pickle._Pickler.dispatch,
        type: save_global,
        type(multiarray.scalar): save_global,
    }


class _NewPickler(_OldPickler):
    old: ClassVar[dict[Any, tuple[str, str]]] = {}


class _Python2Pickler(_OldPickler):
    """Python 2 did not tell text from bytes."""

    def save_string(self, obj: Any) -> None:
        data = obj if isinstance(obj, bytes) else obj.encode("latin-1")
        short = len(data) < 256
        head = b"U" + bytes([len(data)]) if short else b"T" + len(data).to_bytes(4, "little")
        self.write(head + data)  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]

    dispatch: ClassVar[dict[type, Callable[..., None]]] = {
        **_OldPickler.dispatch,
        str: save_string,
        bytes: save_string,
    }


FORMS = ("release", "python2", "protocol2", "protocol4", "protocol5")


def pickled(value: Any, form: str = "release") -> bytes:
    """A pickle as the release wrote it (protocol 4), or another program or Python would."""
    kind, protocol = {
        "release": (_OldPickler, 4),
        "python2": (_Python2Pickler, 2),
        "protocol2": (_NewPickler, 2),
        "protocol4": (_NewPickler, 4),
        "protocol5": (_NewPickler, 5),
    }[form]
    file = io.BytesIO()
    kind(file, protocol).dump(value)
    return file.getvalue()
