"""`hcp bridge` on a real broker and registry: what real senders and devices say becomes events, once."""

import json
import re
import signal
import subprocess
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest

from simulators.bridge import api_key
from tests.agents_world import World
from tests.hcp_command import running_hcp

pytestmark = pytest.mark.integration


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


@dataclass(frozen=True, slots=True)
class Sender:
    """A client of the HTTP bridge; the answer is its status and JSON."""

    port: int
    key: str

    def post(self, topic: str, body: bytes, **headers: str) -> tuple[int, Any]:
        """Sends a body to a topic."""
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/x-ndjson", **headers}
        return self._answer(f"/v1/topics/{topic}", body, sent)

    def get(self, path: str) -> tuple[int, Any]:
        """Reads a page."""
        return self._answer(path, None, {})

    def _answer(self, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            assert answer.status not in {429, 503} or answer.getheader("Retry-After") or path == "/health"
            return answer.status, json.load(answer)
        finally:
            connection.close()


def test_http_answers_when_kafka_has_the_events_and_names_what_it_refuses(world: World) -> None:
    key, entry = api_key.make("site-a", "grid.prices")
    world.environment |= {
        "HCP_BRIDGE_API_KEYS": entry,
        "HCP_BRIDGE_PORT": "0",
        "HCP_BRIDGE_DELIVERY_S": "1",
        "HCP_BRIDGE_BODY_BYTES": "20000",
        "HCP_BRIDGE_QUEUE_EVENTS": "5",
    }
    with running_hcp(world, "bridge", "http") as process:
        sender = Sender(port(process, "bridge-http: http://"), key)
        both = lines(price(20), price(-3.5, 5))
        assert sender.post("grid.prices", both) == (200, {"delivered": 2})
        pretty = json.dumps(price(30, 10), indent=1).encode()
        assert sender.post("grid.prices", pretty, **{"Content-Type": "application/json"}) == (200, {"delivered": 1})

        refused = lines(price(1), {**price(2), "interval_s": 0}, {"price_usd_mwh": "dear"}) + b"\nnonsense"
        status, answer = sender.post("grid.prices", refused)
        assert (status, [(bad["line"], bad["field"]) for bad in answer["errors"]]) == (
            422,
            [(2, "interval_s"), (3, "price_usd_mwh"), (4, "")],
        )
        assert answer["errors"][0]["rule"] == "must be more than zero, got 0"
        assert sender.post("grid.prices", b"[" * 10_000)[0] == 422
        assert sender.post("grid.prices", b"\xff")[0] == 422
        assert sender.post("grid.prices", lines(*[price(1)] * 6))[0] == 413
        assert sender.post("grid.prices", b" " * 30_000)[0] == 413
        assert sender.post("market.ticks", both)[0] == 403
        assert sender.post("audit.events", both)[0] == 404
        assert sender.post("grid.prices", both, Authorization="Bearer other")[0] == 401
        assert [event.price_usd_mwh for event in world.events("grid.prices")] == [20.0, -3.5, 30.0]

        world.stack.kill("kafka")
        try:
            late = lines(price(40, 15))
            assert sender.post("grid.prices", late)[0] == 503
            assert sender.get("/health") == (503, {"kafka": False})
        finally:
            world.stack.up(only=["kafka", "registry"])
        world.wait(lambda: sender.post("grid.prices", late), lambda found: found == (200, {"delivered": 1}))
        assert sender.post("grid.prices", late) == (200, {"delivered": 1})
        assert sender.get("/health") == (200, {"kafka": True})
        events = world.events("grid.prices")
        # Sent again after a 503 it is there once; sent again after a 200 it is the same event, by its id.
        assert [event.price_usd_mwh for event in events] == [20.0, -3.5, 30.0, 40.0, 40.0]
        assert events[3].event_id == events[4].event_id
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
