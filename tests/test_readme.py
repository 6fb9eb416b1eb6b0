from pathlib import Path

import pytest
from PIL import Image

from tests.tools.making import write_model

README = Path(__file__).parents[1] / "README.md"


def test_the_example_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    write_model(Path("run/generator.safetensors"))
    example = README.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(example, str(README), "exec"), {})
    with Image.open("three.png") as picture:
        assert picture.size == (48, 16)
