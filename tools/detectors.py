"""Feature networks: what metrics and neighbours see instead of pixels.

A detector is a TorchScript file, as the field publishes them; or the critic of a run, which needs
no download. A TorchScript file is a program, and to use it is to run it: one that is not known by
its hash is opened only where the user says that it is trusted. (A `.pt2` of torch.export would be
no better: torch.export.load unpickles, and in torch 2.13 falls back to weights_only=False.)
"""

import hashlib
import io
import os
import struct
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np
import torch
from numpy.typing import NDArray

from datasets import door
from datasets.errors import DatasetError
from datasets.framing import fit
from datasets.landing import landing
from datasets.progress import progress
from progan.devices import is_out_of_memory
from progan.runs import read_critic

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]

# The field's Inception (weights of 2015-12-05) as TorchScript: all published FIDs rest on it.
INCEPTION_ADDRESS = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    "inception-2015-12-05.pt"
)
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
INCEPTION_BYTES = 95_607_719
# Files that the field has published and many have looked at: of NVIDIA's stylegan2-ada-pytorch,
# pretrained/metrics/. Both hashes are those that several projects check their downloads against.
KNOWN_SHA256 = {
    INCEPTION_SHA256: "inception-2015-12-05.pt",
    "b437eb095feaeb0b83eb3fa11200ebca4548ee39a07fb944a417ddc516cc07c3": "vgg16.pt",
}
_PIECE = 2**18
_unoptimized = partial(torch.jit.optimized_execution, False)  # type: ignore[attr-defined]
_IMAGES_AT_ONCE = 64


class Detector(Protocol):
    """Something that sees features in images, each image by itself."""

    name: str
    """What it was called on the command line."""
    sha256: str
    """Hash of what it computes with."""

    def check(self, resolution: int, channels: int) -> None:
        """Raise DatasetError unless it sees images of this size and number of channels."""
        ...

    def features(self, images: Pixels) -> Features:
        """Give the features of images, uint8 [N, H, W, C] -> float32 [N, D]."""
        ...


def cache_folder() -> Path:
    """Give the folder for what can be made or fetched again: the user's cache."""
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "progan"


class ScriptDetector:
    """A TorchScript file that takes images [N, 3, H, W] and gives features [N, D].

    The field's networks are called with `return_features=True` and uint8 images; a file that knows
    no such argument is called with the images alone, and one that wants floats gets 0 … 255.

    Args:
        name: what it was called on the command line.
        path: the file.
        device: where to compute.
        perceptual: ask for the layers of perceptual similarity first, as the field's VGG16 file
            gives them: squared distances of these features are LPIPS.
        trust: open it whoever it is from.

    Raises:
        DatasetError: the file is not TorchScript, or is neither known nor trusted.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        device: torch.device,
        *,
        perceptual: bool = False,
        trust: bool = False,
    ) -> None:
        data = _bytes_of(path)
        self.name = name
        self.sha256 = hashlib.sha256(data).hexdigest()
        if not _holds_script(data):
            raise DatasetError(f"{path} is not a TorchScript file.")
        if not trust and self.sha256 not in KNOWN_SHA256:
            raise DatasetError(
                f"{path} is a program, which would run here with all your rights, and it is none "
                "of those that are known: if you trust where it is from, give --trust"
            )
        self._device = device
        self._perceptual = perceptual
        try:
            load: Callable[..., Any] = torch.jit.load
            # From the bytes that were hashed: the file may be another one by now.
            self._network = load(io.BytesIO(data), map_location=device)
        except (RuntimeError, ValueError) as error:
            # What torch says after its first sentence is about files that it has written itself.
            reason = str(error).strip().splitlines()[0].partition(". ")[0].rstrip(".")
            raise DatasetError(f"{path} is not a TorchScript file ({reason}).") from None
        self._call: tuple[dict[str, Any], torch.dtype] | None = None

    def check(self, resolution: int, channels: int) -> None:
        """Raise DatasetError unless it sees images of this size: run it on two black ones."""
        self._some(np.zeros((2, resolution, resolution, channels), np.uint8))

    def features(self, images: Pixels) -> Features:
        """Give the features of images, uint8 [N, H, W, C] -> float32 [N, D]."""
        found = [
            self._some(images[start : start + _IMAGES_AT_ONCE])
            for start in range(0, len(images), _IMAGES_AT_ONCE)
        ]
        return np.concatenate(found)

    def _some(self, images: Pixels) -> Features:
        pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, 3, 1))).to(self._device)
        pixels = pixels.expand(-1, 3, -1, -1)  # grey as colour
        perceptual = {"resize_images": False, "return_lpips": True}
        ways = [self._call] if self._call else [
            *([(perceptual, torch.uint8)] if self._perceptual else []),
            ({"return_features": True}, torch.uint8),
            ({}, torch.uint8),
            ({"return_features": True}, torch.float32),
            ({}, torch.float32),
        ]  # fmt: skip
        reason = ""
        for options, dtype in ways:
            try:
                # Optimizing old files at run time is slow at first, and is known to fail on GPUs.
                with torch.inference_mode(), _unoptimized():
                    found = self._network(pixels.to(dtype), **options)
            except (RuntimeError, TypeError, NotImplementedError) as error:
                if isinstance(error, RuntimeError) and is_out_of_memory(error):
                    raise DatasetError(
                        f"{self._device} has not enough free memory for {self.name}: end what else "
                        "uses it."
                    ) from None
                reason = str(error).strip().splitlines()[-1]
                continue
            if not isinstance(found, torch.Tensor) or found.shape[:1] != pixels.shape[:1]:
                reason = "it gives no tensor with one row an image"
                continue
            self._call = options, dtype
            return found.flatten(1).float().cpu().numpy()
        raise DatasetError(f"{self.name} cannot be used as a detector: {reason}.")


class CriticDetector:
    """A run's trained critic: the means of its features at every size, before the last block.

    (What a critic has learned tells its own training images from its generator's; another run's
    critic makes the fairer judge.)
    """

    def __init__(self, name: str, run: Path, device: torch.device) -> None:
        self.name = name
        self._device = device
        critic = read_critic(run, door.warn)
        digest = hashlib.sha256(f"{critic.level} {critic.fade}".encode())
        for weights in critic.parameters():
            digest.update(weights.numpy().tobytes())
        self.sha256 = digest.hexdigest()
        self._critic = critic.to(device)

    @property
    def side(self) -> int:
        """Height and width of the images that it judges, in pixels."""
        return int(2**self._critic.level)

    def check(self, resolution: int, channels: int) -> None:
        """Raise DatasetError if images are smaller than the critic's, or have other channels."""
        size = self.side
        if resolution < size or channels != self._critic.num_channels:
            raise DatasetError(
                f"{self.name} judges images of {size}×{size} pixels and "
                f"{self._critic.num_channels} channels, not of {resolution}×{resolution} and "
                f"{channels}."
            )

    def features(self, images: Pixels) -> Features:
        """Give the features of images, uint8 [N, H, W, C] -> float32 [N, D].

        Raises:
            DatasetError: the images are smaller than the critic's, or have other channels.
        """
        self.check(images.shape[1], images.shape[3])
        size = self.side
        small = np.stack([fit(image, size) for image in images])
        found = []
        for start in range(0, len(small), _IMAGES_AT_ONCE):
            part = np.ascontiguousarray(np.moveaxis(small[start : start + _IMAGES_AT_ONCE], 3, 1))
            pixels = torch.from_numpy(part).to(self._device).float() / 127.5 - 1
            with torch.inference_mode():
                maps = self._critic.activations(pixels)
                found.append(torch.cat([m.mean(dim=(2, 3)) for m in maps], dim=1).cpu().numpy())
        return np.concatenate(found)


def open_detector(text: str, device: torch.device, *, trust: bool = False) -> Detector:
    """Find the detector that `--detector` means.

    Args:
        text: `inception`, `critic:RUN`, or the path of a TorchScript file.
        device: where to compute.
        trust: open a file whoever it is from.

    Raises:
        DatasetError: there is none, or it cannot be had.
    """
    if text == "inception":
        # What was fetched or found in the cache has the hash that it must have.
        return ScriptDetector(text, fetch_inception(), device, trust=True)
    if text.startswith("critic:"):
        return CriticDetector(text, Path(text.removeprefix("critic:")), device)
    path = Path(text)
    if not path.is_file():
        raise DatasetError(
            f"there is no detector {text}: give inception, critic:RUN or a TorchScript file"
        )
    return ScriptDetector(text, path, device, trust=trust)


def fetch_inception() -> Path:
    """Give the field's Inception network from the user's cache, downloading it once.

    Raises:
        DatasetError: it cannot be downloaded, or is not what it should be.
    """
    path = cache_folder() / "detectors" / "inception-2015-12-05.pt"
    if path.is_file():
        if hashlib.sha256(_bytes_of(path)).hexdigest() == INCEPTION_SHA256:
            return path
        click.echo(f"{path} is damaged; it is downloaded again.", err=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    click.echo(f"Downloading {INCEPTION_ADDRESS} to {path}", err=True)
    with landing(path, overwrite=True) as part:
        try:
            digest = _download(INCEPTION_ADDRESS, part)
        except (urllib.error.URLError, OSError, TimeoutError) as error:
            reason = getattr(error, "reason", None) or error
            raise DatasetError(
                f"the Inception network cannot be downloaded ({reason}). Download "
                f"{INCEPTION_ADDRESS} where there is a network and put it at {path}, or take "
                "another --detector"
            ) from None
        if digest != INCEPTION_SHA256:
            raise DatasetError(
                f"{INCEPTION_ADDRESS} is not what it should be: its sha256 is {digest} instead "
                f"of {INCEPTION_SHA256}"
            )
    return path


def _download(address: str, path: Path) -> str:
    """Download a file of the expected length at most; gives its sha256."""
    digest = hashlib.sha256()
    with (
        urllib.request.urlopen(address, timeout=30) as answer,
        path.open("wb") as file,
        progress("Downloading", total=INCEPTION_BYTES >> 20, unit="MiB") as bar,
    ):
        done = 0
        while piece := answer.read(min(_PIECE, INCEPTION_BYTES + 1 - done)):
            file.write(piece)
            digest.update(piece)
            bar.advance((done + len(piece) >> 20) - (done >> 20))
            done += len(piece)
    return digest.hexdigest()


def _bytes_of(path: Path) -> bytes:
    if path.stat().st_size > 2**32:
        raise DatasetError(f"{path} has more than 4 GiB: too much for a detector.")
    return path.read_bytes()


def _holds_script(data: bytes) -> bool:
    """Say whether a file is laid out as TorchScript is, without running anything of it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, struct.error):
        return False
    return "data.pkl" in names and "constants.pkl" in names
