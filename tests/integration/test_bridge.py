"""`hcp bridge` on a real broker and registry: what real senders and devices say becomes events, once."""

import json
import signal
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from simulators.bridge import api_key
from tests import miner_answers
from tests.agents_world import World
from tests.bridge_world import lines, metrics_page, port, price
from tests.hcp_command import hcp, running_hcp, so_far
from tests.miner_answers import wire

pytestmark = pytest.mark.integration


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
    with running_hcp(world, "bridge", "http") as command:
        sender = Sender(port(world, command, "bridge-http: http://"), key)
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
            with ThreadPoolExecutor(1) as another:

                def four_and_two() -> dict[int, tuple[int, Any]]:
                    four = another.submit(sender.post, "grid.prices", lines(*[price(50)] * 4))
                    return {4: sender.post("grid.prices", both), 2: four.result()}

                # Whichever comes first waits for Kafka; five may. The other one is told how many wait.
                answers = world.wait(four_and_two, lambda found: 429 in {status for status, _ in found.values()})
            busy = {waiting: answer for waiting, (status, answer) in answers.items() if status == 429}
            assert busy in [{count: {"error": f"{count} events wait for Kafka already"}} for count in (2, 4)]
        finally:
            world.stack.up(only=["kafka", "registry"])
        world.wait(lambda: sender.post("grid.prices", late), lambda found: found == (200, {"delivered": 1}))
        assert sender.post("grid.prices", late) == (200, {"delivered": 1})
        assert sender.get("/health") == (200, {"kafka": True})
        events = world.events("grid.prices")
        # Sent again after a 503 it is there once; sent again after a 200 it is the same event, by its id.
        assert [event.price_usd_mwh for event in events] == [20.0, -3.5, 30.0, 40.0, 40.0]
        assert events[3].event_id == events[4].event_id
        assert command.ended_by(signal.SIGINT) == 0


class _Devices(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


class FakeSite:
    """Devices that speak their protocols on this machine; each has a port of its own."""

    def __init__(self) -> None:
        self._servers: list[socketserver.BaseServer] = []

    def miner(self, answer: Callable[[str], bytes]) -> int:
        """A miner that answers a command with those bytes and hangs up; returns its port."""

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.sendall(answer(json.loads(self.request.recv(4096))["command"]))

        return self._start(_Devices(("127.0.0.1", 0), Handler))

    def page(self, text: str) -> int:
        """An exporter whose page that is; returns its port."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_args: object) -> None:
                """Says nothing."""

        return self._start(ThreadingHTTPServer(("127.0.0.1", 0), Handler))

    def silent(self) -> int:
        """A device that takes the connection and says nothing; returns its port."""

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(4096)
                self.request.recv(4096)

        return self._start(_Devices(("127.0.0.1", 0), Handler))

    def close(self) -> None:
        """Ends all devices."""
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _start(self, server: socketserver.TCPServer) -> int:
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        found: int = server.server_address[1]
        return found


@pytest.fixture
def site() -> Iterator[FakeSite]:
    """Devices of one test."""
    found = FakeSite()
    yield found
    found.close()


def test_miners_are_read_beside_others_that_are_silent_gone_or_mad(
    world: World, site: FakeSite, tmp_path: Path
) -> None:
    ports = {
        "stock": site.miner(lambda command: wire(miner_answers.STOCK, command)),
        "luxos": site.miner(lambda command: wire(miner_answers.LUXOS, command)),
        "whats": site.miner(lambda command: wire(miner_answers.WHATSMINER, command)),
        "no-power": site.miner(lambda command: wire(miner_answers.STOCK, command)),
        "mad": site.miner(lambda _command: b"<html>\xff\0"),
        "silent": site.silent(),
        "gone": 1,
    }
    file = tmp_path / "miners.csv"
    rows = [f"127.0.0.1,{p},{name},Texas-1,g,{'29.5' if name == 'stock' else ''}" for name, p in ports.items()]
    file.write_text("\n".join(["host,port,device_id,facility_id,resource_group_id,joule_per_th", *rows]))
    options = ("--interval", "0.2", "--timeout", "1", "--back-off", "60", "--at-once", "3")
    with running_hcp(world, "bridge", "miners", str(file), *options) as command:
        metrics = port(world, command, "bridge-miners: metrics")
        events = world.wait(
            lambda: world.events("telemetry.asic"),
            lambda found: (
                min(Counter(event.device_id for event in found)[name] for name in ("stock", "luxos", "whats")) > 2
            ),
        )
        letters = world.wait(lambda: world.dead_letters("telemetry.asic"), lambda found: len(found) > 1)
        page = world.wait(lambda: metrics_page(metrics), lambda text: 'outcome="unreachable"' in text)
        assert command.ended_by(signal.SIGTERM) == 0
    newest = {event.device_id: event for event in events}
    # 110.56689 TH/s x 29.5 J/TH = 3261.7 W
    assert newest["stock"].power_w == pytest.approx(3261.723, abs=0.001)
    assert (newest["luxos"].power_w, newest["luxos"].power_mode) == (1051.0, "ECO")
    assert (newest["stock"].boards_hashing, newest["stock"].uptime_s) == (3, 50474)
    assert newest["stock"].pool_rejected_ratio == pytest.approx(0.0019, abs=1e-4)
    assert newest["whats"].hashrate_ths == pytest.approx(67.43935249)
    assert set(newest) == {"stock", "luxos", "whats"}
    reasons = {bytes(value or b""): header["__connect.errors.exception.message"] for value, header in letters}
    assert b"not JSON" in (reasons[b"<html>\xff\0"] or b"")
    assert any(b"does not say its power" in (reason or b"") for reason in reasons.values())
    assert 'hcp_dependency_up{dependency="kafka",worker="bridge-miners"} 1.0' in page


def test_gpus_are_read_from_their_exporters_and_one_that_lacks_a_figure_costs_itself_only(
    world: World, site: FakeSite, tmp_path: Path
) -> None:
    labels = 'gpu="{n}",UUID="GPU-{n}",Hostname="node-1",pod="{pod}"'
    first = labels.format(n=1, pod="train-7")
    second = labels.format(n=2, pod="")
    page = "".join(
        f"DCGM_FI_DEV_{name}{{{first}}} {value}\nDCGM_FI_DEV_{name}{{{second}}} {value}\n"
        for name, value in {"GPU_UTIL": 98, "GPU_TEMP": 61, "FB_USED": 20480, "XID_ERRORS": 0}.items()
    )
    page += f"DCGM_FI_DEV_POWER_USAGE{{{first}}} 655.4\n"
    file = tmp_path / "exporters.csv"
    urls = [f"http://127.0.0.1:{port}/metrics" for port in (site.page(page), site.page("<html>"), 1)]
    file.write_text("\n".join(["url,facility_id,resource_group_id", *(f"{url},Texas-1,h100" for url in urls)]))
    options = ("--interval", "0.2", "--timeout", "5", "--back-off", "60", "--workload-label", "pod")
    with running_hcp(world, "bridge", "dcgm", str(file), *options) as command:
        events = world.wait(lambda: world.events("telemetry.gpu"), lambda found: len(found) > 2)
        world.wait(lambda: world.dead_letters("telemetry.gpu"), lambda found: len(found) > 1)
        assert command.ended_by(signal.SIGTERM) == 0
    letters = world.dead_letters("telemetry.gpu")
    assert {(event.device_id, event.workload_id, event.power_w, event.memory_used_gib) for event in events} == {
        ("GPU-1", "train-7", 655.4, 20.0)
    }
    # Asked over and over, each failure is set aside once.
    reasons = {
        bytes(value or b""): bytes(header["__connect.errors.exception.message"] or b"") for value, header in letters
    }
    assert len(letters) == 2
    assert reasons[page.encode()].startswith(b"GPU-2: Object missing required field `power_w`")
    assert b"not a page of metrics" in reasons[b"<html>"]


def test_simulated_gpus_come_through_an_exporter_and_the_bridge_as_they_are(world: World, tmp_path: Path) -> None:
    simulate = ("simulate", "--miners", "40", "--gpus", "48", "--speed", "60", "--exporter", "0")
    with running_hcp(world, *simulate) as simulator:
        url = f"http://127.0.0.1:{port(world, simulator, 'simulator: devices on')}/metrics?group=texas-1-h100"
        file = tmp_path / "exporters.csv"
        file.write_text(f"url,facility_id,resource_group_id\n{url},Bridged,texas-1-h100\n")
        with running_hcp(world, "bridge", "dcgm", str(file), "--interval", "0.5", "--workload-label", "pod") as bridge:
            found = world.wait(
                lambda: [event for event in so_far(world, "telemetry.gpu") if event.facility_id == "Bridged"],
                lambda events: len({event.device_id for event in events}) == 24,
            )
            for command in (bridge, simulator):
                assert command.ended_by(signal.SIGTERM) == 0, command.talk
    ours = {event.device_id: event for event in world.events("telemetry.gpu") if event.facility_id != "Bridged"}
    assert {event.device_id for event in found} <= ours.keys()
    # An idle board: 345 MHz, and NVML's bit for it.
    assert {(event.workload_id, event.sm_clock_mhz, event.throttle_reasons) for event in found} == {(None, 345, 1)}
    assert all(15 < event.memory_temp_c < 60 and 60 < event.power_w < 80 for event in found)


def test_an_exporter_s_port_that_is_taken_is_said(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        done = hcp(world, "simulate", "--exporter", str(number))
    assert done.returncode == 1
    assert f"exporter port {number} can't be used" in done.stderr
