"""Progressive-growing GAN: networks that grow level by level, and how they learn.

    import progan
    generator = progan.load("generator.safetensors")
    images = generator(progan.random_latents(generator, seeds=[0, 1, 2]))

Nothing heavy is imported before it is used, so that a command line can answer `--help` at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from progan.checkpoint import ModelFile, load, read_model
    from progan.errors import ProganError
    from progan.latents import random_latents
    from progan.networks import Critic, Generator

__all__ = [
    "Critic",
    "Generator",
    "ModelFile",
    "ProganError",
    "load",
    "random_latents",
    "read_model",
]

_HOMES = {
    "Critic": "progan.networks",
    "Generator": "progan.networks",
    "ModelFile": "progan.checkpoint",
    "ProganError": "progan.errors",
    "load": "progan.checkpoint",
    "random_latents": "progan.latents",
    "read_model": "progan.checkpoint",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'progan' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, which are not there before they are asked for."""
    return sorted({*globals(), *__all__} - {"Any", "TYPE_CHECKING", "import_module"})
