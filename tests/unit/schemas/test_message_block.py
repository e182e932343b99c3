"""Messages as columns are the messages that they were made of, whole, in part, in runs and joined."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from schemas.message_block import MessageBlock, Record

RECORDS = st.builds(
    Record,
    topic=st.sampled_from("ab"),
    partition=st.integers(0, 2),
    offset=st.integers(0, 2**62),
    key=st.none() | st.binary(max_size=3),
    value=st.none() | st.binary(max_size=5),
    timestamp_ms=st.none() | st.integers(0, 2**50),
    headers=st.just(()) | st.lists(st.tuples(st.text(max_size=2), st.none() | st.binary(max_size=2)), min_size=1),
)
LISTS = st.lists(RECORDS, max_size=8)


@given(LISTS, st.integers(0, 8), st.integers(0, 8))
def test_a_part_has_its_records(records: list[Record], one: int, other: int) -> None:
    start, stop = sorted((min(one, len(records)), min(other, len(records))))
    part = MessageBlock.of(records).part(start, stop)
    assert list(part) == records[start:stop]
    assert part.partitions.tolist() == [record.partition for record in records[start:stop]]
    assert part.payload_bytes == sum(len(record.value or b"") for record in records[start:stop])


@given(st.lists(LISTS, max_size=4))
def test_joined_blocks_follow_each_other(lists: list[list[Record]]) -> None:
    assert list(MessageBlock.joined(list(map(MessageBlock.of, lists)))) == [r for records in lists for r in records]


@given(LISTS)
def test_runs_are_of_one_place_each_and_all_there_is(records: list[Record]) -> None:
    runs = list(MessageBlock.of(records).runs())
    assert [record for _, run in runs for record in run] == records
    assert all((record.topic, record.partition) == place for place, run in runs for record in run)
    assert all(before != after for (before, _), (after, _) in pairwise(runs))


@given(LISTS)
def test_what_is_given_away_is_gone(records: list[Record]) -> None:
    kept = MessageBlock.of(records).without([("a", 1), ("b", 2)])
    assert list(kept) == [r for r in records if (r.topic, r.partition) not in {("a", 1), ("b", 2)}]
