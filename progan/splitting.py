"""How a minibatch is split, so that it needs less memory at a time.

First into parts of whole groups of the minibatch standard deviation, whose gradients add up: that
costs no operation more. Where one group is too much, its samples walk through the networks a few at
a time, and what was not kept of that is computed again: that costs about half as many more. No
weight changes but for rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Split:
    """How a process's share of a minibatch is split.

    Attributes:
        parts: of whole groups, one after the other; as many as there are groups, where there are
            fewer.
        at_once: samples that walk through a network together, with nothing kept for derivatives;
            None: all of a part, once.
    """

    parts: int = 1
    at_once: int | None = None

    def __str__(self) -> str:
        """Say it in words."""
        if self.at_once is None:
            return "whole" if self.parts == 1 else f"in {self.parts} parts"
        images = "one image" if self.at_once == 1 else f"{self.at_once} images"
        walked = f"{images} at a time, recomputed"
        return walked if self.parts == 1 else f"in {self.parts} parts, {walked}"


def splits(samples: int, group_size: int, *, recompute: bool = True) -> Iterator[Split]:
    """Go through all splits of a share, from the one that needs most memory to the least.

    Args:
        samples: of the share.
        group_size: samples that the minibatch standard deviation compares.
        recompute: whether groups may be taken apart, too.
    """
    group = min(group_size, samples)
    groups = samples // group
    last = None
    # As many parts as make the largest one smaller, and no more.
    for count in range(1, (samples if recompute else groups) + 1):
        split = in_parts(count, samples, group_size)
        at_once = split.at_once or group * -(-groups // split.parts)
        if at_once != last:
            yield split
        last = at_once


def in_parts(count: int, samples: int, group_size: int) -> Split:
    """Give the split into so many parts: of whole groups, and then of groups taken apart.

    Args:
        count: parts that are wanted; as many as there are samples, where there are fewer.
        samples: of the share.
        group_size: samples that the minibatch standard deviation compares.
    """
    group = min(group_size, samples)
    groups = samples // group
    if count <= groups:
        return Split(count)
    return Split(groups, -(-group // min(group, -(-count // groups))))


def divided(rows: Tensor, group_size: int, count: int) -> list[Tensor]:
    """Divide rows of a minibatch into parts that keep its groups whole.

    Args:
        rows: as `Processes.share` gives them: sample i belongs to group i mod (N / group size).
        group_size: samples that the minibatch standard deviation compares.
        count: parts; as many as there are groups, where there are fewer.

    Returns:
        Rows of each part, in the same order as `rows`; the first ones may have a group more.
    """
    groups = rows.reshape(min(group_size, len(rows)), -1)
    count = min(count, groups.shape[1])
    return [part.flatten() for part in groups.tensor_split(count, dim=1)]
