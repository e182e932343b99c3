"""Dead letters onto their topics, known to be there before the batch that they belong to is applied."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from projections.error import UnavailableError
from schemas.catalog import DEAD_LETTER_MAX_BYTES
from schemas.dead_letter import DeadLetter, LetterId

log = logging.getLogger(__name__)

_REQUEST_S = 10.0


class DeadLetterProducer:
    """Produces each letter of a batch once, however often the batch is divided. `kafka` has librdkafka names."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self._buried: set[LetterId] = set()
        self._lost: KafkaError | None = None
        self._producer = Producer(
            {
                **kafka,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "message.max.bytes": DEAD_LETTER_MAX_BYTES,
                "on_delivery": self._delivered,
                "logger": log,
            }
        )

    def begin(self) -> None:
        """A new batch begins."""
        self._buried.clear()

    def bury(self, letters: Collection[DeadLetter]) -> None:
        """Returns once the broker has the letters. Raises UnavailableError where it does not take them."""
        letters = [letter for letter in letters if letter.id not in self._buried]
        for letter in letters:
            while True:
                try:
                    self._producer.produce(letter.target, letter.value, letter.key, headers=letter.headers)
                except BufferError:
                    self._producer.poll(0.1)
                else:
                    break
        if letters and (self._producer.flush(_REQUEST_S) > 0 or self._lost is not None):
            raise UnavailableError(f"the broker does not take dead letters: {self._lost or 'no answer'}")
        self._buried.update(letter.id for letter in letters)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        # `flush` only says that nothing is on its way any more, not that it arrived.
        self._lost = error or self._lost
