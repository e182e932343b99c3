"""What leaves the simulators: events to Kafka, at least once and in order, waiting while the broker is away."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from aiokafka.partitioner import murmur2
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from numpy.typing import NDArray

from schemas import metric
from schemas.catalog import TOPICS, Topic
from schemas.codec import Codec
from schemas.registry import Registry
from simulators.damage import damaging, spoiled
from simulators.encoding import Encoder, encoder
from simulators.error import DeliveryError
from simulators.fleet import DEVICE
from simulators.simulation import Entry, Slice

WORKER = "simulator"

_CHUNK = 10_000
_QUEUE_MESSAGES = 200_000
_POLL_S = 0.1
_WITHOUT_SIGN = 0x7FFFFFFF
_ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - local codes have no other name
_PURGE_QUEUE = KafkaError._PURGE_QUEUE  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class _Devices:
    """Of a fleet on its topic: the encoder of readings, and in order of the fleet the devices' keys and partitions."""

    encode: Encoder
    keys: NDArray[np.object_]
    partitions: NDArray[np.uint16]


class Outlet:
    """A producer and the encoders of everything that is simulated. Used by one thread."""

    def __init__(self, kafka: Mapping[str, Any], registry: Registry) -> None:
        self._registry = registry
        self._codec = Codec(registry)
        self._devices: dict[str, _Devices] = {}
        self._fatal: KafkaError | None = None
        self.sent = 0
        """Events handed to the producer."""
        self.failed = 0
        """Events that the broker refused."""
        self._producer = Producer(
            {
                **kafka,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 20,
                "compression.type": "lz4",
                # The partitioner of the Java clients, so that other tools find a key where we put it.
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": _QUEUE_MESSAGES,
                # No time-out: a broker that is away is waited for, and its events stay in order.
                "message.timeout.ms": 0,
                "delivery.report.only.error": True,
                "error_cb": self._on_error,
                "on_delivery": self._on_delivery,
                "log_level": 3,
            }
        )

    def learn_schemas(self) -> None:
        """Asks the registry for all that `send` needs, so that the registry may be away later.

        Raises the registry's errors; `UnknownSchemaError` where a schema is not registered.
        """
        for topic in TOPICS:
            self._registry.schema_id(topic)

    def introduce(self, topic: Topic, devices: pl.DataFrame) -> None:
        """Learns whose readings `send` will get: the identity of their fleet, whose rows the frames refer to.

        Raises the registry's errors, only where `learn_schemas` was not called.
        """
        keys = [str(key).encode() for key in devices[topic.key_field]]
        self._devices[topic.name] = _Devices(
            damaging(encoder(topic, self._registry.schema_id(topic), devices)),
            np.array(keys, dtype=object),
            np.array([(murmur2(key) & _WITHOUT_SIGN) % topic.partitions for key in keys], dtype=np.uint16),
        )

    @property
    def waiting(self) -> int:
        """Events that are not yet delivered."""
        return len(self._producer)

    def send(self, found: Slice, stop: threading.Event) -> None:
        """Hands a slice over, waiting while the queue is full; stops early, with DeliveryError, where `stop` is set.

        `learn_schemas` and `introduce` come first. Raises DeliveryError where the producer is unusable.
        """
        for topic, frame in found.readings:
            self._send_frame(topic, frame, stop)
            metric.EVENT_TIME.labels(WORKER, topic.name).set(found.end_ms / 1000)
        self.send_entries(found.entries, stop)

    def send_entries(self, entries: Sequence[Entry], stop: threading.Event) -> None:
        """Hands single events over; as `send`."""
        by_topic: dict[str, tuple[list[str], list[bytes]]] = {}
        for entry in entries:
            keys, values = by_topic.setdefault(entry.topic.name, ([], []))
            keys.append(entry.key)
            value = self._codec.encode(entry.topic, entry.event)
            values.append(value if entry.damage is None else spoiled(value, entry.damage))
            metric.EVENT_TIME.labels(WORKER, entry.topic.name).set(entry.at_ms / 1000)
        for name, (keys, values) in by_topic.items():
            self._send(name, keys, values, stop)

    def poll(self) -> None:
        """Serves what the producer has to report. Raises DeliveryError where it is unusable."""
        before = self.waiting
        self._producer.poll(0)
        self._check()
        if self.waiting < before or before == 0:
            metric.DEPENDENCY_UP.labels(WORKER, "kafka").set(1)

    def flush(self, seconds: float) -> None:
        """Waits until everything is delivered. Raises DeliveryError, with the number, for what is not after a while."""
        left = self._producer.flush(seconds)
        self._check()
        if left:
            raise DeliveryError(f"{left} events are not delivered: the broker has not answered for {seconds:.0f} s")

    def discard(self) -> None:
        """Drops what is not delivered, so that a stop does not wait for it."""
        self._producer.purge()
        self._producer.flush(1)

    def _send_frame(self, topic: Topic, frame: pl.DataFrame, stop: threading.Event) -> None:
        devices = self._devices[topic.name]
        for part in frame.iter_slices(_CHUNK):
            rows = part[DEVICE].to_numpy()
            # The partitioner finds the partition itself, but mixed ones cost the client's own threads twice as much.
            order = np.argsort(devices.partitions[rows], kind="stable")
            values = np.fromiter(devices.encode(part), object, len(part))[order].tolist()
            self._send(topic.name, devices.keys[rows[order]].tolist(), values, stop)

    def _send(self, name: str, keys: Sequence[str | bytes], values: Sequence[bytes], stop: threading.Event) -> None:
        # Room for all of them first, so that none is refused for want of it.
        while len(self._producer) + len(values) > _QUEUE_MESSAGES:
            if stop.is_set():
                raise DeliveryError(f"stopped with {self.waiting} events undelivered: the broker takes no more")
            self._producer.poll(_POLL_S)
            self._check()
        produce = self._producer.produce
        try:
            # Not produce_batch: it looks up each message's fields in a dict, for a third more CPU.
            for key, value in zip(keys, values, strict=True):
                produce(name, value, key)
        except (BufferError, KafkaException) as error:
            raise DeliveryError(f"{name}: the producer refuses events: {error}") from error
        self.sent += len(values)
        metric.EVENTS_OUT.labels(WORKER, name).inc(len(values))

    def _check(self) -> None:
        if self._fatal is not None:
            raise DeliveryError(f"the producer cannot go on: {self._fatal}")

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = error
        elif error.code() == _ALL_BROKERS_DOWN:
            metric.DEPENDENCY_UP.labels(WORKER, "kafka").set(0)

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and error.code() != _PURGE_QUEUE:
            self.failed += 1
