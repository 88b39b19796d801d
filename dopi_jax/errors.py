"""The one exception that means "the user can mend this"."""


class UserError(Exception):
    """A mistake in the input, told in one sentence: the field or file, what was found, what was expected, what to do.

    The commands print it without a traceback and exit with status 1.
    """
