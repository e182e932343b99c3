"""The errors of projections, by what can be done about them."""

from collections.abc import Sequence


class ProjectionError(Exception):
    """Base of the errors of projections."""


class FencedError(ProjectionError):
    """Another worker has claimed a partition that this one thought was its own: stop, and write nothing more."""


class RefusedError(ProjectionError):
    """The store refuses what a row holds, such as a value that breaks a constraint: the row is a dead letter.

    `error` is the store's name for it, such as CheckViolation.
    """

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason


class TooLargeError(RefusedError):
    """The rows are more than the store takes in one transaction: halves of them may do."""


class UnavailableError(ProjectionError):
    """The store does not answer: wait, and start again from the offsets that it holds.

    `dependency` is the store's name in the metrics.
    """

    def __init__(self, message: str, dependency: str = "database") -> None:
        super().__init__(message)
        self.dependency = dependency


class TooManyDeadError(ProjectionError):
    """So many events in a row are bad that the fault is likelier in a deployment than in them: stop, and say so."""


class MigrationError(ProjectionError):
    """The migrations and the database don't fit; the message names the file and what to do."""


class DriftError(ProjectionError):
    """The database differs from the declarations in a way that is not generated; `drifts` say where, and the mend."""

    def __init__(self, drifts: Sequence[object]) -> None:
        super().__init__("\n  ".join(["not generated, for a person to decide:", *map(str, drifts)]))
        self.drifts = tuple(drifts)
