"""Finding out by looking what a SOURCE on the command line is."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from datasets.errors import DatasetError
from datasets.kinds import KINDS
from datasets.sources import cifar, lmdbs, mnist, parquet, remote, stylegan, tfrecords, webdataset
from datasets.sources.classes import find_classes
from datasets.sources.drawing import PREFIX, open_drawn
from datasets.sources.faces import Faces, firsts
from datasets.sources.files import File, LocalFile
from datasets.sources.folders import open_folder
from datasets.sources.landmarks import find_faces
from datasets.sources.parquet_layout import MARK as PARQUET_MARK
from datasets.sources.shards import kind_of_shards, shards_in
from datasets.sources.source import Annotated, Source
from datasets.sources.tars import open_tar
from datasets.sources.zips import Contents, is_zip, open_zip

# What compressed files begin with, and how each is undone.
_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ\x00": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"7z\xbc\xaf\x27\x1c": "7z x",
    b"Rar!": "unrar x",
}
# The marks of a dataset that this program made.
_OWN_FILES = ("index.csv", "0004.npy")


def open_source(
    text: str,
    *,
    resolution: int,
    channels: int,
    seed: int,
    kind: str | None = None,
    classes: str | None = None,
    attributes: Path | None = None,
    landmarks: Path | None = None,
    all_faces: bool = False,
) -> Source:
    """Find the pictures that a SOURCE on the command line means.

    Args:
        text: a file, a folder, an address that fsspec opens, or `drawn:N` for N drawn faces.
        resolution: pixels wanted; only drawn faces look at it.
        channels: 3 or 1; only drawn faces look at it.
        seed: 0 to 2**64 - 1; which faces are drawn.
        kind: one of `KINDS`; None to find out by looking.
        classes: where the classes come from, for `find_classes`; None for no classes.
        attributes: the file with the attributes that `classes` names.
        landmarks: a file that tells where the faces are, for `find_faces`.
        all_faces: whether each of these faces is a picture, not only the first of each photograph.

    Raises:
        DatasetError: there is nothing of that name, or no picture in it, or it is damaged; or the
            files beside it do not belong to it.
    """
    if remote.is_address(text):
        text = remote.local_path(text)
    if remote.is_address(text):
        source = _open_address(text, kind)
    elif (kind or recognize(text)) == "drawn":
        source = open_drawn(text, resolution=resolution, channels=channels, seed=seed)
    else:
        source = _open_path(text, kind or recognize(text))
    name = remote.shown(text)
    if classes is not None:
        source = Annotated(source, classes=find_classes(source, name, classes, attributes))
    if landmarks is not None:
        faces = find_faces(source.names, name, landmarks)
        source = Faces(source, faces if all_faces else firsts(faces))
    return source


def recognize(text: str) -> str:
    """Tell the kind of a source, one of `KINDS`.

    Raises:
        DatasetError: there is nothing of that name, or it is of no kind.
    """
    if text.startswith(PREFIX):
        return "drawn"
    path = Path(text)
    if text and path.is_dir():  # Path("") would be the current folder.
        return _recognize_folder(path)
    if text and path.is_file():
        return _recognize_file(LocalFile(path))
    raise DatasetError(
        f"{text} is not a folder; SOURCE is a folder or archive of pictures, or drawn:N "
        "for N drawn faces."
    )


def _recognize_folder(path: Path) -> str:
    if all((path / name).is_file() for name in _OWN_FILES):
        raise DatasetError(
            f"{path} is a dataset already; to have its pictures as files again: "
            f"python -m datasets export {path} FOLDER"
        )
    if tfrecords.level_files(path):
        return "tfrecords"
    if lmdbs.database_folders(path):
        return "lmdb"
    if cifar.is_cifar(path):
        return "cifar"
    if mnist.picture_files(path):
        return "mnist"
    return kind_of_shards(path) or "folder"


def _recognize_file(file: File) -> str:
    if is_zip(file):
        return "zip"
    _refuse_compressed(file)
    start = file.read(0, tarfile.BLOCKSIZE)
    if start.startswith(PARQUET_MARK):
        return "parquet"
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise DatasetError(
            f"{file.name} is not a zip archive or tar archive, or is damaged; SOURCE is a folder "
            "or archive of pictures, or drawn:N for N drawn faces."
        ) from None
    return "webdataset" if webdataset.has_samples(file) else "tar"


def _refuse_compressed(file: File) -> None:
    start = file.read(0, max(map(len, _COMPRESSED)))
    for mark, command in _COMPRESSED.items():
        if start.startswith(mark):
            raise DatasetError(
                f"{file.name} is compressed, so that its pictures could only be read one after the "
                f"other; unpack it first ({command} {file.own_name}), or make a zip archive of it."
            )


def _open_path(text: str, kind: str) -> Source:
    path = Path(text)
    is_one = path.is_file() if kind in ("zip", "tar") else path.is_dir()
    if kind in ("webdataset", "parquet"):
        is_one = path.is_file() or path.is_dir()
    if kind not in KINDS or not text or not is_one:
        raise DatasetError(f"{text} is not {KINDS.get(kind, kind)}.")
    if path.is_file():
        return _open_file(LocalFile(path), kind)
    match kind:
        case "webdataset" | "parquet":
            shards = [(name, LocalFile(shard)) for name, shard in shards_in(path, kind)]
            return _open_shards(shards, kind, text)
        case "tfrecords":
            return tfrecords.open_tfrecords(path)
        case "lmdb":
            return lmdbs.open_lmdb(path)
        case "cifar":
            return cifar.open_cifar(path)
        case "mnist":
            return mnist.open_mnist(path)
        case _:
            folder = open_folder(path)
            return stylegan.with_labels(folder, stylegan.in_folder(folder), str(path))


def _open_address(text: str, kind: str | None) -> Source:
    files = ("zip", "tar", "webdataset", "parquet")
    if kind not in (None, "folder", *files):
        raise DatasetError(
            f"{remote.shown(text)}: only folders, zip archives and tar archives of pictures and "
            "single Parquet files are read from an address; copy it to this computer first."
        )
    found = remote.look(text)
    if isinstance(found, remote.RemoteFile):
        if kind == "folder":
            raise DatasetError(f"{found.name} is not {KINDS['folder']}.")
        return _open_file(found, kind or _recognize_file(found))
    if kind in ("webdataset", "parquet"):
        raise DatasetError(
            f"{remote.shown(text)} is a folder, and from an address only single files of this "
            "kind are read; copy the folder to this computer first."
        )
    if kind is not None and kind in files:
        raise DatasetError(f"{remote.shown(text)} is not {KINDS[kind]}.")
    folder = remote.open_remote_folder(*found)
    return stylegan.with_labels(folder, stylegan.in_folder(folder), remote.shown(text))


def _open_file(file: File, kind: str) -> Source:
    match kind:
        case "tar":
            return open_tar(file)
        case "webdataset" | "parquet":
            return _open_shards([("", file)], kind, file.name)
    contents = Contents(file)
    return stylegan.with_labels(open_zip(contents), stylegan.in_zip(contents), file.name)


def _open_shards(shards: Sequence[tuple[str, File]], kind: str, place: str) -> Source:
    if kind == "parquet":
        return parquet.open_parquet(shards, place)
    for _, file in shards:
        _refuse_compressed(file)
    return webdataset.open_webdataset(shards, place)
