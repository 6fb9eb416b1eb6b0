"""The kinds of sources, and how they are told apart by looking. Needs neither NumPy nor Pillow."""

KINDS: dict[str, str] = {
    "folder": "a folder of JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIC pictures, and all folders "
    "in it",
    "zip": "a zip archive of pictures",
    "tar": "a tar archive of pictures, not compressed",
    "webdataset": "a tar archive of WebDataset's samples (0001.jpg, 0001.cls), or a folder of them",
    "parquet": "a Parquet file with a column of pictures, as the Hugging Face hub has them, or a "
    "folder of them",
    "tfrecords": "a folder of *-r02.tfrecords, *-r03.tfrecords …, as the paper's authors made them",
    "lmdb": "an LSUN database (a folder that holds data.mdb), or a folder of several",
    "cifar": "a folder with CIFAR-10 or CIFAR-100, binary version or Python's",
    "mnist": "a folder with MNIST's IDX files, .gz or not; 28 pixels are padded to 32",
    "drawn": "drawn:N, for N faces drawn by program, without any download; labels: glasses or not",
}

ADDRESSES = """\
Folders of pictures, zip and tar archives and single Parquet files may also lie behind an address:
https://host/faces.zip, s3://bucket/faces/, hf://datasets/owner/name … They are streamed, not copied
first, by the package fsspec and its package for that kind of address."""
