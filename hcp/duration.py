"""Durations as people write them on the command line."""

import re
from datetime import timedelta

import typer

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, None: 1}


def parse_duration(text: str) -> timedelta:
    """Returns `90`, `60s`, `5m` or `1h` as a duration. Raises typer.BadParameter."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"expected a duration such as 60s, 5m or 1h, got {text!r}")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
