"""Known collections: where they are published, under which terms, and how to prepare them.

Nothing is ever downloaded: most of them ask for consent to their terms first. Needs neither NumPy
nor Pillow.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What one should know of a collection before using it."""

    name: str
    pictures: str
    """How many, and how large."""
    size: str
    """What must be downloaded."""
    place: str
    """Where it is published."""
    licence: str
    """What its publishers allow, in short; their own words count."""
    commands: tuple[str, ...]
    """How to prepare it, without `python -m datasets prepare`."""


COLLECTIONS = (
    Collection(
        name="CelebA, aligned",
        pictures="202,599 faces of 178 × 218 pixels",
        size="1.4 GB (img_align_celeba.zip)",
        place="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        licence="research only, not commercial; no redistribution",
        commands=(
            "img_align_celeba.zip celeba-128/ --resolution 128 --crop 25,57,128",
            "img_align_celeba.zip celeba-128/ --resolution 128 --crop 25,57,128 "
            "--attributes list_attr_celeba.txt --classes Eyeglasses+Male",
        ),
    ),
    Collection(
        name="CelebA, in the wild",
        pictures="202,599 photographs of all sizes, with landmarks",
        size="10 GB (img_celeba.7z; unpack it first)",
        place="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        licence="research only, not commercial; no redistribution",
        commands=(
            "img_celeba/ celeba-256/ --resolution 256 --upscale --crop face "
            "--landmarks list_landmarks_celeba.txt",
        ),
    ),
    Collection(
        name="FFHQ",
        pictures="70,000 faces of 1024 × 1024 pixels, and the photographs they were cut out of",
        size="89 GB (images1024x1024); 955 GB (in-the-wild-images); 0.26 GB (JSON)",
        place="https://github.com/NVlabs/ffhq-dataset",
        licence="CC BY-NC-SA 4.0; the photographs CC BY, CC BY-NC or public domain, each its own",
        commands=(
            "images1024x1024/ ffhq-1024/ --resolution 1024",
            "in-the-wild-images/ ffhq-1024/ --resolution 1024 --upscale --crop face "
            "--landmarks ffhq-dataset-v2.json",
        ),
    ),
    Collection(
        name="MetFaces",
        pictures="1,336 faces in works of art, 1024 × 1024 pixels",
        size="1.6 GB (images)",
        place="https://github.com/NVlabs/metfaces-dataset",
        licence="CC BY-NC 2.0; the works of art are in the public domain",
        commands=("images/ metfaces-1024/ --resolution 1024",),
    ),
    Collection(
        name="LSUN",
        pictures="126,227 churches, 3,033,042 bedrooms and eight more kinds of scenes",
        size="2.3 GB (churches), 43 GB (bedrooms)",
        place="https://github.com/fyu/lsun",
        licence="none stated; published for research",
        commands=(
            "church_outdoor_train_lmdb/ churches/ --resolution 256",
            "lsun/ scenes/ --resolution 256 --classes labels",
        ),
    ),
    Collection(
        name="CIFAR-10 and CIFAR-100",
        pictures="60,000 pictures of 32 × 32 pixels each",
        size="0.16 GB each (binary version; unpack it first)",
        place="https://www.cs.toronto.edu/~kriz/cifar.html",
        licence="none stated",
        commands=("cifar-10-batches-bin/ cifar/ --resolution 32 --classes labels",),
    ),
    Collection(
        name="MNIST",
        pictures="70,000 digits of 28 × 28 pixels, padded to 32 × 32; its relatives alike",
        size="0.01 GB (four .gz files; they may stay packed)",
        place="https://github.com/cvdfoundation/mnist",
        licence="CC BY-SA 3.0",
        commands=("mnist/ digits/ --resolution 32 --channels 1 --classes labels",),
    ),
    Collection(
        name="The paper's own datasets, and StyleGAN's",
        pictures="folders of *-r02.tfrecords …, or zip archives with dataset.json",
        size="273 GB (FFHQ's TFRecords)",
        place="https://github.com/NVlabs/ffhq-dataset; CelebA-HQ is not published any more",
        licence="that of the pictures in them",
        commands=(
            "ffhq/ ffhq-1024/ --resolution 1024",
            "cifar10.zip cifar/ --resolution 32 --classes labels",
        ),
    ),
)
