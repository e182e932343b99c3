"""Consumed messages as columns, without a Python object each; and each as an object, where one is wanted."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from schemas.value_block import Ints, ValueBlock

Place = tuple[str, int]
"""Topic and partition."""

Header = tuple[str, str | bytes | None]
Headers = Sequence[Header]

NO_TIME = -1
"""In place of the time of a message that has none."""


@dataclass(frozen=True, slots=True)
class Record:
    """One message; `timestamp_ms` is Kafka's, ms since the epoch."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None = None
    headers: Headers = ()

    @classmethod
    def of(cls, message: Message) -> Self:
        """Returns what the client's own object says."""
        kind, timestamp_ms = message.timestamp()
        return cls(
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            key=message.key(),
            value=message.value(),
            timestamp_ms=None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
            headers=tuple(message.headers() or ()),  # type: ignore[arg-type]
        )


@dataclass(frozen=True, slots=True)
class MessageBlock:
    """Messages in the order they came, each partition's in that of its log.

    Message i is of `places[place[i]]`; `times` are ms since the epoch or NO_TIME; `headers` are those of the rows that
    have any. Shapes: `place`, `offsets`, `times` (n,).
    """

    places: tuple[Place, ...]
    place: npt.NDArray[np.int32]
    offsets: Ints
    times: Ints
    keys: ValueBlock
    values: ValueBlock
    headers: Mapping[int, Headers] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """Returns the records as one block."""
        places = {place: number for number, place in enumerate(dict.fromkeys((r.topic, r.partition) for r in records))}
        times = [NO_TIME if record.timestamp_ms is None else record.timestamp_ms for record in records]
        return cls(
            tuple(places),
            np.array([places[record.topic, record.partition] for record in records], np.int32),
            np.array([record.offset for record in records], np.int64),
            np.array(times, np.int64),
            ValueBlock.of([record.key for record in records]),
            ValueBlock.of([record.value for record in records]),
            {row: record.headers for row, record in enumerate(records) if record.headers},
        )

    @classmethod
    def joined(cls, blocks: "Sequence[MessageBlock]") -> "MessageBlock":
        """Returns the messages of all blocks, one block's after another's."""
        if len(blocks) == 1:
            return blocks[0]
        places = {place: number for number, place in enumerate(dict.fromkeys(p for b in blocks for p in b.places))}
        numbers = [np.array([places[place] for place in block.places], np.int32)[block.place] for block in blocks]
        starts = np.cumsum([0, *map(len, blocks)]).tolist()
        return cls(
            tuple(places),
            np.concatenate([np.zeros(0, np.int32), *numbers]),
            np.concatenate([np.zeros(0, np.int64), *(block.offsets for block in blocks)]),
            np.concatenate([np.zeros(0, np.int64), *(block.times for block in blocks)]),
            ValueBlock.joined([block.keys for block in blocks]),
            ValueBlock.joined([block.values for block in blocks]),
            {
                start + row: headers
                for start, block in zip(starts, blocks, strict=False)
                for row, headers in block.headers.items()
            },
        )

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, row: int) -> Record:
        topic, partition = self.places[self.place[row]]
        time = int(self.times[row])
        return Record(
            topic, partition, int(self.offsets[row]), self.keys[row], self.values[row],
            None if time == NO_TIME else time, self.headers.get(row, ()),
        )  # fmt: skip

    def __iter__(self) -> Iterator[Record]:
        return map(self.__getitem__, range(len(self)))

    @property
    def partitions(self) -> npt.NDArray[np.int32]:
        """The partition of each message, (n,)."""
        return np.array([partition for _, partition in self.places], np.int32)[self.place]

    @property
    def payload_bytes(self) -> int:
        """Bytes of all values."""
        return int(self.values.starts[-1] - self.values.starts[0])

    def part(self, start: int, stop: int) -> "MessageBlock":
        """Returns the messages from `start` to before `stop`, a view."""
        return MessageBlock(
            self.places,
            self.place[start:stop],
            self.offsets[start:stop],
            self.times[start:stop],
            self.keys.part(start, stop),
            self.values.part(start, stop),
            {row - start: headers for row, headers in self.headers.items() if start <= row < stop},
        )

    def runs(self) -> "Iterator[tuple[Place, MessageBlock]]":
        """Yields the messages in pieces of one partition, as long as they come without one of another; views."""
        cuts = np.flatnonzero(np.diff(self.place)) + 1
        for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(self)], strict=True):
            if start < stop:
                yield self.places[self.place[start]], self.part(start, stop)

    def without(self, places: Collection[Place]) -> "MessageBlock":
        """Returns the messages of all other partitions."""
        return MessageBlock.joined([run for place, run in self.runs() if place not in places])
