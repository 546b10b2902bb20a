"""The one exception that ordinary mistakes of a user raise."""


class UserError(ValueError):
    """Something the user can mend: a bad file, argument or combination.

    The message is one line and says what was wrong, where, and what is accepted. The command line
    prints it as ``error: ...`` and exits with status 2; it never shows a traceback for it.
    """
