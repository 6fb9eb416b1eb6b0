"""`python -m tools import-official`: networks of the paper's authors, taken over."""

from pathlib import Path

import click

from tools import options


@click.command("import-official")
@click.argument("file", type=options.PATH, metavar="FILE.pkl")
@click.argument("out", type=options.PATH, metavar="OUT.safetensors")
@click.option(
    "--run", type=options.PATH, help="Make this run directory as well: train.py goes on from it."
)
@click.option(
    "--preset",
    "preset_name",
    type=options.PRESET,
    help="How the run goes on; by default paper or v2, by the file's groups of samples.",
)
@click.option("--seed", type=options.SEED, help="Of the run's further draws; by default 0.")
@options.overwrite
def import_official(
    file: Path,
    out: Path,
    run: Path | None,
    preset_name: str | None,
    seed: int | None,
    overwrite: bool,
) -> None:
    """Take over networks that the paper's authors published, or that their program trained.

    FILE.pkl is read without running anything in it. OUT.safetensors becomes the model file of its
    average generator.
    """
    if out.suffix != ".safetensors":
        raise click.BadParameter("a model file's name ends in .safetensors", param_hint="OUT")
    if run is None and (preset_name is not None or seed is not None):
        raise click.UsageError("--preset and --seed are for --run.")
    options.refuse_input_as_output(out, file)
    from tools import importing as work

    sentence = work.import_official(
        file, out, run=run, preset_name=preset_name, seed=seed or 0, overwrite=overwrite
    )
    click.echo(f"{sentence}: {out}")
    if run is not None:
        click.echo(f"To train on: python train.py DATASET {run}")
