"""Which letters are open, folded from records."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hcp.dead_letter_filter import DeadLetterFilter, parse_moment, parse_place
from hcp.dead_letter_log import Entry, Fold, Record, State
from hcp.dead_letter_view import counts, hexdump, json_line, table, whole
from schemas.dead_letter import DeadLetter, Resolution, Resolved

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LETTER = DeadLetter(
    topic="grid.prices", partition=0, offset=7, key=b"k", value=b"v", original_headers=[], worker="w",
    stage="TASK_PUT", error="CheckViolation", reason="too dear",
)  # fmt: skip
REPLAYED = Resolved(LETTER.id, Resolution.REPLAYED)
DROPPED = Resolved(LETTER.id, Resolution.DROPPED)
says = st.sampled_from([LETTER, replace(LETTER, retries=1), replace(LETTER, offset=8), REPLAYED, DROPPED])


def folded(*said: DeadLetter | Resolved) -> Fold:
    fold = Fold()
    for offset, one in enumerate(said):
        fold.apply(Record(0, offset, 1_000 * offset, one))
    return fold


def states(*said: DeadLetter | Resolved) -> dict[int, State]:
    return {letter_id.offset: entry.state for letter_id, entry in folded(*said).entries.items()}


def test_copies_of_a_letter_are_one_letter_and_the_newest_counts() -> None:
    newer = replace(LETTER, reason="still too dear", retries=1)
    assert folded(LETTER, newer).entries == {
        LETTER.id: Entry(newer, State.OPEN, refused_at_ms=1_000, partition=0, copies=2)
    }


def test_a_copy_of_the_first_refusal_does_not_lower_the_tries() -> None:
    assert folded(replace(LETTER, retries=3), LETTER).entries[LETTER.id].letter.retries == 3


def test_letters_of_two_workers_or_places_are_two() -> None:
    others = [replace(LETTER, worker="v"), replace(LETTER, offset=8), replace(LETTER, partition=1)]
    assert len(folded(LETTER, *others).entries) == 4


@pytest.mark.parametrize(
    ("said", "state"),
    [
        pytest.param([LETTER, REPLAYED], State.REPLAYED, id="replayed"),
        pytest.param([LETTER, DROPPED], State.DROPPED, id="dropped"),
        pytest.param([LETTER, REPLAYED, LETTER], State.OPEN, id="refused once more after it was replayed"),
        pytest.param([LETTER, DROPPED, LETTER], State.DROPPED, id="a copy after it was dropped"),
        pytest.param([LETTER, REPLAYED, DROPPED], State.REPLAYED, id="dropped when its rows were written"),
        pytest.param([LETTER, DROPPED, REPLAYED], State.REPLAYED, id="replayed when it was dropped"),
        pytest.param([REPLAYED, LETTER], State.OPEN, id="resolution of an older letter that is gone"),
    ],
)
def test_the_state_of_a_letter(said: list[DeadLetter | Resolved], state: State) -> None:
    assert states(*said)[7] is state


@given(st.lists(says), says)
def test_resolving_twice_is_resolving_once(before: list[DeadLetter | Resolved], last: DeadLetter | Resolved) -> None:
    assert states(*before, last, last) == states(*before, last)


def entry(second: int = 0, **changes: object) -> Entry:
    milliseconds = round(NOW.timestamp() * 1000) + 1_000 * second
    return Entry(replace(LETTER, **changes), State.OPEN, milliseconds, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(DeadLetterFilter(worker="v"), id="worker"),
        pytest.param(DeadLetterFilter(stage="TRANSFORMATION"), id="stage"),
        pytest.param(DeadLetterFilter(error="NotNullViolation"), id="error"),
        pytest.param(DeadLetterFilter(reason="too cheap"), id="reason"),
        pytest.param(DeadLetterFilter(since=NOW + timedelta(milliseconds=1)), id="since"),
        pytest.param(DeadLetterFilter(until=NOW), id="until"),
        pytest.param(DeadLetterFilter(places=frozenset({(0, 8), (1, 7)})), id="place"),
    ],
)
def test_a_filter_leaves_out_what_it_does_not_ask_for(wanted: DeadLetterFilter) -> None:
    assert not wanted.matches(entry())


def test_a_filter_takes_what_it_asks_for_oldest_first() -> None:
    wanted = DeadLetterFilter(
        worker="w", stage="TASK_PUT", error="CheckViolation", reason="TOO", since=NOW,
        until=NOW + timedelta(seconds=2), places=frozenset({(0, 7), (0, 8)}),
    )  # fmt: skip
    found = wanted.chosen([entry(1, offset=8), entry(2), entry(0), entry(0, worker="v")])
    assert found == [entry(0), entry(1, offset=8)]


def test_times_are_said_as_they_are_or_as_how_long_ago() -> None:
    (at, ago) = (parse_moment(text, "--since", NOW) for text in ("2026-01-01T11:00:00Z", "1h"))
    assert at == ago == NOW - timedelta(hours=1)
    with pytest.raises(typer.BadParameter, match=r"--since: expected a time .* got 'yesterday'; or how long ago"):
        parse_moment("yesterday", "--since", NOW)


def test_places_are_partition_and_offset() -> None:
    assert parse_place("3:17") == (3, 17)
    for wrong in ("17", "3:", ":17", "3:-1", "a:b"):
        with pytest.raises(typer.BadParameter, match="PARTITION:OFFSET"):
            parse_place(wrong)


def test_counts_are_by_cause_the_most_first() -> None:
    entries = [entry(), entry(error="NotNullViolation"), entry(offset=8)]
    assert counts(entries) == [
        "2 open: grid.prices w TASK_PUT CheckViolation",
        "1 open: grid.prices w TASK_PUT NotNullViolation",
    ]


def test_a_table_shows_reasons_that_look_like_markup_as_they_are() -> None:
    console = Console(width=1_000, file=StringIO())
    console.print(table([entry(reason="modes[0] is [bold]wrong[/bold]")]))
    assert "modes[0] is [bold]wrong[/bold]" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_line_of_json_says_all_of_a_letter() -> None:
    found = json.loads(json_line(entry(retries=2, timestamp_ms=1_500), '{"a":1}', whole=True))
    assert found["headers"][0] == ["__connect.errors.topic", "grid.prices"]
    del found["headers"]
    assert found == {
        "topic": "grid.prices", "partition": 0, "offset": 7, "worker": "w", "stage": "TASK_PUT",
        "error": "CheckViolation", "reason": "too dear", "tries": 2, "state": "open",
        "refused_at": "2026-01-01T12:00:00+00:00", "message_at": "1970-01-01T00:00:01.500000+00:00", "copies": 1,
        "key": "k", "event": {"a": 1}, "value_hex": "76",
    }  # fmt: skip


def test_a_letter_whole_shows_the_beginning_of_a_long_value() -> None:
    lines = whole(entry(value=b"x" * 1_040), None).splitlines()
    assert lines[-2:] == [
        "  000003f0  " + " ".join(["78"] * 16) + "  " + "x" * 16,
        "  and 16 bytes more: --json has them all",
    ]
    assert "  none: the bytes are not an event of this topic" in lines


def test_a_hexdump_shows_offset_digits_and_letters() -> None:
    assert list(hexdump(b"\x00mara-hcp is 16+1\n")) == [
        "00000000  00 6d 61 72 61 2d 68 63 70 20 69 73 20 31 36 2b  .mara-hcp is 16+",
        "00000010  31 0a                                            1.",
    ]
