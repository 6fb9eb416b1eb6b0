"""The door to what was learned: `python -m tools --help`."""

import click

from datasets import door
from progan.errors import ProganError
from tools.commands.ablate import ablate
from tools.commands.bench import bench
from tools.commands.export import export
from tools.commands.generate import generate
from tools.commands.import_official import import_official
from tools.commands.metrics import metrics
from tools.commands.neighbours import neighbours
from tools.commands.project import project
from tools.commands.timelapse import timelapse
from tools.commands.video import video


@click.group(
    commands=[
        generate,
        video,
        timelapse,
        project,
        neighbours,
        metrics,
        ablate,
        bench,
        import_official,
        export,
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)
def main() -> None:
    """Look at what a generator has learned. MODEL is a model file or a run directory."""


if __name__ == "__main__":
    door.run(main, ProganError)
