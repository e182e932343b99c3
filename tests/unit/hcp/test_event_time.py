"""Times on the command line: one form, one rule of zones and one error for all commands."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import typer

from hcp.event_time import parse_bound, parse_time

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def _in_texas(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose own zone is another."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "America/Chicago")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_texas")
@pytest.mark.parametrize("text", ["2026-01-31T12:00:00Z", "2026-01-31T06:00-06:00", "2026-01-31 12:00", "20260131T12"])
def test_a_time_without_a_zone_is_utc_and_any_other_is_brought_there(text: str) -> None:
    assert parse_time(text, "--from") == NOON
    assert parse_time(text, "--from").tzinfo is UTC
    assert parse_bound(text, "--from") == NOON


def test_an_option_that_is_not_given_has_no_time() -> None:
    assert parse_bound(None, "--until") is None


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01", "90s"])
def test_what_is_no_time_is_refused_with_the_option_and_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        parse_time(text, "--from")
    assert refused.value.message == (
        f"--from: expected a time such as 2026-01-31T12:00:00Z (UTC where it names no zone), got {text!r}"
    )
