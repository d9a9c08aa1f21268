"""The one error that is the user's to mend."""

from __future__ import annotations


class UserError(ValueError):
    """Something that the user asked for cannot be done; the message says, in one line, what to do instead.

    The command line prints the message and exits with code 2. Everything else that is raised is our own fault.
    """
