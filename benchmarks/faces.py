"""How many faces the detector finds, how exactly, and how fast.

    python -m benchmarks.faces PHOTOGRAPHS

PHOTOGRAPHS is a folder with the portraits that `face_labels.csv` names: 40 of the 874 of the
collection jforms/images (https://github.com/jforms/images, CC0), drawn at random, on which eyes and
corners of the mouth were marked by eye on enlarged pictures. Errors are parts of the distance
between the eyes.
"""

import statistics
import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from datasets import door
from datasets.faces import Mtcnn
from datasets.framing import upright
from datasets.progress import progress
from datasets.sources.folders import open_folder
from datasets.sources.landmarks import find_faces
from datasets.sources.source import Unclear

_LABELS = Path(__file__).with_name("face_labels.csv")
_EYES, _MOUTH = slice(0, 2), slice(2, 4)


@click.command()
@click.argument("photographs", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--all", "everything", is_flag=True, help="Look at those without labels, too.")
def main(photographs: Path, everything: bool) -> None:
    """Measure the face detector on PHOTOGRAPHS."""
    detector = Mtcnn()
    source = open_folder(photographs)
    found_labels = find_faces(source.names, str(photographs), _LABELS)
    nowhere = np.empty((0, 4, 2), np.float32)
    labels = [nowhere if isinstance(label, Unclear) else label for label in found_labels]
    items = [item for item, label in enumerate(labels) if everything or len(label)]
    detector.find(np.zeros((64, 64, 3), np.uint8))  # Loads the networks.
    counts: list[int] = []
    seconds: list[float] = []
    eyes: list[float] = []
    mouths: list[float] = []
    with progress("Finding faces", total=len(items), unit="pictures") as bar:
        for item in items:
            picture = upright(source.load(item), channels=3)
            start = time.perf_counter()
            found = detector.find(picture)
            seconds.append(time.perf_counter() - start)
            counts.append(len(found))
            if len(labels[item]) and len(found):
                eye, mouth = errors(found[0], labels[item][0])
                eyes.append(eye)
                mouths.append(mouth)
            bar.advance()
    versions = ", ".join(f"{name} {version}" for name, version in detector.versions.items())
    click.echo(f"{versions}; {len(items)} photographs")
    click.echo(
        f"found in {sum(count > 0 for count in counts)}, "
        f"several in {sum(count > 1 for count in counts)}"
    )
    for name, values in (("eyes", eyes), ("mouth", mouths)):
        click.echo(
            f"{name}: mean error {100 * statistics.mean(values):.1f} % of the eyes' distance, "
            f"worst of {len(values)} {100 * max(values):.1f} %"
        )
    click.echo(f"{statistics.median(seconds):.2f} s a picture, the median, in one thread")


def errors(found: NDArray[np.float32], label: NDArray[np.float32]) -> tuple[float, float]:
    """Give the mean distance of both eyes and of both corners of the mouth from their labels.

    Args:
        found: [4, 2].
        label: [4, 2].

    Returns:
        Parts of the distance between the labelled eyes.
    """
    apart = np.hypot(*(label[1] - label[0]))
    away = np.hypot(*(found - label).T) / apart
    return float(away[_EYES].mean()), float(away[_MOUTH].mean())


if __name__ == "__main__":
    door.run(main)
