"""What a user of the library can get wrong, as one sentence."""


class ProganError(Exception):
    """A problem that the user can solve; the message is a sentence that says how."""


class DamagedFile(ProganError):
    """A file of this program is not as it was written."""
