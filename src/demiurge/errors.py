"""The errors a user can meet: one sentence that says what, where and the cure.

The class decides the exit code of the command line; a message never carries a traceback.
"""

from __future__ import annotations


class DemiurgeError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    what
        What is wrong and where: names the file, the layer or the option.
    cure
        What the user can do about it; joined to ``what`` with a semicolon.
    """

    exit_code = 1

    def __init__(self, what: str, cure: str = "") -> None:
        self.what = what
        self.cure = cure
        super().__init__(f"{what}; {cure}." if cure else f"{what}.")

    def __reduce__(self) -> tuple[type[DemiurgeError], tuple[str, ...]]:
        """Reach another process with both parts."""
        return type(self), (self.what, self.cure)


class UsageError(DemiurgeError):
    """An option, a combination of options or an argument makes no sense."""

    exit_code = 2


class ConfigError(UsageError):
    """A recipe or a setting is not what its schema asks for."""


class DataError(DemiurgeError):
    """A file is there but what it holds cannot be used."""

    exit_code = 3


class BundleError(DataError):
    """A bundle is damaged, foreign or made for other inputs."""


class ResourceError(DemiurgeError):
    """Something is missing or out of reach: a file, a bundle, an extra, the right to write."""

    exit_code = 4


def missing_extra(module: str, extra: str, purpose: str) -> ResourceError:
    """Return the error for an optional dependency that is not installed."""
    return ResourceError(
        f"{purpose} needs the package '{module}', which is not installed",
        f"install it with: pip install 'demiurge[{extra}]'",
    )
