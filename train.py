"""The door to training: `python train.py DATASET RUN` begins a run, or continues it."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import click

from datasets import door
from datasets.errors import DatasetError
from datasets.landing import clear_unlanded, landing
from progan.config import PRECISIONS, PRESETS, Config, begun_with, preset
from progan.errors import ProganError

if TYPE_CHECKING:
    import torch

    from datasets.pyramid import Dataset
    from progan.checkpoint import Checkpoints
    from progan.divergence import Diverged
    from progan.parallel import Processes
    from progan.training import Observer, Trainer
    from tools.divergence import OnDivergence
    from tools.fitting import Thrift
    from tools.observers import Pace

# What a run may change when it is continued: how far it goes, which alters no weight before.
_MAY_CHANGE = {"kimg"}
# What the dataset or the preset says, and no option of its own.
_NO_OPTION = {"preset", "num_channels", "label_size", "resolution"}
_CHOICES = {"precision": PRECISIONS}


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command one option for every setting of Config, with the setting's own sentence."""
    for name, hint in reversed(get_type_hints(Config, include_extras=True).items()):
        if name in _NO_OPTION:
            continue
        assert get_origin(hint) is Annotated
        kind, sentence = get_args(hint)
        dashed = name.replace("_", "-")
        if kind is bool:
            option = click.option(f"--{dashed}/--no-{dashed}", name, default=None, help=sentence)
        else:
            typed = int if kind == int | None else kind
            metavar = "N[,RESOLUTION:N…]" if typed is str else None
            if name in _CHOICES:
                typed, metavar = click.Choice(_CHOICES[name]), None
            option = click.option(
                f"--{dashed}", name, type=typed, metavar=metavar, default=None, help=sentence
            )
        command = option(command)
    return command


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
    type=click.Choice(list(PRESETS)),
    default="paper",
    show_default=True,
    help="; ".join(f"{name}: {sentence}" for name, sentence in PRESETS.items()) + ".",
)
@click.option(
    "--resolution",
    type=door.Resolution(),
    help="Height and width in pixels at the end of growth; by default the dataset's.",
)
@_setting_options
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps or auto.")
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
    "--watch-memorization",
    is_flag=True,
    help="Look for copies of training images as it learns, as often as --metric-kimg says.",
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
    "again with other noise; or only say so.",
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
    watch_memorization: bool,
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

    if on_copying == "stop" and not watch_memorization:
        raise click.UsageError("--on-copying stop needs --watch-memorization, which looks for it.")
    given = {name: value for name, value in settings.items() if value is not None}
    with joined() as processes, _told_once(processes):
        where = _device(device, processes)
        data = Dataset.open(dataset)
        begun_before = _config_text(run)
        config = _config(
            preset_name, given, data, run, processes, accept_changed_data=accept_changed_data
        )
        from tools.fitting import Thrift

        thrift = Thrift(parts=accumulate, recompute=recompute)
        if dry_run:
            if processes.rank == 0:
                from tools.plan import print_plan

                print_plan(config, where, thrift, processes)
            return
        from tools.observers import Pace

        pace = Pace(
            checkpoint_kimg=checkpoint_kimg or config.kimg / 50,
            checkpoint_minutes=checkpoint_minutes,
            keep=keep,
            milestone_kimg=milestone_kimg,
            sample_kimg=sample_kimg or config.kimg / 100,
            tick_seconds=tick_seconds,
            metrics=_metrics(metrics, detector),
            metric_kimg=metric_kimg or config.kimg / 20,
            metric_images=metric_images,
            detector=detector,
            trust=trust,
            watch_memorization=watch_memorization,
            end_where_copying_begins=on_copying == "stop",
        )
        with _only_training(run, begun_before, processes):
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
            )


@contextmanager
def _only_training(run: Path, begun_before: bytes | None, processes: "Processes") -> Iterator[None]:
    """Keep other trainings out of RUN, and clear away what a killed one left half-written."""
    if processes.rank != 0:  # may be on a machine where there is no RUN
        yield
        return
    from progan.checkpoint import clear_parts
    from tools.run_lock import only_training

    with only_training(run):
        if _config_text(run) != begun_before:
            raise ProganError(
                f"another training has just been at work in {run}: give the command again"
            )
        for folder in (run, run / "samples"):
            clear_unlanded(folder)
        for folder in (run, run / "checkpoints"):
            clear_parts(folder)
        yield


def _config_text(run: Path) -> bytes | None:
    try:
        return (run / "config.json").read_bytes()
    except OSError:
        return None


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


def _metrics(text: str, detector: str | None) -> tuple[str, ...]:
    """Read `--metric`."""
    from tools.metrics.registry import chosen, need_features

    if not text:
        return ()
    names = tuple(metric.name for metric in chosen(part.strip() for part in text.split(",")))
    if need_features(names) and detector is None:
        raise click.UsageError(f"--metric {text} looks at features: give a --detector.")
    return names


def _device(name: str, processes: "Processes") -> "torch.device":
    """Find the device that `--device` means; every process of a machine has its own GPU."""
    import torch

    from progan.memory import keep_freed_memory

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
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise click.BadParameter(
            f"{name!r} cannot be used on this machine ({reason})", param_hint="--device"
        ) from None
    if device.type == "cpu":
        keep_freed_memory()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # The same run gives the same bits: no kernel is chosen by a race, none adds in random order.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return device


def _config(
    preset_name: str,
    given: dict[str, Any],
    data: "Dataset",
    run: Path,
    processes: "Processes",
    *,
    accept_changed_data: bool = False,
) -> Config:
    """Make or take up the run's configuration in process 0, and tell the others."""
    if processes.rank == 0:
        saved = _saved_config(run, data, accept_changed_data=accept_changed_data)
        if saved is None:
            config = _new_config(preset_name, given, data, processes)
        else:
            config = _continued_config(saved, given, run)
            begun = begun_with(config)
            if begun not in (None, processes.count):
                click.echo(
                    f"This run keeps the minibatches and learning rates that preset v2 gave it for "
                    f"{begun} {'process' if begun == 1 else 'processes'}."
                )
        processes.tell({"config": config.to_json(), "fingerprint": data.fingerprint})
        return config
    told = processes.tell(None)
    if told["fingerprint"] != data.fingerprint:
        raise ProganError(
            f"{data.path} holds other data on {socket.gethostname()} than where process 0 is (the "
            "fingerprints differ): give all machines the same dataset"
        )
    return Config.from_json(told["config"])


def _saved_config(
    run: Path, data: "Dataset", *, accept_changed_data: bool
) -> dict[str, Any] | None:
    """Read the settings of a run that has begun; None for a new one."""
    path = run / "config.json"
    if not path.is_file():
        # Hidden names may be what a process left that was killed as it began.
        if run.is_dir() and any(not inner.name.startswith(".") for inner in run.iterdir()):
            raise ProganError(
                f"{run} is not empty and holds no run (no config.json): choose another folder"
            )
        if run.exists() and not run.is_dir():
            raise ProganError(f"{run} is a file: choose another name for the run directory")
        return None
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        settings, known = saved["config"], saved["dataset"]
        if not isinstance(settings, dict):
            raise TypeError("config is not an object")
        # Networks that were imported have no dataset before the first that they go on with.
        fingerprint = data.fingerprint if known is None else known["fingerprint"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProganError(f"{path} is damaged ({error}): this run cannot be continued") from None
    changed = fingerprint != data.fingerprint
    if changed and not accept_changed_data:
        raise ProganError(
            f"{run} was trained on other data than {data.path} (the fingerprints differ): give the "
            "run's own dataset, begin another run, or give --accept-changed-data to go on with "
            "this one"
        )
    if changed or known is None:
        _refuse_misfit(settings, data, run)
    return settings


def _refuse_misfit(settings: dict[str, Any], data: "Dataset", run: Path) -> None:
    """Refuse a dataset that networks cannot go on with which have had another one, or none."""
    config = Config.from_json(settings)
    for name, wanted, found in (
        ("channels", config.num_channels, data.channels),
        ("classes", config.label_size, len(data.classes or ())),
    ):
        if wanted != found:
            raise ProganError(
                f"the networks in {run} are for {wanted} {name}, and {data.path} has {found}: give "
                "another dataset"
            )
    if config.resolution > data.resolution:
        raise ProganError(
            f"the networks in {run} are for {config.resolution} pixels, and {data.path} has "
            f"{data.resolution}: prepare it with --resolution {config.resolution}"
        )
    if data.classes is None or not (run / "generator.safetensors").is_file():
        return
    from progan.checkpoint import read_model
    from progan.errors import DamagedFile

    names: tuple[str, ...] = ()
    with suppress(DamagedFile):  # then it will be written again
        names = read_model(run).classes
    if names and names != tuple(data.classes):
        raise ProganError(
            f"the networks in {run} know the classes {', '.join(names)}, and {data.path} has "
            f"{', '.join(data.classes)}: give a dataset with the same ones"
        )


def _new_config(
    name: str, given: dict[str, Any], data: "Dataset", processes: "Processes"
) -> Config:
    """Make the configuration of a new run from preset, options and dataset."""
    resolution = given.setdefault("resolution", data.resolution)
    if resolution > data.resolution:
        raise click.BadParameter(
            f"{resolution} is more than the {data.resolution} pixels of the dataset {data.path}",
            param_hint="--resolution",
        )
    classes = len(data.classes or ())
    try:
        return preset(
            name, processes.count, num_channels=data.channels, label_size=classes, **given
        )
    except ProganError as error:
        raise click.UsageError(str(error)) from None


def _continued_config(saved: dict[str, Any], given: dict[str, Any], run: Path) -> Config:
    """Take up a run's configuration; refuse options that would make it another run."""
    # A run may be older than a setting, which it began without, and so with its default.
    begun = Config.from_json(saved).to_json()
    for name, value in given.items():
        if name not in _MAY_CHANGE and begun[name] != value:
            raise click.UsageError(
                f"--{name.replace('_', '-')} {value} cannot be changed in {run}, which began with "
                f"{begun[name]}: leave the option away, or begin another run. Of the settings "
                f"only {' and '.join(f'--{n}' for n in sorted(_MAY_CHANGE))} may change, besides "
                "what is no setting of the run: --device, --compile, how often it is saved, shown "
                "and measured, and --keep"
            )
    return Config.from_json(saved | {n: v for n, v in given.items() if n in _MAY_CHANGE})


class _StopSignals:
    """Ctrl-C and SIGTERM ask for a stop after the round; a second one stops at once.

    A cluster's manager may signal torchrun and the processes that it started, which torchrun then
    signals too: one request that arrives twice. And where torchrun itself is killed, nobody can
    stop what it started any more, so that stops too.
    """

    _SAME_REQUEST_SECONDS = 3.0

    def __init__(self, processes: "Processes | None" = None) -> None:
        self.asked = False
        self.processes = processes
        self._first = (0, 0.0)
        self._parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked:
            again = number == self._first[0] and now - self._first[1] < self._SAME_REQUEST_SECONDS
            if self._parent is not None and again:
                return
            raise KeyboardInterrupt
        self.asked = True
        self._first = (number, now)
        # torchrun stops the others where one is gone: no checkpoint will follow then.
        if self.processes is None or (
            self.processes.rank == 0 and not self.processes.somebody_is_gone()
        ):
            click.echo("Stopping after this step; a checkpoint will be written.", err=True)

    def __call__(self) -> bool:
        return self.asked or (self._parent is not None and os.getppid() != self._parent)


def _warn(sentence: str) -> None:
    click.echo(f"Warning: {sentence}", err=True)


def _places(device: "torch.device", count: int) -> str:
    """Say where the processes compute."""
    if count == 1:
        return str(device)
    return f"{count} {'GPUs' if device.type == 'cuda' else 'processes'}"


def _begin(run: Path, config: Config, data: "Dataset", nimg: int) -> None:
    """Write a new run's config.json, or what has changed in that of one that goes on at `nimg`."""
    from progan.runs import datasets_until, imported_from, read_rollbacks

    run.mkdir(parents=True, exist_ok=True)
    saved: dict[str, Any] = {
        "format_version": 1,
        "config": config.to_json(),
        "dataset": {"path": str(data.path.resolve()), "fingerprint": data.fingerprint},
    }
    if origin := imported_from(run):
        saved["official"] = origin
    if earlier := datasets_until(run, nimg, data.fingerprint):
        saved["earlier_datasets"] = earlier
        if earlier[-1]["until_nimg"] == nimg:
            click.echo(
                f"From {nimg / 1000:g} kimg on, {run} learns from other data than before; "
                "config.json and the model file will say so."
            )
    if rollbacks := read_rollbacks(run):
        saved["rollbacks"] = rollbacks
    with landing(run / "config.json", overwrite=True) as part:
        part.write_text(json.dumps(saved, indent=2) + "\n", encoding="utf-8")


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
) -> None:
    """Train from where RUN stands to the end, until a signal, or until training goes bad."""
    from datasets.stream import Stream
    from progan.attempts import Attempts
    from progan.checkpoint import Checkpoints
    from progan.divergence import Diverged
    from progan.passes import Compiled, Direct
    from progan.runs import read_rollbacks
    from progan.training import Trainer, train
    from tools.fitting import splits_that_fit
    from tools.observers import bring_observers

    stop = _StopSignals(processes)
    checkpoints = Checkpoints(
        run / "checkpoints", keep=pace.keep, milestone_kimg=pace.milestone_kimg
    )
    # The other processes may be on machines where there is no RUN.
    newest = checkpoints.newest(_warn) if processes.rank == 0 else None
    nimg = processes.tell(0 if newest is None else newest[1])
    splits = splits_that_fit(config, device, thrift, processes, nimg)
    stream = Stream(data, seed=config.seed)
    trainer = Trainer(
        config,
        stream,
        device=device,
        processes=processes,
        splits=splits,
        passes=Compiled() if compiled else Direct(),
    )
    if newest is not None:
        trainer.restore(*newest)
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
            _warn(f"{sentence}: that will not be enough to the end. Keep fewer, or make room.")
        _begin(run, config, data, trainer.nimg)
        only_warn = on_divergence == "warn"
        observers = bring_observers(trainer, data, run, checkpoints, pace, only_warn=only_warn)
        verb = "Begin" if newest is None else f"Continue at {trainer.nimg / 1000:g} kimg"
        click.echo(
            f"{verb}: {len(data.rows('train'))} images, to {config.resolution}×{config.resolution} "
            f"pixels, {config.kimg:g} kimg, on {_places(device, processes.count)}"
        )
    while True:
        try:
            finished = train(trainer, observers, partial(_asked_to_stop, stop, observers))
            break
        except OSError as error:
            # A full disk is reported without a name.
            if error.errno is not None and error.filename is None:
                error.filename = str(run)
            raise
        except Diverged as diverged:
            again = on_divergence == "rollback" and trainer.attempts.count < rollbacks
            _go_back(diverged, trainer, run, observers, checkpoints, again=again)
            if not again:
                raise _stopped(diverged, trainer, run, data, on_divergence) from None
            if processes.rank == 0:
                observers = bring_observers(trainer, data, run, checkpoints, pace)
    if processes.rank == 0:
        if finished:
            click.echo(f"Trained to {trainer.nimg / 1000:g} kimg. The generator: "
                       f"{run / 'generator.safetensors'}")  # fmt: skip
        else:
            click.echo(
                f"Stopped at {trainer.nimg / 1000:g} kimg with a checkpoint. To go on: "
                f"python train.py {data.path} {run}"
            )


def _asked_to_stop(signals: _StopSignals, observers: "Sequence[Observer]") -> bool:
    """Say whether training is to end after this round: by a signal, or since it copies."""
    from tools.observers import copying_began

    return signals() or copying_began(observers)


def _go_back(
    diverged: "Diverged",
    trainer: "Trainer",
    run: Path,
    observers: "Sequence[Observer]",
    checkpoints: "Checkpoints",
    *,
    again: bool,
) -> None:
    """Let all processes stand at the newest state from before a divergence, and RUN with them."""
    from progan.training import Trainer
    from tools.divergence import go_back, note_rollback
    from tools.watching import Saving

    found = diverged.divergence
    if trainer.processes.rank == 0:

        def beginning() -> Trainer:
            return Trainer(trainer.config, trainer.data, device=trainer.device)

        later = go_back(trainer, found, checkpoints, beginning=beginning)
        if again:
            trainer.attempts = trainer.attempts.again(trainer.nimg)
            note_rollback(run, trainer, found)
            click.echo(
                f"Warning: {diverged}. Going back to {trainer.nimg / 1000:g} kimg, to try again "
                f"with other noise (attempt {trainer.attempts.count + 1}).",
                err=True,
            )
        if again or later:
            # The model file is to be that of this state, too.
            for observer in observers:
                if isinstance(observer, Saving):
                    observer(trainer, trainer.nimg, True)
    trainer.agree()


def _stopped(
    diverged: "Diverged", trainer: "Trainer", run: Path, data: "Dataset", on_divergence: str
) -> ProganError:
    """Give the sentence that a run ends with which has gone bad."""
    where = f"{run} stands at {trainer.nimg / 1000:g} kimg, where nothing was wrong yet"
    if on_divergence == "rollback":
        often = trainer.attempts.count
        return ProganError(
            f"{diverged}; the run has gone back {often} {'time' if often == 1 else 'times'}, as "
            f"often as --rollbacks allows. {where}. Begin another run with a smaller "
            "--learning-rate, or look at the data"
        )
    return ProganError(
        f"{diverged}. {where}. To try again from there with other noise: python train.py "
        f"{data.path} {run} --on-divergence rollback; or begin another run with a smaller "
        "--learning-rate, or look at the data"
    )


if __name__ == "__main__":
    door.run(main, ProganError)
