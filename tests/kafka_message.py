"""Consumed messages for unit tests, without a broker."""

from schemas.message_block import MessageBlock, Record


def record(partition: int, offset: int, topic: str = "t", value: bytes = b"v") -> Record:
    """A message of a topic, with a second of time for each offset."""
    return Record(topic, partition, offset, b"k", value, 1000 * offset)


def block(*records: Record) -> MessageBlock:
    """Messages in the order they came."""
    return MessageBlock.of(records)
