"""Links in archives, which are followed within the archive and never out of it."""

import re
from collections.abc import Callable

from datasets.errors import UnusableError

# As many in a row as systems follow.
_MOST_LINKS = 40
# The longest path that a link may hold, in bytes or letters.
LONGEST_LINK = 4096
NOWHERE = "a link to no file in the archive"
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")


def follow(name: str, link_of: Callable[[str], str | None]) -> str:
    """Return the path in an archive that a symbolic link leads to. There need not be such a file.

    Args:
        name: the name of the link, with slashes of either kind.
        link_of: gives, for a path in the archive, what the link there holds; None for no link.

    Raises:
        UnusableError: it leads out of the archive, or in a circle.
    """
    *folders, own = parts_of(name)
    waiting, path = [own], folders
    hops = 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            if not path or path[-1] == "..":
                raise UnusableError("a link that leads out of the archive")
            path.pop()
            continue
        link = link_of("/".join([*path, part]))
        if link is None:
            path.append(part)
            continue
        hops += 1
        if hops > _MOST_LINKS:
            raise UnusableError("a link in a circle")
        if _ABSOLUTE.match(link):
            raise UnusableError("a link that leads out of the archive")
        waiting += reversed(parts_of(link))
    return "/".join(path)


def parts_of(path: str) -> list[str]:
    """Split a path in an archive into its parts, without those that mean nothing."""
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
