"""The networks that the paper's authors published, and those that their program writes.

Such a file is a pickle of three `tfutil.Network`: generator, critic and average («G, D, Gs»). It is
read as data (`progan.pickled`): the source text in it is never run, and whatever in it is not
understood is refused by name. Weights are stored before their run-time scaling, as ours are, so
what an import changes is their names and the order of their axes.

The authors' generator gives images of its full resolution at any stage of growth, each pixel
repeated; ours gives those of its level. `at_full_size` makes the one of the other.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from progan.errors import ProganError
from progan.growth import FIRST_LEVEL
from progan.layers import upscale
from progan.networks import Critic, Generator
from progan.pickled import Array, Instance, quoted, read_pickle

Network = TypeVar("Network", Generator, Critic)

_CLASS = "tfutil.Network"
_FIELDS = {"version", "name", "static_kwargs", "build_module_src", "build_func_name", "variables"}
# Arguments of both networks: what they are when absent, as the release's functions have them.
_DEFAULTS: Mapping[str, int | None] = {
    "num_channels": 1,
    "resolution": 32,
    "label_size": 0,
    "fmap_base": 8192,
    "fmap_max": 512,
}
_OWN_DEFAULTS: Mapping[str, Mapping[str, int | None]] = {
    "G_paper": {"latent_size": None},
    "D_paper": {"mbstd_group_size": 4},
}
# Arguments whose other values make another network than the paper's.
_FIXED: Mapping[str, object] = {"fmap_decay": 1, "use_wscale": True, "dtype": "float32"}
_OWN_FIXED: Mapping[str, Mapping[str, object]] = {
    "G_paper": {
        "normalize_latents": True,
        "use_pixelnorm": True,
        "pixelnorm_epsilon": 1e-8,
        "use_leakyrelu": True,
    },
    "D_paper": {},
}
# Far beyond any network; so that nothing is reckoned with numbers without bounds.
_LARGEST_ARGUMENT = 2**20
_NAMES_TOLD = 5


@dataclass(frozen=True, kw_only=True)
class OfficialNetworks:
    """The three networks of a file, each standing at its own level and fade, for inference.

    Attributes:
        generator: «G».
        critic: «D».
        average: «Gs», the moving average of the generator, which makes the pictures to look at.
        resolution: height and width in pixels of the authors' images, at any stage of growth.
        lod: the stage of growth of the average as the file has it, 0 at the end.
    """

    generator: Generator
    critic: Critic
    average: Generator
    resolution: int
    lod: float


class _StrangeError(Exception):
    """Something in the file is not understood; the message names it."""


def load(path: Path | str, device: torch.device | str = "cpu") -> OfficialNetworks:
    """Read the networks of a file that the paper's authors published, or their program wrote.

    Args:
        path: the `.pkl` file. Nothing in it is run.
        device: where the networks are put.

    Raises:
        ProganError: there is no such file, it is damaged, or it holds something that is not
            understood, which the message names.
    """
    path = Path(path)
    found, length = read_pickle(path, {_CLASS})
    try:
        if not isinstance(found, tuple | list) or len(found) != 3:
            raise _StrangeError("it does not hold three networks (G, D, Gs)")
        states = [_state(each) for each in found]
        names = ("G", "D", "Gs")
        # Weights that are stored once and used often would make much of little.
        if sum(_bytes(state) for state in states) > length:
            raise _StrangeError("its networks have more weights than there are bytes in the file")
        generator, lod = _network(Generator, "G_paper", names[0], states[0], None)
        critic, _ = _network(Critic, "D_paper", names[1], states[1], lod)
        average, lod = _network(Generator, "G_paper", names[2], states[2], None)
    except _StrangeError as strange:
        raise ProganError(f"{path} cannot be read as official networks: {strange}") from None
    for network in (generator, critic, average):
        network.requires_grad_(False).eval().to(device)
    return OfficialNetworks(
        generator=generator,
        critic=critic,
        average=average,
        resolution=average.resolution,
        lod=lod,
    )


def at_full_size(images: Tensor, resolution: int) -> Tensor:
    """Repeat pixels as the authors' generator does, whose images are never smaller.

    Args:
        images: [N, C, H, H] of a level.
        resolution: of the authors' images, H times a power of two.

    Returns:
        [N, C, resolution, resolution].
    """
    while images.shape[-1] < resolution:
        images = upscale(images)
    return images


def _state(found: Any) -> dict[str, Any]:
    """Give the state of one network, with the fields that it must have."""
    if not isinstance(found, Instance) or found.of != _CLASS or found.state is None:
        raise _StrangeError("it holds something else than networks (G, D, Gs)")
    fields = found.state
    missing, unknown = _FIELDS - fields.keys(), fields.keys() - _FIELDS
    if "version" in missing:
        raise _StrangeError("a network has no version: it was written before the release's format")
    if fields["version"] != 2 or isinstance(fields["version"], bool):
        raise _StrangeError("a network's version is not 2")
    if missing:
        raise _StrangeError(f"a network has no {_some(missing)}")
    if unknown:
        raise _StrangeError(f"a network has an unknown field {_some(unknown)}")
    return fields


def _variables(fields: Mapping[str, Any], of: str) -> Iterator[tuple[str, Any]]:
    variables = fields["variables"]
    if not isinstance(variables, list):
        raise _StrangeError(f"the variables of {of} are no list")
    for pair in variables:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise _StrangeError(f"the variables of {of} are not names with arrays")
        name = pair[0] if isinstance(pair[0], str) else _word(pair[0])
        if name is None:
            raise _StrangeError(f"a variable of {of} has no name")
        yield name, pair[1]


def _bytes(fields: Mapping[str, Any]) -> int:
    """Say how much memory the variables of a network take."""
    return sum(
        value.values.nbytes
        for _, value in _variables(fields, "a network")
        if isinstance(value, Array) and value.values is not None
    )


def _network(
    kind: type[Network], function: str, of: str, fields: Mapping[str, Any], lod: float | None
) -> tuple[Network, float]:
    """Build a network of the state that a file has of it.

    Args:
        kind: what to build.
        function: the release's name for it.
        of: what to call it in a message.
        fields: its state.
        lod: where it stands if it does not say so itself.

    Returns:
        The network, standing at its level and fade; and its lod.
    """
    built = _word(fields["build_func_name"])
    if built != function:
        raise _StrangeError(
            f"{of} was built by {quoted(built) if built else 'something without a name'}, "
            f"and {function} can be read"
        )
    settings, fused = _settings(fields["static_kwargs"], function, of)
    try:
        # Shapes without memory: a file that claims a giant costs nothing until its weights are
        # found to be there.
        with torch.device("meta"):
            network = kind(**settings, fused_scale=fused)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise _StrangeError(f"{of} cannot be built: {reason}") from None

    given: dict[str, Any] = {}
    for name, value in _variables(fields, of):
        if name in given:
            raise _StrangeError(f"{of} has the variable {quoted(name)} twice")
        given[name] = value
    stated = given.pop("lod", lod)
    level, fade, lod = _stage(stated, network.top_level, of)

    layers = _layers(network, fused=fused)
    expected = {f"{layer.name}/{part}" for layer in layers for part in ("weight", "bias")}
    if unknown := given.keys() - expected:
        raise _StrangeError(f"{of} has an unknown variable {_some(unknown)}")
    if missing := expected - given.keys():
        raise _StrangeError(f"{of} has no variable {_some(missing)}")

    weights: dict[str, Tensor] = {}
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    for layer in layers:
        for part in ("weight", "bias"):
            ours = f"{layer.ours}.{part}"
            array = _numbers(given[f"{layer.name}/{part}"], f"{layer.name}/{part}", of)
            if part == "weight":
                wanted = tuple(shapes[ours][axis] for axis in np.argsort(layer.axes))
            else:
                wanted = tuple(shapes[ours])
            if array.shape != wanted:
                raise _StrangeError(
                    f"the variable {layer.name}/{part} of {of} has the shape {list(array.shape)}, "
                    f"and {list(wanted)} was expected"
                )
            if part == "weight":
                array = array.transpose(layer.axes)
                array = array[:, :, ::-1, ::-1] if layer.turned else array
            weights[ours] = _tensor(array, f"{layer.name}/{part}", of)
    network.load_state_dict(weights, assign=True)
    network.stand(level, fade)
    return network, lod


def _settings(kwargs: Any, function: str, of: str) -> tuple[dict[str, Any], bool]:
    """Give our networks' arguments for the release's; and whether up- and downscaling is fused."""
    if not isinstance(kwargs, dict):
        raise _StrangeError(f"the static_kwargs of {of} are no dictionary")
    left = dict(kwargs)
    for name, right in {**_FIXED, **_OWN_FIXED[function]}.items():
        value = left.pop(name, right)
        value = value if isinstance(value, bool | int | float) else _word(value)
        if value != right or isinstance(value, bool) != isinstance(right, bool):
            raise _StrangeError(f"{of} has {name} {_shown(value)}, and {right!r} can be read")
    structure = left.pop("structure", None)
    # Two ways to compute the same.
    if structure is not None and _word(structure) not in ("linear", "recursive"):
        raise _StrangeError(f"{of} has an unknown structure {_shown(structure)}")
    fused = left.pop("fused_scale", True)
    if not isinstance(fused, bool):
        raise _StrangeError(f"{of} has fused_scale {_shown(fused)}, neither True nor False")
    settings: dict[str, Any] = {}
    for name, usual in {**_DEFAULTS, **_OWN_DEFAULTS[function]}.items():
        value = left.pop(name, usual)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None and usual is None:
            settings[name] = None
        elif (
            isinstance(value, int)
            and not isinstance(value, bool)
            and 0 <= value <= _LARGEST_ARGUMENT
        ):
            settings[name] = value
        else:
            raise _StrangeError(f"{of} has an unusable {name}, {_shown(value)}")
    if left:
        raise _StrangeError(f"{of} has an unknown argument {_some(left.keys())}")
    return settings, fused


def _stage(value: Any, top_level: int, of: str) -> tuple[int, float, float]:
    """Give the level and fade of a level of detail, which counts down from the top level."""
    if isinstance(value, Array) and value.values is not None and value.values.shape == ():
        value = value.values.item()
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _StrangeError(f"{of} has no usable variable lod")
    lowest = top_level - FIRST_LEVEL
    if not 0 <= value <= lowest:
        raise _StrangeError(f"{of} has lod {_shown(value)}, which is not from 0 to {lowest}")
    whole = math.floor(value)
    return top_level - whole, 1.0 - (value - whole), float(value)


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """A layer's two names, and how its weight lies in memory.

    Attributes:
        name: the release's.
        ours: in our network's state.
        axes: what is to become the first axis, the second …
        turned: whether the kernel is to be turned round.
    """

    name: str
    ours: str
    axes: tuple[int, ...] = (3, 2, 0, 1)
    turned: bool = False


def _layers(network: Generator | Critic, *, fused: bool) -> list[_Layer]:
    """List all layers of a network."""
    dense = (1, 0)
    colours = "ToRGB" if isinstance(network, Generator) else "FromRGB"
    ours = "to_rgb" if isinstance(network, Generator) else "from_rgb"
    layers = [
        _Layer(name=f"{colours}_lod{network.top_level - level}", ours=f"{ours}.{level}")
        for level in range(FIRST_LEVEL, network.top_level + 1)
    ]
    layers.append(_Layer(name="4x4/Conv", ours="blocks.2.conv"))
    if isinstance(network, Generator):
        layers.append(_Layer(name="4x4/Dense", ours="blocks.2.dense", axes=dense))
    else:
        layers.append(_Layer(name="4x4/Dense0", ours="blocks.2.dense0", axes=dense))
        layers.append(_Layer(name="4x4/Dense1", ours="blocks.2.dense1", axes=dense))
    for level in range(FIRST_LEVEL + 1, network.top_level + 1):
        size, block = f"{2**level}x{2**level}", f"blocks.{level}"
        if isinstance(network, Critic):
            second = "Conv1_down" if fused else "Conv1"
            layers.append(_Layer(name=f"{size}/Conv0", ours=f"{block}.conv0"))
            layers.append(_Layer(name=f"{size}/{second}", ours=f"{block}.conv1"))
            continue
        if fused:
            # The kernel of a transposed convolution, [3, 3, out, in]: it scatters, and ours, which
            # gathers, is the same turned round.
            first = _Layer(
                name=f"{size}/Conv0_up", ours=f"{block}.conv0", axes=(2, 3, 0, 1), turned=True
            )
        else:
            first = _Layer(name=f"{size}/Conv0", ours=f"{block}.conv0")
        layers.append(first)
        layers.append(_Layer(name=f"{size}/Conv1", ours=f"{block}.conv1"))
    return layers


def _numbers(value: Any, name: str, of: str) -> NDArray[Any]:
    if not isinstance(value, Array) or value.values is None:
        raise _StrangeError(f"the variable {name} of {of} is no array")
    if value.values.dtype.kind != "f" or value.values.dtype.itemsize != 4:
        raise _StrangeError(
            f"the variable {name} of {of} has numbers of the type {value.values.dtype}, and "
            "float32 was expected"
        )
    return value.values


def _tensor(array: NDArray[Any], name: str, of: str) -> Tensor:
    """Copy numbers out of the file."""
    numbers = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(numbers).all():
        raise _StrangeError(f"the variable {name} of {of} has numbers that are not finite")
    return torch.from_numpy(numbers)


def _word(value: Any) -> str | None:
    """Take a value for a text: a str, or the short bytes that Python 2 wrote for one."""
    if isinstance(value, memoryview) and len(value) <= 1000:
        return str(value, "latin-1")
    return value if isinstance(value, str) else None


def _shown(value: Any) -> str:
    """Show a value of the file; one that holds others may be too deep to be shown."""
    if value is None or isinstance(value, bool | float):
        return str(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else "without bounds"
    word = _word(value)
    return f"a {type(value).__name__}" if word is None else quoted(word)


def _some(names: Any) -> str:
    """Name the first few."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMES_TOLD} more" if len(ordered) > _NAMES_TOLD else ""
    return ", ".join(quoted(name) for name in ordered[:_NAMES_TOLD]) + more
