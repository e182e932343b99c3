"""Events of every topic come back from Parquet as they were, and a file says what columns it has."""

from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from projections.parquet_file import decoded, encoded, fingerprint
from schemas.catalog import TOPICS, Topic
from schemas.codec import Codec
from schemas.column_type import column_types
from schemas.columnar import ColumnarDecoder, column
from schemas.registry import Registry
from tests.event_strategy import events_of


class OneSchema:
    """A registry that has the topic's own schema."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    def schema_id(self, _topic: Topic) -> int:
        """Any id will do."""
        return 1

    def writer_schema(self, _schema_id: int) -> dict[str, Any]:
        """The topic's own."""
        return self._topic.schema


def frame_of(topic: Topic, events: list[Any]) -> pl.DataFrame:
    registry = cast("Registry", OneSchema(topic))
    codec = Codec(registry)
    return ColumnarDecoder(topic, registry).decode([codec.encode(topic, event) for event in events]).frame


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
@settings(max_examples=10)
@given(data=st.data())
def test_events_come_back_as_they_were(topic: Topic, data: st.DataObject) -> None:
    frame = frame_of(topic, data.draw(st.lists(events_of(topic), max_size=4)))
    again = decoded(encoded(frame))
    assert_frame_equal(again, frame)
    types = column_types(topic.schema)
    fields = topic.schema["fields"]
    aligned = [column(again, topic.schema, field, types[field["name"]], len(again)) for field in fields]
    assert_frame_equal(pl.DataFrame(aligned), frame.drop("_row"))


def test_a_column_is_found_by_its_old_name() -> None:
    field = {"name": "site", "aliases": ["facility_id"], "type": "string", "default": ""}
    schema = {"type": "record", "name": "R", "fields": [field]}
    found = column(pl.DataFrame({"facility_id": ["Texas-1"]}), schema, field, pl.String(), 1)
    assert (found.name, found.to_list()) == ("site", ["Texas-1"])


def test_frames_of_other_columns_or_types_have_another_fingerprint() -> None:
    frames = [pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1.0]}), pl.DataFrame({"b": [1]})]
    assert len({fingerprint(frame) for frame in frames}) == 3
    assert fingerprint(pl.DataFrame({"a": [2, 3]})) == fingerprint(frames[0])
