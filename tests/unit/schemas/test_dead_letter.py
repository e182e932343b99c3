"""Dead letters as records and back."""

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE, Message
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import (
    REASON_CHARACTERS,
    DeadLetter,
    LetterId,
    NotALetterError,
    Resolution,
    Resolved,
    parse,
)
from schemas.message_block import Headers, Record

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=50)
numbers = st.integers(0, 2**31 - 1)
ids = st.builds(LetterId, texts, texts, numbers, numbers)
# A message may carry any header, also one that a dead letter writes itself.
headers = st.lists(
    st.tuples(
        texts | st.sampled_from(["__connect.errors.topic", "__connect.errors.stage", "hcp.resolution"]),
        st.none() | st.binary(max_size=20),
    ),
    max_size=5,
)
letters = st.builds(
    DeadLetter,
    topic=texts, partition=numbers, offset=numbers, key=st.none() | st.binary(), value=st.none() | st.binary(),
    original_headers=headers, worker=texts, stage=texts, error=texts, reason=texts,
    timestamp_ms=st.none() | numbers, retries=numbers,
)  # fmt: skip


def as_kafka_gives_it(headers: Headers) -> Headers:
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in headers]


@given(letters)
def test_a_letter_read_back_is_the_letter(letter: DeadLetter) -> None:
    assert parse(letter.key, letter.value, as_kafka_gives_it(letter.headers)) == letter


@given(ids, st.sampled_from(Resolution))
def test_a_resolution_read_back_is_the_resolution(letter_id: LetterId, resolution: Resolution) -> None:
    resolved = Resolved(letter_id, resolution)
    assert parse(resolved.key, None, as_kafka_gives_it(resolved.headers)) == resolved


def letter(**changes: object) -> DeadLetter:
    fields: dict[str, object] = {
        "topic": "grid.prices", "partition": 1, "offset": 7, "key": b"k", "value": b"v", "original_headers": [],
        "worker": "w", "stage": "TASK_PUT", "error": "CheckViolation", "reason": "no", "timestamp_ms": 5, "retries": 0,
    }  # fmt: skip
    return DeadLetter(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_headers_are_those_of_kafka_connect_and_our_own() -> None:
    assert letter(original_headers=[("trace", b"7")]).headers == [
        ("trace", b"7"),
        ("__connect.errors.topic", "grid.prices"),
        ("__connect.errors.partition", "1"),
        ("__connect.errors.offset", "7"),
        ("__connect.errors.connector.name", "w"),
        ("__connect.errors.stage", "TASK_PUT"),
        ("__connect.errors.exception.class.name", "CheckViolation"),
        ("__connect.errors.exception.message", "no"),
        ("hcp.retry.count", "0"),
        ("hcp.original.timestamp", "5"),
    ]


def test_a_letter_written_before_there_were_tries_and_times_is_read() -> None:
    old = [(name, value) for name, value in letter().headers if not name.startswith("hcp.")]
    assert parse(b"k", b"v", old) == letter(timestamp_ms=None)


def test_a_letter_takes_the_time_of_its_message_where_it_has_one() -> None:
    why = {"worker": "w", "stage": "TASK_PUT", "error": "CheckViolation", "reason": "no"}
    place = {"topic": "grid.prices", "partition": 1, "offset": 7, "key": b"k", "value": b"v"}
    timed = Message(**place, timestamp=(TIMESTAMP_CREATE_TIME, 5))  # type: ignore[arg-type]
    timeless = Message(**place, timestamp=(TIMESTAMP_NOT_AVAILABLE, 0))  # type: ignore[arg-type]
    assert DeadLetter.of(Record.of(timed), **why) == letter()
    assert DeadLetter.of(Record.of(timeless), **why) == letter(timestamp_ms=None)


def test_a_replay_that_fails_counts_a_try_and_keeps_the_message() -> None:
    again = letter(retries=1).again(stage="TRANSFORMATION", error="RuleError", reason="still")
    assert again == letter(retries=2, stage="TRANSFORMATION", error="RuleError", reason="still")


def test_a_reason_that_quotes_a_whole_value_is_cut() -> None:
    cut = parse(b"k", b"v", letter(reason="x" * 10**6).headers)
    assert isinstance(cut, DeadLetter)
    assert cut.reason == "x" * REASON_CHARACTERS


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        pytest.param([], "no header __connect.errors.topic", id="nothing"),
        pytest.param([("__connect.errors.topic", b"t")], "no header __connect.errors.connector.name", id="part"),
        pytest.param(
            [*letter().id.headers, ("__connect.errors.partition", b"one")], "no usable value", id="not a number"
        ),
        pytest.param([*letter().id.headers, ("hcp.resolution", b"burnt")], "no usable value", id="no resolution"),
    ],
)
def test_what_is_no_letter_is_refused(headers: Headers, why: str) -> None:
    with pytest.raises(NotALetterError, match=why):
        parse(None, None, headers)
