"""Errors a user can act on: each names what was found, where, and how to correct it.

Every failure that is not a bug is raised as one of these; the command line prints the message alone (no
traceback) and exits with the class's ``exit_code``.
"""

from modelyard.passwords import masked

ALARM_EXIT_STATUS = 10
"""Exit status of a command that succeeded and raised an alarm; errors have 1 to 9."""


class ModelyardError(Exception):
    """One clear failure.

    Args:
        found: What was found, as one sentence.
        where: File, row, column, parameter or URL that it was found in.
        way_out: What the user can do about it.
    """

    exit_code = 1

    def __init__(self, found: str, *, where: str = "", way_out: str = "") -> None:
        self.found, self.where, self.way_out = masked(found), masked(where), masked(way_out)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Returns the message, one labelled line for each part that is present."""
        lines = [self.found]
        if self.where:
            lines.append(f"  where:   {self.where}")
        if self.way_out:
            lines.append(f"  way out: {self.way_out}")
        return lines

    def naming(self, project: str) -> "ModelyardError":
        """Returns the same error with ``<project>`` in its place and its way out replaced by the project's name."""
        where, way_out = (text.replace("<project>", project) for text in (self.where, self.way_out))
        return type(self)(self.found, where=where, way_out=way_out)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (tuning workers); the keyword-only parts must survive that.
        return (_rebuild, (type(self), self.found, self.where, self.way_out))


def _rebuild(cls: type[ModelyardError], found: str, where: str, way_out: str) -> ModelyardError:
    return cls(found, where=where, way_out=way_out)


class ConfigurationError(ModelyardError):
    """A parameter, an environment or a project's record is wrong; nothing has been run."""

    exit_code = 2


class DataContractError(ModelyardError):
    """The data break the project's contract: the run stops before anything is trained."""

    exit_code = 3


class FetchError(ModelyardError):
    """A public data set could not be downloaded, or its bytes are not the published ones."""

    exit_code = 4


class BusyError(ModelyardError):
    """Another process holds what this one needs (a project's run lock, a database)."""

    exit_code = 5


class StorageError(ModelyardError):
    """The disk is full, read-only, or a stored file is damaged."""

    exit_code = 6
