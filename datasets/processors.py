"""How many processors there are, and threads that keep them busy."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache


def available_processors() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(work: Callable[[int], object], items: Iterable[int]) -> None:
    """Do some work for each item, in as many threads as there are processors.

    It pays where the work is done outside of Python, as decoding and copying are. The work must
    not call this function itself.

    Raises:
        Exception: the first that the work raised.
    """
    for _ in _pool(os.getpid()).map(work, items):
        pass


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    # One for each process: threads do not survive a fork.
    return ThreadPoolExecutor(available_processors(), thread_name_prefix="pictures")
