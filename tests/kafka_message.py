"""A consumed message for unit tests: what the client's own class tells, without a broker."""

from dataclasses import dataclass
from typing import Any, cast

import pytest
from confluent_kafka import Message

import projections.raw_batch


@dataclass(frozen=True, slots=True)
class FakeMessage:
    """One message; `fault` is an error in place of a value."""

    name: str
    number: int
    place: int
    content: bytes | None = b""
    fault: Any = None

    def topic(self) -> str:
        """Topic."""
        return self.name

    def partition(self) -> int:
        """Partition."""
        return self.number

    def offset(self) -> int:
        """Offset."""
        return self.place

    def value(self) -> bytes | None:
        """Value."""
        return self.content

    def error(self) -> Any:
        """Error, None for a message."""
        return self.fault


def message(partition: int, offset: int, topic: str = "t", fault: Any = None) -> Message:
    """A message of a topic."""
    return cast("Message", FakeMessage(topic, partition, offset, b"v", fault))


@pytest.fixture
def fake_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets raw batches take the messages of this module."""
    monkeypatch.setattr(projections.raw_batch, "Message", FakeMessage)
