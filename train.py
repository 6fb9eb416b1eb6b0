"""The door to training: `python train.py DATASET RUN` begins a run, or continues it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from datasets import door
from datasets.errors import DatasetError
from datasets.landing import clear_unlanded
from datasets.progress import duration
from progan.automatic import AUTO
from progan.config import PRESETS, Config
from progan.errors import ProganError
from tools.rollback import go_back_together, why_it_stopped
from tools.run_config import begin, config_text, mend_config, settle_config
from tools.setting_options import setting_options
from tools.stopping import StopSignals, asked_to_stop

if TYPE_CHECKING:
    import torch

    from datasets.pyramid import Dataset
    from progan.parallel import Processes
    from progan.training import Observer
    from tools.divergence import OnDivergence
    from tools.fitting import Thrift
    from tools.observers import Pace


class _Parts(click.ParamType[int | None]):
    """A number of parts, or `auto`, which is None."""

    name = "auto|N"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> int | None:
        """Read it."""
        if value in (None, "auto"):
            return None
        try:
            return int(click.IntRange(min=1).convert(value, parameter, context))
        except click.BadParameter:
            self.fail(f"{value!r} is neither auto nor a number from 1.", parameter, context)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--preset",
    "preset_name",
    type=click.Choice([AUTO, *PRESETS]),
    default=AUTO,
    show_default=True,
    help=f"{AUTO}: by device, resolution and number of images, told before training begins; "
    + "; ".join(f"{name}: {sentence}" for name, sentence in PRESETS.items())
    + ".",
)
@click.option(
    "--resolution",
    type=door.Resolution(),
    help="Height and width in pixels at the end of growth; by default the dataset's, which auto "
    "lowers on a CPU.",
)
@setting_options
@click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, xpu or auto."
)
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Let PyTorch's compiler make fewer and larger kernels: takes minutes whenever a level "
    "begins to fade in or is faded in, and changes weights by rounding.",
)
@click.option(
    "--checkpoint-kimg",
    type=door.Number(min=0.001),
    default=None,
    help="Thousand images between two checkpoints; by default a fiftieth of --kimg.",
)
@click.option(
    "--checkpoint-minutes",
    type=door.Number(min=0),
    default=15.0,
    show_default=True,
    help="Minutes between two checkpoints at most.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Checkpoints to keep, the newest ones.",
)
@click.option(
    "--milestone-kimg",
    type=door.Number(min=0.001),
    default=None,
    help="Besides those, keep one checkpoint for ever out of so many thousand images.",
)
@click.option(
    "--sample-kimg",
    type=door.Number(min=0.001),
    default=None,
    help="Thousand images between two sample grids; by default a hundredth of --kimg.",
)
@click.option(
    "--tick-seconds",
    type=door.Number(min=0),
    default=10.0,
    show_default=True,
    help="Seconds between two status lines.",
)
@click.option(
    "--metric",
    "metrics",
    default="",
    metavar="NAME[,NAME…]",
    help="Measure the average generator as it learns: swd, ms-ssim, fid … (python -m tools "
    "metrics --help).",
)
@click.option(
    "--metric-kimg",
    type=door.Number(min=0.001),
    default=None,
    help="Thousand images between two measurements; by default a twentieth of --kimg.",
)
@click.option(
    "--metric-images",
    type=click.IntRange(min=2),
    default=1000,
    show_default=True,
    help="Images to measure of each side.",
)
@click.option(
    "--detector", default=None, help="For metrics of features: inception, critic:RUN or a file."
)
@click.option(
    "--trust",
    is_flag=True,
    help="Run a --detector file that is not one of the field's well-known ones: it is a program.",
)
@click.option(
    "--watch-memorization/--no-watch-memorization",
    default=None,
    help="Look for copies of training images as it learns, as often as --metric-kimg says; by "
    "default with fewer than 2000 of them.",
)
@click.option(
    "--on-copying",
    type=click.Choice(["tell", "stop"]),
    default="tell",
    show_default=True,
    help="With --watch-memorization: stop when two looks in a row see copies; the generator of the "
    "last look without is kept as before-copying.safetensors.",
)
@click.option(
    "--on-divergence",
    type=click.Choice(["stop", "rollback", "warn"]),
    default="stop",
    show_default=True,
    help="When training goes bad: stop at the newest checkpoint from before; go back to it and try "
    "again with other noise; or only say so, and stop where no step can be taken any more.",
)
@click.option(
    "--rollbacks",
    type=click.IntRange(0, 1000),
    default=3,
    show_default=True,
    help="How often a run may go back in all before it stops.",
)
@click.option(
    "--accept-changed-data",
    is_flag=True,
    help="Go on with a dataset that is not the one that RUN has learned from so far.",
)
@click.option(
    "--accumulate",
    type=_Parts(),
    default="auto",
    show_default=True,
    help="Take each minibatch in so many parts whose gradients add up: the same weights up to "
    "rounding, less memory. auto: as few parts as fit.",
)
@click.option(
    "--recompute/--no-recompute",
    default=True,
    show_default=True,
    help="Where even one group of the minibatch standard deviation does not fit, allow computing "
    "again what would be kept for derivatives.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print configuration, schedule and the memory that each level needs, and exit.",
)
def main(
    dataset: Path,
    run: Path,
    preset_name: str,
    device: str,
    compiled: bool,
    checkpoint_kimg: float | None,
    checkpoint_minutes: float,
    keep: int,
    milestone_kimg: float | None,
    sample_kimg: float | None,
    tick_seconds: float,
    metrics: str,
    metric_kimg: float | None,
    metric_images: int,
    detector: str | None,
    trust: bool,
    watch_memorization: bool | None,
    on_copying: str,
    accept_changed_data: bool,
    accumulate: int | None,
    recompute: bool,
    on_divergence: "OnDivergence",
    rollbacks: int,
    dry_run: bool,
    **settings: Any,
) -> None:
    """Train a generator of DATASET's images in the folder RUN.

    Where RUN holds a checkpoint, training goes on from there. The settings of a run are fixed when
    it begins, but for --kimg. To train with several processes, start them with torchrun; only the
    first looks at RUN.
    """
    from datasets.pyramid import Dataset
    from progan.parallel import joined
    from tools import beginning

    if on_divergence != "rollback" and _typed("rollbacks"):
        raise click.UsageError("--rollbacks needs --on-divergence rollback, which it bounds.")
    given = {name: value for name, value in settings.items() if value is not None}
    with joined() as processes, _told_once(processes):
        measured = _metrics(metrics, detector, trust=trust)
        where = _device(device, processes)
        if processes.rank == 0:
            beginning.refuse_confused(dataset, run)
        data = Dataset.open(dataset)
        beginning.refuse_too_few(data)
        watched = _watched(watch_memorization, data, metrics, on_copying)
        begun_before = config_text(run)
        choice = None
        if preset_name == AUTO:
            choice = beginning.chosen(data, where, given)
        config = settle_config(
            preset_name if choice is None else choice.preset,
            given,
            data,
            run,
            processes,
            chosen=None if choice is None else choice.settings,
            preset_was_typed=choice is None and _typed("preset_name"),
            accept_changed_data=accept_changed_data,
        )
        told = ""
        if choice is not None and begun_before is None:
            told = beginning.sentence(choice, config, given, watched=watched)
        from tools.fitting import Thrift

        thrift = Thrift(parts=accumulate, recompute=recompute)
        if dry_run:
            if processes.rank == 0:
                from tools.plan import print_plan

                seconds = print_plan(config, where, thrift, processes)
                beginning.warn_of_growth(config)
                beginning.warn_of_length(seconds)
                if told:
                    click.echo(f"{told}.")
            return
        from tools.observers import Pace, refuse_unmeasurable

        pace = Pace(
            checkpoint_kimg=checkpoint_kimg or config.kimg / 50,
            checkpoint_minutes=checkpoint_minutes,
            keep=keep,
            milestone_kimg=milestone_kimg,
            sample_kimg=sample_kimg or config.kimg / 100,
            tick_seconds=tick_seconds,
            metrics=measured,
            metric_kimg=metric_kimg or config.kimg / 20,
            metric_images=metric_images,
            detector=detector,
            trust=trust,
            watch_memorization=watched,
            watch_kimg=metric_kimg
            or beginning.watch_kimg(config, data, asked=watch_memorization is not None),
            end_where_copying_begins=on_copying == "stop",
        )
        if processes.rank == 0:
            refuse_unmeasurable(pace, data, config, where)
        with _only_training(run, data, begun_before, processes):
            _train(
                config,
                data,
                run,
                where,
                processes,
                pace,
                thrift,
                on_divergence,
                rollbacks,
                compiled=compiled,
                chosen=told,
            )


@contextmanager
def _only_training(
    run: Path, data: "Dataset", begun_before: bytes | None, processes: "Processes"
) -> Iterator[None]:
    """Keep other trainings out of RUN, and mend there what a killed one, or a disk, has left."""
    if processes.rank != 0:  # may be on a machine where there is no RUN
        yield
        return
    from progan.checkpoint import clear_parts
    from tools.given_up import refuse_if_given_up
    from tools.run_lock import only_training

    with only_training(run):
        refuse_if_given_up(run)
        if config_text(run) != begun_before:
            raise ProganError(
                f"another training has just been at work in {run}: give the command again"
            )
        for folder in (run, run / "samples"):
            clear_unlanded(folder)
        for folder in (run, run / "checkpoints"):
            clear_parts(folder)
        mend_config(run, data)
        yield


@contextmanager
def _told_once(processes: "Processes") -> Iterator[None]:
    """Leave it to the first process to say what all of them have found wrong."""
    from progan.parallel import FailedElsewhere

    try:
        yield
    except FailedElsewhere:
        raise click.exceptions.Exit(1) from None
    except (DatasetError, ProganError, OSError, click.ClickException) as error:
        if processes.told_elsewhere():
            status = error.exit_code if isinstance(error, click.ClickException) else 1
            raise click.exceptions.Exit(status) from None
        raise


def _typed(name: str) -> bool:
    """Say whether an option was given, and does not only have its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not ParameterSource.DEFAULT


def _watched(asked: bool | None, data: "Dataset", metrics: str, on_copying: str) -> bool:
    """Check whether training looks for copies; refuse options that need that, or a metric."""
    from tools.beginning import WATCHED_BELOW

    watched = asked if asked is not None else len(data.rows("train")) < WATCHED_BELOW
    if on_copying == "stop" and not watched:
        raise click.UsageError("--on-copying stop needs --watch-memorization, which looks for it.")
    if not metrics and not watched:
        for option in ("metric_kimg", "metric_images"):
            if _typed(option):
                named = f"--{option.replace('_', '-')}"
                raise click.UsageError(f"{named} needs --metric or --watch-memorization.")
    return watched


def _metrics(text: str, detector: str | None, *, trust: bool) -> tuple[str, ...]:
    """Read `--metric`."""
    from tools.metrics.registry import chosen, need_features

    names: tuple[str, ...] = ()
    if text:
        names = tuple(metric.name for metric in chosen(part.strip() for part in text.split(",")))
    features = bool(names) and need_features(names)
    if features and detector is None:
        raise click.UsageError(f"--metric {text} looks at features: give a --detector.")
    for option, given in (("--detector", detector is not None), ("--trust", trust)):
        if given and not features:
            raise click.UsageError(f"{option} needs a --metric that looks at features: fid, kid …")
    return names


def _device(name: str, processes: "Processes") -> "torch.device":
    """Find the device that `--device` means; every process of a machine has its own GPU."""
    import torch

    from progan.devices import named, settle

    several = processes.count > 1
    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() and not several else "cpu"
    if several and name not in ("cpu", "cuda"):
        raise click.BadParameter(
            f"{name!r} is one device, and there are {processes.count} processes: give cpu or cuda, "
            "or start one process",
            param_hint="--device",
        )
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        device = named(name)
    except ProganError as error:
        raise click.BadParameter(str(error), param_hint="--device") from None
    settle(device)
    return device


def _places(device: "torch.device", count: int) -> str:
    """Say where the processes compute."""
    if count == 1:
        return str(device)
    return f"{count} {'GPUs' if device.type == 'cuda' else 'processes'}"


def _train(
    config: Config,
    data: "Dataset",
    run: Path,
    device: "torch.device",
    processes: "Processes",
    pace: "Pace",
    thrift: "Thrift",
    on_divergence: "OnDivergence",
    rollbacks: int,
    *,
    compiled: bool,
    chosen: str,
) -> None:
    """Train from where RUN stands to the end, until a signal, or until training goes bad."""
    from datasets.stream import Stream
    from progan.attempts import Attempts
    from progan.checkpoint import Checkpoints
    from progan.devices import is_out_of_memory
    from progan.divergence import Diverged
    from progan.passes import Compiled, Direct
    from progan.run_record import refuse_other_settings
    from progan.runs import read_rollbacks
    from progan.training import Trainer, train
    from tools.beginning import warn_of_data, warn_of_growth, warn_of_length
    from tools.fitting import splits_that_fit
    from tools.given_up import give_up
    from tools.observers import bring_observers, measured_time_left

    stop = StopSignals(processes)
    checkpoints = Checkpoints(
        run / "checkpoints", keep=pace.keep, milestone_kimg=pace.milestone_kimg
    )
    # The other processes may be on machines where there is no RUN.
    newest = checkpoints.newest(door.warn) if processes.rank == 0 else None
    if newest is not None:
        refuse_other_settings(config, checkpoints.path(newest[1]), run)
    begun = newest is not None
    nimg = processes.tell(0 if newest is None else newest[1])
    splits = splits_that_fit(config, device, thrift, processes, nimg)
    stream = Stream(data, seed=config.seed)
    try:
        trainer = Trainer(
            config,
            stream,
            device=device,
            processes=processes,
            splits=splits,
            passes=Compiled() if compiled else Direct(),
        )
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ProganError(
            f"{device} has no memory for these networks: end what else uses it, or begin a run "
            "with a smaller --fmap-base, --fmap-max or --latent-size"
        ) from None
    if newest is not None:
        trainer.restore(*newest)
        # All weights and moments, which would else be held besides to the end.
        newest = None
    if processes.rank == 0:
        attempts = Attempts.of_history(read_rollbacks(run))
        if attempts.count > trainer.attempts.count:
            trainer.attempts = attempts
    trainer.agree()
    if trainer.nimg >= config.nimg:
        if processes.rank == 0:
            from progan.runs import datasets_until, earlier_datasets
            from tools.observers import saving

            # Other data than the run has learned from are not to be told of.
            same = datasets_until(run, trainer.nimg, data.fingerprint) == earlier_datasets(run)
            if same and saving(data, run, checkpoints, pace).mend_model(trainer):
                click.echo(f"{run / 'generator.safetensors'} is written again.")
            click.echo(
                f"{run} is already trained to {trainer.nimg / 1000:g} kimg; give a larger --kimg "
                "to go on."
            )
        return
    observers: list[Observer] = []
    if processes.rank == 0:
        from tools.saving_room import room_for_checkpoints

        sentence, enough = room_for_checkpoints(trainer, run, checkpoints)
        if enough:
            click.echo(f"{sentence}.")
        else:
            door.warn(f"{sentence}: that will not be enough to the end. Keep fewer, or make room.")
        left = measured_time_left(trainer)
        expected = left.seconds(trainer.nimg)
        if chosen:
            click.echo(f"{chosen}. Expected time: {duration(expected)}.")
        if not begun:
            warn_of_data(config, data, mirror_was_given=_typed("mirror"))
        warn_of_growth(config)
        warn_of_length(expected)
        begin(run, config, data, trainer.nimg)
        bring = partial(bring_observers, trainer, data, run, checkpoints, pace, left)
        observers = bring(only_warn=on_divergence == "warn")
        verb = f"Continue at {trainer.nimg / 1000:g} kimg" if begun else "Begin"
        click.echo(
            f"{verb}: {len(data.rows('train'))} images, to {config.resolution}×{config.resolution} "
            f"pixels, {config.kimg:g} kimg, on {_places(device, processes.count)}, about "
            f"{duration(expected)}"
        )
    while True:
        try:
            finished = train(trainer, observers, partial(asked_to_stop, stop, observers))
            break
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ProganError(
                f"{device} has no memory left at {trainer.nimg / 1000:g} kimg: end what else uses "
                "it, or give --accumulate 2 or more; the same command continues from the newest "
                "checkpoint"
            ) from None
        except OSError as error:
            # A full disk is reported without a name.
            if error.errno is not None and error.filename is None:
                error.filename = str(run)
            raise
        except Diverged as diverged:
            again = on_divergence == "rollback" and trainer.attempts.count < rollbacks
            go_back_together(diverged, trainer, run, observers, checkpoints, again=again)
            if not again:
                why = why_it_stopped(diverged, trainer, run, data, on_divergence)
                if processes.rank == 0:
                    give_up(run, str(why))
                raise why from None
            if processes.rank == 0:
                observers = bring(before=observers)
    if processes.rank == 0:
        if finished:
            click.echo(f"Trained to {trainer.nimg / 1000:g} kimg. The generator: "
                       f"{run / 'generator.safetensors'}")  # fmt: skip
        else:
            click.echo(
                f"Stopped at {trainer.nimg / 1000:g} kimg with a checkpoint. To go on: "
                f"python train.py {data.path} {run}"
            )


if __name__ == "__main__":
    door.run(main, ProganError)
