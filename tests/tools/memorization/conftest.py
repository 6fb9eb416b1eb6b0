import pytest

from datasets.framing import Framing
from datasets.prepare import prepare
from datasets.pyramid import Dataset
from datasets.sources import open_source


@pytest.fixture(scope="session")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A hundred and sixty drawn faces of 32 pixels, twenty-four held out. Not to be changed."""
    path = tmp_path_factory.mktemp("portraits") / "dataset"
    prepare(
        open_source("drawn:160", resolution=32, channels=3, seed=0),
        path,
        framing=Framing(resolution=32),
        source_name="drawn:160",
        held_out=0.15,
        seed=0,
        workers=1,
    )
    return Dataset.open(path)
