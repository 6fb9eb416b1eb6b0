"""What a training run is a function of, and the presets.

The configuration, its seed and the dataset determine every weight of a run. What only decides how
a run is watched and saved is not part of it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, get_type_hints

from progan.errors import ProganError
from progan.growth import ByResolution, Schedule, level_of

PRECISIONS = ("float32", "bfloat16", "float16")
OBJECTIVES = ("wasserstein", "logistic", "relativistic")
AUGMENTATIONS = ("colour", "translation", "cutout")

# StyleGAN2-ADA's rule, 0.0002 · pixels / minibatch, for a minibatch of 16: the squared norm is a
# sum over pixels, which neighbours share.
GAMMA = "0.0032,4:0.0002,8:0.0008,32:0.0128,64:0.0512,128:0.2048,256:0.8192,512:3.2768,1024:13.1072"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that determines a run's weights, besides the dataset.

    Each setting's type carries the sentence that the command line shows for it.
    Settings written as text are numbers with exceptions by resolution, such as `16,256:14`.
    Impossible settings are refused with a ProganError that names them.
    """

    preset: Annotated[str, "The preset that the settings began with."] = "paper"
    resolution: Annotated[int, "Height and width in pixels at the end of growth."] = 1024
    num_channels: Annotated[int, "3 for colour, 1 for grey."] = 3
    label_size: Annotated[int, "Number of classes; 0 for none."] = 0
    fmap_base: Annotated[
        int, "A block at level L has min(fmap_base / 2**(L-1), fmap_max) maps."
    ] = 8192
    fmap_max: Annotated[int, "The most feature maps that any level has."] = 512
    latent_size: Annotated[
        int | None, "Length of a latent; by default min(fmap_base, fmap_max)."
    ] = None
    fused_scale: Annotated[bool, "Scale and convolve in one operation."] = True
    pool_first: Annotated[
        bool,
        "Without fused scaling, halve before the critic's activation, as runs of earlier versions "
        "do; the release halves after it.",
    ] = False
    mbstd_group_size: Annotated[int, "Samples compared by the minibatch standard deviation."] = 4
    kimg: Annotated[float, "Thousand real images to be shown in all."] = 12000
    fade_kimg: Annotated[str, "Thousand images over which a level is faded in."] = "600"
    hold_kimg: Annotated[str, "Thousand images for which a level is held after that."] = "600"
    minibatch: Annotated[str, "Images a step, over all processes."] = "16"
    minibatch_repeats: Annotated[int, "Minibatches after which growth is evaluated again."] = 4
    learning_rate: Annotated[str, "Adam's learning rate."] = "0.001"
    critic_rate: Annotated[float, "Multiplies the learning rate, for the critic."] = 1.0
    adam_beta1: Annotated[float, "Decay of Adam's first moment."] = 0.0
    adam_beta2: Annotated[float, "Decay of Adam's second moment."] = 0.99
    adam_epsilon: Annotated[float, "Added to the square root of Adam's second moment."] = 1e-8
    average_decay: Annotated[float, "Decay of the average generator, a step."] = 0.999
    average_halflife_kimg: Annotated[
        float, "Thousand images after which the average forgets half; 0: as average_decay says."
    ] = 0.0
    average_rampup: Annotated[
        float, "That half-life is at most this share of the images shown; 0: no such bound."
    ] = 0.05
    objective: Annotated[
        str, "What is minimized: wasserstein (the paper's), logistic or relativistic."
    ] = "wasserstein"
    gamma: Annotated[
        str, "Weight of the penalties R1 and R2, of the objectives logistic and relativistic."
    ] = GAMMA
    penalty_weight: Annotated[float, "Weight of the gradient penalty."] = 10.0
    penalty_target: Annotated[float, "Gradient norm that is asked for (750 for CIFAR-10)."] = 1.0
    penalty_full_size: Annotated[
        bool,
        "Take that norm by the full-size image, as the release does; by the pixels of a lower "
        "level it is 2**(top level − level) times as much.",
    ] = True
    penalty_interval: Annotated[
        int, "Evaluate the penalty at every so manieth step, with as many times the weight."
    ] = 1
    penalty_curvature: Annotated[
        bool, "Follow the penalty through the bend of the minibatch standard deviation, too."
    ] = True
    share_fakes: Annotated[
        bool, "Let the generator learn from the fakes that the critic learned from."
    ] = False
    drift_weight: Annotated[float, "Weight of the real scores' mean square."] = 0.001
    label_weight: Annotated[float, "Weight of the class terms, where there are classes."] = 1.0
    share_labels: Annotated[
        bool,
        "Critic's step: make the fakes with the labels of the reals beside them, as the release "
        "does; otherwise with labels drawn from all training labels.",
    ] = True
    augment: Annotated[
        str, "What the critic sees augmented: some of colour,translation,cutout; empty for nothing."
    ] = ""
    augment_probability: Annotated[
        float, "Probability of each augmentation, where it does not follow the critic."
    ] = 1.0
    augment_target: Annotated[
        float, "Let the probability follow the critic, to be so sure of reals (0.6); 0: not so."
    ] = 0.0
    augment_kimg: Annotated[
        float, "Thousand images in which that probability can go from 0 to 1."
    ] = 500.0
    mirror: Annotated[bool, "Flip each real image left to right with probability ½."] = True
    precision: Annotated[
        str, "What the convolutions of training compute in: float32, bfloat16 or float16."
    ] = "float32"
    seed: Annotated[int, "Every random draw follows from it."] = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", spelled(self.augment))
        self._refuse_numbers_out_of_range()
        # People and JSON write 0 for 0.0, and not all that takes the one takes the other.
        for name, kind in get_type_hints(Config).items():
            if kind is float:
                object.__setattr__(self, name, float(getattr(self, name)))
        for name in (*_BY_RESOLUTION, "gamma"):
            try:
                values = ByResolution.parse(getattr(self, name)).values()
            except ValueError as error:
                raise ProganError(f"{name}: {error}") from None
            lowest = 0.0 if name == "gamma" or name.endswith("kimg") else 1e-12
            if not all(lowest <= value < 1e9 for value in values):
                raise ProganError(f"{name} {getattr(self, name)!r}: every number must be positive")
        for value in ByResolution.parse(self.minibatch).values():
            if value != int(value):
                raise ProganError(f"minibatch {self.minibatch!r}: every number must be whole")
            if value % min(value, self.mbstd_group_size):
                raise ProganError(
                    f"minibatch {self.minibatch!r}: {value:g} cannot be divided into groups of "
                    f"mbstd_group_size {self.mbstd_group_size}; use multiples of it"
                )
        if self.precision not in PRECISIONS:
            raise ProganError(
                f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}"
            )
        self._refuse_impossible_choices()
        try:
            level_of(self.resolution)
        except ValueError as error:
            raise ProganError(str(error)) from None
        if self.num_channels not in (1, 3):
            raise ProganError(
                f"num_channels must be 1 (grey) or 3 (colour), not {self.num_channels}"
            )
        if self.fmap_base < self.resolution // 2:
            raise ProganError(
                f"fmap_base {self.fmap_base} leaves no feature map at resolution "
                f"{self.resolution}: it must be at least {self.resolution // 2}"
            )

    def _refuse_impossible_choices(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ProganError(
                f"there is no objective {self.objective!r}: take one of {', '.join(OBJECTIVES)}"
            )
        for kind in self.augmentations:
            if kind not in AUGMENTATIONS:
                raise ProganError(
                    f"augment {self.augment!r}: there is no {kind!r}; take some of "
                    f"{','.join(AUGMENTATIONS)}"
                )
        if self.augment_target > 0 and not self.augmentations:
            raise ProganError("augment_target needs something to augment: give augment, too")
        if self.augment_target > 0 and self.objective == "wasserstein":
            raise ProganError(
                "augment_target needs the objective logistic or relativistic: how sure a critic is "
                "cannot be told from the scores of wasserstein"
            )

    def _refuse_numbers_out_of_range(self) -> None:
        for name, most in _MOST.items():
            if (getattr(self, name) or 0) > most:
                raise ProganError(
                    f"{name} must be at most {most}, not {str(getattr(self, name))[:60]}"
                )
        positive = ("kimg", "minibatch_repeats", "mbstd_group_size", "adam_epsilon", "fmap_max")
        more = ("critic_rate", "augment_kimg", "penalty_target", "penalty_interval", "latent_size")
        for name in (*positive, *more):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e15:
                raise ProganError(f"{name} must be positive, not {value}")
        for name in ("penalty_weight", "drift_weight", "label_weight", "label_size",
                     "average_halflife_kimg", "average_rampup"):  # fmt: skip
            if not 0 <= getattr(self, name) < 1e300:
                shown = str(getattr(self, name))[:60]
                raise ProganError(f"{name} must not be negative or beyond all bounds, not {shown}")
        for name in ("adam_beta1", "adam_beta2", "average_decay", "augment_target"):
            if not 0 <= getattr(self, name) < 1:
                raise ProganError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        if not 0 <= self.augment_probability <= 1:
            raise ProganError(
                f"augment_probability must be in [0, 1], not {self.augment_probability}"
            )
        if 1000 * self.kimg < 1:
            raise ProganError(f"kimg must be at least 0.001, which is one image, not {self.kimg:g}")
        if not 0 <= self.seed < 2**63:
            raise ProganError(f"seed must be from 0 to 2**63 - 1, not {self.seed}")

    @property
    def schedule(self) -> Schedule:
        """Give the course of growth."""
        return Schedule(
            top_level=self.resolution.bit_length() - 1,
            **{name: ByResolution.parse(getattr(self, name)) for name in _BY_RESOLUTION},
        )

    @property
    def augmentations(self) -> tuple[str, ...]:
        """Give the kinds of augmentation."""
        return tuple(part.strip() for part in self.augment.split(",")) if self.augment else ()

    @property
    def nimg(self) -> int:
        """Give the number of real images to be shown in all."""
        return round(1000 * self.kimg)

    def to_json(self) -> dict[str, Any]:
        """Give the settings as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> "Config":
        """Read what `to_json` gave, now or in an earlier version of this program.

        A setting that is missing did not exist when the run began, which keeps what it began with.

        Raises:
            ProganError: a setting is unknown, has another type, or is impossible.
        """
        types = get_type_hints(cls)
        for name, value in settings.items():
            if name not in types:
                raise ProganError(f"the configuration has an unknown setting {name[:60]!r}")
            accepted = (int, float) if types[name] is float else types[name]
            long = isinstance(value, str) and len(value) > _LONGEST_TEXT
            if (
                not isinstance(value, accepted)
                or (types[name] is not bool and isinstance(value, bool))
                or long
            ):
                shown = repr(value)[:60]
                raise ProganError(f"the configuration's {name} has an unusable value: {shown}")
        return cls(**{**_BEFORE_THEY_EXISTED, **settings})


# What runs did before there were these settings.
_BEFORE_THEY_EXISTED: dict[str, Any] = {
    "pool_first": True,
    "penalty_full_size": False,
    "share_labels": False,
}

# Far more than anybody trains. Beyond, sizes in bytes are no longer numbers that PyTorch can hold,
# or nobody lives to see the round end that a signal to stop waits for.
_MOST = {
    "fmap_base": 2**20,
    "fmap_max": 2**20,
    "latent_size": 2**20,
    "label_size": 2**20,
    "minibatch_repeats": 10_000,
}
# Ten resolutions with their numbers take less.
_LONGEST_TEXT = 500
_BY_RESOLUTION = ("fade_kimg", "hold_kimg", "minibatch", "learning_rate")

# The release's second configuration by number of processes (one a GPU).
_V2 = {
    1: ("4,4:128,8:128,16:128,32:64,64:32,128:16,256:8,512:4", "0.001,1024:0.0015"),
    2: ("8,4:256,8:256,16:128,32:64,64:32,128:16,256:8", "0.001,512:0.0015,1024:0.002"),
    4: ("16,4:512,8:256,16:128,32:64,64:32,128:16", "0.001,256:0.0015,512:0.002,1024:0.003"),
    8: ("32,4:512,8:256,16:128,32:64,64:32", "0.001,128:0.0015,256:0.002,512:0.003,1024:0.003"),
}

PRESETS = {
    "paper": "the paper's results: minibatch 16, 800 + 800 kimg a level, 19,000 kimg",
    "v2": "the release's faster settings, by the number of processes: 1, 2, 4 or 8",
    "small": "a narrow network for 32 or 64 pixels that a CPU trains in minutes to hours",
    "modern": "the same network, and what has made its pictures better in the same time",
}


def spelled(augment: str) -> str:
    """Return names of augmentations as they are spelled here: `color` is `colour`."""
    names = ["colour" if name.strip() == "color" else name for name in augment.split(",")]
    return ",".join(names)


def begun_with(config: Config) -> int | None:
    """Give the number of processes for which a run's preset chose its minibatches.

    None where that is not the preset's doing. A run keeps its minibatches, and with them its
    weights, on whatever number of processes it is continued.
    """
    if config.preset == "v2":
        for processes, (minibatch, _) in _V2.items():
            if config.minibatch == minibatch:
                return processes
    return None


def preset(name: str, processes: int = 1, **settings: Any) -> Config:
    """Give a preset's configuration, with some settings replaced.

    Args:
        name: one of PRESETS.
        processes: number of processes that will train, which `v2` depends on.
        settings: fields of Config.

    Raises:
        ProganError: there is no such preset, or a setting is impossible.
    """
    match name:
        case "paper":
            values: dict[str, Any] = {
                "kimg": 19000,
                "fade_kimg": "800",
                "hold_kimg": "800",
                "minibatch": "16,256:14,512:6,1024:3",
                "mbstd_group_size": 16,
            }
        case "v2":
            if processes not in _V2:
                raise ProganError(
                    f"preset v2 is for 1, 2, 4 or 8 processes, not {processes}: start as many, or "
                    "take preset paper and give --minibatch and --learning-rate"
                )
            minibatch, learning_rate = _V2[processes]
            values = {"minibatch": minibatch, "learning_rate": learning_rate}
        case "modern":
            # Each part stands in docs/quality.md with what it brought at 32 pixels.
            values = {
                "fmap_base": 512,
                "fmap_max": 64,
                "kimg": 120,
                # The first levels teach little that the later ones do not teach as well.
                "fade_kimg": "3,8:1,16:2",
                "hold_kimg": "5,4:1,8:1,16:2",
                "minibatch": "8",
                "learning_rate": "0.004",
                "average_halflife_kimg": 5.0,
                "average_rampup": 0.05,
                # Spared passes are steps: two fifths more of them in the same time.
                "penalty_interval": 4,
                "penalty_curvature": False,
                "share_fakes": True,
                # One seed on two collections decides nothing (docs/fidelity.md): as it was.
                "penalty_full_size": False,
            }
        case "small":
            values = {
                "fmap_base": 512,
                "fmap_max": 64,
                "kimg": 60,
                "fade_kimg": "8,8:4,16:6",
                "hold_kimg": "5,4:8,8:4,16:4",
                # Where few images can be shown, many small steps learn more than few large ones.
                "minibatch": "8",
                "learning_rate": "0.002",
                # The usual 0.999 would still remember the beginning of so short a run.
                "average_decay": 0.998,
                "penalty_full_size": False,
            }
        case _:
            raise ProganError(f"there is no preset {name!r}: take one of {', '.join(PRESETS)}")
    return Config(preset=name, **(values | settings))
