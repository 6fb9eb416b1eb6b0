"""The curve that shows copying begin: an observer of training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from datasets import door
from datasets.pyramid import Dataset
from progan.checkpoint import ModelFile
from progan.training import Trainer, crossed
from tools.images import ModelImages
from tools.memorization.watch import Watch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

BEFORE_COPYING = "before-copying.safetensors"
# One look may see a sign by chance; it is believed when the next one sees it, too.
_SIGNS_BELIEVED = 2
# Smaller pictures are all alike: nothing is new there, and nothing a copy.
_LEAST_PIXELS = 16


class MemorizationWatch:
    """Every so many kimg: the share of the average generator's images that look like copies.

    The images are those of the same seeds every time. Nothing here draws from a random state that
    training uses.

    Args:
        run: the run directory.
        dataset: what is trained on.
        every_kimg: thousand images between two looks.
        count: images to look at.
        writer: TensorBoard's.
        keep: given to end training where copying begins: writes the average generator as a model
            file, which is done at every look without a sign of copying.

    Attributes:
        copying: whether training is to end.
    """

    def __init__(
        self,
        run: Path,
        dataset: Dataset,
        *,
        every_kimg: float,
        count: int,
        writer: "SummaryWriter",
        keep: Callable[[Trainer, Path], None] | None = None,
    ) -> None:
        self.log = run / "log.jsonl"
        self.dataset = dataset
        self.every_kimg = every_kimg
        self.count = count
        self.writer = writer
        self.copying = False
        self._before = run / BEFORE_COPYING
        self._keep = keep
        self._signs = 0
        self._watch: Watch | None = None

    def __call__(self, trainer: Trainer, before: int, finished: bool) -> None:
        """Look at the trainer after a round."""
        size = 2**trainer.average.level
        if size < _LEAST_PIXELS:
            return
        # Where it was asked to stop, it is to stop soon.
        ended = trainer.nimg >= trainer.config.nimg
        if not ended and not crossed(before, trainer.nimg, self.every_kimg):
            return
        if self._watch is None or self._watch.resolution != size:
            self._watch = Watch(self.dataset, size)
        average = ModelFile(generator=trainer.average, class_counts=trainer.class_counts)
        model = ModelImages("average", average, self.count, seed=0)
        look = self._watch.look(model.read(range(self.count)).pixels)
        figures = {
            "memorization/flagged_share": look.flagged_share,
            "memorization/expected_share": look.expected_share,
            "memorization/near_duplicates": look.near_duplicates,
        }
        for space, z in look.c_t.items():
            if z is not None:
                figures[f"memorization/c_t/{space}"] = z
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"nimg": trainer.nimg} | figures) + "\n")
        for name, value in figures.items():
            self.writer.add_scalar(name, value, trainer.nimg)
        self.writer.flush()
        door.tell(
            f"  copies? {look.flagged_share:.1%} of {self.count} images flagged, at most "
            f"{look.expected_share:.1%} of new ones would be"
        )
        self._end_where_copying_begins(trainer, sign=look.sign)

    def _end_where_copying_begins(self, trainer: Trainer, *, sign: bool) -> None:
        """Ask for the end after a second look with a sign; keep what had none."""
        if self._keep is None:
            return
        self._signs = self._signs + 1 if sign else 0
        if not sign:
            self._keep(trainer, self._before)
        if self._signs == _SIGNS_BELIEVED:
            self.copying = True
            door.tell(
                f"The generator has begun to copy training photographs: the last "
                f"{_SIGNS_BELIEVED} looks saw a sign of it. As it was at the last look without "
                f"one: {self._before}"
                if self._before.exists()
                else "The generator copies training photographs, as far back as was looked."
            )
