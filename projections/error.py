"""The errors of projections, by what can be done about them."""


class ProjectionError(Exception):
    """Base of what stops a projection: going on, or trying again unchanged, will not help."""


class FencedError(ProjectionError):
    """Another worker has moved the offsets of a partition that this one thought was its own."""


class MigrationError(ProjectionError):
    """The migrations and the database don't fit; the message names the file and what to do."""
