"""Finding faces: where the eyes and the corners of the mouth are in a photograph."""

import importlib.util
import os
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.errors import DatasetError

Pixels = NDArray[np.uint8]

# The versions that were measured. They are not in requirements-extras.txt, because TensorFlow takes
# more than a gigabyte.
_PINNED = ("mtcnn==1.0.0", "tensorflow==2.21.0")
# A photograph is reduced to this before a face is looked for, in pixels of the longer side: the
# places get no better with more, and a group of twenty still has faces of some fifty pixels.
_LONGEST = 1024
# Too little for the networks' pyramid of scales, and for any face that one could train on.
_SHORTEST = 40
# The numbers that the library gives for a face: the upper left corner, width and height of its box,
# then x of the left eye, right eye, nose, left and right corner of the mouth, then y of the same.
_NUMBERS = 16
_WIDTH, _HEIGHT = 3, 4
_X, _Y = [6, 7, 9, 10], [11, 12, 14, 15]


class Detector(Protocol):
    """Something that finds faces. It goes to worker processes, so it can be pickled."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the packages that the result depends on."""

    def find(self, picture: Pixels) -> NDArray[np.float32]:
        """Find the faces in a picture.

        Args:
            picture: [H, W, 3], upright, sRGB.

        Returns:
            [F, 4, 2], the largest face first: left eye, right eye, left and right corner of the
            mouth, as x and y in pixels, whose centres are whole numbers. Left is the viewer's.
        """


class Mtcnn:
    """The cascade of three networks of Zhang et al. 2016, by the package `mtcnn`.

    Its weights are a part of the package, so nothing is downloaded.
    """

    name = "mtcnn"

    def __init__(self) -> None:
        """Look for the packages, without importing them yet.

        Raises:
            DatasetError: they are not installed.
        """
        if not all(importlib.util.find_spec(package) for package in ("mtcnn", "tensorflow")):
            raise DatasetError(
                "Finding faces needs the packages mtcnn and tensorflow, which "
                f"pip install {' '.join(_PINNED)} installs; or give --landmarks FILE, which tells "
                "where the faces are."
            )
        self.versions: Mapping[str, str] = {
            "mtcnn": metadata.version("mtcnn"),
            "tensorflow": _tensorflow_version(),
        }

    def find(self, picture: Pixels) -> NDArray[np.float32]:
        """Find the faces in a picture."""
        height, width = picture.shape[:2]
        factor = min(1.0, _LONGEST / max(height, width))
        small = (max(1, round(width * factor)), max(1, round(height * factor)))
        if min(small) < _SHORTEST:
            return np.empty((0, 4, 2), np.float32)
        if small != (width, height):
            image = Image.fromarray(picture).resize(small, Image.Resampling.LANCZOS)
            picture = np.asarray(image)
        found = np.asarray(_networks().detect_faces(picture, output_type="numpy"), np.float64)
        return _largest_first(found.reshape(-1, _NUMBERS), (width / small[0], height / small[1]))


def _largest_first(found: NDArray[np.float64], scale: tuple[float, float]) -> NDArray[np.float32]:
    """Take the points out of the library's numbers [F, 16] and bring them to the picture's size."""
    found = found[np.isfinite(found).all(axis=1)]
    found = found[np.argsort(-found[:, _WIDTH] * found[:, _HEIGHT], kind="stable")]
    points = np.stack([found[:, _X], found[:, _Y]], axis=-1)
    # From centres of pixels to their corners, which is what reducing a picture scales, and back.
    return np.asarray((points + 0.5) * scale - 0.5, np.float32)


@lru_cache(maxsize=1)
def _networks() -> Any:
    # One in each process. The same sums in the same order everywhere, so that the result does not
    # depend on the number of processes: no GPU, one thread, and none of the kernels that say of
    # themselves that they round now so and now so.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow
    from mtcnn import MTCNN

    tensorflow.config.set_visible_devices([], "GPU")
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    return MTCNN(device="CPU:0")


def _tensorflow_version() -> str:
    # It is published under several names, such as tensorflow-cpu.
    for name in metadata.packages_distributions().get("tensorflow", ["tensorflow"]):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
