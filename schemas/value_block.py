"""Kafka values of a batch, one after another in one buffer."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ValueBlock:
    """Value i is `data` from `starts[i]` to before `starts[i + 1]`; where `is_set` is false, there is none.

    Shapes: `starts` (n + 1,), `is_set` (n,).
    """

    data: Bytes
    starts: Ints
    is_set: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Self:
        """Returns the values as one block."""
        is_set = np.ones(len(values), np.bool_)
        try:
            data = b"".join(values)  # type: ignore[arg-type]
        except TypeError:  # one is None
            is_set[:] = [value is not None for value in values]
            values = [value or b"" for value in values]
            data = b"".join(values)  # type: ignore[arg-type]
        starts = np.zeros(len(values) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=starts[1:])  # type: ignore[arg-type]
        return cls(np.frombuffer(data, np.uint8), starts, is_set)

    @classmethod
    def joined(cls, blocks: "Sequence[ValueBlock]") -> Self:
        """Returns the values of all blocks, one block's after another's."""
        ends = np.concatenate([np.diff(block.starts) for block in blocks] or [np.zeros(0, np.int64)]).cumsum()
        return cls(
            np.concatenate([block.data[block.starts[0] : block.starts[-1]] for block in blocks] or [_NO_BYTES]),
            np.concatenate([np.zeros(1, np.int64), ends]),
            np.concatenate([block.is_set for block in blocks] or [np.zeros(0, np.bool_)]),
        )

    def __len__(self) -> int:
        return len(self.is_set)

    def __getitem__(self, row: int) -> bytes | None:
        if not self.is_set[row]:
            return None
        return self.data[self.starts[row] : self.starts[row + 1]].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        return map(self.__getitem__, range(len(self)))

    def take(self, rows: Iterable[int]) -> "ValueBlock":
        """Returns the values of those rows."""
        return ValueBlock.of([self[row] for row in rows])

    def part(self, start: int, stop: int) -> "ValueBlock":
        """Returns the values from `start` to before `stop`, a view."""
        return ValueBlock(self.data, self.starts[start : stop + 1], self.is_set[start:stop])


_NO_BYTES: Bytes = np.zeros(0, np.uint8)
