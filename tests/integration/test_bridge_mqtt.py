"""`hcp bridge mqtt` on real brokers, and on the wire: a message becomes an event, then it is acknowledged."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.agents_world import World
from tests.bridge_world import lines, metrics_page, port, price
from tests.hcp_command import running_hcp

pytestmark = pytest.mark.integration


@pytest.fixture
def mqtt_broker(tmp_path: Path) -> Iterator[int]:
    """A broker that lets everybody in; its port."""
    with running_broker(tmp_path) as found:
        yield found


@contextmanager
def running_broker(tmp_path: Path, **more: Any) -> Iterator[int]:
    """A broker that lets everybody in, with more of its listener's settings; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    config = tmp_path / "amqtt.yaml"
    listener = {"type": "tcp", "bind": f"127.0.0.1:{found}", **more}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    # JSON is YAML too.
    config.write_text(json.dumps({"listeners": {"default": listener}, "plugins": plugins}))
    with (
        (tmp_path / "amqtt.log").open("wb") as log,
        subprocess.Popen([Path(sys.executable).with_name("amqtt"), "-c", config], stdout=log, stderr=log) as process,
    ):
        yield found
        process.terminate()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Files of a new certificate of 127.0.0.1, signed by itself, and of its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "broker.pem", folder / "broker.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def published(port: int, *messages: tuple[str, bytes], trusted: Path | None = None) -> None:
    """Publishes messages with QoS 1 and waits until the broker has them."""
    client = Client(CallbackAPIVersion.VERSION2)
    if trusted is not None:
        client.tls_set(str(trusted))
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        for name, payload in messages:
            client.publish(name, payload, qos=1).wait_for_publish(60)
    finally:
        client.disconnect()
        client.loop_stop()


def test_mqtt_messages_are_events_and_bad_ones_are_set_aside_with_their_bytes(world: World, mqtt_broker: int) -> None:
    world.environment["HCP_BRIDGE_MQTT_URL"] = f"mqtt://127.0.0.1:{mqtt_broker}"
    name = "hcp/grid.prices/HB_WEST"
    with running_hcp(world, "bridge", "mqtt") as command:
        metrics = port(world, command, "bridge-mqtt: metrics")
        up = 'hcp_dependency_up{dependency="mqtt",worker="bridge-mqtt"} 1.0'
        world.wait(lambda: metrics_page(metrics), lambda page: up in page)
        bad = [
            (name, b"\xff"),
            (name, b""),
            ("hcp/grid.prices/HB_NORTH", lines(price(2))),
            ("hcp/audit.events/x", b"{}"),
        ]
        published(mqtt_broker, *bad, (name, lines(price(20))), (name, lines({**price(1), "interval_s": 0})))
        world.wait(lambda: world.dead_letters("grid.prices"), lambda found: len(found) == 4)
        events = world.wait(lambda: world.events("grid.prices"), lambda found: len(found) > 0)
        assert command.ended_by(signal.SIGTERM) == 0
    assert [event.price_usd_mwh for event in events] == [20.0]
    reasons = {
        value: header["__connect.errors.exception.message"] for value, header in world.dead_letters("grid.prices")
    }
    assert reasons[lines(price(2))] == b"settlement_point: must be 'HB_NORTH' as in the message's topic, got 'HB_WEST'"
    assert (reasons[b"\xff"] or b"").startswith(b"not UTF-8")
    assert len(reasons) == 4


def test_mqtts_takes_messages_of_a_broker_that_is_trusted_and_of_no_other(world: World, tmp_path: Path) -> None:
    trusted, key = certificate(tmp_path)
    with running_broker(tmp_path, ssl=True, certfile=str(trusted), keyfile=str(key)) as broker:
        world.environment["HCP_BRIDGE_MQTT_URL"] = f"mqtts://127.0.0.1:{broker}"
        with running_hcp(world, "bridge", "mqtt") as command:
            world.wait(lambda: command.talk, lambda talk: "CERTIFICATE_VERIFY_FAILED" in talk)
            assert command.ended_by(signal.SIGTERM) == 0
        world.environment["SSL_CERT_FILE"] = str(trusted)
        with running_hcp(world, "bridge", "mqtt") as command:
            metrics = port(world, command, "bridge-mqtt: metrics")
            up = 'hcp_dependency_up{dependency="mqtt",worker="bridge-mqtt"} 1.0'
            world.wait(lambda: metrics_page(metrics), lambda page: up in page)
            published(broker, ("hcp/grid.prices/HB_WEST", lines(price(20))), trusted=trusted)
            (event,) = world.wait(lambda: world.events("grid.prices"), lambda found: len(found) > 0)
            assert command.ended_by(signal.SIGTERM) == 0
    assert event.price_usd_mwh == 20.0


def test_an_mqtt_message_is_acknowledged_when_kafka_has_it_and_not_before(world: World) -> None:
    kafka = world.environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]
    name, payload = b"hcp/grid.prices/HB_WEST", lines(price(20))
    # PUBLISH of QoS 1 with the packet identifier 7 (MQTT 3.1.1, 3.3); the body is of 128 to 16,383 bytes.
    body = len(name).to_bytes(2) + name + (7).to_bytes(2) + payload
    assert 128 <= len(body) < 16_384
    publish = bytes([0x32, len(body) % 128 | 128, len(body) // 128]) + body
    with socket.create_server(("127.0.0.1", 0)) as server:
        world.environment["HCP_BRIDGE_MQTT_URL"] = f"mqtt://127.0.0.1:{server.getsockname()[1]}"

        def connected() -> socket.socket:
            client, _ = server.accept()
            client.recv(4096)
            client.sendall(bytes([0x20, 2, 0, 0]))
            subscribe = client.recv(4096)
            client.sendall(bytes([0x90, 3, *subscribe[2:4], 1]) + publish)
            return client

        world.environment["HCP_KAFKA_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
        with running_hcp(world, "bridge", "mqtt") as command:
            metrics = port(world, command, "bridge-mqtt: metrics")
            with connected() as client:
                taken = 'hcp_events_in_total{topic="grid.prices",worker="bridge-mqtt"} 1.0'
                world.wait(lambda: metrics_page(metrics), lambda page: taken in page)
                command.ended_by(signal.SIGKILL)
                # All that it sent behind its SUBSCRIBE, to the end of the connection.
                assert b"".join(iter(lambda: client.recv(4096), b"")) == b""
        world.environment["HCP_KAFKA_BOOTSTRAP_SERVERS"] = kafka
        with running_hcp(world, "bridge", "mqtt"), connected() as client:
            assert client.recv(4096) == bytes([0x40, 2, 0, 7])
    assert [event.price_usd_mwh for event in world.events("grid.prices")] == [20.0]
