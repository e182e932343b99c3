"""What the tests of `hcp bridge` share: an event to send, and where a bridge answers."""

import json
import re
import subprocess
from http.client import HTTPConnection
from typing import Any

import pytest


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


def port(process: subprocess.Popen[str], start: str) -> int:
    """Waits for the line of talk that says where the bridge answers, and returns its port."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith(start):
            return int(re.findall(r"127\.0\.0\.1:(\d+)", line)[0])
    pytest.fail("".join(said))


def metrics_page(metrics_port: int) -> str:
    """The page of a worker's metrics."""
    connection = HTTPConnection("127.0.0.1", metrics_port, timeout=60)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()
