"""A training that is over in a second, for tests that repeat it many times."""

from pathlib import Path

from datasets.__main__ import datasets as datasets_main

# From 4 to 16 pixels in 14 rounds of 16 images.
TINY = [
    *("--preset", "small", "--fmap-base", "32", "--fmap-max", "4", "--minibatch", "8"),
    *("--minibatch-repeats", "2", "--fade-kimg", "0.048", "--hold-kimg", "0.032"),
    *("--tick-seconds", "0", "--sample-kimg", "0.1", "--device", "cpu"),
    "--no-watch-memorization",
]
WHOLE = [*TINY, "--kimg", "0.22", "--checkpoint-kimg", "0.032"]
HALF = [*TINY, "--kimg", "0.12", "--checkpoint-kimg", "0.032"]


def prepared(path: Path, *words: object) -> Path:
    command = ["prepare", "drawn:40", path, "--resolution", 16, "--workers", 1, *words]
    datasets_main([str(word) for word in command], standalone_mode=False)
    return path
