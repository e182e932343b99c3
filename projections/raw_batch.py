"""Messages as they were consumed, with what they do to the offsets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Self

from confluent_kafka import KafkaException, Message

from projections.sink import Claim, Place, Step


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Messages in the order of each partition's log, by topic, and the step that they make each partition take."""

    by_topic: Mapping[str, Sequence[Message]]
    steps: Mapping[Place, Step]

    def __len__(self) -> int:
        return sum(map(len, self.by_topic.values()))

    @property
    def messages(self) -> list[Message]:
        """All messages."""
        return list(chain.from_iterable(self.by_topic.values()))

    @classmethod
    def of(cls, messages: Sequence[Message], owned: Mapping[Place, Claim]) -> Self:
        """Returns the batch of those messages whose partitions are owned; `owned` holds their next offsets.

        Raises KafkaException for an error that came in place of a message.
        """
        for error in filter(None, map(Message.error, messages)):
            raise KafkaException(error)
        by_topic: dict[str, list[Message]] = {}
        steps: dict[Place, Step] = {}
        # The client gives long runs of one partition; what is looked at of a message inside one is its place alone.
        for topic, run_of_topic in groupby(messages, Message.topic):
            for partition, run in groupby(run_of_topic, Message.partition):
                place = topic or "", partition or 0
                claim = owned.get(place)
                # Without a claim it was revoked while the messages were on their way.
                if claim is not None:
                    taken = list(run)
                    by_topic.setdefault(place[0], []).extend(taken)
                    steps[place] = Step(claim.next_offset, (taken[-1].offset() or 0) + 1, claim.epoch)
        return cls(by_topic, steps)

    @classmethod
    def merged(cls, batches: "Sequence[RawBatch]") -> Self:
        """Returns one batch that does what these do one after the other."""
        by_topic: dict[str, list[Message]] = {}
        steps: dict[Place, Step] = {}
        for batch in batches:
            for name, messages in batch.by_topic.items():
                by_topic.setdefault(name, []).extend(messages)
            for place, step in batch.steps.items():
                steps[place] = steps[place].followed_by(step) if place in steps else step
        return cls(by_topic, steps)

    def halves(self) -> tuple[Self, Self]:
        """Returns two batches that do the same one after the other. Raises ValueError for a single message."""
        if len(self) < 2:
            raise ValueError("a single message has no halves")
        cut = len(self) // 2
        messages = self.messages
        before = {place: Claim(step.expected, step.epoch) for place, step in self.steps.items()}
        first = type(self).of(messages[:cut], before)
        between = before | {place: Claim(step.following, step.epoch) for place, step in first.steps.items()}
        return first, type(self).of(messages[cut:], between)
