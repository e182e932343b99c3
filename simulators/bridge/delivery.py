"""Events to Kafka for code that awaits: `deliver` returns when the broker has acknowledged all of them.

Librdkafka reports in a thread of its own; everything else is called from one event loop.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas import metric
from schemas.catalog import Topic
from schemas.dead_letter import DeadLetter
from schemas.event_line import EncodedEvent
from simulators.bridge.error import BusyError, NotDeliveredError, TooLargeError
from simulators.error import DeliveryError

EVENT_BYTES = 900_000
"""Of an event with its key: librdkafka and Kafka take messages of about 1 MB by default, headers included."""

_POLL_S = 0.05
_PROBE_EVERY_S = 1.0
_PROBE_S = 1.0
_FLUSH_S = 10.0
_ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - local codes have no other name
_MSG_TIMED_OUT = KafkaError._MSG_TIMED_OUT  # noqa: SLF001


class Delivery:
    """A producer whose events are awaited. `timeout_s` 0 waits for a broker that is away, however long that takes."""

    def __init__(self, kafka: Mapping[str, Any], worker: str, *, timeout_s: float, queue_events: int) -> None:
        self.worker = worker
        self.queue_events = queue_events
        self._kafka_up = metric.DEPENDENCY_UP.labels(worker, "kafka")
        self._up = False
        self._fatal: KafkaError | None = None
        self._closing = threading.Event()
        self._producer = Producer(
            {
                **kafka,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "compression.type": "lz4",
                # The partitioner of the Java clients, so that other tools find a key where we put it.
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": queue_events,
                "message.timeout.ms": int(timeout_s * 1000),
                "reconnect.backoff.max.ms": 1000,
                "error_cb": self._on_error,
                "log_level": 2,
            }
        )
        self._kafka_up.set(0)
        self._reports = threading.Thread(target=self._serve_reports, name="kafka-reports", daemon=True)
        self._reports.start()

    @property
    def is_up(self) -> bool:
        """Whether Kafka answered when it was last asked."""
        return self._up

    @property
    def waiting(self) -> int:
        """Events that Kafka has not acknowledged."""
        return len(self._producer)

    async def deliver(self, topic: Topic, events: Sequence[EncodedEvent]) -> None:
        """Returns once the broker has acknowledged all events.

        Raises TooLargeError and BusyError before any is taken; NotDeliveredError when the time is over; DeliveryError
        where the producer is unusable.
        """
        if len(events) > self.queue_events:
            raise TooLargeError(f"{len(events)} events together, {self.queue_events} at most")
        for event in events:
            if len(event.key) + len(event.value) > EVENT_BYTES:
                raise TooLargeError(f"line {event.line}: larger than {EVENT_BYTES} bytes")
        if self.waiting + len(events) > self.queue_events:
            raise BusyError(f"{self.waiting} events wait for Kafka already")
        await self._sent(topic.name, [(event.key, event.value, None) for event in events])
        metric.EVENTS_OUT.labels(self.worker, topic.name).inc(len(events))

    async def set_aside(self, letter: DeadLetter) -> None:
        """Returns once the letter is on its dead-letter topic. Raises NotDeliveredError and DeliveryError."""
        await self._sent(letter.target, [(letter.key, letter.value, letter.headers)])
        metric.DEAD_LETTERS.labels(self.worker, letter.topic, letter.stage).inc()

    def close(self) -> int:
        """Waits a while for what is not acknowledged, then drops it; returns how many events that were."""
        left = self._producer.flush(_FLUSH_S)
        self._closing.set()
        self._reports.join()
        if left:
            self._producer.purge()
            self._producer.flush(1)
        return left

    async def _sent(self, name: str, messages: Sequence[tuple[bytes | None, bytes | None, Any]]) -> None:
        if self._fatal is not None:
            raise DeliveryError(f"the producer cannot go on: {self._fatal}")
        if not messages:
            return
        batch = _Batch(len(messages), self._on_delivered)
        for taken, (key, value, headers) in enumerate(messages):
            try:
                self._producer.produce(name, value, key, headers=headers or [], on_delivery=batch.report)
            except (BufferError, KafkaException) as error:
                # The queue's bytes are limited too: what did not fit counts as not delivered.
                batch.give_up(len(messages) - taken, str(error))
                break
        await batch.done
        if batch.reason is not None:
            raise NotDeliveredError(batch.delivered, len(messages), batch.reason)

    def _serve_reports(self) -> None:
        probe_at = 0.0
        while not self._closing.is_set():
            self._producer.poll(_POLL_S)
            if not self._up and time.monotonic() >= probe_at:
                probe_at = time.monotonic() + _PROBE_EVERY_S
                try:
                    self._producer.list_topics(timeout=_PROBE_S)
                except KafkaException:
                    continue
                self._set_up(is_up=True)

    def _set_up(self, *, is_up: bool) -> None:
        self._up = is_up
        self._kafka_up.set(int(is_up))

    def _on_delivered(self, error: KafkaError | None) -> None:
        if error is None:
            self._set_up(is_up=True)
        elif error.code() == _MSG_TIMED_OUT:
            self._set_up(is_up=False)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = error
        elif error.code() == _ALL_BROKERS_DOWN:
            self._set_up(is_up=False)


class _Batch:
    """Counts the reports of the messages that were sent together; `done` is set with the last of them."""

    def __init__(self, size: int, on_report: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._open = size
        self._on_report = on_report
        self._lock = threading.Lock()
        self.delivered = 0
        self.reason: str | None = None

    def report(self, error: KafkaError | None, _message: Message) -> None:
        """Takes the report of one message, in librdkafka's thread."""
        self._on_report(error)
        self._count(1, None if error is None else error.str())

    def give_up(self, messages: int, reason: str) -> None:
        """Counts messages that were not taken."""
        self._count(messages, reason)

    def _count(self, messages: int, reason: str | None) -> None:
        with self._lock:
            self._open -= messages
            if reason is None:
                self.delivered += messages
            else:
                self.reason = self.reason or reason
            is_last = self._open == 0
        if is_last:
            # Once the bridge has been stopped nobody waits: the loop is closed, and what is left is only counted.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
