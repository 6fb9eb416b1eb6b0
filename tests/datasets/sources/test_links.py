"""Archives as other programs write them: links, descriptors, long names, large members."""

import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from datasets.errors import UnusableError
from datasets.sources.links import follow
from tests.datasets.making import noise
from tests.datasets.sources import making
from tests.datasets.sources.making import Member, opened, zip_of

PNG = [making.png(noise(8, 8, 3, seed=n)) for n in range(4)]
OUT = "a link that leads out of the archive"
CIRCLE = "a link in a circle"
NOWHERE = "a link to no file in the archive"

Entry = tuple[str, bytes | str]
"""A name, and the content of a file or what a symbolic link holds."""

LINKED: Sequence[Entry] = [
    ("cats/0.png", PNG[0]),
    ("blobs/1", PNG[1]),
    ("cats/first.png", "0.png"),
    ("dogs/up.png", "../cats/./first.png"),
    ("best.png", "blobs/1"),
    ("newest", "blobs"),
    ("through.png", "newest/1"),
    ("plain", "cats/0.png"),
    ("absolute.png", "/cats/0.png"),
    ("windows.png", "C:\\cats\\0.png"),
    ("out.png", "../cats/0.png"),
    ("sly.png", "cats/../../x/cats/0.png"),
    ("passwd.png", "../../../../etc/passwd"),
    ("me.png", "me.png"),
    ("ping.png", "pong.png"),
    ("pong.png", "ping.png"),
    ("gone.png", "cats/9.png"),
    ("folder.png", "cats"),
    ("notes", "cats"),
]
USED = {
    "cats/0.png": PNG[0], "blobs/1": PNG[1], "cats/first.png": PNG[0], "dogs/up.png": PNG[0],
    "best.png": PNG[1], "through.png": PNG[1], "plain": PNG[0],
}  # fmt: skip
LISTED = {
    **dict.fromkeys(("absolute.png", "windows.png", "out.png", "sly.png", "passwd.png"), OUT),
    **dict.fromkeys(("me.png", "ping.png", "pong.png"), CIRCLE),
    **dict.fromkeys(("gone.png", "folder.png"), NOWHERE),
}


def tar_of(entries: Sequence[Entry]) -> bytes:
    members = []
    for name, content in entries:
        info = tarfile.TarInfo(name)
        if isinstance(content, str):
            info.type, info.linkname = tarfile.SYMTYPE, content
        members.append((info, b"" if isinstance(content, str) else content))
    return making.tar_bytes(members)


def unix_zip_of(entries: Sequence[Entry]) -> bytes:
    return zip_of(
        [
            Member(
                name=name.encode(),
                data=content.encode() if isinstance(content, str) else content,
                mode=stat.S_IFLNK | 0o777 if isinstance(content, str) else stat.S_IFREG | 0o644,
            )
            for name, content in entries
        ]
    )


def found(path: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """What is used, and why the rest is not."""
    source = opened(path)
    used = {name: source.load(item) for item, name in enumerate(source.names)}
    return {n: data for n, data in used.items() if isinstance(data, bytes)}, dict(
        source.passed_over
    )


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("write", [tar_of, unix_zip_of])
def test_symbolic_links_are_followed_within_an_archive(
    tmp_path: Path, write: Callable[[Sequence[Entry]], bytes], order: int
) -> None:
    (tmp_path / "a").write_bytes(write(LINKED[::order]))
    assert found(tmp_path / "a") == (USED, LISTED)


def test_hard_links_are_what_was_there_before_them(tmp_path: Path) -> None:
    def linked(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.LNKTYPE, target
        return info, b""

    members = [
        linked("early.png", "cats/0.png"),
        (tarfile.TarInfo("./cats/0.png"), PNG[0]),
        linked("dogs/best.png", "cats/0.png"),
        linked("dogs/again.png", "./dogs/best.png"),
        # A later member of that name is another file.
        (tarfile.TarInfo("./cats/0.png"), PNG[1]),
        linked("newer.png", "/cats/0.png"),
        linked("out.png", "/etc/passwd"),
    ]
    (tmp_path / "a.tar").write_bytes(making.tar_bytes(members))
    used, listed = found(tmp_path / "a.tar")
    assert used == {"./cats/0.png": PNG[1], "dogs/best.png": PNG[0], "dogs/again.png": PNG[0],
                    "newer.png": PNG[1]}  # fmt: skip
    assert listed == {"early.png": NOWHERE, "out.png": NOWHERE}


def test_other_members_of_a_tar_archive_are_listed(tmp_path: Path) -> None:
    kinds = {"a.png": tarfile.CHRTYPE, "b.png": tarfile.BLKTYPE, "c.png": tarfile.FIFOTYPE}
    members = []
    for name, kind in (*kinds.items(), ("d.png", tarfile.DIRTYPE)):
        info = tarfile.TarInfo(name)
        info.type = kind
        members.append((info, b""))
    members.append((tarfile.TarInfo("good.png"), PNG[0]))
    (tmp_path / "a.tar").write_bytes(making.tar_bytes(members))
    used, listed = found(tmp_path / "a.tar")
    assert used == {"good.png": PNG[0]}
    assert listed == dict.fromkeys(kinds, "not a regular file")


def test_a_chain_of_links_has_an_end() -> None:
    links = {f"{n}": f"{n + 1}" for n in range(39)}
    assert follow("0", links.get) == "39"
    with pytest.raises(UnusableError, match="circle"):
        follow("0", {f"{n}": f"{n + 1}" for n in range(50)}.get)
    # A folder that leads to itself, ever deeper.
    with pytest.raises(UnusableError, match="circle"):
        follow("a", {"a": "a/a/a/a"}.get)


def extended(number: int, size: int) -> bytes:
    return struct.pack("<HH", number, size) + bytes(size)


def test_zip_archives_by_other_programs(tmp_path: Path) -> None:
    members = [
        # Info-ZIP: times and owners, of which the table has less.
        Member(name=b"0.png", data=PNG[0], local_extra=extended(0x5455, 9) + extended(0x7875, 11),
               extra=extended(0x5455, 5)),
        # More than fits into what is usually read at once.
        Member(name=b"1.png", data=PNG[1], local_extra=extended(0xCAFE, 700)),
        # Streamed: sizes come after the data. And only the table has a field.
        Member(name=b"2.png", data=PNG[2], descriptor=True, extra=extended(0x000A, 32)),
        Member(name=b"3.png", data=PNG[3], large=True),
    ]  # fmt: skip
    for before in (b"", b"MZ" + bytes(1000)):
        (tmp_path / "a.zip").write_bytes(zip_of(members, before))
        used, _ = found(tmp_path / "a.zip")
        assert used == {f"{n}.png": PNG[n] for n in range(4)}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_of_a_name_twice_the_later_counts(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive, pytest.warns(UserWarning):
        for data in (PNG[2], PNG[0], PNG[1]):
            archive.writestr("x.png", data)
    assert found(tmp_path / "a.zip")[0] == {"x.png": PNG[1]}
    members = [(tarfile.TarInfo("x.png"), data) for data in (PNG[2], PNG[0], PNG[1])]
    (tmp_path / "a.tar").write_bytes(making.tar_bytes(members))
    assert found(tmp_path / "a.tar")[0] == {"x.png": PNG[1]}


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_of_tar_archives(tmp_path: Path, format: int) -> None:
    long = "ordner/" * 40 + "Ärger.png"
    short = "kürzer.png"
    with tarfile.open(tmp_path / "a.tar", "w", format=format) as archive:
        for name, data in ((long, PNG[0]), (short, PNG[1])):
            (tmp_path / "x").write_bytes(data)
            archive.add(tmp_path / "x", name)
        info = tarfile.TarInfo("ordner/" * 40 + "link.png")
        info.type, info.linkname = tarfile.SYMTYPE, "../" * 40 + short
        archive.addfile(info)
    assert found(tmp_path / "a.tar") == (
        {long: PNG[0], short: PNG[1], info.name: PNG[1]},
        {},
    )


def test_a_member_of_a_tar_archive_that_no_picture_can_be(tmp_path: Path) -> None:
    info = tarfile.TarInfo("vast.png")
    info.size = 2**30 + 1
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(making.tar_bytes([(tarfile.TarInfo("good.png"), PNG[0])]).rstrip(b"\0"))
        file.seek(-file.tell() % 512, 1)
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        # Holes, which take no room on the disk.
        file.truncate(file.tell() + 2**30 + 512 + 1024)
    source = opened(tmp_path / "a.tar")
    assert list(source.names) == ["good.png", "vast.png"]
    assert source.load(0) == PNG[0]
    with pytest.raises(UnusableError, match="larger than 1 GiB"):
        source.load(1)
