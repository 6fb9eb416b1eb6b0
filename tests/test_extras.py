"""Optional packages: nothing needs them until it is asked for, and then a sentence names them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.dependencies import pins

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = pins(ROOT / "requirements-extras.txt")

# Tried one after the other in a process of its own, each with its package out of reach. In
# sys.modules, None is a module that cannot be found, by `import` as by `find_spec`.
PROBE = """
import importlib, json, pkgutil, sys
from pathlib import Path

imports = json.loads(sys.argv[1])
for name in imports.values():
    sys.modules[name] = None

import datasets, progan, tools, train
for package in (datasets, progan, tools):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
import datasets.__main__, tools.__main__

from datasets.errors import DatasetError, UnusableError
from datasets.formats.heif import read_heic
from datasets.faces import Mtcnn
from datasets.sources import open_source
from datasets.sources.parquet_columns import require_pyarrow
from progan.checkpoint import ModelFile
from progan.networks import Generator
from tools import exporting
from tools.memorization import approximate

def export():
    generator = Generator(resolution=8, fmap_base=16, fmap_max=4)
    exporting.export(ModelFile(generator=generator), Path("x.onnx"), {}, "", overwrite=False)

def opening(address):
    return lambda: open_source(address, resolution=4, channels=3, seed=0)

doors = {
    "fsspec": opening("s3://nobody/x.zip"),
    "aiohttp": opening("https://localhost:9/x.zip"),
    "faiss-cpu": approximate.need,
    "onnx": export, "onnxscript": export, "onnxruntime": export,
    "pillow-heif": lambda: read_heic(b""), "pyarrow": require_pyarrow,
    "mtcnn": Mtcnn, "tensorflow": Mtcnn,
}
said = {}
for extra, name in imports.items():
    for other in imports.values():
        sys.modules.pop(other, None)
    sys.modules[name] = None
    try:
        doors[extra]()
        said[extra] = "nothing"
    except KeyError:
        said[extra] = "no door is known"
    except (DatasetError, UnusableError) as error:
        said[extra] = str(error)
print(json.dumps(said))
"""
# What a package is imported as, where that is not its own name.
_IMPORTED = {"faiss-cpu": "faiss", "pillow-heif": "pillow_heif"}
# Needed only to find faces or to read Parquet files, and large.
_UNLISTED = tuple(name for name in ("mtcnn", "tensorflow", "pyarrow") if name not in EXTRAS)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    imports = {extra: _IMPORTED.get(extra, extra) for extra in (*EXTRAS, *_UNLISTED)}
    found = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(imports)],
        cwd=tmp_path_factory.mktemp("nowhere"),
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    answers: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return answers


@pytest.mark.parametrize("extra", [*EXTRAS, *_UNLISTED])
def test_a_missing_package_gives_the_line_that_installs_it(
    said: dict[str, str], extra: str
) -> None:
    assert "pip install" in said[extra], said[extra]
    words = said[extra].partition("pip install")[2].replace(",", " ").split()
    assert extra in [word.partition("==")[0].rstrip(".;") for word in words], said[extra]
    # A version that is named is the one that was tested.
    for word in words:
        name, _, version = word.partition("==")
        if version and name in EXTRAS:
            assert version.rstrip(".;") == EXTRAS[name]


def test_there_are_extras() -> None:
    assert len(EXTRAS) >= 6
