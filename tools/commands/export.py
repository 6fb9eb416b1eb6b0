"""`python -m tools export`: a generator for other programs."""

from pathlib import Path

import click

from tools import options


@click.command()
@options.model
@click.argument("out", type=options.PATH, metavar="OUT.onnx|OUT.pt2|OUT.safetensors")
@click.option("--licence", help="What the card says of the licence.")
@click.option(
    "--metrics",
    "metrics_file",
    type=options.PATH,
    metavar="FILE.json",
    help="Figures of the model, of metrics --json; by default those of the run's log.",
)
@click.option(
    "--memorization",
    type=options.PATH,
    metavar="REPORT",
    help="A report of neighbours on the model; by default what the run's log says.",
)
@options.overwrite
def export(
    model: Path,
    out: Path,
    licence: str | None,
    metrics_file: Path | None,
    memorization: Path | None,
    overwrite: bool,
) -> None:
    """Write a generator for other programs, and a card that says what it is.

    OUT.onnx is for ONNX Runtime and all that reads ONNX, OUT.pt2 for PyTorch without this program,
    and OUT.safetensors a model file of half the size, to be handed on. The card is OUT.onnx.md and
    so on. Before it lands, the file is run and its images compared with MODEL's.
    """
    if out.suffix not in (".onnx", ".pt2", ".safetensors"):
        raise click.BadParameter(
            "the file's name must end in .onnx, .pt2 or .safetensors", param_hint="OUT"
        )
    options.refuse_input_as_output(out, model)
    from tools import exporting, model_card

    loaded = options.read_model(model, "cpu")
    sources = model_card.Sources(
        run=model if model.is_dir() else None,
        metrics=metrics_file,
        memorization=memorization,
        licence=licence,
    )
    card = model_card.card(loaded, out, sources)
    if out.suffix == ".safetensors":
        exporting.export_small(loaded, out, card, overwrite=overwrite)
        size = out.stat().st_size / 2**20
        click.echo(f"{out}, {size:.1f} MiB, and {exporting.card_place(out)}")
        return
    facts = model_card.facts(loaded, sources)
    difference = exporting.export(loaded, out, facts, card, overwrite=overwrite)
    click.echo(f"{out} and {exporting.card_place(out)}: images differ by {difference:.1e} at most")
