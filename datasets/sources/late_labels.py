"""Labels that are read when the first of them is asked for."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import overload


class LateLabels(Sequence[str | None], ABC):
    """The labels of a source that takes a while to read them, and may never be asked."""

    _known: tuple[str | None, ...] | None = None

    @abstractmethod
    def read(self) -> Sequence[str | None]:
        """Read the labels of all pictures, None for a picture without.

        Raises:
            DatasetError: they are damaged, or there are none.
        """

    @overload
    def __getitem__(self, item: int) -> str | None: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[str | None]: ...
    def __getitem__(self, item: int | slice) -> str | Sequence[str | None] | None:
        """Return the label of a picture; None for one without.

        Raises:
            DatasetError: as `read`, which the first call does.
        """
        if self._known is None:
            self._known = tuple(self.read())
        return self._known[item]
