"""How a user's own events get onto a topic: all of them, or an error that says how many did not."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from schemas.catalog import Topic
from schemas.event_line import EncodedEvent

FLUSH_S = 30.0
"""How long a broker that does not answer is waited for."""
_POLL_S = 0.1


class ProduceError(Exception):
    """Events could not be delivered; the message says how many and why."""


class Outbox:
    """A producer that counts what is not delivered."""

    def __init__(self, kafka: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> None:
        self.failures: list[KafkaError] = []
        self.producer = Producer(
            {
                **kafka,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "message.timeout.ms": int(FLUSH_S * 1000),
                "delivery.report.only.error": True,
                "on_delivery": self._on_delivery,
                "log_level": 2,
                **(extra or {}),
            }
        )

    def put(self, entry: Topic, event: EncodedEvent) -> None:
        """Hands an event over, waiting while the queue is full."""
        while True:
            try:
                self.producer.produce(entry.name, key=event.key, value=event.value)
            except BufferError:
                self.producer.poll(_POLL_S)
            else:
                self.producer.poll(0)
                return

    def flush(self) -> None:
        """Waits until all is delivered. Raises ProduceError."""
        left = self.producer.flush(FLUSH_S + 5) + len(self.failures)
        if left:
            why = self.failures[0].str() if self.failures else "the broker does not answer"
            raise ProduceError(f"{left} events are not delivered: {why}; is the stack up (`hcp status`)?")

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.failures.append(error)
