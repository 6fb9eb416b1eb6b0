"""Where faces are, from files that say it."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DatasetError
from datasets.names import plain
from datasets.sources.contradictions import TWO_THINGS, TwiceError, collect, fields_of
from datasets.sources.faces import FaceList
from datasets.sources.matching import find_all
from datasets.sources.source import Unclear
from datasets.sources.tables import read_table

# FFHQ's has 255 MB.
_MOST_BYTES = 2**30
# Farther away than any picture is wide.
_FARTHEST = 1e6
_COLUMNS = [
    f"{side}_{part}_{axis}"
    for part in ("eye", "mouth")
    for side in ("left", "right")
    for axis in "xy"
]
# Of the 68 points that dlib's detector gives, those around the eyes and the corners of the mouth.
_POINTS = 68
_LEFT_EYE, _RIGHT_EYE, _LEFT_CORNER, _RIGHT_CORNER = slice(36, 42), slice(42, 48), 48, 54
_WILD = "in-the-wild"
# Of a name that is shown.
_SHOWN = 100
# How further faces of a photograph are called, after `face_name`.
_FURTHER = re.compile(r"(.*)#([1-9][0-9]{0,5})", re.DOTALL)

Points = tuple[float, ...]


def find_faces(names: Sequence[str], source: str, path: Path) -> list[FaceList | Unclear]:
    """Tell where the faces in pictures are.

    A row named photo.jpg#2 is the second face of photo.jpg, if that has a row too. Two rows of one
    name with different points contradict each other: nobody knows which face is meant.

    Args:
        names: names of the pictures.
        source: how the source is called.
        path: CelebA's list of landmarks, FFHQ's JSON file, or a CSV file with the columns name,
            left_eye_x, left_eye_y, right_eye_x, right_eye_y, left_mouth_x, left_mouth_y,
            right_mouth_x and right_mouth_y: centres of the eyes and corners of the mouth, in pixels
            of the upright picture, left as seen.

    Returns:
        The faces of each picture, [F, 4, 2]: left eye, right eye, left and right corner of the
        mouth, as x and y; none for pictures that the file does not know, and `Unclear` for those of
        which it says two different things, of which a warning tells.

    Raises:
        DatasetError: the file cannot be read, is none of these, or knows none of the pictures.
    """
    if path.suffix.lower() == ".json":
        # FFHQ says where a face is in the photograph and where in the square cut out of it.
        wild = any(_WILD in place for place in (str(Path(source).resolve()), names[0]))
        rows = _read_ffhq(path, "in_the_wild" if wild else "image")
    else:
        rows = (
            (name, _points(row, f"{path}: the points of {name[:_SHOWN]}"))
            for name, row in read_table(path, _COLUMNS, names)
        )
    found = find_all(_faces(collect(rows), names), names, file=path, source=source)
    nowhere = np.empty((0, 4, 2), np.float32)
    return [
        nowhere
        if faces is None
        else faces
        if isinstance(faces, Unclear)
        else np.array(faces, np.float32).reshape(-1, 4, 2)
        for faces in found
    ]


def write_landmarks(path: Path, faces: Iterable[tuple[str, NDArray[np.float32]]]) -> None:
    """Write a CSV file that `find_faces` reads, to the last bit.

    Args:
        path: the file.
        faces: names of faces and their points, [4, 2].
    """
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *_COLUMNS])
        for name, points in faces:
            # The shortest text that is read as the same float32.
            writer.writerow([name, *(str(value) for value in points.ravel())])


def _faces(
    table: Mapping[str, Points | Unclear], names: Sequence[str]
) -> dict[str, list[Points] | Unclear]:
    """List the faces of each photograph: its own row, then those of its further faces in order."""
    photographs = {plain(name) for name in names}
    listed = {plain(name) for name in table}
    firsts: list[tuple[str, Points | Unclear]] = []
    further: dict[str, list[tuple[int, Points | Unclear]]] = {}
    for name, points in table.items():
        match = _FURTHER.fullmatch(plain(name))
        if match is not None and match[1] in listed and plain(name) not in photographs:
            further.setdefault(match[1], []).append((int(match[2]), points))
        else:
            firsts.append((name, points))
    return {
        name: _in_order([(1, points), *further.get(plain(name), [])]) for name, points in firsts
    }


def _in_order(faces: Sequence[tuple[int, Points | Unclear]]) -> list[Points] | Unclear:
    numbered = collect((str(number), points) for number, points in faces)
    found = []
    for number in sorted(numbered, key=int):
        points = numbered[number]
        if isinstance(points, Unclear):
            return TWO_THINGS
        found.append(points)
    return found


def _points(values: Sequence[object], what: str) -> Points:
    try:
        points = tuple(float(value) for value in values if isinstance(value, str | float | int))
    except (ValueError, OverflowError):
        points = ()
    if len(points) != len(values) or not all(abs(value) < _FARTHEST for value in points):
        raise DatasetError(f"{what} are no numbers of pixels.")
    return points


def _read_ffhq(path: Path, kind: str) -> Iterator[tuple[str, Points]]:
    for number, entry in _ffhq_entries(path):
        what = f"{path}: the points of picture {number[:_SHOWN]}"
        try:
            name, marks = entry[kind]["file_path"], entry[kind]["face_landmarks"]
            if len(marks) != _POINTS or not isinstance(name, str):
                raise ValueError(number)
            marks = np.array(marks, np.float64).reshape(_POINTS, 2)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise DatasetError(f"{what} are missing, or no points.") from None
        eyes = marks[_LEFT_EYE].mean(axis=0), marks[_RIGHT_EYE].mean(axis=0)
        four = np.concatenate([*eyes, marks[_LEFT_CORNER], marks[_RIGHT_CORNER]])
        yield name, _points(four.tolist(), what)


def _ffhq_entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Read `{"0": {…}, "1": {…}, …}` entry by entry: as a whole it would take gigabytes."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DatasetError(f"{path} is too large to be a file of landmarks.")
        text = path.read_text(encoding="utf-8-sig")
        decoder = json.JSONDecoder(object_pairs_hook=fields_of)
        place = _expect("{", text, 0)
        while True:
            key, place = decoder.raw_decode(text, _blank(text, place))
            entry, place = decoder.raw_decode(text, _blank(text, _expect(":", text, place)))
            yield str(key), entry
            place = _blank(text, place)
            if text[place : place + 1] == "}":
                return
            place = _expect(",", text, place)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from None
    except TwiceError as error:
        raise DatasetError(f"{path} is damaged: {error}.") from None
    except (ValueError, RecursionError):
        raise DatasetError(f"{path} is damaged, or no JSON file like FFHQ's.") from None


def _expect(sign: str, text: str, place: int) -> int:
    place = _blank(text, place)
    if text[place : place + 1] != sign:
        raise ValueError(place)
    return place + 1


def _blank(text: str, place: int) -> int:
    while text[place : place + 1].isspace():
        place += 1
    return place
