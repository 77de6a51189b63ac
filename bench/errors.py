"""The one exception a user's mistake ends in: a single line that says what, where and what to do."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in the input or the command, shown as one line with exit code 2.

    what:  what is wrong, in a few words.
    where: the file (and line, field) or option it was found in.
    fix:   what the user can do about it.
    """

    def __init__(self, what: str, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        parts = [f"{where}: {what}" if where else what]
        if fix:
            parts.append(fix)
        super().__init__("; ".join(part.replace("\n", " ") for part in parts))


class RunFailed(Exception):
    """A run that cannot give a number, with the one-line reason that its table cells will show."""
