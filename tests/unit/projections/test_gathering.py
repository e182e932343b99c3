"""When a batch is due, what it holds, and the log columns of its rows."""

from datetime import UTC, datetime

import polars as pl

from projections.batch_size import BatchPolicy
from projections.gathering import Gathering, GatherPolicy
from projections.log_column import with_log_columns
from schemas.message_block import MessageBlock, Record
from schemas.reject import ROW
from tests.kafka_message import block, record

ROOMY = BatchPolicy(2**30)


def message(offset: int, partition: int = 0, value: bytes = b"value") -> MessageBlock:
    return block(record(partition, offset, value=value))


def test_without_a_policy_every_read_is_a_batch() -> None:
    gathering = Gathering(None, ROOMY)
    assert not gathering.is_due(0.0)
    gathering.add(message(1), 0.0)
    assert gathering.is_due(0.0)
    assert len(gathering.take()) == 1
    assert not gathering.is_due(9.0)


def test_a_batch_is_due_by_its_rows_or_by_the_age_of_its_first() -> None:
    gathering = Gathering(GatherPolicy(rows=3, age_s=10.0), ROOMY)
    gathering.add(message(1), 100.0)
    gathering.add(block(), 105.0)
    gathering.add(message(2), 109.0)
    assert not gathering.is_due(109.9)
    assert gathering.is_due(110.0)
    gathering.add(message(3), 109.5)
    assert gathering.is_due(109.9)
    assert [m.offset for m in gathering.take()] == [1, 2, 3]
    gathering.add(message(4), 200.0)
    assert not gathering.is_due(209.9)


def test_a_batch_is_due_when_its_memory_is_full() -> None:
    # A ninth of 112.5 kB for a batch; a message costs 1,000 bytes and five times its payload: 12,500 / 1,500 = 8.
    gathering = Gathering(GatherPolicy(rows=1000, age_s=10.0), BatchPolicy(112_500, smallest=1))
    gathering.add(block(*(record(0, offset, value=bytes(100)) for offset in range(7))), 0.0)
    assert not gathering.is_due(1.0)
    gathering.add(message(7, value=bytes(100)), 0.0)
    assert gathering.is_due(1.0)


def test_messages_of_a_partition_that_is_given_away_are_forgotten() -> None:
    gathering = Gathering(GatherPolicy(rows=3, age_s=10.0), ROOMY)
    gathering.add(block(record(0, 1), record(1, 1), record(0, 2)), 0.0)
    gathering.forget([("t", 0)])
    assert [(m.partition, m.offset) for m in gathering.take()] == [(1, 1)]


def test_log_columns_are_those_of_each_rows_own_message() -> None:
    messages = block(record(0, 5), record(2, 9), Record("t", 0, 6, None, None))
    frame = pl.DataFrame({"x": ["c", "a"], ROW: pl.Series([2, 1], dtype=pl.UInt32)})
    assert with_log_columns(frame, messages).drop(ROW).rows() == [
        ("c", 0, 6, None, None),
        ("a", 2, 9, datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC), b"k"),
    ]
