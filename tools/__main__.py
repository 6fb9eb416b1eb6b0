"""The door to what was learned: `python -m tools --help`."""

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from datasets import door
from progan.config import PRESETS
from progan.errors import ProganError
from tools import options

if TYPE_CHECKING:
    from datasets.framing import UnturnedCrop

_PICTURES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
_MOST_IMAGES = 1_000_000
_MOST_PHOTOGRAPHS = 64


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Look at what a generator has learned. MODEL is a model file or a run directory."""


def _kind_of_output(out: Path, format_name: str | None, grid: bool) -> str:
    """Say what OUT is to be: "sheet" (one picture), "folder" (single ones) or "array"."""
    suffix = out.suffix.lower()
    named = _PICTURES.get(suffix) or ("npy" if suffix == ".npy" else None)
    if format_name is not None and named not in (None, format_name):
        raise click.BadParameter(f"{format_name} does not fit {out.name}", param_hint="--format")
    if "npy" in (format_name, named):
        if grid:
            raise click.UsageError("--grid makes a picture: it does not go with the format npy.")
        return "array"
    if grid and named is None:
        raise click.BadParameter("a grid's name must end in .png or .jpg", param_hint="OUT")
    return "folder" if named is None else "sheet"


@main.command()
@click.argument("model", type=options.PATH)
@click.argument("out", type=options.PATH)
@click.option(
    "--seeds", type=options.Seeds(), help="One picture a seed; by default as --grid, or 0-63."
)
@click.option(
    "--latents",
    "latents_file",
    type=options.PATH,
    help="A .npy file of latents [N, latent_size] instead of seeds.",
)
@click.option(
    "--grid", type=options.Grid(), help="One picture of columns x rows instead of single ones."
)
@click.option(
    "--zoom", type=click.IntRange(1, 64), default=1, help="Repeat each pixel of a grid so often."
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["png", "jpeg", "npy"]),
    default=None,
    help="npy: one file of the network's own float32 output [N, C, H, W], unclipped.",
)
@click.option(
    "--class",
    "class_names",
    multiple=True,
    help="Name or number of the class; repeatable. By default a grid has one row a class, and "
    "single pictures have classes as often as the training images.",
)
@options.truncation
@options.drawing_precision
@options.device
@options.overwrite
def generate(
    model: Path,
    out: Path,
    seeds: list[int] | None,
    latents_file: Path | None,
    grid: tuple[int, int] | None,
    zoom: int,
    format_name: str | None,
    class_names: tuple[str, ...],
    truncation: float,
    precision: str,
    device: str,
    overwrite: bool,
) -> None:
    """Draw pictures: a folder of single ones, a grid as one file, or numbers.

    OUT is a folder of pictures, or a file where its name ends in .png, .jpg or .npy. A grid of
    several classes, or of all classes of a model that has some, shows one class in each row and the
    same faces in all of them; where it has rows for more faces, all classes come again below.
    """
    from progan.latents import latents_of_seeds
    from progan.truncation import truncate
    from tools import drawing
    from tools import generate as work
    from tools.class_rows import ClassRows
    from tools.classes import class_names as names_of_classes
    from tools.classes import find_class, told

    if seeds is not None and latents_file is not None:
        raise click.UsageError("Give either --seeds or --latents, not both.")
    if seeds is not None and len(set(seeds)) < len(seeds):
        raise click.BadParameter("a seed is named twice", param_hint="--seeds")
    kind = _kind_of_output(out, format_name, grid is not None)
    if zoom > 1 and kind != "sheet":
        raise click.UsageError("--zoom is for grids.")
    options.refuse_input_as_output(out, model, latents_file)
    loaded = options.read_model(model, device)
    classes = [find_class(loaded, name) for name in class_names]
    if len(set(classes)) < len(classes):
        raise click.BadParameter("a class is named twice", param_hint="--class")
    truncate(loaded.generator, truncation)
    points = None
    if latents_file is not None:
        points = drawing.read_latents(latents_file, loaded.generator.latent_size)
        seeds = list(range(len(points)))
    rows = None
    if kind == "sheet" and loaded.generator.label_size > 0 and len(classes) != 1:
        count = None if seeds is None else len(seeds)
        rows = ClassRows.plan(loaded.generator.label_size, classes, count, grid)
    usual = rows.count if rows else grid[0] * grid[1] if grid else 64
    numbers = seeds or list(range(usual))
    faces: work.Faces = work.FacesOfNumbers(loaded, numbers, classes, points)
    if rows:
        if points is None:
            points = latents_of_seeds(numbers, loaded.generator.latent_size)
        faces = work.FacesAtHand(*rows.lay_out(points))
    # Numbers are the network's own, in float32, unless something else is asked for.
    precision = "float32" if kind == "array" and precision == "auto" else precision
    some = faces.part(0, min(faces.count, work.PICTURES_COMPARED))
    generator = drawing.quickest(loaded.generator, *some, precision=precision)
    if kind == "sheet":
        if grid and faces.count > grid[0] * grid[1]:
            raise click.BadParameter(
                f"{faces.count} pictures do not fit into {grid[0]}x{grid[1]}", param_hint="--grid"
            )
        columns = rows.columns if rows else grid[0] if grid else min(8, faces.count)
        work.generate_grid(generator, faces, out, columns=columns, zoom=zoom, overwrite=overwrite)
    elif kind == "array":
        work.generate_array(generator, faces, out, overwrite=overwrite)
    else:
        word = "seed" if latents_file is None else "latent"
        names = work.picture_names(word, numbers, classes)
        suffix = ".jpg" if format_name == "jpeg" else ".png"
        work.generate_files(generator, faces, names, out, suffix=suffix, overwrite=overwrite)
    click.echo(f"{faces.count} pictures: {out}")
    if rows:
        shown = [names_of_classes(loaded)[number] for number in rows.classes]
        click.echo(f"Rows from the top: {told(shown)}")


@main.command()
@click.argument("model", type=options.PATH)
@click.argument("out", type=options.PATH)
@click.option("--seconds", type=door.Number(0.01, 86400), default=60.0, show_default=True)
@click.option("--fps", type=click.IntRange(1, 240), default=60, show_default=True)
@click.option(
    "--smoothing",
    type=door.Number(0.001, 3600),
    default=1.0,
    show_default=True,
    help="Seconds over which the random walk is smoothed: more is slower.",
)
@click.option(
    "--grid", type=options.Grid(), default="1x1", show_default=True, help="Faces a frame."
)
@click.option(
    "--seed",
    type=options.SEED,
    default=0,
    show_default=True,
    help="Of the random walk, or of the first face of --path still.",
)
@click.option(
    "--path",
    "path_name",
    type=click.Choice(["random", "seeds", "still"]),
    default=None,
    help="random: the faces change all the time; seeds: a tour of the faces of --seeds, back to "
    "the first; still: nothing changes but the class.  [default: random; with --to, still]",
)
@click.option("--seeds", type=options.Seeds(), help="The faces of --path seeds, such as 1,2,3.")
@click.option("--zoom", type=click.IntRange(1, 1024), help="Repeat each pixel so often.")
@click.option(
    "--quality",
    type=click.IntRange(0, 51),
    default=17,
    show_default=True,
    help="x264's constant rate factor: 0 loses next to nothing, more is smaller.",
)
@click.option(
    "--class",
    "class_name",
    help="Name or number of the class; by default the faces of a grid have each in turn.",
)
@click.option(
    "--to",
    "to_class",
    metavar="CLASS",
    help="Go from --class to this class, where the film is half over, and back.",
)
@options.truncation
@options.drawing_precision
@options.device
@options.overwrite
def video(
    model: Path,
    out: Path,
    seconds: float,
    fps: int,
    smoothing: float,
    grid: tuple[int, int],
    seed: int,
    path_name: str | None,
    seeds: list[int] | None,
    zoom: int | None,
    quality: int,
    class_name: str | None,
    to_class: str | None,
    truncation: float,
    precision: str,
    device: str,
    overwrite: bool,
) -> None:
    """Film a walk through latent space that ends where it began, as an H.264 MP4.

    With --class A --to B, the same faces go from class A to class B and back.
    """
    from progan.latents import SeedWalk, SmoothWalk, StillWalk, Walk, latents_of_seeds
    from progan.truncation import truncate
    from tools.classes import walking_labels
    from tools.video import write_video

    if out.suffix.lower() != ".mp4":
        raise click.BadParameter("the film's name must end in .mp4", param_hint="OUT")
    if to_class is not None and class_name is None:
        raise click.UsageError("--to needs --class, the class where the film begins.")
    path_name = path_name or ("random" if to_class is None else "still")
    if (path_name == "seeds") != (seeds is not None):
        raise click.UsageError("--path seeds and --seeds go together.")
    if path_name == "seeds" and grid != (1, 1):
        raise click.UsageError("--path seeds shows one face: it does not go with --grid.")
    if path_name == "still" and to_class is None:
        raise click.UsageError("--path still needs --to: else nothing would move.")
    options.refuse_input_as_output(out, model)
    loaded = options.read_model(model, device)
    size = loaded.generator.latent_size
    frames, cells = max(1, round(seconds * fps)), grid[0] * grid[1]
    if path_name == "seeds" and class_name is None and loaded.generator.label_size > 0:
        # A class is not a point on a path: each face's own one would appear with a jump.
        raise click.UsageError("This model has classes: --path seeds needs --class.")
    truncate(loaded.generator, truncation)
    labels = walking_labels(loaded, class_name, to_class, frames=frames, cells=cells)
    if seeds is not None:
        walk: Walk = SeedWalk(frames=frames, stops=latents_of_seeds(seeds, size))
    elif path_name == "still":
        faces = range(seed, seed + cells)
        walk = StillWalk(frames=frames, points=latents_of_seeds(faces, size))
    else:
        walk = SmoothWalk(
            frames=frames, cells=cells, latent_size=size, smoothing=smoothing * fps, seed=seed
        )
    write_video(
        loaded,
        walk,
        labels,
        out,
        columns=grid[0],
        fps=fps,
        quality=quality,
        zoom=zoom,
        precision=precision,
        overwrite=overwrite,
    )
    click.echo(f"{frames} frames, {frames / fps:g} s: {out}")


@main.command()
@click.argument("run", type=options.PATH)
@click.argument("out", type=options.PATH)
@click.option("--seconds", type=door.Number(0.1, 3600), default=20.0, show_default=True)
@click.option("--fps", type=click.IntRange(1, 240), default=30, show_default=True)
@click.option(
    "--hold",
    type=door.Number(0, 3600),
    help="Of these seconds, so many at the end show the last checkpoint.  [default: a tenth]",
)
@click.option("--grid", type=options.Grid(), help="Faces a frame; by default one row, or 4x3.")
@click.option("--seeds", type=options.Seeds(), help="The faces; by default the first, from 0.")
@click.option("--class", "class_name", help="Class of all faces; by default each in turn.")
@click.option("--captions", is_flag=True, help="Tell below: thousand images shown, and pixels.")
@click.option("--zoom", type=click.IntRange(1, 1024), help="Repeat each last pixel so often.")
@click.option(
    "--quality",
    type=click.IntRange(0, 51),
    default=17,
    show_default=True,
    help="x264's constant rate factor: 0 loses next to nothing, more is smaller.",
)
@options.device
@options.overwrite
def timelapse(
    run: Path,
    out: Path,
    seconds: float,
    fps: int,
    hold: float | None,
    grid: tuple[int, int] | None,
    seeds: list[int] | None,
    class_name: str | None,
    captions: bool,
    zoom: int | None,
    quality: int,
    device: str,
    overwrite: bool,
) -> None:
    """Film how the same faces grow in training, out of the checkpoints that RUN has kept.

    Training keeps the newest few, and with --milestone-kimg others on the way. Each is shown as its
    average generator draws it at its own level, then fades into the next; in every second of the
    film the same number of images was shown. OUT is an H.264 MP4.
    """
    from progan.latents import latents_of_seeds
    from tools import timelapse as work

    if out.suffix.lower() != ".mp4":
        raise click.BadParameter("the film's name must end in .mp4", param_hint="OUT")
    if hold is not None and hold >= seconds:
        raise click.BadParameter("leaves no time for the other checkpoints", param_hint="--hold")
    if grid is None:
        grid = (4, 3) if seeds is None else (min(8, len(seeds)), -(-len(seeds) // 8))
    numbers = seeds or list(range(grid[0] * grid[1]))
    if len(numbers) > grid[0] * grid[1]:
        raise click.BadParameter(
            f"{len(numbers)} faces do not fit into {grid[0]}x{grid[1]}", param_hint="--grid"
        )
    where = options.find_device(device)
    latent_size, labels = work.faces_of(run, len(numbers), class_name)
    frames = max(2, round(seconds * fps))
    held = round((seconds / 10 if hold is None else hold) * fps)
    first, last = work.write_timelapse(
        run,
        latents_of_seeds(numbers, latent_size),
        labels,
        out,
        columns=grid[0],
        frames=frames,
        hold=min(max(1, held), frames - 1),
        fps=fps,
        quality=quality,
        zoom=zoom,
        captions=captions,
        device=where,
        overwrite=overwrite,
    )
    click.echo(
        f"{frames} frames, {frames / fps:g} s, from {first / 1000:g} to {last / 1000:g} kimg: {out}"
    )
    if first > last / 2:
        click.echo(
            "The run has kept its newest checkpoints alone: training with --milestone-kimg keeps "
            "earlier ones.",
            err=True,
        )


def _crop(text: str) -> "UnturnedCrop":
    """Read `--crop`; faces are not looked for here."""
    from datasets.framing import parse_crop

    with suppress(ValueError):
        crop = parse_crop(text)
        if crop != "face":
            return crop
    raise click.BadParameter(
        f"{text!r} is not centre, top or X,Y,SIZE in pixels", param_hint="--crop"
    )


@main.command()
@click.argument("model", type=options.PATH)
@click.argument("photographs", type=options.PATH, nargs=-1, required=True)
@click.argument("out", type=options.PATH)
@click.option(
    "--features",
    metavar="pixels|critic:RUN",
    help="What is compared: pixels alone, or what a run's critic sees, too; by default the critic "
    "where MODEL is a run directory.",
)
@click.option(
    "--crop",
    metavar="centre|top|X,Y,SIZE",
    help="The square of the photograph; by default as the model's training images were cropped.",
)
@click.option("--class", "class_name", help="Name or number of the faces' class, if there are any.")
@click.option("--steps", type=click.IntRange(1, 100_000), default=300, show_default=True)
@click.option("--seed", type=options.SEED, default=0, show_default=True)
@click.option("--film", is_flag=True, help="Film the search.")
@options.device
@options.overwrite
def project(
    model: Path,
    photographs: tuple[Path, ...],
    out: Path,
    features: str | None,
    crop: str | None,
    class_name: str | None,
    steps: int,
    seed: int,
    film: bool,
    device: str,
    overwrite: bool,
) -> None:
    """Find latents with which MODEL draws faces that resemble PHOTOGRAPHS.

    OUT is a folder: latents.npy, for generate --latents; comparison.png, photographs above and what
    was found below; distances.csv; and search.mp4, if it is filmed.
    """
    from tools import project as work
    from tools.classes import class_names as names_of_classes
    from tools.classes import find_class, told

    if len(photographs) > _MOST_PHOTOGRAPHS:
        raise click.UsageError(f"{_MOST_PHOTOGRAPHS} photographs at once are the most.")
    for path in photographs:
        if not path.exists():
            raise click.BadParameter(f"there is no file {path}", param_hint="PHOTOGRAPHS")
    options.refuse_input_as_output(out, model, *photographs)
    loaded = options.read_model(model, device)
    square = work.usual_crop(loaded) if crop is None else _crop(crop)
    critic_run = model if model.is_dir() else None
    if features is not None:
        kind, _, run = features.partition(":")
        if features != "pixels" and (kind != "critic" or not run):
            raise click.BadParameter(
                f"{features!r} is not pixels or critic:RUN", param_hint="--features"
            )
        critic_run = None if features == "pixels" else Path(run)
    label = None if class_name is None else find_class(loaded, class_name)
    if label is None and loaded.generator.label_size > 0:
        names = told(names_of_classes(loaded))
        raise click.UsageError(f"This model has classes: give --class, one of {names}.")
    distances = work.project(
        loaded,
        critic_run,
        photographs,
        out,
        crop=square,
        label=label,
        steps=steps,
        seed=seed,
        film=film,
        overwrite=overwrite,
    )
    for path, distance in zip(photographs, distances, strict=True):
        click.echo(f"{path.name}: distance {distance:.3f}")
    click.echo(f"Photographs and what was found: {out / 'comparison.png'}")


@main.command()
@click.argument("reals", required=False)
@click.argument("fakes", required=False)
@click.option(
    "--metric",
    "names",
    default="swd,ms-ssim",
    show_default=True,
    metavar="NAME[,NAME…]",
    help="swd, ms-ssim; and, with --detector: fid, kid, precision, recall, density, coverage.",
)
@click.option(
    "--images",
    "count",
    type=click.IntRange(2, _MOST_IMAGES),
    help="Images of each side; by default all reals, 50000 at most (1000 for --history).",
)
@click.option(
    "--split",
    type=click.Choice(["train", "held-out"]),
    default="train",
    show_default=True,
    help="Part of a dataset that REALS means.",
)
@click.option("--resize", type=click.IntRange(1, 1024), help="Bring all images to this size.")
@click.option("--seed", type=options.SEED, default=0, show_default=True)
@click.option("--detector", help="inception, critic:RUN, or a TorchScript file.")
@options.trust
@click.option("--json", "json_file", type=options.PATH, help="Write the figures to this file.")
@click.option(
    "--history",
    type=options.PATH,
    metavar="RUN",
    help="Measure every checkpoint that RUN has kept.",
)
@click.option("--plot", type=options.PATH, help="With --history: the PNG to draw the curves into.")
@options.device
@options.overwrite
def metrics(
    reals: str | None,
    fakes: str | None,
    names: str,
    count: int | None,
    split: Literal["train", "held-out"],
    resize: int | None,
    seed: int,
    detector: str | None,
    trust: bool,
    json_file: Path | None,
    history: Path | None,
    plot: Path | None,
    device: str,
    overwrite: bool,
) -> None:
    """Measure how near FAKES come to REALS.

    Both are anything that yields pictures: a dataset, a folder, a zip archive, a .npy file, a model
    or a run directory. With --history RUN, REALS is the run's own dataset unless one is given.
    """
    from tools import measure_command as work
    from tools.metrics.registry import chosen, need_features

    wanted = [metric.name for metric in chosen(name.strip() for name in names.split(","))]
    if need_features(wanted) and detector is None:
        raise click.UsageError(f"--metric {names} looks at features: give a --detector.")
    if history is None and plot is not None:
        raise click.UsageError("--plot goes with --history.")
    if (fakes is None) != (history is not None) or (reals is None and history is None):
        raise click.UsageError("Give REALS and FAKES, or --history RUN.")
    where = options.find_device(device)
    judge = None
    if detector is not None:
        from tools.detectors import open_detector

        judge = open_detector(detector, where, trust=trust)
    asked = work.Asked(
        names=wanted,
        count=count,
        seed=seed,
        detector=judge,
        json_file=json_file,
        overwrite=overwrite,
    )
    if history is not None:
        work.tell_history(history, reals, split, resize, plot, asked)
    else:
        assert reals is not None and fakes is not None
        work.tell(reals, fakes, split, resize, str(where), asked)


@main.command()
@click.argument("images", metavar="IMAGES")
@click.argument("dataset", type=options.PATH)
@click.argument("report", type=options.PATH)
@click.option(
    "--images",
    "count",
    type=click.IntRange(1, _MOST_IMAGES),
    help="How many to examine; by default 1000 of a model, and all of anything else.",
)
@click.option(
    "--nearest",
    type=click.IntRange(1, 50),
    default=5,
    show_default=True,
    help="Training images to show for each.",
)
@click.option(
    "--features",
    multiple=True,
    default=["pixels", "structure"],
    show_default=True,
    help="What is compared: pixels, structure, critic:RUN or a TorchScript file; repeatable.",
)
@options.trust
@click.option(
    "--crop",
    type=click.Choice(["none", "face"]),
    default="none",
    show_default=True,
    help="face: compare the inner face only.",
)
@click.option(
    "--resolution",
    type=door.Resolution(),
    help="Pixels at which pixels and structure compare; by default 32, or what there is.",
)
@click.option(
    "--false-alarm",
    type=door.Number(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="Share of new images that may be flagged.",
)
@click.option(
    "--search",
    type=click.Choice(["auto", "exact", "approximate"]),
    default="auto",
    show_default=True,
    help="approximate: through an index (needs FAISS); auto: so for very many images only.",
)
@click.option(
    "--seed", type=options.SEED, default=0, show_default=True, help="Of a model's first image."
)
@options.device
@options.overwrite
def neighbours(
    images: str,
    dataset: Path,
    report: Path,
    count: int | None,
    nearest: int,
    features: tuple[str, ...],
    trust: bool,
    crop: str,
    resolution: int | None,
    false_alarm: float,
    search: Literal["auto", "exact", "approximate"],
    seed: int,
    device: str,
    overwrite: bool,
) -> None:
    """Are images copies of training photographs? Pictures and statistics, in the folder REPORT.

    IMAGES is a model file or run directory, a folder, a zip archive, a .npy file or a dataset.
    DATASET is what may have been copied. REPORT gets report.html, report.json and sheet.png.
    """
    from datasets.pyramid import Dataset
    from tools.images import open_images
    from tools.memorization.examine import Settings, common_side
    from tools.memorization.report import write_report

    data = Dataset.open(dataset)
    options.refuse_input_as_output(report, dataset, Path(images))
    where = options.find_device(device)
    opened = open_images(
        images, count=count or 1000, seed=seed, channels=data.channels, device=str(where)
    )
    largest = common_side(opened, data)
    if resolution is not None and resolution > largest:
        raise click.BadParameter(
            f"images and dataset have {largest} pixels in common, not {resolution}",
            param_hint="--resolution",
        )
    sentence = write_report(
        opened,
        data,
        report,
        count=count or opened.count,
        settings=Settings(
            features=features,
            resolution=resolution,
            inner_face=crop == "face",
            nearest=nearest,
            false_alarm=false_alarm,
            seed=seed,
            device=str(where),
            search=search,
            trust=trust,
        ),
        overwrite=overwrite,
    )
    click.echo(sentence)
    click.echo(f"The report: {report / 'report.html'}")


@main.command()
@click.option(
    "--level", "levels", type=click.IntRange(2, 10), multiple=True, help="Repeatable; default all."
)
@click.option("--preset", type=click.Choice(list(PRESETS)), default="paper")
@click.option("--minibatch", type=click.IntRange(1, 4096), help="By default the preset's.")
@click.option("--fmap-base", type=click.IntRange(1), help="By default the preset's.")
@click.option("--fmap-max", type=click.IntRange(1), help="By default the preset's.")
@click.option("--share-fakes", is_flag=True, help="Make fakes once for both networks.")
@click.option("--no-penalty-curvature", is_flag=True, help="As train.py has it.")
@click.option("--penalty-interval", type=click.IntRange(1), default=1, show_default=True)
@options.training_precision
@click.option("--compile", "compiled", is_flag=True, help="As train.py has it.")
@click.option("--plain", is_flag=True, help="Convolve directly, for comparison.")
@click.option("--repeats", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--json", "json_file", type=options.PATH, help="Write the figures to this file.")
@click.option("--plot", type=options.PATH, help="Draw seconds per kimg into this PNG.")
@options.device
@options.overwrite
def bench(
    levels: tuple[int, ...],
    preset: str,
    minibatch: int | None,
    fmap_base: int | None,
    fmap_max: int | None,
    share_fakes: bool,
    no_penalty_curvature: bool,
    penalty_interval: int,
    precision: str,
    compiled: bool,
    plain: bool,
    repeats: int,
    json_file: Path | None,
    plot: Path | None,
    device: str,
    overwrite: bool,
) -> None:
    """Measure the speed of training on this machine, level by level.

    The last columns compare with a plain convolution measured in the same moments; that ratio is
    what can be held against other machines and programs.
    """
    from progan.convolution import plain_convolutions
    from tools import bench as work

    where = options.find_device(device)
    config = work.configuration(
        preset,
        minibatch,
        fmap_base,
        fmap_max,
        share_fakes=share_fakes,
        penalty_curvature=not no_penalty_curvature,
        penalty_interval=penalty_interval,
        precision=precision,
    )
    with plain_convolutions() if plain else nullcontext():
        work.tell(
            config,
            levels,
            where,
            repeats,
            json_file,
            plot,
            compiled=compiled,
            overwrite=overwrite,
        )


@main.command()
@click.argument("dataset", type=options.PATH)
@click.argument("out", type=options.PATH)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    required=True,
    metavar="NAME[:OPTION=VALUE,…]",
    help="A name and the options of train.py (or preset=…) in which it differs; repeatable.",
)
@click.option("--preset", "preset_name", type=click.Choice(list(PRESETS)), default="small",
              show_default=True, help="What the variants begin with.")  # fmt: skip
@click.option(
    "--seeds", type=options.Seeds(), default="0-2", show_default=True, help="Of each variant."
)
@click.option(
    "--minutes",
    type=door.Number(min=0.01),
    help="Time of the processor that each run may take, of one thread; of the clock on a GPU.",
)
@click.option("--kimg", type=door.Number(min=0.001), help="Instead: thousand images of each run.")
@click.option(
    "--images",
    "count",
    type=click.IntRange(4, _MOST_IMAGES),
    default=512,
    show_default=True,
    help="Images to measure of each side.",
)
@click.option(
    "--points",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Measurements of swd on the way; a run that is broken off goes on from the last.",
)
@click.option("--detector", help="For precision and recall: inception, critic:RUN or a file.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 or mps.")
def ablate(
    dataset: Path,
    out: Path,
    variants: tuple[str, ...],
    preset_name: str,
    seeds: list[int],
    minutes: float | None,
    kimg: float | None,
    count: int,
    points: int,
    detector: str | None,
    device: str,
) -> None:
    """Which settings make better pictures? Train variants at equal cost and compare them.

    The folder OUT gets table.md, table.json, plot.png and all runs. Given again, with more variants
    or seeds as may be, the command keeps what is finished. For example:

        python -m tools ablate DATASET OUT --minutes 20 --variant paper
        --variant r3gan:objective=relativistic,learning_rate=0.001,32:0.002
    """
    from datasets.pyramid import Dataset
    from tools import ablate as work
    from tools.ablation import Budget, Measuring

    if (minutes is None) == (kimg is None):
        raise click.UsageError("Give either --minutes or --kimg.")
    read = [work.read_variant(text, preset_name) for text in variants]
    names = [variant.name for variant in read]
    for name in names:
        if names.count(name) > 1:
            raise click.BadParameter(f"{name} is named twice", param_hint="--variant")
    data = Dataset.open(dataset)
    where = options.find_device(device)
    judge = None
    if detector is not None:
        from tools.detectors import open_detector

        judge = open_detector(detector, where)
    table = work.ablate(
        data,
        out,
        read,
        list(dict.fromkeys(seeds)),
        budget=Budget(kimg=kimg, seconds=None if minutes is None else 60 * minutes),
        measuring=Measuring(images=count, points=points, detector=judge),
        device=where,
    )
    click.echo(table)
    click.echo(f"{out / 'table.md'}, {out / 'table.json'}, {out / 'plot.png'}")


@main.command("import-official")
@click.argument("file", type=options.PATH, metavar="FILE.pkl")
@click.argument("out", type=options.PATH, metavar="OUT.safetensors")
@click.option(
    "--run", type=options.PATH, help="Make this run directory as well: train.py goes on from it."
)
@click.option(
    "--preset",
    "preset_name",
    type=click.Choice(list(PRESETS)),
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


@main.command()
@click.argument("model", type=options.PATH)
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


if __name__ == "__main__":
    door.run(main, ProganError)
