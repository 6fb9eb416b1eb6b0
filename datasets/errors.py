"""What goes wrong outside the program: for the user to mend, or with one picture alone."""


class DatasetError(Exception):
    """A problem that the user can solve.

    The message is one sentence that names the file or the option and says what to do. A command
    prints it as it stands, without a traceback.
    """


class UnusableError(Exception):
    """One picture cannot be used; the message says why in a few words.

    Equal causes have equal messages, so that they can be counted. The picture is skipped and
    recorded, and the others go on.
    """


class SourceLostError(DatasetError):
    """The place where the pictures lie cannot be reached any more.

    Unlike a damaged picture this ends the work, which the same command can continue: to skip all
    that a vanished disk or a dead network does not give would lose half a dataset in silence.
    """
