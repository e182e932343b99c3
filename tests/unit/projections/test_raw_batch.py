"""What a batch does to the offsets, whole and in halves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.raw_batch import RawBatch
from projections.sink import Claim, Step
from schemas.message_block import MessageBlock, Place, Record
from tests.kafka_message import block, record


def owned(**positions: int) -> dict[Place, Claim]:
    return {("t", int(name.removeprefix("p"))): Claim(position, epoch=7) for name, position in positions.items()}


def test_a_step_goes_from_where_the_owner_was_to_behind_the_last_message() -> None:
    batch = RawBatch.of(block(record(0, 4), record(1, 9), record(0, 6)), owned(p0=3, p1=9))
    assert batch.steps == {("t", 0): Step(3, 7, 7), ("t", 1): Step(9, 10, 7)}


def test_messages_of_partitions_that_were_given_back_are_left_out() -> None:
    batch = RawBatch.of(block(record(0, 0), record(1, 0), record(0, 1)), owned(p0=0))
    assert [found.offset for found in batch.messages] == [0, 1]
    assert batch.steps == {("t", 0): Step(0, 2, 7)}


def test_a_single_message_has_no_halves() -> None:
    with pytest.raises(ValueError, match="no halves"):
        RawBatch.of(block(record(0, 0)), owned(p0=0)).halves()


def test_topics_are_told_apart_in_the_order_they_came() -> None:
    messages = block(record(0, 0, "a"), record(0, 0, "b"), record(0, 1, "a"))
    batch = RawBatch.of(messages, {("a", 0): Claim(0, 1), ("b", 0): Claim(0, 1)})
    found = {name: [m.offset for m in MessageBlock.joined(blocks)] for name, blocks in batch.by_topic.items()}
    assert found == {"a": [0, 1], "b": [0]}


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Messages of three partitions, mixed, with gaps as transaction markers leave them."""
    positions = [0, 0, 0]
    found = []
    for partition in draw(st.lists(st.integers(0, 2), min_size=1, max_size=30)):
        positions[partition] += draw(st.integers(0, 2))
        found.append(record(partition, positions[partition]))
        positions[partition] += 1
    return found


def pieces(batch: RawBatch) -> list[RawBatch]:
    return [batch] if len(batch.messages) == 1 else [piece for half in batch.halves() for piece in pieces(half)]


@given(logs())
def test_halved_down_to_single_messages_the_steps_are_a_chain_with_the_same_ends(messages: list[Record]) -> None:
    whole = RawBatch.of(block(*messages), owned(p0=0, p1=0, p2=0))
    reached: dict[Place, int] = dict.fromkeys(whole.steps, 0)
    seen: list[Record] = []
    for piece in pieces(whole):
        seen += piece.messages
        for place, step in piece.steps.items():
            assert step.expected == reached[place]
            assert step.following > step.expected
            assert step.epoch == 7
            reached[place] = step.following
    assert seen == messages
    assert reached == {place: step.following for place, step in whole.steps.items()}


@given(logs())
def test_halves_put_together_are_the_whole(messages: list[Record]) -> None:
    whole = RawBatch.of(block(*messages), owned(p0=0, p1=0, p2=0))
    merged = RawBatch.merged(pieces(whole))
    assert merged.steps == whole.steps
    assert list(merged.messages) == list(whole.messages) == messages
