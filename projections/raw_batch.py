"""Messages as they were consumed, with what they do to the offsets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from projections.sink import Claim, Step
from schemas.message_block import MessageBlock, Place


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Messages in the order of each partition's log, by topic, and the step that they make each partition take.

    A topic's blocks follow each other.
    """

    by_topic: Mapping[str, Sequence[MessageBlock]]
    steps: Mapping[Place, Step]

    def __len__(self) -> int:
        return sum(len(block) for blocks in self.by_topic.values() for block in blocks)

    @property
    def messages(self) -> MessageBlock:
        """All messages."""
        return MessageBlock.joined([block for blocks in self.by_topic.values() for block in blocks])

    @classmethod
    def of(cls, messages: MessageBlock, owned: Mapping[Place, Claim]) -> Self:
        """Returns the batch of those messages whose partitions are owned; `owned` holds their next offsets."""
        by_topic: dict[str, list[MessageBlock]] = {}
        steps: dict[Place, Step] = {}
        for place, run in messages.runs():
            claim = owned.get(place)
            # Without a claim it was revoked while the messages were on their way.
            if claim is not None:
                by_topic.setdefault(place[0], []).append(run)
                steps[place] = Step(claim.next_offset, int(run.offsets[-1]) + 1, claim.epoch)
        if len(by_topic) == 1 and sum(map(len, *by_topic.values())) == len(messages):
            # As it nearly always is; there is nothing to copy.
            return cls({name: [messages] for name in by_topic}, steps)
        return cls({name: [MessageBlock.joined(runs)] for name, runs in by_topic.items()}, steps)

    @classmethod
    def merged(cls, batches: "Sequence[RawBatch]") -> Self:
        """Returns one batch that does what these do one after the other."""
        by_topic: dict[str, list[MessageBlock]] = {}
        steps: dict[Place, Step] = {}
        for batch in batches:
            for name, blocks in batch.by_topic.items():
                by_topic.setdefault(name, []).extend(blocks)
            for place, step in batch.steps.items():
                steps[place] = steps[place].followed_by(step) if place in steps else step
        return cls(by_topic, steps)

    def halves(self) -> tuple[Self, Self]:
        """Returns two batches that do the same one after the other. Raises ValueError for a single message."""
        messages = self.messages
        if len(messages) < 2:
            raise ValueError("a single message has no halves")
        cut = len(messages) // 2
        before = {place: Claim(step.expected, step.epoch) for place, step in self.steps.items()}
        first = type(self).of(messages.part(0, cut), before)
        between = before | {place: Claim(step.following, step.epoch) for place, step in first.steps.items()}
        return first, type(self).of(messages.part(cut, len(messages)), between)
