"""Messages as they were consumed, with what they do to the offsets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Self

from confluent_kafka import KafkaException, Message

from projections.sink import Claim, Place, Step


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Messages in the order of each partition's log, and the step that they make each partition take."""

    messages: Sequence[Message]
    steps: Mapping[Place, Step]

    @classmethod
    def of(cls, messages: Sequence[Message], owned: Mapping[Place, Claim]) -> Self:
        """Returns the batch of those messages whose partitions are owned; `owned` holds their next offsets.

        Raises KafkaException for an error that came in place of a message.
        """
        for error in filter(None, map(Message.error, messages)):
            raise KafkaException(error)
        reached = _reached(messages)
        if not reached.keys() <= owned.keys():
            # Revoked while the messages were on their way.
            messages = [message for message in messages if _place(message) in owned]
            reached = {place: offset for place, offset in reached.items() if place in owned}
        steps = {
            place: Step(owned[place].next_offset, offset + 1, owned[place].epoch) for place, offset in reached.items()
        }
        return cls(messages, steps)

    @classmethod
    def merged(cls, batches: "Sequence[RawBatch]") -> Self:
        """Returns one batch that does what these do one after the other."""
        steps: dict[Place, Step] = {}
        for batch in batches:
            for place, step in batch.steps.items():
                steps[place] = steps[place].followed_by(step) if place in steps else step
        return cls([message for batch in batches for message in batch.messages], steps)

    def by_topic(self) -> dict[str, list[Message]]:
        """Returns the messages by topic, in the order they came."""
        found: dict[str, list[Message]] = {}
        for name, run in groupby(self.messages, Message.topic):
            found.setdefault(name or "", []).extend(run)
        return found

    def halves(self) -> tuple[Self, Self]:
        """Returns two batches that do the same one after the other. Raises ValueError for a single message."""
        if len(self.messages) < 2:
            raise ValueError("a single message has no halves")
        cut = len(self.messages) // 2
        before = {place: Claim(step.expected, step.epoch) for place, step in self.steps.items()}
        first = type(self).of(self.messages[:cut], before)
        between = before | {place: Claim(step.following, step.epoch) for place, step in first.steps.items()}
        return first, type(self).of(self.messages[cut:], between)


# `map` over methods of C and one dict: a loop in Python would cost as much as decoding.


def _reached(messages: Sequence[Message]) -> dict[Place, int]:
    topics, partitions = map(Message.topic, messages), map(Message.partition, messages)
    # The last of a place wins, and offsets grow within a place.
    return dict(zip(zip(topics, partitions, strict=True), map(Message.offset, messages), strict=True))  # type: ignore[arg-type]


def _place(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0
