"""Where a run went back and tried again with other noise: part of what its draws follow from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from progan.errors import ProganError

_MOST = 2**16


@dataclass(frozen=True)
class Attempts:
    """Where each attempt after the first began.

    A run that went back to T images shown draws from there on what it has not drawn before. What
    it went back over has left no trace in its weights, and none here.

    Attributes:
        begun: images shown and the attempt's number, both growing; empty where nothing was tried
            again.
    """

    begun: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        at, number = -1, 0
        for each in self.begun:
            if not (at < each[0] < 2**62 and number < each[1] < _MOST):
                raise ProganError("the attempts of a run must begin one after the other")
            at, number = each

    @property
    def count(self) -> int:
        """How often the run has gone back."""
        return self.begun[-1][1] if self.begun else 0

    def at(self, nimg: int) -> int:
        """Give the number of the attempt that is made after so many images, 0 for the first."""
        return max((number for begun, number in self.begun if begun <= nimg), default=0)

    def again(self, nimg: int) -> "Attempts":
        """Give the same with another attempt, which begins after so many images."""
        left = tuple(each for each in self.begun if each[0] < nimg)
        return Attempts((*left, (nimg, self.count + 1)))

    def tensors(self) -> dict[str, Tensor]:
        """Give what a checkpoint needs to hold, by name; nothing where nothing was tried again."""
        return {"attempts": torch.tensor(self.begun)} if self.begun else {}

    @classmethod
    def of_tensor(cls, tensor: Tensor | None) -> "Attempts":
        """Read what `tensors` gave.

        Raises:
            ProganError: it is something else.
        """
        if tensor is None:
            return cls()
        if tensor.dtype != torch.int64 or tensor.ndim != 2 or tensor.shape[1] != 2:
            raise ProganError("the checkpoint does not fit: attempts")
        if len(tensor) > _MOST:
            raise ProganError("the checkpoint does not fit: attempts")
        return cls(tuple((int(begun), int(number)) for begun, number in tensor.tolist()))

    @classmethod
    def of_history(cls, rollbacks: Sequence[Mapping[str, Any]]) -> "Attempts":
        """Read what a run's config.json says of its rollbacks, of which each has `nimg`.

        Raises:
            ProganError: it does not say where each attempt began.
        """
        # As `again` would do for each, which a long history would make slow.
        begun: list[tuple[int, int]] = []
        for number, rollback in enumerate(rollbacks, 1):
            nimg = rollback.get("nimg")
            if type(nimg) is not int or not 0 <= nimg < 2**62:
                raise ProganError("a rollback does not say where it went back to")
            while begun and begun[-1][0] >= nimg:
                begun.pop()
            begun.append((nimg, number))
        return cls(tuple(begun))
