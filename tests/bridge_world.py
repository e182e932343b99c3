"""What the tests of `hcp bridge` share: an event to send, and where a bridge answers."""

import json
import re
from http.client import HTTPConnection
from typing import Any

from tests.agents_world import World
from tests.hcp_command import RunningHcp


def price(usd: float, minute: int = 0) -> dict[str, Any]:
    """An event of grid.prices, without an id."""
    at = f"2026-01-01T12:{minute:02d}:00Z"
    return {
        "settlement_point": "HB_WEST",
        "market": "REAL_TIME",
        "observed_at": at,
        "interval_start": at,
        "interval_s": 300,
        "price_usd_mwh": usd,
    }


def lines(*events: dict[str, Any]) -> bytes:
    """Lines of JSON."""
    return "\n".join(json.dumps(event) for event in events).encode()


def port(world: World, command: RunningHcp, start: str) -> int:
    """Waits for the line of talk that says where the bridge answers, and returns its port."""
    line = re.compile(rf"^{re.escape(start)}.*127\.0\.0\.1:(\d+)", re.MULTILINE)

    def found() -> re.Match[str] | None:
        is_over = command.process.poll() is not None
        match = line.search(command.talk)
        assert match or not is_over, command.talk
        return match

    match = world.wait(found, bool)
    assert match
    return int(match[1])


def metrics_page(metrics_port: int) -> str:
    """The page of a worker's metrics."""
    connection = HTTPConnection("127.0.0.1", metrics_port, timeout=60)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()
