"""Run state and model files on disk: safetensors, written whole or not at all, with a checksum.

Nothing here is a pickle: reading a file never runs code from it, and what a file says of itself is
checked against the tensors that it really holds before any memory is given to it.
"""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from progan import sealed
from progan.errors import DamagedFile, ProganError
from progan.growth import FIRST_LEVEL
from progan.networks import Generator
from progan.paths import in_utf8

MODEL_NAME = "generator.safetensors"
# Version 1 had no checksum.
_FORMAT_VERSION = 2
# What a checkpoint says of its run. It must come after the checksum in the order of letters.
_RUN = "run"


def write_atomically(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors and a JSON object as one file that is there whole or not at all.

    Raises:
        OSError: the disk is full, or the folder cannot be written; an older file stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        sealed.write(part, tensors, metadata)
        part.replace(path)
    except OSError as error:
        if error.filename in (None, str(part)):
            # The user knows the file by its final name.
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        part.unlink(missing_ok=True)
    _sync(path.parent)


def clear_parts(folder: Path) -> None:
    """Remove what processes left in a folder that were killed while they wrote.

    Nobody else may be writing there.
    """
    # An earlier version wrote through a library whose half files have names of that second kind.
    for pattern in (".*.safetensors.*.part", ".tmp??????"):
        for part in folder.glob(pattern):
            if part.is_file():
                part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make sure that a change of names outlives a loss of power."""
    if os.name == "nt":
        return  # Windows neither needs nor allows this.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `write_atomically` wrote.

    Raises:
        DamagedFile: it is not such a file, or is damaged.
        ProganError: there is none, or a later version of this program wrote it.
    """
    if not path.is_file():
        raise ProganError(f"there is no file {path}")
    with _opened(path) as file:
        metadata = _metadata(file)
        if isinstance(metadata, dict) and sealed.has_checksum(metadata):
            sealed.check(path, metadata)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if not isinstance(metadata, dict) or metadata.get("kind") != kind:
        raise DamagedFile(f"{path} is not a {kind} of this program")
    version = metadata.get("format_version")
    if version not in (1, _FORMAT_VERSION):
        raise ProganError(
            f"{path} has format version {version!r}; this program reads 1 and {_FORMAT_VERSION}"
        )
    if version == _FORMAT_VERSION and not sealed.has_checksum(metadata):
        raise DamagedFile(f"{path} is damaged (its checksum is missing)")
    return tensors, metadata


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file; `DamagedFile` where it is none."""
    with _readable(path), in_utf8(path) as name, safe_open(name, framework="pt") as file:
        yield file


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into a sentence."""
    try:
        yield
    except (SafetensorError, ValueError, RecursionError) as error:
        raise DamagedFile(
            f"{path} is damaged or not a safetensors file ({str(error)[:200]})"
        ) from None
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedFile(f"{path} is damaged: the disk cannot read it any more") from None


def _metadata(file: Any) -> Any:
    """Read the JSON value that an open safetensors file holds of this program's."""
    return json.loads((file.metadata() or {}).get(sealed.METADATA_KEY, "null"))


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A generator and what its file says about it.

    Attributes:
        generator: standing at the file's level and fade, for inference.
        classes: names of the classes; empty without.
        class_counts: how many training images of each class there were; where nobody says, each
            class counts the same. Empty without classes.
        trained: how it was trained: configuration, images shown, dataset; JSON values.
    """

    generator: Generator
    classes: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()
    trained: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.class_counts:
            object.__setattr__(self, "class_counts", (1,) * self.generator.label_size)


def save_model(
    path: Path,
    generator: Generator,
    *,
    classes: tuple[str, ...] = (),
    class_counts: tuple[int, ...] = (),
    trained: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a generator as a model file.

    Levels that it has not reached are left out: the file's generator has its own level on top.

    Args:
        path: where to write; an existing file is replaced when the new one is whole.
        generator: standing at some level and fade.
        classes: names of its classes.
        class_counts: how many training images of each class there were; empty where unknown.
        trained: how it was trained, JSON values.
        dtype: of the numbers in the file; they are read as float32 whatever it is.

    Raises:
        OSError: the file cannot be written.
    """
    levels = {str(level) for level in range(FIRST_LEVEL, generator.level + 1)}
    tensors = {
        name: tensor.to(dtype)
        for name, tensor in generator.state_dict().items()
        if name.split(".")[1] in levels
    }
    metadata = {
        "kind": "model file",
        "format_version": _FORMAT_VERSION,
        "architecture": generator.architecture | {"resolution": 2**generator.level},
        "level": generator.level,
        "fade": generator.fade,
        "classes": list(classes),
        "class_counts": list(class_counts),
        "trained": dict(trained or {}),
    }
    write_atomically(path, tensors, metadata)


def find_model(path: Path | str) -> Path:
    """Give the model file that MODEL means: the file itself, or a run directory's newest average.

    Raises:
        ProganError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / MODEL_NAME).is_file():
            raise ProganError(
                f"{path} holds no {MODEL_NAME}: it is not a run directory, or its training has "
                "not written a checkpoint yet"
            )
        return path / MODEL_NAME
    if not path.is_file():
        raise ProganError(f"there is no model file or run directory {path}")
    return path


def read_model(path: Path | str, device: torch.device | str = "cpu") -> ModelFile:
    """Read a model file, or a run directory's newest average generator.

    Args:
        path: a `.safetensors` model file or a run directory.
        device: where the generator is put.

    Raises:
        ProganError: there is none, or the file is damaged or not a model file.
    """
    path = find_model(path)
    tensors, metadata = _read(path, "model file")
    try:
        # On the meta device a network has shapes and no memory: a file that claims a giant costs
        # nothing until its tensors are found to be there.
        with torch.device("meta"):
            generator = Generator(**metadata["architecture"])
        expected = {name: tensor.shape for name, tensor in generator.state_dict().items()}
        found = {name: tensor.shape for name, tensor in tensors.items()}
        if expected != found:
            raise ValueError("its tensors are not those of its architecture")
        if any(not tensor.is_floating_point() for tensor in tensors.values()):
            raise ValueError("its weights are not floating-point numbers")
        generator.load_state_dict({k: t.float() for k, t in tensors.items()}, assign=True)
        generator.stand(metadata["level"], metadata["fade"])
        classes = tuple(str(name) for name in metadata["classes"])
        if len(classes) not in (0, generator.label_size) or len(set(classes)) < len(classes):
            raise ValueError("it does not name each of its classes")
        class_counts = _class_counts(metadata, generator.label_size)
        trained = dict(metadata["trained"])
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        # What torch says after its first line is about its own inner life.
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ProganError(f"{path} is not a usable model file: {reason}") from None
    generator.requires_grad_(False).eval().to(device)
    return ModelFile(
        generator=generator, classes=classes, class_counts=class_counts, trained=trained
    )


def _class_counts(metadata: Mapping[str, Any], label_size: int) -> tuple[int, ...]:
    """Read how many training images of each class there were, if the file says."""
    counts = metadata.get("class_counts", [])
    if len(counts) not in (0, label_size):
        raise ValueError("it does not count each of its classes")
    if not all(type(count) is int and 0 <= count < 2**40 for count in counts):
        raise ValueError("its classes have impossible numbers of images")
    if counts and (sum(counts) == 0 or sum(counts) >= 2**62):
        raise ValueError("its classes have no images")
    return tuple(counts)


def load(path: Path | str, device: torch.device | str = "cpu") -> Generator:
    """Read a generator for inference from a model file or a run directory.

    Args:
        path: a `.safetensors` model file or a run directory.
        device: where the generator is put.

    Raises:
        ProganError: there is none, or the file is damaged or not a model file.
    """
    return read_model(path, device).generator


class Checkpoints:
    """The newest few states of a run, and milestones, in a folder of their own.

    Args:
        folder: the folder, made if it is missing.
        keep: how many of the newest to keep.
        milestone_kimg: thousand images between two states that are kept for ever, as milestones
            of the run's history; None for none.

    Attributes:
        open_since: images shown after which states are not known to be sound yet, so that the
            newest two from before are kept, too; None where nobody judges.
    """

    def __init__(self, folder: Path, *, keep: int = 3, milestone_kimg: float | None = None) -> None:
        self.folder = folder
        self.keep = keep
        self.milestone_kimg = milestone_kimg
        self.open_since: int | None = None

    def all(self) -> list[Path]:
        """List the checkpoints, the oldest first."""
        return sorted(self.folder.glob("[0-9]" * 12 + ".safetensors"))

    def path(self, nimg: int) -> Path:
        """Give the place of the state after so many images, whether it is there or not."""
        return self.folder / f"{nimg:012d}.safetensors"

    def save(
        self, tensors: Mapping[str, Tensor], nimg: int, run: Mapping[str, Any] | None = None
    ) -> Path:
        """Write a state and remove the oldest ones.

        Args:
            tensors: the state.
            nimg: images shown.
            run: what the run says of itself, JSON values, for when config.json is lost.

        Raises:
            OSError: it cannot be written; the older ones stay.
        """
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            _sync(self.folder.parent)  # its own name is to outlast a power cut, too
        path = self.path(nimg)
        metadata = {"kind": "checkpoint", "format_version": _FORMAT_VERSION, "nimg": nimg}
        write_atomically(path, tensors, metadata | ({} if run is None else {_RUN: dict(run)}))
        older = self.all()
        kept = self._milestones(older)
        if self.open_since is not None:
            kept |= set([p for p in older if int(p.stem) <= self.open_since][-2:])
        for old in older[: -self.keep]:
            if old not in kept:
                old.unlink()
        return path

    def rename(self, paths: Sequence[Path], ending: str) -> None:
        """Give states a longer name that nothing reads, in this order, to outlast a power cut."""
        for path in paths:
            path.rename(path.with_name(path.name + ending))
        if paths:
            _sync(self.folder)

    def _milestones(self, paths: list[Path]) -> set[Path]:
        """Choose the first state in every stretch of `milestone_kimg`."""
        if self.milestone_kimg is None:
            return set()
        length = max(1, round(1000 * self.milestone_kimg))
        first: dict[int, Path] = {}
        for path in paths:
            first.setdefault(int(path.stem) // length, path)
        return set(first.values())

    def newest(
        self, warn: Callable[[str], None] | None = None, *, only_read: bool = False
    ) -> tuple[dict[str, Tensor], int] | None:
        """Read the newest state that is sound: tensors and images shown; None where there is none.

        Args:
            warn: takes a sentence for each newer state that is damaged, which is then set aside:
                renamed, for the user to look at and remove. Without `warn`, nothing is renamed.
            only_read: rename nothing in any case; the run may be somebody else's.

        Raises:
            ProganError: all are damaged, and stay where they are; or a later version of this
                program wrote the newest one.
        """
        damaged: list[tuple[Path, DamagedFile]] = []
        for path in reversed(self.all()):
            try:
                found = self.read(path)
            except DamagedFile as error:
                damaged.append((path, error))
                continue
            if warn is not None:
                for bad, why in damaged:
                    aside = "" if only_read else f"It is set aside as {set_aside(bad).name}, and "
                    warn(f"{why}. {aside}{path.name} takes its place.")
            return found
        if damaged:
            first = damaged[0][1]
            if len(damaged) == 1:
                raise ProganError(
                    f"{first}, and there is no other checkpoint: put it back from a copy, or begin "
                    "another run"
                )
            raise ProganError(
                f"all {len(damaged)} checkpoints in {self.folder} are damaged; of the newest: "
                f"{first}. Put one back from a copy, or begin another run"
            )
        return None

    def sound(self, warn: Callable[[str], None]) -> list[Path]:
        """List the checkpoints that can be read, the oldest first; reads all of each.

        Args:
            warn: takes a sentence for each that is damaged; it stays where it is.

        Raises:
            ProganError: a later version of this program wrote one.
        """
        found = []
        for path in self.all():
            try:
                self.read(path)
            except DamagedFile as error:
                warn(f"{error}. It is left out.")
            else:
                found.append(path)
        return found

    @staticmethod
    def read(path: Path) -> tuple[dict[str, Tensor], int]:
        """Read a state: tensors and images shown.

        Raises:
            DamagedFile: the checkpoint is damaged.
            ProganError: a later version of this program wrote it.
        """
        tensors, metadata = _read(path, "checkpoint")
        nimg = metadata.get("nimg")
        if not isinstance(nimg, int) or nimg < 0:
            raise DamagedFile(f"{path} does not say how many images were shown")
        return tensors, nimg

    @staticmethod
    def said(path: Path) -> Any:
        """Give what `save` was given as `run`; None where it was nothing.

        Only the file's beginning is read, and not compared with its checksum.

        Raises:
            DamagedFile: it is not such a file.
        """
        with _opened(path) as file:
            metadata = _metadata(file)
        return metadata.get(_RUN) if isinstance(metadata, dict) else None


def set_aside(path: Path) -> Path:
    """Give a damaged file of a run a name that nothing reads; the new name is returned."""
    aside = path.with_name(f"{path.name}.damaged")
    number = 2
    while aside.exists():
        aside = path.with_name(f"{path.name}.damaged-{number}")
        number += 1
    path.rename(aside)
    _sync(path.parent)
    return aside
