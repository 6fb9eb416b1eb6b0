"""What all tests share."""

import re

from hypothesis import settings

# No test may fail because a machine is slow.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# As `datasets.progress` prints them: "Reading pictures: 3 of 9 (33 %), 1.2 pictures/s, 5 s left".
_PROGRESS = re.compile(
    r"^[^:\n]+: (\d+ of \d+ \(\d+ %\)|\d+ \w+ in [^,\n]+), [\d.e-]+ \w+/s(, [^,\n]+ left)?\n",
    re.MULTILINE,
)


def without_progress(stderr: str) -> str:
    """Leave out the lines that tell of progress: on a slow machine, there are some."""
    return _PROGRESS.sub("", stderr)
