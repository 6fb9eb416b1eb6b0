"""Names of pictures, in the one form in which they are compared.

The same name reaches the program in many spellings: with backslashes from Windows, with accents as
characters of their own from a Mac, with blanks around it from a table that was typed by hand. What
tables and archives call a picture is compared in the form that `plain` gives, and nowhere else.
"""

import re
import unicodedata

# A byte order mark, or a blank without width, that text from elsewhere begins or ends with.
_INVISIBLE = "\ufeff\u200b"
_DRIVE = re.compile(r"[A-Za-z]:")


def plain(name: str) -> str:
    """Return a name in the form in which names are compared.

    Forward slashes, none at the start or the end, no `.` between them; accents composed with their
    letters (NFC); no blanks around it; bytes that are no UTF-8 read as Windows writes Western text.
    `..` stays, as do capital letters. Two different files may have the same plain name: whoever
    compares must look for that.
    """
    if not name.isascii():
        name = unicodedata.normalize("NFC", _decoded(name))
    name = name.strip().strip(_INVISIBLE).strip()
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def caseless(name: str) -> str:
    """Return a plain name without the difference between capital and small letters."""
    return unicodedata.normalize("NFC", name.casefold())


def folders_and_file(name: str) -> list[str]:
    """Split a name as it stands in an archive into the folders that lead to it, and its own name.

    Archives may hold anything: `/pictures/1.png`, `../1.png`, `C:\\pictures\\1.png`; what is no
    name of a folder is left out.
    """
    parts = [part for part in plain(name).split("/") if part != ".."]
    return parts[1:] if len(parts) > 1 and _DRIVE.fullmatch(parts[0]) else parts


def search(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    """Search for a pattern in a name: in its plain form, then in the name as it stands.

    A pattern with letters and accents apart, as a Mac may hand it over, finds them all the same.
    """
    text = plain(name)
    if not unicodedata.is_normalized("NFC", pattern.pattern):
        text = unicodedata.normalize("NFD", text)
    return pattern.search(text) or pattern.search(name)


def _decoded(name: str) -> str:
    """Replace what Python has in the place of bytes that are no UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        try:
            data = name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return name  # Halves of characters, from JSON: no bytes lead there.
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            return data.decode("latin-1")
    return name
