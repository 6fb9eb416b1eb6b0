"""Everything here that reads files of strangers, each with good files to damage."""

import json
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms

from datasets import framing, index
from datasets.codecs import CODECS
from datasets.errors import DatasetError, UnusableError
from datasets.exporting import export as export_dataset
from datasets.pyramid import Dataset
from datasets.sources.landmarks import write_landmarks
from progan import official, run_record, runs
from progan.attempts import Attempts
from progan.checkpoint import Checkpoints, read_model, save_model
from progan.errors import ProganError
from progan.training import Trainer
from tests.datasets.making import file_bytes, noise, write_dataset
from tests.datasets.sources import making
from tests.fuzzing import layers, odd_pictures
from tests.fuzzing.layers import Layer
from tests.progan import official_form
from tests.progan.making import Patterns, small_config
from tests.tools.making import small_generator
from tools import feature_cache, model_card
from tools.arrays import open_array
from tools.divergence import Judge
from tools.drawing import read_latents
from tools.going_back import go_back
from tools.images import ArrayImages

# What a reader may say of a file: sentences for the user, and why a picture is skipped.
EXPECTED = (DatasetError, ProganError, UnusableError)
_NO_LAYERS: Mapping[str, Layer] = MappingProxyType({})
# Names that a pickle would use to do harm, and operations in text.
_PICKLE_WORDS = (
    *(b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\nload\n", b"\x8c\x02os\x8c\x06system\x93"),
    *(b"X\x04\x00\x00\x00true", b"(", b")", b"R", b"b", b"\x81", b"\x92", b"i", b"o", b"t", b"u"),
    *(b"e", b"s", b"a", b"0", b"1", b"2", b"}", b"]", b"N", b".", b"\x94", b"h\x00", b"q\x00"),
    *(b"\x85", b"\x86", b"\x87", b"Q", b"P0\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"),
    *(b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n"),
    *(b"\x8a\xff", b"\x8b\xff\xff\xff\x7f", b"I9\n", b"L9L\n", b"F1e9\n", b"\x82\x01", b"\x96"),
)
_IMAGE_WORDS = (
    *(b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"zTXt"),
    *(b"\xff\xd8", b"\xff\xda", b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xdb", b"\xff\xe1"),
    *(b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"EXIF", b"ICCP"),
    *(b"cICP", b"gAMA", b"cHRM", b"iTXt", b"ftyp", b"meta", b"iprp", b"ipco", b"ipma", b"colrnclx"),
    *(b"GIF89a", b"\x2c", b"\x21\xf9", b"BM", b"II*\0", b"MM\0*", b"Exif\0\0", b"ICC_PROFILE\0"),
)


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Attributes:
        make: puts good files into folders, one folder a seed, below the one that it is given.
        read: reads a folder; what it raises besides `DatasetError`, `ProganError` and
            `UnusableError` is a finding.
        layers: what lies within files, by the end of their names.
        words: what has a meaning in the format.
        left_alone: ends of names of files that are not damaged.
        gib: bound on memory, on top of what the process has when it begins, 2**30 bytes.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], object]
    layers: Mapping[str, Layer] = field(default_factory=lambda: _NO_LAYERS)
    words: Sequence[bytes] = ()
    left_alone: tuple[str, ...] = ()
    gib: float = 1.0


# ---- networks ----


def _make_models(place: Path) -> None:
    for name, classes in (("plain", ()), ("classes", ("cats", "dogs"))):
        folder = place / name
        folder.mkdir(parents=True)
        generator = small_generator(resolution=8, classes=len(classes))
        save_model(
            folder / "x.safetensors", generator, classes=classes, trained={"nimg": 3, "config": {}}
        )


def _read_model(folder: Path) -> None:
    model = read_model(folder / "x.safetensors")
    generator = model.generator
    labels = torch.zeros(1, dtype=torch.int64) if generator.label_size else None
    generator(torch.zeros(1, generator.latent_size), labels)
    model_card.card(model, folder / "x.onnx", model_card.Sources())


def _make_runs(place: Path) -> None:
    torch.set_num_threads(1)
    for name, data in (("plain", Patterns()), ("classes", Patterns(classes=2))):
        run = place / name
        run.mkdir(parents=True)
        config = small_config(label_size=2 if data.labels is not None else 0, resolution=8)
        trainer = Trainer(config, data)
        for _ in range(5):
            trainer.round()
        rollbacks = [{"nimg": nimg, "why": "x"} for nimg in (16, 48, 32)]
        saved = {"config": config.to_json(), "dataset": None, "rollbacks": rollbacks}
        # As earlier versions wrote them, and as this one does.
        if name == "plain":
            Checkpoints(run / "checkpoints").save(trainer.state(), trainer.nimg)
            (run / "config.json").write_text(json.dumps(saved))
        else:
            Checkpoints(run / "checkpoints").save(trainer.state(), trainer.nimg, saved)
            (run / "config.json").write_text(run_record.sealed_text(saved))
        tick = {"progress/level": 2, "progress/skipped_steps": 0, "scores/real": 1.0,
                "loss/critic": 1.0, "metrics/fid/train": 3.0}  # fmt: skip
        lines = [{"nimg": 16 * n} | tick for n in range(9)]
        (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _read_run(folder: Path) -> None:
    config = runs.read_config(folder)
    runs.imported_from(folder)
    with suppress(*EXPECTED):
        Attempts.of_history(runs.read_rollbacks(folder))
    for path in Checkpoints(folder / "checkpoints").all():
        run_record.refuse_other_settings(config, path, folder)
    for path in Checkpoints(folder / "checkpoints").all():
        runs.read_average(folder, path)
    runs.read_critic(folder)
    go_back(folder, 60)
    model_card._last_logged(folder, "metrics/")
    tensors, nimg = Checkpoints.read(Checkpoints(folder / "checkpoints").all()[-1])
    if config.fmap_max <= 64 and config.resolution <= 64 and (config.latent_size or 0) <= 512:
        trainer = Trainer(config, Patterns(classes=min(config.label_size, 9)))
        trainer.restore(tensors, nimg)
        Judge(trainer, folder / "log.jsonl", Checkpoints(folder / "checkpoints"))


def _make_official(place: Path) -> None:
    for form in official_form.FORMS:
        (place / form).mkdir(parents=True)
        networks, _ = official_form.triple(
            lod=0.5, resolution=8, label_size=1, fmap_base=4, fmap_max=2
        )
        (place / form / "x.pkl").write_bytes(official_form.pickled(networks, form))


def _read_official(folder: Path) -> None:
    official.load(folder / "x.pkl")


def _make_features(place: Path) -> None:
    (place / "a").mkdir(parents=True)
    feature_cache.write(place / "a" / "x.safetensors", np.ones((4, 3), np.float32))


def _read_features(folder: Path) -> None:
    feature_cache.read(folder / "x.safetensors", 4)


# ---- datasets ----


def _make_datasets(place: Path) -> None:
    place.mkdir()
    write_dataset(place / "plain", hashes=[1, 2, 3, 2])
    write_dataset(place / "classes", hashes=[1, 2, 3], classes=["a", "b", "a"], channels=1)
    for codec in CODECS:
        write_dataset(place / codec, hashes=[1, 2], codecs={8: codec})


def _read_dataset(folder: Path) -> None:
    dataset = Dataset.open(folder)
    dataset.near_duplicates()
    index.read_skipped(folder / "skipped.csv")
    dataset.verify()
    for level in dataset.levels:
        dataset.level(level)[np.arange(min(dataset.count, 8))]
    if dataset.count <= 8:
        out = folder / "out"
        try:
            export_dataset(dataset, out, format="folder")
        finally:
            shutil.rmtree(out, ignore_errors=True)


# ---- sources ----


def _pictures() -> dict[str, bytes]:
    members = {f"{'cats' if n % 2 else 'dogs'}/{n}.png": file_bytes(noise(4, 4, 3)) for n in (1, 2)}
    labels = {"labels": [[name, number] for number, name in enumerate(members)]}
    return members | {"dataset.json": json.dumps(labels).encode()}


def _read_source(folder: Path, name: str = "", classes: str | None = None) -> None:
    source = making.opened(folder / name if name else folder, classes)
    for item in range(min(len(source.names), 20)):
        try:
            picture = source.load(item)
            source.class_of(item)
            framing.upright(picture, 3) if isinstance(picture, bytes) else picture.sum()
        except UnusableError:
            continue


def _make_zips(place: Path) -> None:
    for name, method in (("stored", 0), ("deflated", 8), ("bzip2", 12)):
        (place / name).mkdir(parents=True)
        making.write_zip(place / name / "x.zip", _pictures(), method)
    # As other programs write them.
    picture = file_bytes(noise(4, 4, 3))
    members = [
        making.Member(name=b"a\\1.png", data=picture, descriptor=True, local_extra=bytes(8)),
        making.Member(name="é".encode(), data=picture, large=True),
        making.Member(name=b"b/link.png", data=b"../a/1.png", mode=0o120777),
        making.Member(name=b".\\dataset.json", data=b'{"labels": [["a/1.png", 0]]}'),
    ]
    (place / "others").mkdir()
    (place / "others" / "x.zip").write_bytes(making.zip_of(members))


def _make_tars(place: Path) -> None:
    (place / "plain").mkdir(parents=True)
    making.write_tar(place / "plain" / "x.tar", _pictures())
    (place / "links").mkdir()
    links = []
    for kind, target in ((tarfile.SYMTYPE, "../1.png"), (tarfile.LNKTYPE, "1.png")):
        info = tarfile.TarInfo(f"a/{kind.decode()}.png")
        info.type, info.linkname = kind, target
        links.append((info, b""))
    picture = (tarfile.TarInfo("1.png"), file_bytes(noise(4, 4, 3)))
    (place / "links" / "x.tar").write_bytes(making.tar_bytes([picture, *links]))
    (place / "long").mkdir()
    making.write_tar(place / "long" / "x.tar", {"d" * 120 + "/é.png": file_bytes(noise(4, 4, 3))})


def _make_folders(place: Path) -> None:
    place.mkdir()
    for name, data in _pictures().items():
        path = place / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _make_tfrecords(place: Path) -> None:
    place.mkdir()
    levels = {2: making.pictures(4, count=3), 3: making.pictures(8, count=3)}
    for name, labels in (("one-hot", np.eye(3, dtype=np.float32)), ("numbers", np.arange(3))):
        folder = making.write_tfrecords(place / name, levels)
        with (folder / "faces-rxx.labels").open("wb") as file:
            np.save(file, labels)


def _make_lmdbs(place: Path) -> None:
    values = {b"%d" % n: file_bytes(noise(4, 4, 3, seed=n)) + bytes(3000 * n) for n in range(4)}
    making.write_lmdb(place / "one", values)
    making.write_lmdb(place / "two" / "a_train_lmdb", values)
    making.write_lmdb(place / "many", {b"%04d" % n: bytes([n % 256]) * 50 for n in range(300)})


def _make_webdatasets(place: Path) -> None:
    samples = {f"{n}": {"png": file_bytes(noise(4, 4, 3, seed=n)), "cls": b"7"} for n in range(3)}
    making.write_shard(place / "one" / "x.tar", samples)
    for shard in range(2):
        making.write_shard(place / "two" / f"{shard}.tar", samples)


def _make_parquet(place: Path) -> None:
    files = [file_bytes(noise(4, 4, 3, seed=n)) for n in range(5)]
    names = [f"{n}.png" for n in range(5)]
    numbers, words = [0, 1, 0, 1, 1], list("abbab")
    making.write_parquet(
        place / "hub" / "x.parquet", files, paths=names, labels=numbers, class_names=["a", "b"]
    )
    making.write_parquet(
        place / "groups" / "x.parquet", [*files[:4], None], labels=words, row_group_size=2
    )
    for name, options in (
        ("plain", {"compression": "none", "use_dictionary": False, "store_schema": False}),
        ("second", {"compression": "zstd", "data_page_version": "2.0"}),
    ):
        making.write_parquet(place / name / "x.parquet", files, labels=numbers, **options)


def _make_cifar(place: Path) -> None:
    place.mkdir()
    making.write_cifar10(place / "ten", making.pictures(32, count=2), [0, 1])


def _make_cifar_python(place: Path) -> None:
    place.mkdir()
    for protocol in (0, 2, 4):
        making.write_cifar_python(
            place / str(protocol), making.pictures(32, count=2), [0, 1], protocol
        )


def _make_mnist(place: Path) -> None:
    for suffix in ("", ".gz"):
        folder = place / f"mnist{suffix}"
        folder.mkdir(parents=True)
        making.write_idx(folder / f"train-images-idx3-ubyte{suffix}", noise(3, 28, 28))
        making.write_idx(folder / f"train-labels-idx1-ubyte{suffix}", noise(3))


# ---- tables beside pictures ----


_NAMES = ("1.png", "2.png", "3.png")


def _make_tables(place: Path) -> None:
    faces = [(name, noise(4, 2, seed=n).astype(np.float32)) for n, name in enumerate(_NAMES)]
    texts = {
        "classes": ("t.csv", "name,class\n1.png,a\n2.png,b\n3.png,a\n"),
        "attributes": ("t.txt", "3\nMale Smiling\n1.png 1 -1\n2.png -1 -1\n3.png 1 1\n"),
        "ffhq": ("t.json", making.ffhq_json({name: [(1, 2)] * 4 for name in _NAMES})),
    }
    for seed in (*texts, "landmarks"):
        (place / seed).mkdir(parents=True)
        making.write_zip(
            place / seed / "x.zip", {name: file_bytes(noise(4, 4, 3)) for name in _NAMES}
        )
        if seed in texts:
            (place / seed / texts[seed][0]).write_text(texts[seed][1])
    write_landmarks(place / "landmarks" / "l.csv", faces)


def _read_tables(folder: Path) -> None:
    options: dict[str, Any] = {}
    classes = None
    if (folder / "t.csv").exists():
        classes = str(folder / "t.csv")
    elif (folder / "t.txt").exists():
        classes, options["attributes"] = "Male+Smiling", folder / "t.txt"
    else:
        options["landmarks"] = next(
            folder / n for n in ("t.json", "l.csv") if (folder / n).exists()
        )
        options["all_faces"] = True
    source = making.opened(folder / "x.zip", classes, **options)
    for item in range(min(len(source.names), 20)):
        try:
            source.class_of(item)
            source.face_of(item)
        except UnusableError:
            continue


# ---- arrays and pictures ----


def _make_arrays(place: Path) -> None:
    arrays: tuple[NDArray[Any], ...] = (
        *(np.zeros((3, 5), np.float32), np.ones((2, 4, 4, 3), np.uint8)),
        np.linspace(-1, 1, 32).reshape(2, 1, 4, 4),
    )
    for number, values in enumerate(arrays):
        folder = place / str(number)
        folder.mkdir(parents=True)
        for version in ((1, 0), (2, 0)):
            with (folder / f"{version[0]}.npy").open("wb") as file:
                np.lib.format.write_array(file, values, version)


def _read_arrays(folder: Path) -> None:
    for path in sorted(folder.glob("*.npy")):
        with suppress(*EXPECTED):
            read_latents(path, 5)
        with suppress(*EXPECTED):
            images = ArrayImages("x", open_array(path))
            if images.resolution <= 4096:
                images.read(range(min(images.count, 2)))


def _make_pictures(place: Path) -> None:
    colours, grey = noise(16, 24, 3), noise(16, 24)
    photo = Image.fromarray(colours)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    files: dict[str, bytes] = {
        "jpeg": file_bytes(photo, "JPEG", exif=exif, icc_profile=profile),
        "progressive": file_bytes(photo, "JPEG", progressive=True, quality=30),
        "cmyk": file_bytes(photo.convert("CMYK"), "JPEG"),
        "grey-jpeg": file_bytes(grey, "JPEG", subsampling=0),
        "png": file_bytes(photo, exif=exif, icc_profile=profile),
        "palette": file_bytes(photo.convert("P"), transparency=3),
        "alpha": file_bytes(photo.convert("RGBA")),
        "deep": file_bytes(Image.fromarray(noise(16, 24).astype(np.uint16) * 200)),
        "bits": file_bytes(photo.convert("1")),
        "webp": file_bytes(photo, "WEBP", exif=exif, icc_profile=profile),
        "lossless": file_bytes(photo.convert("RGBA"), "WEBP", lossless=True),
        "bmp": file_bytes(photo, "BMP"),
        "bmp-palette": file_bytes(photo.convert("P"), "BMP"),
        "gif": file_bytes(photo.convert("P"), "GIF", transparency=3),
        "tiff": file_bytes(photo, "TIFF", exif=exif),
        "tiff-cmyk": file_bytes(photo.convert("CMYK"), "TIFF", compression="tiff_lzw"),
        "tiff-float": file_bytes(Image.fromarray(noise(16, 24).astype(np.float32)), "TIFF"),
    }
    for compression in ("tiff_deflate", "packbits", "jpeg"):
        files[compression] = file_bytes(photo, "TIFF", compression=compression)
    files["group4"] = file_bytes(photo.convert("1"), "TIFF", compression="group4")
    frames = [photo.convert("P"), Image.fromarray(noise(16, 24, 3, seed=1)).convert("P")]
    files["film"] = file_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    files["film-webp"] = file_bytes(photo, "WEBP", save_all=True, append_images=[photo])
    files["film-png"] = file_bytes(photo, "PNG", save_all=True, append_images=[photo])
    files |= odd_pictures.made_by_hand()
    for name, data in files.items():
        (place / name).mkdir(parents=True)
        end = ".png" if data[:4] == b"\x89PNG" else ""
        (place / name / f"x{end}").write_bytes(data)


_FACE = np.array([[8, 6], [16, 6], [9, 12], [15, 12]], np.float32)


def _read_picture(folder: Path) -> None:
    (path,) = folder.iterdir()
    data = path.read_bytes()
    for settings, face in (
        (framing.Framing(resolution=4), None),
        (framing.Framing(resolution=16, channels=1, crop="top", upscale=True), None),
        (framing.Framing(resolution=8, crop="face", upscale=True), _FACE),
    ):
        try:
            framing.frame(data, settings, face)
        except UnusableError:
            continue


READERS: Mapping[str, Reader] = {
    "models": Reader(_make_models, _read_model, {".safetensors": layers.safetensors}),
    "runs": Reader(_make_runs, _read_run, {".safetensors": layers.safetensors}),
    "official": Reader(_make_official, _read_official, words=_PICKLE_WORDS),
    "features": Reader(_make_features, _read_features, {".safetensors": layers.safetensors}),
    "datasets": Reader(_make_datasets, _read_dataset),
    "zip": Reader(
        _make_zips,
        lambda folder: _read_source(folder, "x.zip", "labels"),
        {".zip": layers.zipped},
        (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"../x.png"),
    ),
    "tar": Reader(
        _make_tars,
        lambda folder: _read_source(folder, "x.tar", "folders"),
        {".tar": layers.tar},
        (b"ustar", b"path=../x.png\n", b"size=-1", b"GNU.sparse.major=1", b"\x80" + b"\xff" * 11),
    ),
    "webdataset": Reader(
        _make_webdatasets,
        lambda folder: _read_source(folder, "", "labels"),
        {".tar": layers.tar},
        (b"ustar", b".cls", b".png", b"x.tar.gz", b"\x1f\x8b"),
    ),
    "parquet": Reader(
        _make_parquet,
        lambda folder: _read_source(folder, "x.parquet", "labels"),
        {".parquet": layers.parquet},
        (b"PAR1", b"bytes", b"path", b"\x15\x04", b"\x15\xfe\xff\xff\xff\x0f", b"\x19\xfc"),
        # One row group may have as much unpacked, and is kept.
        gib=2.5,
    ),
    "folder": Reader(_make_folders, lambda folder: _read_source(folder, "", "labels")),
    "tfrecords": Reader(
        _make_tfrecords, _read_source, {".tfrecords": layers.tfrecords, ".labels": layers.array}
    ),
    "lmdb": Reader(_make_lmdbs, _read_source, left_alone=("lock.mdb",)),
    "cifar": Reader(_make_cifar, _read_source),
    "cifar-python": Reader(_make_cifar_python, _read_source, words=_PICKLE_WORDS),
    "mnist": Reader(_make_mnist, _read_source, {".gz": layers.gzipped}),
    "tables": Reader(_make_tables, _read_tables, left_alone=(".zip",)),
    "arrays": Reader(_make_arrays, _read_arrays, {"1.npy": layers.array}),
    "pictures": Reader(_make_pictures, _read_picture, {".png": layers.png}, _IMAGE_WORDS, gib=3.0),
}
