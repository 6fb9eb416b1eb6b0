"""What a user of the library can get wrong, as one sentence."""


class ProganError(Exception):
    """A problem that the user can solve; the message is a sentence that says how."""
