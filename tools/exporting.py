"""What `python -m tools export` writes: a generator that runs without this program.

ONNX for all the runtimes that read it; a `.pt2` of torch.export for PyTorch (TorchScript, which
came before, is deprecated). Both are made of the same traced program: the generator where it
stands, with weights that are already scaled, and any number of latents at once. The file is run
and compared with the generator before it lands.
"""

import copy
import importlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from datasets.errors import DatasetError
from datasets.progress import progress
from progan.checkpoint import ModelFile, read_model, save_model
from progan.convolution import plain_convolutions
from progan.labels import labels_of_seeds
from progan.latents import latents_of_seeds
from progan.layers import Scaled
from progan.networks import Generator
from progan.paths import in_utf8
from tools.drawing import agree, draw
from tools.outputs import landing_file

LATENTS, LABELS, IMAGES = "latents", "labels", "images"
# Of the images' largest number; what two orders of adding up float32 may differ by.
TOLERANCE = 1e-4
# One image is a case of its own to a tracer, and so is another number than it was traced with.
_TRACED, _TRIED = 2, (1, 2, 5)
# Seeds whose pictures a smaller model file must give again.
_COMPARED = range(64)
_PACKAGES = {"onnx": "1.23.2", "onnxscript": "0.7.2", "onnxruntime": "1.31.1"}


class _WithoutClasses(nn.Module):
    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.generator(latents)
        return images


class _WithClasses(nn.Module):
    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        images: Tensor = self.generator(latents, labels)
        return images


def export(
    model: ModelFile, out: Path, facts: Mapping[str, str], card: str, *, overwrite: bool
) -> float:
    """Write a generator for other programs, and its card beside it.

    Args:
        model: the generator, on the CPU.
        out: a name that ends in .onnx or .pt2; the card lies beside it, as
            `card_place` says.
        facts: short texts that an ONNX file carries within it.
        card: the card's text.
        overwrite: whether older files give way.

    Returns:
        The largest difference of a pixel between file and generator, as a part of the images'
        largest number.

    Raises:
        DatasetError: a place is taken, a package is missing, or the file does not give the
            generator's images.
    """
    onnx = out.suffix == ".onnx"
    needed = {name: _package(name) for name in _PACKAGES} if onnx else {}
    with (
        landing_file(card_place(out), overwrite=overwrite) as card_part,
        landing_file(out, overwrite=overwrite) as part,
        progress("Exporting", total=3, unit="steps") as bar,
    ):
        with _quiet():
            program = _traced(model.generator)
            bar.advance()
            if onnx:
                _write_onnx(program, part, facts, needed["onnx"])
            else:
                with part.open("wb") as file:
                    torch.export.save(program, file)
        bar.advance()
        difference = _difference(model.generator, part, needed.get("onnxruntime"))
        if not difference <= TOLERANCE:
            raise DatasetError(
                f"{out} was not written: its images would differ from the generator's by "
                f"{difference:.2g} of their largest number."
            )
        card_part.write_text(card, encoding="utf-8", errors="backslashreplace")
        bar.advance()
    return difference


def export_small(model: ModelFile, out: Path, card: str, *, overwrite: bool) -> None:
    """Write a model file of half the size, its numbers of 16 bits, and its card beside it.

    Args:
        model: the generator, on the CPU.
        out: a name that ends in .safetensors.
        card: the card's text.
        overwrite: whether older files give way.

    Raises:
        DatasetError: a place is taken, or the file would not give the generator's pictures.
    """
    with (
        landing_file(card_place(out), overwrite=overwrite) as card_part,
        landing_file(out, overwrite=overwrite) as part,
    ):
        save_model(
            part,
            model.generator,
            classes=model.classes,
            class_counts=model.class_counts,
            trained=model.trained,
            dtype=torch.float16,
        )
        points = latents_of_seeds(_COMPARED, model.generator.latent_size)
        labels = labels_of_seeds(_COMPARED, [1] * model.generator.label_size)
        again = read_model(part).generator
        if not agree(draw(model.generator, points, labels), draw(again, points, labels)):
            raise DatasetError(
                f"{out} was not written: with numbers of 16 bits, its pictures would differ from "
                "the generator's by more than a grey level."
            )
        card_part.write_text(card, encoding="utf-8", errors="backslashreplace")


def card_place(out: Path) -> Path:
    """Say where the card of an exported file goes: each file has one of its own."""
    return out.with_name(f"{out.name}.md")


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        wanted = " ".join(f"{package}=={version}" for package, version in _PACKAGES.items())
        raise DatasetError(
            f"export to ONNX needs the package {name}; install what it takes with: pip install "
            f"{wanted}"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the tracer says of its own inner life."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _traced(generator: Generator) -> torch.export.ExportedProgram:
    """Trace a generator where it stands, for any number of latents."""
    plain = copy.deepcopy(generator).cpu()
    taking_part = {id(each) for part in plain._active() for each in part.modules()}
    for parts in (plain.blocks, plain.to_rgb):
        for name in [name for name, part in parts.items() if id(part) not in taking_part]:
            del parts[name]
    with plain_convolutions():
        for layer in plain.modules():
            if isinstance(layer, Scaled):
                # Scaled once and for all; the weight that is learned is of no use any more.
                layer.shared = layer.working_weight().detach().contiguous()
                del layer.weight
    points = torch.from_numpy(latents_of_seeds(range(_TRACED), generator.latent_size))
    rows = {0: torch.export.Dim("rows")}
    if generator.label_size:
        labels = torch.zeros(_TRACED, dtype=torch.int64)
        program = torch.export.export(
            _WithClasses(plain).eval(),
            (points, labels),
            dynamic_shapes={LATENTS: rows, LABELS: rows},
        )
    else:
        program = torch.export.export(
            _WithoutClasses(plain).eval(), (points,), dynamic_shapes={LATENTS: rows}
        )
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                # Where on this machine the program's text lies is nobody else's business.
                node.meta.pop("stack_trace", None)
    return program


def _write_onnx(
    program: torch.export.ExportedProgram, path: Path, facts: Mapping[str, str], onnx: ModuleType
) -> None:
    inputs = [LATENTS, LABELS][: len(program.graph_signature.user_inputs)]
    made = torch.onnx.export(
        program, dynamo=True, input_names=inputs, output_names=[IMAGES], verbose=False
    )
    assert made is not None
    graph = made.model_proto
    _strip(graph)
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    # Whatever the tracer knew of sizes in between speaks of another name for N.
    del graph.graph.value_info[:]
    graph.graph.name = "generator"
    onnx.helper.set_model_props(graph, dict(facts))
    onnx.checker.check_model(graph, full_check=True)
    path.write_bytes(graph.SerializeToString(deterministic=True))


def _strip(message: Any) -> None:
    """Take away what the tracer noted on the way: names of its own, and of files."""
    del message.metadata_props[:]
    graph = message.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in message.functions:
        for part in (function, *function.node):
            del part.metadata_props[:]
            part.doc_string = ""


def _difference(generator: Generator, path: Path, onnxruntime: ModuleType | None) -> float:
    """Run a file that was written, and compare its images with the generator's."""
    worst = 0.0
    session, module = None, None
    with _quiet(), in_utf8(path) as name:
        if onnxruntime is not None:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            session = onnxruntime.InferenceSession(
                str(name), options, providers=["CPUExecutionProvider"]
            )
        else:
            with path.open("rb") as file:
                module = torch.export.load(file).module()
    for count in _TRIED:
        seeds = range(count)
        points = latents_of_seeds(seeds, generator.latent_size)
        labels = labels_of_seeds(seeds, [1] * generator.label_size)
        given = {LATENTS: points} if labels is None else {LATENTS: points, LABELS: labels}
        with torch.inference_mode():
            tensors = [torch.from_numpy(each) for each in given.values()]
            wanted = generator(*tensors).numpy()
            if module is not None:
                found = module(*tensors).numpy()
        if session is not None:
            (found,) = session.run([IMAGES], given)
        if found.shape != wanted.shape:
            return float("inf")
        worst = max(worst, float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())))
    return worst
