"""Does a change alter what training computes? Tiny runs of two commits, compared byte for byte.

    python -m tests.same_bits --base COMMIT [--continued] [--only NAME …]

Every run is trained by the code of COMMIT and by that of the working tree, on this machine, in
folders of their own; then all files that hold results are compared: checkpoints, model files and
sample grids. With `--continued`, COMMIT begins every run, and each of the two continues a copy of
it: where settings have been added since, the files differ in what they say of them, so that tensors
are compared then. Exits 1 where anything differs.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
from safetensors import safe_open

ROOT = Path(__file__).resolve().parent.parent
# From 4 to 16 pixels in 14 rounds of 16 images.
_TINY = (
    *("--fmap-base", "32", "--fmap-max", "8", "--minibatch-repeats", "2", "--device", "cpu"),
    *("--fade-kimg", "0.048", "--hold-kimg", "0.032", "--sample-kimg", "0.1", "--keep", "20"),
    *("--checkpoint-kimg", "0.032", "--tick-seconds", "1000"),
)
_HALF, _WHOLE = ("--kimg", "0.12"), ("--kimg", "0.22")
_EIGHT = ("--minibatch", "8")


@dataclass(frozen=True)
class Trial:
    """One run.

    Attributes:
        words: options of train.py.
        classes: whether the dataset has classes.
        processes: how many train it.
    """

    words: tuple[str, ...]
    classes: bool = False
    processes: int = 1


_RELATIVISTIC = ("--objective", "relativistic", "--augment", "colour,translation,cutout")
TRIALS = {
    "small": Trial(("--preset", "small", *_EIGHT)),
    "modern": Trial(("--preset", "modern", *_EIGHT)),
    "paper": Trial(("--preset", "paper", "--minibatch", "16")),
    "v2": Trial(("--preset", "v2", *_EIGHT)),
    "classes": Trial(("--preset", "small", *_EIGHT), classes=True),
    "modern classes": Trial(("--preset", "modern", *_EIGHT), classes=True),
    "unfused": Trial(("--preset", "small", *_EIGHT, "--no-fused-scale")),
    "augmented": Trial(("--preset", "small", *_EIGHT, *_RELATIVISTIC, "--augment-target", "0.3")),
    "logistic": Trial(("--preset", "small", *_EIGHT, "--objective", "logistic", "--no-mirror")),
    "float16": Trial(("--preset", "small", *_EIGHT, "--precision", "float16")),
    "bfloat16": Trial(("--preset", "modern", *_EIGHT, "--precision", "bfloat16")),
    "split": Trial(("--preset", "small", *_EIGHT, "--accumulate", "2")),
    "compiled": Trial(("--preset", "small", *_EIGHT, "--compile")),
    "two processes": Trial(("--preset", "small", *_EIGHT), processes=2),
    # Weights grow beyond all numbers as the first fade begins.
    "rolled back": Trial(
        (
            *("--preset", "small", *_EIGHT, "--learning-rate", "0.002,8:9e8"),
            *("--on-divergence", "rollback", "--rollbacks", "1"),
        )
    ),
}


def train(code: Path, trial: Trial, data: Path, run: Path, *more: str) -> None:
    """Train with the code in a folder.

    Raises:
        click.ClickException: train.py failed.
    """
    begin = [sys.executable, "train.py"]
    if trial.processes > 1:
        begin = [sys.executable, "-m", "torch.distributed.run", "--standalone",
                 "--nproc-per-node", str(trial.processes), "train.py"]  # fmt: skip
    words = [*begin, str(data), str(run), *trial.words, *_TINY, *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(words, cwd=code, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(
            f"{' '.join(words)} in {code} ended with {done.returncode}:\n{done.stderr[-2000:]}"
        )


def results(run: Path) -> dict[str, Path]:
    """Return a run's files that hold results, by their names in it."""
    found = [*run.glob("**/*.safetensors*"), *run.glob("samples/**/*.png")]
    return {str(path.relative_to(run)): path for path in found}


def same_tensors(one: Path, other: Path) -> bool:
    """Check whether two safetensors files hold the same bits under the same names."""
    with safe_open(one, "np") as first, safe_open(other, "np") as second:
        names = sorted(first.keys())
        return names == sorted(second.keys()) and all(
            first.get_tensor(name).tobytes() == second.get_tensor(name).tobytes()
            and first.get_tensor(name).dtype == second.get_tensor(name).dtype
            for name in names
        )


def differences(one: Path, other: Path, *, tensors: bool) -> list[str]:
    """Name what differs between two runs; at least one checkpoint is expected in each."""
    first, second = results(one), results(other)
    wrong = [f"{name} (in one alone)" for name in sorted(first.keys() ^ second.keys())]
    if not any(name.startswith("checkpoints") for name in first):
        wrong.append("no checkpoint")
    for name in sorted(first.keys() & second.keys()):
        if first[name].read_bytes() == second[name].read_bytes():
            continue
        weights = ".safetensors" in name
        if not (tensors and weights and same_tensors(first[name], second[name])):
            wrong.append(name)
    return wrong


def compare(
    name: str, codes: Sequence[Path], data: Path, folder: Path, *, continued: bool
) -> tuple[str, list[str], int]:
    """Train one run with both codes; returns its name, what differs, and how much was compared."""
    trial = TRIALS[name]
    runs = [folder / f"{name} {which}" for which in ("base", "now")]
    if continued:
        train(codes[0], trial, data, runs[0], *_HALF)
        shutil.copytree(runs[0], runs[1])
    for code, run in zip(codes, runs, strict=True):
        train(code, trial, data, run, *_WHOLE)
    return name, differences(*runs, tensors=continued), len(results(runs[0]))


def unpacked(commit: str, folder: Path) -> Path:
    """Unpack a commit's files into a folder."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
    if packed.returncode:
        raise click.ClickException(packed.stderr.decode().strip())
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@click.command()
@click.option("--base", required=True, metavar="COMMIT", help="What to compare with.")
@click.option("--continued", is_flag=True, help="Continue runs that COMMIT has begun.")
@click.option("--only", multiple=True, type=click.Choice(list(TRIALS)), help="Repeatable.")
@click.option("--at-once", type=click.IntRange(min=1), default=2, show_default=True)
def main(base: str, continued: bool, only: tuple[str, ...], at_once: int) -> None:
    """Compare what two commits compute."""
    names = list(only or TRIALS)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        codes = [unpacked(base, folder / "code"), ROOT]
        for words in (("plain",), ("labels", "--classes", "labels")):
            data = [sys.executable, "-m", "datasets", "prepare", "drawn:40", str(folder / words[0])]
            more = ["--resolution", "16", "--workers", "1", *words[1:]]
            subprocess.run([*data, *more], cwd=codes[0], check=True, capture_output=True)
        wrong = 0
        with ThreadPoolExecutor(at_once) as pool:
            waiting = [
                pool.submit(
                    compare,
                    name,
                    codes,
                    folder / ("labels" if TRIALS[name].classes else "plain"),
                    folder,
                    continued=continued,
                )
                for name in names
            ]
            for each in waiting:
                name, found, count = each.result()
                wrong += bool(found)
                told = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if found[3:] else "")
                click.echo(f"{name}: {f'differs: {told}' if found else f'{count} files the same'}")
    click.echo(f"{wrong} of {len(names)} runs differ")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
