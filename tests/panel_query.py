"""A panel's query as Grafana sends it: its macros filled in for a range of time."""

import re
from datetime import datetime


def expanded(text: str, start: datetime, end: datetime) -> str:
    """Returns the query with `$__timeFilter(column)`, `$__rate_interval` and `$__interval` filled in."""
    between = rf"\1 BETWEEN '{start.isoformat()}' AND '{end.isoformat()}'"
    filled = re.sub(r"\$__timeFilter\(([^)]*)\)", between, text)
    filled = filled.replace("$__rate_interval", "1m").replace("$__interval", "15s")
    if "$__" in filled:
        raise ValueError(f"a macro that is not known here: {filled}")
    return filled
