"""Errors for users: one sentence that says what is wrong, where, and how to correct it.

The class decides the exit code of the command line.
"""

from __future__ import annotations


class DemiurgeError(Exception):
    """Base class of all expected errors.

    Parameters
    ----------
    what
        Fault and place: names the file, the layer or the option.
    cure
        Remedy for the user; joined to ``what`` with a semicolon.
    """

    exit_code = 1

    def __init__(self, what: str, cure: str = "") -> None:
        self.what = what
        self.cure = cure
        super().__init__(f"{what}; {cure}." if cure else f"{what}.")

    def __reduce__(self) -> tuple[type[DemiurgeError], tuple[str, ...]]:
        """Pickle both parts of the message, for other processes."""
        return type(self), (self.what, self.cure)


class UsageError(DemiurgeError):
    """An option, an argument or a combination of them is invalid."""

    exit_code = 2


class ConfigError(UsageError):
    """A recipe or a setting does not match its schema."""


class DataError(DemiurgeError):
    """A file exists but its content cannot be used."""

    exit_code = 3


class BundleError(DataError):
    """A bundle is damaged, of another format, or made for other inputs."""


class ResourceError(DemiurgeError):
    """A file, a bundle, an optional package or write permission is missing."""

    exit_code = 4


def missing_extra(module: str, extra: str, purpose: str) -> ResourceError:
    """Return the error for an optional dependency that is not installed."""
    return ResourceError(
        f"{purpose} needs the package '{module}', which is not installed",
        f"install it with: pip install 'demiurge[{extra}]'",
    )
