"""Times as people write them on the command line."""

from datetime import UTC, datetime

import typer


def parse_time(text: str, option: str) -> datetime:
    """Returns an ISO 8601 time in UTC, which is meant where it names no zone. Raises typer.BadParameter."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{option}: expected a time such as 2026-01-31T12:00:00Z (UTC where it names no zone), got {text!r}"
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def parse_bound(text: str | None, option: str) -> datetime | None:
    """Returns a time as `parse_time` does, None for an option that is not given."""
    return None if text is None else parse_time(text, option)
