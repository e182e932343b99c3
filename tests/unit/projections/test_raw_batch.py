"""What a batch does to the offsets, whole and in halves."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.raw_batch import RawBatch
from projections.sink import Claim, Place, Step
from tests.kafka_message import message

pytestmark = pytest.mark.usefixtures("fake_messages")


def owned(**positions: int) -> dict[Place, Claim]:
    return {("t", int(name.removeprefix("p"))): Claim(position, epoch=7) for name, position in positions.items()}


def test_a_step_goes_from_where_the_owner_was_to_behind_the_last_message() -> None:
    batch = RawBatch.of([message(0, 4), message(1, 9), message(0, 6)], owned(p0=3, p1=9))
    assert batch.steps == {("t", 0): Step(3, 7, 7), ("t", 1): Step(9, 10, 7)}


def test_messages_of_partitions_that_were_given_back_are_left_out() -> None:
    batch = RawBatch.of([message(0, 0), message(1, 0), message(0, 1)], owned(p0=0))
    assert [found.offset() for found in batch.messages] == [0, 1]
    assert batch.steps == {("t", 0): Step(0, 2, 7)}


def test_an_error_in_place_of_a_message_is_raised() -> None:
    with pytest.raises(KafkaException):
        RawBatch.of([message(0, 0), message(0, 1, fault=KafkaError(KafkaError._ALL_BROKERS_DOWN))], owned(p0=0))


def test_a_single_message_has_no_halves() -> None:
    with pytest.raises(ValueError, match="no halves"):
        RawBatch.of([message(0, 0)], owned(p0=0)).halves()


def test_topics_are_told_apart_in_the_order_they_came() -> None:
    messages = [message(0, 0, "a"), message(0, 0, "b"), message(0, 1, "a")]
    batch = RawBatch.of(messages, {("a", 0): Claim(0, 1), ("b", 0): Claim(0, 1)})
    assert {name: [m.offset() for m in found] for name, found in batch.by_topic.items()} == {"a": [0, 1], "b": [0]}


@st.composite
def logs(draw: st.DrawFn) -> list[Message]:
    """Messages of three partitions, mixed, with gaps as transaction markers leave them."""
    positions = [0, 0, 0]
    found = []
    for partition in draw(st.lists(st.integers(0, 2), min_size=1, max_size=30)):
        positions[partition] += draw(st.integers(0, 2))
        found.append(message(partition, positions[partition]))
        positions[partition] += 1
    return found


def pieces(batch: RawBatch) -> list[RawBatch]:
    return [batch] if len(batch.messages) == 1 else [piece for half in batch.halves() for piece in pieces(half)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs())
def test_halved_down_to_single_messages_the_steps_are_a_chain_with_the_same_ends(messages: list[Message]) -> None:
    whole = RawBatch.of(messages, owned(p0=0, p1=0, p2=0))
    reached: dict[Place, int] = dict.fromkeys(whole.steps, 0)
    seen: list[Any] = []
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
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_halves_put_together_are_the_whole(messages: list[Message]) -> None:
    whole = RawBatch.of(messages, owned(p0=0, p1=0, p2=0))
    assert RawBatch.merged(pieces(whole)) == whole
