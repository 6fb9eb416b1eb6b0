"""Names as other systems and programs write them, in archives and in tables."""

import json
import re
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DatasetError
from datasets.index import group_names
from datasets.names import caseless, plain
from datasets.sources.contradictions import TWO_THINGS, collect
from datasets.sources.landmarks import find_faces, write_landmarks
from datasets.sources.matching import match
from datasets.sources.source import Unclear
from datasets.sources.tables import read_table
from tests.datasets.making import noise
from tests.datasets.sources import making
from tests.datasets.sources.conftest import Prepare
from tests.datasets.sources.making import Member, opened, zip_of

PNG = making.png(noise(8, 8, 3))
# One letter with its accent, and the letter with the accent behind it.
ONE, TWO = "Zo\u00eb.png", "Zoe\u0308.png"


def classes(place: Path, which: str) -> dict[str, str | None]:
    """The class of every picture that a source has; None for those without."""
    source = opened(place, which)
    found: dict[str, str | None] = {}
    for item, name in enumerate(source.names):
        try:
            found[name] = source.class_of(item)
        except Exception as error:
            found[name] = f"! {error}"
    return found


def folder_of(place: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(making.png(noise(8, 8, 3, seed=number)))
    return place


def test_the_form_in_which_names_are_compared() -> None:
    assert plain("a\\b\\1.png") == plain("./a//b/1.png") == plain("/a/b/1.png ") == "a/b/1.png"
    assert plain(TWO) == plain(f" {ONE}\t") == plain(f"\ufeff{ONE}") == ONE
    assert plain("../a/./1.png") == "../a/1.png"
    assert plain("A.PNG") != plain("a.png")
    assert caseless(plain("STRASSE.PNG")) == caseless(plain("Straße.png"))
    # Bytes that are no UTF-8, which Python keeps as halves of characters: é in Windows' Western.
    assert plain(b"Caf\xe9.png".decode("utf-8", "surrogateescape")) == "Café.png"
    assert plain("\ud800.png") == "\ud800.png"
    # Ligatures and the like are other names: nothing is lost that tells files apart.
    assert plain("ﬁ.png") == "ﬁ.png"


def test_matching_goes_from_the_same_to_the_similar() -> None:
    assert match({ONE: "x"}, [TWO, "b.png"]) == ["x", None]
    assert match({"a\\1.png": "x"}, ["a/1.png", "b/1.png"]) == ["x", None]
    assert match({"IMG_1.JPG": "x", "b.png": "y"}, ["img_1.jpg", "b.png"]) == ["x", "y"]
    assert match({"in\\IMG_1.JPG": "x"}, ["elsewhere/img_1.png"]) == ["x"]
    # Capital letters only where nothing else has that name.
    assert match({"a.png": "x"}, ["a.png", "A.png"]) == ["x", None]
    assert match({"a.PNG": "x", "a.Png": "y"}, ["a.png"]) == [None]
    assert match({"a.PNG": "x", "a.png": "y"}, ["a.png"]) == ["y"]


def test_files_whose_names_become_the_same_stay_apart() -> None:
    assert match({ONE: "x", TWO: "y"}, [ONE, TWO]) == ["x", "y"]
    assert match({ONE: "x"}, [ONE, TWO]) == ["x", None]
    assert match({" 1.png": "x", "1.png": "y"}, ["1.png", " 1.png"]) == ["y", "x"]
    # One file, and two rows that both mean it.
    assert match({ONE: "x", TWO: "y"}, [TWO]) == [TWO_THINGS]
    assert match({ONE: "x", TWO: "x"}, [TWO]) == ["x"]


TABLES = {
    "blanks": "name, class\n0.png , a\n 1.png,a\n2.png, b \n",
    "class first": "class,name\na,0.png\na,1.png\nb,2.png\n",
    "more columns": "row,name,sha256,class\n2,0.png,x,a\n1,1.png,x,a\n0,2.png,x,b\n",
    "semicolons": "Name;Class\n0.png;a\n1.png;a\n2.png;b\n",
    "a comma and semicolons": "name;class;note, if any\n0.png;a;\n1.png;a;\n2.png;b;x, y\n",
    "tabs": "name\tclass\n0.png\ta\n1.png\ta\n2.png\tb\n",
    "spreadsheet": "sep=;\r\nname;class\r\n0.png;a\r\n1.png;a\r\n2.png;b\r\n;\r\n",
    "a list": "3\nclass\n0.png a\n1.png   a\n2.png b\n",
    "a list that names its first column": "name class\n0.png a\n1.png a\n2.png b\n",
    "backslashes": "name,class\n.\\0.png,a\n.\\1.png,a\n2.png,b\n",
    "the same twice": "name,class\n0.png,a\n0.png,a\n1.png,a\n./1.png,a\n2.png,b\n",
    "a column twice": "name,class,Class\n0.png,a,a\n1.png,a, a\n2.png,b,b\n",
    "capital letters": "name,class\n0.PNG,a\n1.Png,a\n2.png,b\n",
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_as_people_and_spreadsheets_write_them(
    tmp_path: Path, text: str, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path / "in", "0.png", "1.png", "2.png")
    (tmp_path / "t.csv").write_text(text, encoding=encoding, newline="")
    expected = {"0.png": "a", "1.png": "a", "2.png": "b"}
    assert classes(folder, str(tmp_path / "t.csv")) == expected
    assert "Warning" not in capsys.readouterr().err


def test_a_table_from_windows_names_files_in_utf_8(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", "José.png", "Ann.png")
    (tmp_path / "t.csv").write_bytes(b"name,class\nJos\xe9.png,a\nAnn.png,b\n")
    found = classes(folder, str(tmp_path / "t.csv"))
    assert found == {"José.png": "a", "Ann.png": "b"}


def test_the_column_of_names_is_the_one_that_names_the_pictures(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    # The first column is called otherwise, and "name" is that of a person.
    table.write_text("file,name,class\n0.png,Ann,a\n1.png,Bob,b\n")
    names = ["0.png", "1.png"]
    assert read_table(table, ["class"], names) == [("0.png", ("a",)), ("1.png", ("b",))]
    # Numbers of rows name pictures by chance, without their suffixes; the column that is called
    # so names them better.
    table.write_text("row,name,class\n1,0.png,a\n0,1.png,b\n")
    assert read_table(table, ["class"], names) == [("0.png", ("a",)), ("1.png", ("b",))]
    table.write_text("class,file\na,0.png\n")
    with pytest.raises(DatasetError, match="call it name, or put it before class"):
        read_table(table, ["class"], names)
    table.write_text("name,class,class\n0.png,a,b\n")
    with pytest.raises(DatasetError, match="row 2 has the column class twice"):
        read_table(table, ["class"], names)


def test_names_with_blanks_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("1\nMale Smiling\nmy holiday 1.jpg  1 -1\n")
    table = read_table(tmp_path / "t.txt", ["Smiling", "Male"])
    assert table == [("my holiday 1.jpg", ("-1", "1"))]


TWICE = "name,class\n0.png,a\n1.png,a\n ./0.png ,b\n2.png,b\n"


def test_a_table_that_says_two_things(
    tmp_path: Path, prepared: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path / "in", "0.png", "1.png", "2.png")
    (tmp_path / "t.csv").write_text(TWICE)
    found = classes(folder, str(tmp_path / "t.csv"))
    assert found == {"0.png": f"! {TWO_THINGS.reason}", "1.png": "a", "2.png": "b"}
    assert "Warning" in (said := capsys.readouterr().err)
    assert "0.png" in said
    assert "t.csv" in said
    prepared(folder, "--classes", tmp_path / "t.csv")
    skipped = (tmp_path / "made" / "skipped.csv").read_text()
    assert skipped.splitlines()[1:] == [f"0.png,{TWO_THINGS.reason}"]


def test_attributes_that_say_two_things_only_where_it_matters(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", "0.png", "1.png")
    (tmp_path / "t.csv").write_text(
        "name,Male,Hat,Smiling\n0.png,1,1,1\n0.png,1,-1,1\n1.png,0,1,0\n1.png,0,1,1\n"
    )
    for attributes, expected in (
        ("Male", ["Male", "not-Male"]),
        ("Hat", [None, "Hat"]),
        ("Smiling", ["Smiling", None]),
    ):
        source = opened(folder, attributes, attributes=tmp_path / "t.csv")
        for item, name in enumerate(expected):
            if name is None:
                with pytest.raises(Exception, match=TWO_THINGS.reason):
                    source.class_of(item)
            else:
                assert source.class_of(item) == name


@pytest.mark.parametrize("packed", [True, False])
def test_labels_that_say_two_things(
    tmp_path: Path, packed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [["a\\0.png", 0], ["./a/0.png", 1], ["a/1.png", 0], ["a/1.png", 0], ["a/2.png", 1]]
    data = json.dumps({"labels": labels}).encode()
    names = [f"a/{n}.png" for n in range(3)]
    if packed:
        files = dict.fromkeys(names, PNG) | {"./dataset.json": data}
        place = making.write_zip(tmp_path / "in", files)
    else:
        place = folder_of(tmp_path / "in", *names)
        (place / "dataset.json").write_bytes(data)
    opened(place)
    assert "Warning" not in capsys.readouterr().err  # Nobody asked for classes.
    found = classes(place, "labels")
    assert found == {"a/0.png": f"! {TWO_THINGS.reason}", "a/1.png": "0", "a/2.png": "1"}
    assert "a/0.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        '{"labels": [["1.png", 0]], "labels": [["1.png", 1]]}',
        '{"labels": [["1.png", 0]], "classes": ["a"], "classes": ["b"]}',
    ],
)
def test_json_with_a_field_twice(tmp_path: Path, content: str) -> None:
    files = {"1.png": PNG, "dataset.json": content.encode()}
    with pytest.raises(DatasetError, match="stands there twice"):
        opened(making.write_zip(tmp_path / "in", files))
    same = b'{"labels": [["1.png", 0]], "labels": [["1.png", 0]]}'
    place = making.write_zip(tmp_path / "same", {"1.png": PNG, "dataset.json": same})
    assert classes(place, "labels") == {"1.png": "0"}


def test_landmarks_that_say_two_things(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [noise(4, 2, seed=n).astype(np.float32) for n in range(4)]
    rows = [
        *(("0.png", points[0]), (".\\0.png", points[1])),
        *(("1.png", points[0]), ("1.png", points[0]), ("1.png#2", points[1])),
        *(("2.png", points[0]), ("2.png#2", points[1]), ("2.png#2", points[2])),
    ]
    write_landmarks(tmp_path / "l.csv", rows)
    first, second, third = find_faces(["0.png", "1.png", "2.png"], "x", tmp_path / "l.csv")
    assert isinstance(first, Unclear)
    assert isinstance(third, Unclear)
    assert not isinstance(second, Unclear)
    assert np.array_equal(second, [points[0], points[1]])
    assert "2 pictures" in capsys.readouterr().err
    folder = folder_of(tmp_path / "in", "0.png", "1.png", "2.png")
    source = opened(folder, landmarks=tmp_path / "l.csv", all_faces=True)
    assert list(source.names) == ["0.png", "1.png", "1.png#2", "2.png"]
    with pytest.raises(Exception, match=TWO_THINGS.reason):
        source.load(0)
    assert source.load(1)


def test_ffhqs_file_that_says_two_things(tmp_path: Path) -> None:
    faces = {"0.png": [(1.0, 2.0)] * 4, "1.png": [(3.0, 4.0)] * 4}
    entries = json.loads(making.ffhq_json(faces))
    again = json.loads(making.ffhq_json({"0.png": [(5.0, 6.0)] * 4}))["0"]
    text = json.dumps(entries | {"2": again})
    # A byte order mark is no damage.
    (tmp_path / "t.json").write_text(text, encoding="utf-8-sig")
    first, second = find_faces(["0.png", "1.png"], "x", tmp_path / "t.json")
    assert isinstance(first, Unclear)
    assert not isinstance(second, Unclear)
    assert second.tolist() == [[[3, 4]] * 4]
    (tmp_path / "t.json").write_text(text.replace('"in_the_wild"', '"image"'))
    with pytest.raises(DatasetError, match="image stands there twice"):
        find_faces(["0.png", "1.png"], "x", tmp_path / "t.json")


def test_further_faces_of_names_in_another_form(tmp_path: Path) -> None:
    points = [noise(4, 2, seed=n).astype(np.float32) for n in range(2)]
    write_landmarks(tmp_path / "l.csv", [(ONE, points[0]), (f"{TWO}#2", points[1])])
    (faces,) = find_faces([TWO], "x", tmp_path / "l.csv")
    assert not isinstance(faces, Unclear)
    assert np.array_equal(faces, points)


def test_groups_are_found_in_names_of_every_form() -> None:
    person = re.compile(r"people/([^/]+)/")
    names = ["people/Zo\u00eb/1.png", "people\\Zoe\u0308\\2.png", "./people/Ann/3.png"]
    assert group_names(names, person) == ["Zo\u00eb", "Zo\u00eb", "Ann"]
    apart = re.compile(unicodedata.normalize("NFD", rb"(Zo\u00eb)".decode("unicode_escape")))
    assert group_names(names, apart) == ["Zo\u00eb", "Zo\u00eb", None]
    # What was written for a name as it stands goes on to work.
    assert group_names(["a\\1.png", "b\\1.png"], re.compile(r"^(\w+)\\")) == ["a", "b"]


def test_collecting_knows_when_two_things_are_the_same() -> None:
    assert collect([("a", 1), ("a", 1), ("b", 1), ("b", 2), ("b", 1)]) == {"a": 1, "b": TWO_THINGS}


# Zip archives by other programs


def test_folders_between_backslashes_are_classes(tmp_path: Path) -> None:
    names = ["in\\cats\\1.png", "in\\cats\\kittens\\2.png", "in\\dogs\\3.png", "in\\4.png"]
    members = [Member(name=name.encode(), data=PNG) for name in names]
    members += [Member(name=b"in\\.hidden\\5.png", data=PNG), Member(name=b"in\\x.png\\", data=b"")]
    (tmp_path / "a.zip").write_bytes(zip_of(members))
    assert sorted(opened(tmp_path / "a.zip").names) == sorted(names)
    found = classes(tmp_path / "a.zip", "folders")
    assert [found[name] for name in names] == ["cats", "cats", "dogs", "! has no class"]
    assert opened(tmp_path / "a.zip").passed_over == (("in\\.hidden\\5.png", "in a hidden folder"),)
    drive = [Member(name=name, data=PNG) for name in (b"C:\\cats\\1.png", b"D:\\dogs\\2.png")]
    (tmp_path / "a.zip").write_bytes(zip_of(drive))
    assert set(classes(tmp_path / "a.zip", "folders").values()) == {"cats", "dogs"}


def test_names_in_zip_archives_are_read_as_they_were_written(tmp_path: Path) -> None:
    dos = "Jürgen.png".encode("cp437")
    field = b"\1" + zlib.crc32(dos).to_bytes(4, "little") + "Žofia.png".encode()
    stale = b"\1" + bytes(4) + b"Nobody.png"
    members = [
        Member(name="José.png".encode(), data=b"0"),  # UTF-8 and no flag, as macOS writes it
        Member(name=TWO.encode(), data=b"1", flags=0x800),
        Member(name=b"M\x81ller.png", data=b"2"),  # as DOS writes ü
        Member(name=dos, data=b"3", extra=b"\x75\x70" + bytes([len(field), 0]) + field),
        Member(name=b"\x8erger.png", data=b"4", extra=b"\x75\x70" + bytes([len(stale), 0]) + stale),
    ]
    (tmp_path / "a.zip").write_bytes(zip_of(members))
    source = opened(tmp_path / "a.zip")
    found = {name: source.load(item) for item, name in enumerate(source.names)}
    assert found == {"José.png": b"0", TWO: b"1", "Müller.png": b"2", "Žofia.png": b"3",
                     "Ärger.png": b"4"}  # fmt: skip


def test_names_that_would_become_the_same_stay_as_the_archive_has_them(tmp_path: Path) -> None:
    name = "José.png".encode()
    members = [Member(name=name, data=b"0"), Member(name=name, data=b"1", flags=0x800)]
    (tmp_path / "a.zip").write_bytes(zip_of(members))
    source = opened(tmp_path / "a.zip")
    assert len(set(source.names)) == 2
    assert {source.load(item) for item in range(2)} == {b"0", b"1"}


def test_the_order_of_pictures_does_not_depend_on_how_names_are_shown(tmp_path: Path) -> None:
    # In DOS's characters é comes before the box that UTF-8's first byte of Ω stands for, and û is
    # one of those in between: the order of the rows is drawn from this one, and must stay.
    names = ["é.png", "Ω.png", "ÿ.png", "a.png", "ж.png"]
    members = [Member(name=name.encode(), data=name.encode()) for name in names]
    (tmp_path / "a.zip").write_bytes(zip_of(members))
    expected = sorted(names, key=lambda name: name.encode().decode("cp437"))
    assert expected != sorted(names)
    source = opened(tmp_path / "a.zip")
    assert list(source.names) == expected
    assert [source.load(item) for item in range(5)] == [name.encode() for name in expected]
