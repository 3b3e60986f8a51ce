"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """A mistake of the user's: one line that says what is wrong and what to do.

    `utils.run.cli` prints the message and exits with status 2; every other
    exception is a defect of ours and exits with status 1.
    """


class CannotWrite(UserError):
    """The disk is full or the folder is not writable: no step goes on without what it writes."""
