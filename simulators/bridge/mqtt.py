"""Messages of an MQTT broker as events: `hcp/{topic}/{key}` with one JSON event each, at least once.

1. The broker keeps the session (clean session off): what comes while the bridge is away waits there.
2. A message is checked, and delivered to Kafka or set aside with its bytes.
3. Only when Kafka has acknowledged that is the message acknowledged to the broker, and only on the connection that it
   came by: after a reconnect the broker sends it again, and its number may be another message's.
"""

import asyncio
import logging
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from schemas import metric
from schemas.catalog import Topic
from schemas.dead_letter import STAGE_DECODE, STAGE_RULE
from schemas.event_line import EncodedEvent, RefusedLine
from simulators.bridge.delivery import EVENT_BYTES
from simulators.bridge.intake import INPUT_TOPICS, Intake
from simulators.error import ConfigurationError

WORKER = "bridge-mqtt"
PREFIX = "hcp"

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_QOS = 1
_TOGETHER = 500
_UNSURE_MESSAGES = 10_000
# Of QoS 0, for which the broker keeps nothing: more than that are dropped and counted while Kafka is away.
_RECONNECT_S = (1, 30)
_TOPICS = {topic.name: topic for topic in INPUT_TOPICS}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and who we are there."""

    host: str
    port: int
    has_tls: bool
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> "Broker":
        """Returns the broker of mqtt://USER:PASSWORD@HOST:PORT, or mqtts://. Raises ConfigurationError."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise ConfigurationError("HCP_BRIDGE_MQTT_URL: the port is no number up to 65535") from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ConfigurationError("HCP_BRIDGE_MQTT_URL: expected mqtt://USER:PASSWORD@HOST:PORT, or mqtts://")
        user, password = (unquote(part) if part is not None else None for part in (parts.username, parts.password))
        return cls(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts", user, password)


@dataclass(frozen=True, slots=True)
class Place:
    """The topic and key that a message's MQTT topic names."""

    topic: Topic
    key: str


def place(name: str) -> Place | None:
    """Returns what `hcp/{topic}/{key}` names, None where it is no topic that takes events from outside."""
    prefix, _, rest = name.partition("/")
    topic, _, key = rest.partition("/")
    return Place(_TOPICS[topic], key) if prefix == PREFIX and topic in _TOPICS and key else None


@dataclass(frozen=True, slots=True)
class _Arrived:
    message: MQTTMessage
    connection: int


class MqttBridge:
    """Takes messages until it is told to stop."""

    def __init__(self, broker: Broker, client_id: str, intake: Intake) -> None:
        self._broker = broker
        self._intake = intake
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[_Arrived] = asyncio.Queue()
        self._connection = 0
        self._broker_up = metric.DEPENDENCY_UP.labels(WORKER, "mqtt")
        self._broker_up.set(0)
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False, manual_ack=True)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(*_RECONNECT_S)
        if broker.user is not None:
            self._client.username_pw_set(broker.user, broker.password)
        if broker.has_tls:
            self._client.tls_set()

    async def run(self, stop: asyncio.Event) -> None:
        """Takes messages until `stop`; connects again by itself. Raises DeliveryError and NotDeliveredError."""
        self._client.connect_async(self._broker.host, self._broker.port)
        self._client.loop_start()
        taking = asyncio.ensure_future(self._take())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            done, _ = await asyncio.wait((taking, stopping), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (taking, stopping):
                task.cancel()
            await asyncio.wait((taking, stopping))
            self._client.disconnect()
            await asyncio.to_thread(self._client.loop_stop)

    async def _take(self) -> None:
        most = min(_TOGETHER, self._intake.delivery.queue_events)
        while True:
            batch = [await self._arrived.get()]
            while len(batch) < most and not self._arrived.empty():
                batch.append(self._arrived.get_nowait())
            await self._handle([arrived.message for arrived in batch])
            for arrived in batch:
                if arrived.message.qos and arrived.connection == self._connection:
                    self._client.ack(arrived.message.mid, arrived.message.qos)

    async def _handle(self, messages: Sequence[MQTTMessage]) -> None:
        by_topic: dict[str, list[tuple[Place, MQTTMessage]]] = {}
        for message in messages:
            found = place(message.topic)
            if found is None:
                metric.BRIDGE_REFUSED.labels(WORKER, "unknown").inc()
                _LOG.warning("%s: expected %s/TOPIC/KEY of a topic that takes events", message.topic, PREFIX)
            else:
                by_topic.setdefault(found.topic.name, []).append((found, message))
        for name, placed in by_topic.items():
            await self._handle_topic(_TOPICS[name], placed)

    async def _handle_topic(self, topic: Topic, placed: Sequence[tuple[Place, MQTTMessage]]) -> None:
        texts: list[str] = []
        readable: list[tuple[Place, MQTTMessage]] = []
        for found, message in placed:
            reason = _unreadable(bytes(message.payload))
            if reason is None:
                texts.append(message.payload.decode())
                readable.append((found, message))
            else:
                await self._refuse(topic, message, STAGE_DECODE, reason)
        good: list[EncodedEvent] = []
        for verdict in await self._intake.checked(topic, texts):
            found, message = readable[verdict.line - 1]
            match verdict:
                case RefusedLine():
                    await self._refuse(topic, message, STAGE_RULE, verdict.reason)
                case EncodedEvent() if verdict.key != found.key.encode():
                    said = verdict.key.decode()
                    reason = f"{topic.key_field}: must be {found.key!r} as in the message's topic, got {said!r}"
                    await self._refuse(topic, message, STAGE_RULE, reason)
                case EncodedEvent():
                    good.append(verdict)
        await self._intake.delivery.deliver(topic, good)

    async def _refuse(self, topic: Topic, message: MQTTMessage, stage: str, reason: str) -> None:
        await self._intake.refuse(topic, message.topic, bytes(message.payload), stage=stage, reason=reason)

    # What follows is called in the client's thread.

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            _LOG.warning("the broker refuses: %s", reason)
            return
        self._connection += 1
        self._broker_up.set(1)
        client.subscribe(f"{PREFIX}/+/#", _QOS)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        error = sys.exception()
        mend = "; SSL_CERT_FILE names a file of authorities" if isinstance(error, ssl.SSLCertVerificationError) else ""
        _LOG.warning("the broker at %s:%d can't be reached: %s%s", self._broker.host, self._broker.port, error, mend)

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._broker_up.set(0)
        if reason.is_failure:
            _LOG.warning("the broker is away: %s", reason)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if not message.qos and self._arrived.qsize() >= _UNSURE_MESSAGES:
            metric.BRIDGE_REFUSED.labels(WORKER, "dropped").inc()
            return
        self._loop.call_soon_threadsafe(self._arrived.put_nowait, _Arrived(message, self._connection))


def _unreadable(payload: bytes) -> str | None:
    if len(payload) > EVENT_BYTES:
        return f"larger than {EVENT_BYTES} bytes"
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error}"
    return None if text.strip() else "empty"
