import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasets import faces, index
from datasets.__main__ import datasets
from datasets.codecs import Choice
from datasets.errors import DatasetError, SourceLostError
from datasets.faces import Mtcnn
from datasets.framing import Framing, frame
from datasets.prepare import prepare
from datasets.pyramid import Dataset, Writer
from datasets.sources import Faces, Folder, Source, open_source
from datasets.sources.faces import FaceList
from datasets.sources.landmarks import find_faces
from datasets.sources.source import Unclear
from tests.datasets.conftest import Program
from tests.datasets.making import Pixels, file_bytes, noise

SIZE = 160
# Where faces may be, and how far apart their eyes are then.
PLACES = [(40, 50, 20), (110, 50, 24), (70, 115, 16)]
PHOTOGRAPHS = Path(
    os.environ.get(
        "PROGAN_PHOTOGRAPHS", Path(__file__).resolve().parents[3] / "shared" / "data" / "faces"
    )
)


def face_at(x: float, y: float, apart: float) -> NDArray[np.float32]:
    away = np.array([(-0.5, 0), (0.5, 0), (-0.4, 1.1), (0.4, 1.1)])
    return (np.array([x, y]) + apart * away).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Reader:
    """Finds the faces that the first pixels of a picture tell of, and counts the pictures."""

    count_in: Path
    stop_after: int = 10**9
    name: str = "reader"

    @property
    def versions(self) -> Mapping[str, str]:
        return {"reader": "1.2"}

    @property
    def looked_at(self) -> int:
        return self.count_in.stat().st_size if self.count_in.exists() else 0

    def find(self, picture: Pixels) -> NDArray[np.float32]:
        if self.looked_at >= self.stop_after:
            raise KeyboardInterrupt
        with self.count_in.open("ab") as file:
            file.write(b".")
        found = [face_at(*pixel) for pixel in picture[0, : len(PLACES)].tolist() if any(pixel)]
        return np.array(found, np.float32).reshape(-1, 4, 2)


def write_photograph(path: Path, number: int, *, people: int) -> None:
    pixels = noise(SIZE, SIZE, 3, seed=number)
    # The largest first, as detectors give them.
    told = sorted(PLACES[:people], key=lambda place: -place[2]) + [(0, 0, 0)] * len(PLACES)
    pixels[0, : len(PLACES)] = told[: len(PLACES)]
    path.write_bytes(file_bytes(pixels))


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    root = tmp_path / "photographs"
    root.mkdir()
    for number in range(16):
        write_photograph(root / f"{number:02d}.png", number, people=number % 4)
    (root / "damaged.png").write_bytes(b"words")
    return root


def with_a_brighter_copy(folder: Path) -> Path:
    """Eight photographs of two people each, and the first again, a little brighter."""
    root = folder / "photographs"
    root.mkdir()
    for number in range(8):
        write_photograph(root / f"{number}.png", number, people=2)
    brighter = np.asarray(Image.open(root / "0.png")).copy()
    brighter[1:] = np.minimum(brighter[1:] * 1.05, 255).astype(np.uint8)
    (root / "again.png").write_bytes(file_bytes(brighter))
    return root


def made(
    photographs: Path,
    path: Path,
    *,
    all_faces: bool = False,
    workers: int = 1,
    detector: Reader | None = None,
    landmarks: Path | None = None,
    group_by: re.Pattern[str] | None = None,
    seconds: float = 1e9,
    held_out: float = 0.2,
    drop_duplicates: bool = False,
    overwrite: bool = False,
    lost_from: int | None = None,
    resolution: int = 16,
    seed: int = 0,
    codec: Choice = "raw",
) -> Dataset:
    if detector is None and landmarks is None:
        detector = Reader(photographs.parent / "count")
    source = open_source(
        str(photographs),
        resolution=resolution,
        channels=3,
        seed=0,
        landmarks=landmarks,
        all_faces=all_faces,
    )
    if lost_from is not None:
        source = Unplugged(source, source.names, lost_from)
    return prepare(
        source,
        path,
        framing=Framing(resolution=resolution, crop="face"),
        codec=codec,
        source_name="photographs",
        held_out=held_out,
        seed=seed,
        workers=workers,
        detector=detector,
        all_faces=all_faces,
        group_by=group_by,
        seconds_between_checkpoints=seconds,
        drop_duplicates=drop_duplicates,
        overwrite=overwrite,
    ).dataset


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stop_appending_after(count: int, patch: pytest.MonkeyPatch) -> None:
    """Interrupt each time when so many rows are there."""
    usual = Writer.append

    def append(self: Writer, *arguments: object, **named: object) -> None:
        if len(self.entries) == count:
            raise KeyboardInterrupt
        usual(self, *arguments, **named)  # type: ignore[arg-type]

    patch.setattr(Writer, "append", append)


def skipped(dataset: Dataset) -> list[tuple[str, str]]:
    return index.read_skipped(dataset.path / "skipped.csv")


WITHOUT = [f"{number:02d}.png" for number in range(0, 16, 4)]


def test_the_largest_face_of_each_photograph(tmp_path: Path, photographs: Path) -> None:
    dataset = made(photographs, tmp_path / "d")
    assert sorted(dataset.names) == [f"{n:02d}.png" for n in range(16) if n % 4]
    assert skipped(dataset) == [
        *((name, "no face was found") for name in WITHOUT),
        ("damaged.png", "not a picture of a known format"),
    ]
    # The larger of two faces is the second place of all.
    for name in ("01.png", "02.png"):
        place = PLACES[0] if name == "01.png" else PLACES[1]
        expected = frame(
            (photographs / name).read_bytes(), Framing(resolution=16, crop="face"), face_at(*place)
        )
        assert np.array_equal(dataset.level(4)[dataset.names.index(name)], expected)
    assert dataset.description.choices == {"detector": "reader"}
    assert dataset.description.versions["reader"] == "1.2"
    assert dataset.verify() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["count", "d", "photographs"]


def test_every_face_is_a_row_and_everything_is_accounted_for(
    tmp_path: Path, photographs: Path
) -> None:
    dataset = made(photographs, tmp_path / "d", all_faces=True)
    expected = []
    for number in range(16):
        name = f"{number:02d}.png"
        expected += [name, f"{name}#2", f"{name}#3"][: number % 4]
    assert sorted(dataset.names) == sorted(expected)
    assert [name for name, _ in skipped(dataset)] == [*WITHOUT, "damaged.png"]
    for row, entry in enumerate(dataset.entries):
        name, mark, further = entry.name.partition("#")
        data = (photographs / name).read_bytes() + f"{mark}{further}".encode()
        assert entry.sha256 == hashlib.sha256(data).hexdigest()
        assert entry.duplicate_of is None, row
    assert dataset.description.choices["all_faces"] is True


def test_faces_of_a_photograph_and_of_a_group_are_held_out_together(
    tmp_path: Path, photographs: Path
) -> None:
    def sides(dataset: Dataset, pattern: str) -> list[set[str]]:
        groups: dict[str, set[str]] = {}
        for entry in dataset.entries:
            match = re.match(pattern, entry.name)
            assert match
            groups.setdefault(match[0], set()).add(entry.split)
        return list(groups.values())

    dataset = made(photographs, tmp_path / "d", all_faces=True, held_out=0.4)
    assert dataset.description.held_out >= 6
    assert all(len(splits) == 1 for splits in sides(dataset, r"\d\d\.png"))
    # Names end in .png for the pattern, although rows are called 02.png#2.
    dataset = made(
        photographs,
        tmp_path / "g",
        all_faces=True,
        held_out=0.5,
        group_by=re.compile(r"^\d(?=\d\.png$)"),
    )
    assert 0 < dataset.description.held_out < dataset.count
    assert all(len(splits) == 1 for splits in sides(dataset, r"\d"))


def test_copies_of_a_photograph_are_duplicates_face_by_face(tmp_path: Path) -> None:
    root = tmp_path / "photographs"
    root.mkdir()
    for number, people in enumerate((3, 2, 1, 1, 1)):
        write_photograph(root / f"{number}.png", number, people=people)
    (root / "copy.png").write_bytes((root / "0.png").read_bytes())
    dataset = made(root, tmp_path / "d", all_faces=True)
    for entry in dataset.entries:
        if entry.duplicate_of is not None:
            original = dataset.entries[entry.duplicate_of].name
            assert {original.partition("#")[0], entry.name.partition("#")[0]} == {
                "0.png",
                "copy.png",
            }
            assert original.partition("#")[2] == entry.name.partition("#")[2]
    assert sum(entry.duplicate_of is not None for entry in dataset.entries) == 3
    held_out = [entry.name for entry in dataset.entries if entry.split == "held-out"]
    assert not {"0.png", "copy.png"} & {name.partition("#")[0] for name in held_out}
    assert made(root, tmp_path / "e", all_faces=True, drop_duplicates=True).count == 8


def test_the_number_of_workers_changes_nothing(tmp_path: Path, photographs: Path) -> None:
    made(photographs, tmp_path / "one", all_faces=True, workers=1)
    made(photographs, tmp_path / "two", all_faces=True, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_interrupted_search_goes_on_where_it_was(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(photographs, tmp_path / "whole", all_faces=True)
    count = tmp_path / "count here"
    with pytest.raises(KeyboardInterrupt):
        made(
            photographs,
            tmp_path / "d",
            all_faces=True,
            detector=Reader(count, stop_after=9),
            seconds=0,
        )
    assert "Kept the faces of the first 9 pictures" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
    made(photographs, tmp_path / "d", all_faces=True, detector=Reader(count), seconds=0)
    assert "Going on after the faces of 9 of 17 pictures." in capsys.readouterr().err
    # Sixteen that can be read, none of them twice.
    assert count.stat().st_size == 16
    assert contents(tmp_path / "d") == contents(tmp_path / "whole")
    assert not list(tmp_path.glob(".*"))


def test_a_search_that_is_done_is_not_repeated_when_framing_was_interrupted(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(photographs, tmp_path / "whole")
    reader = Reader(tmp_path / "count here")
    with monkeypatch.context() as patch:
        stop_appending_after(5, patch)
        with pytest.raises(KeyboardInterrupt):
            made(photographs, tmp_path / "d", detector=reader, seconds=0)
    assert reader.looked_at == 16
    made(photographs, tmp_path / "d", detector=reader, seconds=0)
    assert reader.looked_at == 16
    assert contents(tmp_path / "d") == contents(tmp_path / "whole")
    assert not list(tmp_path.glob(".*"))


def test_coded_levels_keep_landmarks_and_near_duplicates_through_interruptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = with_a_brighter_copy(tmp_path)
    plain = made(root, tmp_path / "plain", all_faces=True, resolution=32)
    # So that the levels in which near duplicates are looked for are coded too.
    monkeypatch.setattr("datasets.codecs._SMALLEST_CODED", 16)

    def coded(path: Path, codec: Choice = "webp", *, overwrite: bool = False) -> Dataset:
        return made(
            root,
            path,
            codec=codec,
            all_faces=True,
            resolution=32,
            overwrite=overwrite,
            detector=Reader(tmp_path / "count here"),
            seconds=0,
        )

    with monkeypatch.context() as patch:
        stop_appending_after(5, patch)
        with pytest.raises(KeyboardInterrupt):
            coded(tmp_path / "d")
    with pytest.raises(DatasetError, match=r"begun with other --codec; repeat"):
        coded(tmp_path / "d", "jpeg")
    dataset = coded(tmp_path / "d")
    assert (tmp_path / "count here").stat().st_size == 9
    assert {"0016.bin", "0032.offsets.npy"} < set(contents(tmp_path / "d"))
    for name in ("index.csv", "landmarks.csv", "near-duplicates.csv", "0008.npy"):
        assert (dataset.path / name).read_bytes() == (plain.path / name).read_bytes()
    assert len(dataset.near_duplicates() or {}) == 2
    for level in plain.levels:
        assert np.array_equal(dataset.level(level)[:], plain.level(level)[:])
    assert dataset.verify() == []
    # All of its files are known as those of a dataset.
    assert contents(coded(tmp_path / "d", overwrite=True).path) == contents(tmp_path / "d")


@pytest.mark.parametrize("damage", ["flip", "cut", "header", "tail"])
def test_a_damaged_record_costs_work_and_nothing_else(
    tmp_path: Path, photographs: Path, damage: str
) -> None:
    made(photographs, tmp_path / "whole", all_faces=True)
    count = tmp_path / "count here"
    with pytest.raises(KeyboardInterrupt):
        made(
            photographs,
            tmp_path / "d",
            all_faces=True,
            detector=Reader(count, stop_after=9),
            seconds=0,
        )
    (record,) = tmp_path.glob(".*.unfinished/faces")
    data = bytearray(record.read_bytes())
    lines = data.splitlines(keepends=True)
    match damage:
        case "flip":
            # A place in the fifth photograph's line where a figure stands.
            data[sum(map(len, lines[:6])) + 20] ^= 1
        case "cut":
            del data[-10:]
        case "header":
            data[12] ^= 1
        case "tail":
            data += b"\0" * 50
    record.write_bytes(data)
    made(photographs, tmp_path / "d", all_faces=True, detector=Reader(count), seconds=0)
    assert contents(tmp_path / "d") == contents(tmp_path / "whole")
    expected = {"flip": 9 - 5, "cut": 1, "header": 9, "tail": 0}[damage]
    assert count.stat().st_size == 16 + expected
    assert not list(tmp_path.glob(".*"))


def test_what_another_command_left_behind_is_not_taken_over(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = tmp_path / "count here"
    with pytest.raises(KeyboardInterrupt):
        made(photographs, tmp_path / "d", detector=Reader(count, stop_after=9), seconds=0)
    capsys.readouterr()
    with pytest.raises(DatasetError, match=r"begun with other --all-faces; repeat"):
        made(photographs, tmp_path / "d", detector=Reader(count), all_faces=True)
    with pytest.raises(DatasetError, match=r"begun with other detector of faces; repeat"):
        made(photographs, tmp_path / "d", detector=Reader(count, name="another"))
    write_photograph(photographs / "00 new.png", 77, people=1)
    with pytest.raises(DatasetError, match=r"begun with other pictures in SOURCE; repeat"):
        made(photographs, tmp_path / "d", detector=Reader(count))
    assert "the same command" not in capsys.readouterr().err
    (photographs / "00 new.png").unlink()
    # Nothing was lost by the attempts, not even that it can be refused again.
    with pytest.raises(KeyboardInterrupt):
        made(photographs, tmp_path / "d", detector=Reader(count, stop_after=11), seconds=0)
    assert "Going on after the faces of 9 of 17 pictures." in capsys.readouterr().err
    write_photograph(photographs / "00 new.png", 77, people=1)
    reader = Reader(tmp_path / "count there")
    dataset = made(photographs, tmp_path / "d", detector=reader, overwrite=True)
    assert reader.looked_at == 17
    assert "00 new.png" in dataset.names
    assert not list(tmp_path.glob(".*"))


@dataclasses.dataclass(frozen=True)
class Unplugged(Source):
    """Photographs on a disk that is gone after some of them."""

    source: Source
    names: Sequence[str]
    first_lost: int

    def load(self, item: int) -> bytes | Pixels:
        if item >= self.first_lost:
            raise SourceLostError("photographs cannot be read; the same command goes on.")
        return self.source.load(item)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_is_gone_ends_the_search_and_what_was_found_is_kept(
    tmp_path: Path, photographs: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    count = tmp_path / "count here"
    with pytest.raises(SourceLostError, match="the same command goes on"):
        made(photographs, tmp_path / "d", detector=Reader(count), lost_from=7, workers=workers)
    assert "Kept the faces of the first 7 pictures in" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
    before = count.stat().st_size
    dataset = made(photographs, tmp_path / "d", detector=Reader(count))
    assert "Going on after the faces of 7 of 17 pictures." in capsys.readouterr().err
    assert count.stat().st_size == before + 9
    assert contents(dataset.path) == contents(made(photographs, tmp_path / "whole").path)


def test_files_that_were_damaged_since_cost_no_second_search(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(photographs, tmp_path / "whole")
    reader = Reader(tmp_path / "count here")
    with monkeypatch.context() as patch:
        stop_appending_after(5, patch)
        with pytest.raises(KeyboardInterrupt):
            made(photographs, tmp_path / "d", detector=reader, seconds=0)
    (level,) = tmp_path.glob(".*.unfinished/dataset/0008.npy")
    level.write_bytes(level.read_bytes()[:-1] + b"?")
    # Begun anew, and interrupted before there is a picture.
    with monkeypatch.context() as patch:
        stop_appending_after(0, patch)
        with pytest.raises(KeyboardInterrupt):
            made(photographs, tmp_path / "d", detector=reader, seconds=0)
    with pytest.raises(DatasetError, match=r"begun with other --all-faces; repeat"):
        made(photographs, tmp_path / "d", detector=reader, all_faces=True)
    made(photographs, tmp_path / "d", detector=reader, seconds=0)
    assert reader.looked_at == 16
    assert contents(tmp_path / "d") == contents(tmp_path / "whole")


def test_room_for_every_face_is_asked_for_when_they_are_known(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = (16 + 64 + 256) * 3
    usage = shutil.disk_usage(tmp_path)
    reader = Reader(tmp_path / "count here")

    def leave(pictures: int) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=pictures * each))

    leave(16)
    with pytest.raises(DatasetError, match="GB free"):
        made(photographs, tmp_path / "d", detector=reader)
    assert reader.looked_at == 0
    # Of 17 photographs, 4 have a second face and 4 a second and a third.
    leave(28)
    with pytest.raises(DatasetError, match="GB free"):
        made(photographs, tmp_path / "d", detector=reader, all_faces=True, seconds=0)
    assert reader.looked_at == 16
    leave(29)
    made(photographs, tmp_path / "d", detector=reader, all_faces=True, seconds=0)
    assert reader.looked_at == 16


def test_faces_of_a_photograph_and_near_duplicates_of_them_are_held_out_together(
    tmp_path: Path,
) -> None:
    root = with_a_brighter_copy(tmp_path)
    for seed in range(4):
        dataset = made(
            root, tmp_path / f"d{seed}", all_faces=True, held_out=0.6, seed=seed, resolution=32
        )
        near = dataset.near_duplicates()
        assert near is not None
        pairs = {frozenset((dataset.names[a], dataset.names[b])) for a, b in near.items()}
        assert pairs == {frozenset({"0.png", "again.png"}), frozenset({"0.png#2", "again.png#2"})}
        split = {entry.name: entry.split for entry in dataset.entries}
        assert len({split[name] for pair in pairs for name in pair}) == 1
        assert 0 < dataset.description.held_out < dataset.count


@pytest.mark.parametrize("all_faces", [False, True])
def test_the_landmarks_that_were_found_make_the_same_dataset_again(
    tmp_path: Path, photographs: Path, all_faces: bool
) -> None:
    found = made(photographs, tmp_path / "found", all_faces=all_faces)
    path = tmp_path / "found" / "landmarks.csv"
    told = made(photographs, tmp_path / "told", landmarks=path, all_faces=all_faces)
    assert told.fingerprint == found.fingerprint
    assert not (tmp_path / "told" / "landmarks.csv").exists()
    for name in ("0016.npy", "index.csv", "skipped.csv"):
        assert (tmp_path / "told" / name).read_bytes() == (tmp_path / "found" / name).read_bytes()


def test_corrected_landmarks_are_used_and_a_changed_file_is_noticed(
    tmp_path: Path, photographs: Path
) -> None:
    found = made(photographs, tmp_path / "found", all_faces=True)
    path = tmp_path / "found" / "landmarks.csv"
    lines = path.read_text().splitlines()
    # A face less, one more, and another place.
    lines = [line for line in lines if not line.startswith("03.png#3,")]
    lines.append("00.png,60,60,80,60,62,82,78,82")
    changed = [
        "03.png,70,60,90,60,72,82,88,82" if line.startswith("03.png,") else line for line in lines
    ]
    path.write_text("\n".join(changed) + "\n")
    assert found.verify() == [f"{path} is not as it was written."]
    told = made(photographs, tmp_path / "told", landmarks=path, all_faces=True)
    assert {*told.names} == {*found.names} - {"03.png#3"} | {"00.png"}
    row, before = told.names.index("03.png"), found.names.index("03.png")
    assert not np.array_equal(told.level(4)[row], found.level(4)[before])
    # Without --all-faces, the rows of further faces do not disturb the first.
    assert {*made(photographs, tmp_path / "one", landmarks=path).names} == {
        name for name in told.names if "#" not in name
    }


def known(faces: FaceList | Unclear) -> FaceList:
    assert not isinstance(faces, Unclear)
    return faces


def test_celebas_list_and_ffhqs_file_give_the_viewers_left_first(tmp_path: Path) -> None:
    celeba = tmp_path / "list_landmarks_celeba.txt"
    celeba.write_text(
        "1\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y "
        "leftmouth_x leftmouth_y rightmouth_x rightmouth_y\n"
        "000001.jpg 69 109 106 113 77 142 73 152 108 154\n"
    )
    names = ["000001.jpg", "000002.jpg"]
    first, second = map(known, find_faces(names, "photographs", celeba))
    assert first.tolist() == [[[69, 109], [106, 113], [73, 152], [108, 154]]]
    assert second.shape == (0, 4, 2)
    # Of 68 points, six around each eye and those with the numbers 48 and 54.
    marks = [[float(number), 2.0 * number] for number in range(68)]
    entry = {"file_path": "000001.png", "face_landmarks": marks}
    ffhq = tmp_path / "ffhq.json"
    ffhq.write_text(json.dumps({"0": {"image": entry, "in_the_wild": entry}}))
    ((face,),) = map(known, find_faces(["000001.png"], "photographs", ffhq))
    assert face.tolist() == [[38.5, 77.0], [44.5, 89.0], [48.0, 96.0], [54.0, 108.0]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,left_eye_x\n", "has no column left_eye_y"),
        ("HEADER\nother.jpg,1,2,3,4,5,6,7,8\n", "names no picture"),
        ("HEADER\n00.png,1,2,3,4,5,6,7,inf\n", "no numbers of pixels"),
        ("HEADER\n00.png,1,2,3,4,5,6,7,x\n", "no numbers of pixels"),
        ("HEADER\n00.png,1,2,3\n", "4 fields instead of 9"),
    ],
)
def test_wrong_landmarks_get_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    sides = [f"{side}_{part}" for part in ("eye", "mouth") for side in ("left", "right")]
    header = ",".join(["name", *(f"{side}_{axis}" for side in sides for axis in "xy")])
    path = tmp_path / "landmarks.csv"
    path.write_text(text.replace("HEADER", header))
    with pytest.raises(DatasetError, match=sentence):
        find_faces(["00.png"], "photographs", path)


def test_a_photograph_that_is_called_like_a_face_is_refused() -> None:
    source = Folder(Path("photographs"), ("a", "a#2"))
    two = np.zeros((2, 4, 2), np.float32)
    with pytest.raises(DatasetError, match="a#2 is the name of a photograph"):
        Faces(source, [two, two[:1]])
    assert Faces(source, [two[:1], two]).names == ["a", "a#2", "a#2#2"]


def test_without_the_packages_one_sentence_says_what_to_install(
    program: Program, tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    before = set(tmp_path.iterdir())
    words = ["prepare", photographs, tmp_path / "d", "--resolution", 16, "--crop", "face"]
    ended = program(datasets, *words)
    assert (ended.status, ended.out) == (1, "")
    assert "pip install mtcnn==" in ended.err
    assert "--landmarks" in ended.err
    assert ended.err.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_from_the_command_line(
    program: Program, tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "Mtcnn", lambda: Reader(tmp_path / "count"))
    words = ["prepare", photographs, tmp_path / "d", "--resolution", 16, "--crop", "face"]
    ended = program(datasets, *words, "--all-faces", "--workers", 1)
    assert ended.status == 0
    assert "24 pictures in" in ended.out
    assert "4 no face was found" in ended.out
    ended = program(datasets, "describe", tmp_path / "d")
    assert "all_faces yes, detector reader" in ended.out
    assert "reader 1.2" in ended.out
    ended = program(datasets, "verify", tmp_path / "d")
    assert ended.status == 0
    # A dataset with landmarks may be replaced like any other.
    ended = program(datasets, *words, "--workers", 1, "--overwrite")
    assert ended.status == 0
    assert "12 pictures in" in ended.out
    ended = program(datasets, "prepare", photographs, "e", "--resolution", 16, "--all-faces")
    assert ended.status == 2
    assert "--all-faces needs --crop face" in ended.err


def test_the_detectors_numbers_become_points_of_the_largest_face_first() -> None:
    # As the library gives them: box, confidence, five x, five y.
    small = [0, 10, 10, 20, 30, 0.99, 15, 25, 20, 16, 24, 20, 21, 25, 31, 32]
    large = [0, 50, 50, 90, 110, 0.91, 70, 110, 90, 75, 105, 80, 81, 95, 131, 132]
    broken = [0, 50, 50, 990, 990, 0.91, np.nan, 110, 90, 75, 105, 80, 81, 95, 131, 132]
    found = faces._largest_first(np.array([small, broken, large]), (2.0, 3.0))
    assert found.dtype == np.float32
    # Twice and three times as large, counted from the corner of the first pixel.
    assert found.tolist() == [
        [[140.5, 241.0], [220.5, 244.0], [150.5, 394.0], [210.5, 397.0]],
        [[30.5, 61.0], [50.5, 64.0], [32.5, 94.0], [48.5, 97.0]],
    ]


@pytest.fixture(scope="module")
def mtcnn() -> Mtcnn:
    for package in ("mtcnn", "tensorflow"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    return Mtcnn()


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 500), (39, 41), (41, 40), (40, 2000), (2000, 40), (64, 64), (3000, 3000)]
)
def test_pictures_of_any_size_without_a_face(mtcnn: Mtcnn, size: tuple[int, int]) -> None:
    grey = np.full((*size, 3), 128, np.uint8)
    assert mtcnn.find(grey).shape == (0, 4, 2)


def test_a_face_is_found_again_at_half_and_four_times_the_size(mtcnn: Mtcnn) -> None:
    paths = sorted(PHOTOGRAPHS.glob("*.jpg"))[:2]
    if not paths:
        pytest.skip("no photographs: name their folder in PROGAN_PHOTOGRAPHS")
    for path in paths:
        image = Image.open(path).convert("RGB")
        (face,) = mtcnn.find(np.asarray(image))
        left, right, left_corner, right_corner = face
        apart = right[0] - left[0]
        assert apart > 20
        assert left_corner[1] > left[1] + apart / 2
        assert right_corner[0] > left_corner[0]
        for factor in (0.5, 4):
            size = (round(image.width * factor), round(image.height * factor))
            again = mtcnn.find(np.asarray(image.resize(size, Image.Resampling.LANCZOS)))[0]
            scale = np.array(size) / np.array(image.size)
            moved = (again + 0.5) / scale - 0.5 - face
            assert np.abs(moved).max() < 0.12 * apart
