"""Where a worker goes on in a log that is not as it left it."""

import pytest

from schemas import metric
from schemas.log_position import LostLogError, group_reset, require_same_topic, resumed

PLACE = ("audit.events", 2)


def missed() -> float:
    return float(metric.MISSED_EVENTS.labels("tester", PLACE[0])._value.get())


@pytest.mark.parametrize("next_offset", [3, 5, 9])
def test_within_the_log_it_goes_on_where_it_was(next_offset: int) -> None:
    before = missed()
    assert resumed("tester", PLACE, next_offset, (3, 9), mend="") == next_offset
    assert missed() == before


def test_what_retention_took_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    before = missed()
    assert resumed("tester", PLACE, 3, (7, 9), mend="") == 7
    assert missed() - before == 4
    assert "audit.events [2]: 4 offsets from 3 on are gone from Kafka" in caplog.text


def test_an_end_before_what_was_handled_is_refused_with_the_mend() -> None:
    with pytest.raises(LostLogError) as refused:
        resumed("tester", PLACE, 10, (3, 9), mend=group_reset("g", PLACE))
    assert str(refused.value) == (
        "audit.events [2]: the log ends at offset 9, and tester has handled it up to 10: its end was lost, or the "
        "topic was made anew; `kafka-consumer-groups --group g --topic audit.events:2 --reset-offsets --to-latest "
        "--execute` lets it go on from there"
    )


@pytest.mark.parametrize(("known", "now"), [("", "b"), ("a", ""), ("a", "a")])
def test_a_topic_with_its_id_or_without_one_is_the_same(known: str, now: str) -> None:
    require_same_topic("tester", PLACE, known, now, mend="")


def test_a_topic_that_was_made_anew_is_refused_with_the_mend() -> None:
    with pytest.raises(LostLogError) as refused:
        require_same_topic("tester", PLACE, "a", "b", mend="fill it again")
    assert str(refused.value) == (
        "audit.events [2]: the topic was made anew since tester has handled it: its offsets are those of the former "
        "one (id a, now b); fill it again"
    )
