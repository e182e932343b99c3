"""Every record of the catalog goes through the columnar reader, whatever types it is made of."""

import io
import random
from typing import Any, cast

import fastavro
import pytest
from fastavro.utils import generate_many

from schemas.catalog import TOPICS, Topic
from schemas.codec import Codec, header
from schemas.columnar import ColumnarDecoder
from schemas.registry import Registry


class OneSchema:
    """Answers for a registry that holds nothing but the topic's own schema, under the id 1."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    def writer_schema(self, schema_id: int) -> dict[str, Any]:
        """The topic's schema."""
        return self._topic.schema


def _values(topic: Topic, count: int) -> list[bytes]:
    schema = fastavro.parse_schema(topic.schema)
    random.seed(1)  # generate_many has no generator of its own
    values = []
    for record in generate_many(schema, count):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, _within_bounds(record))
        values.append(header(1) + out.getvalue())
    return values


def _within_bounds(value: Any) -> Any:
    # Generated times are any 64 bits; a datetime ends in the year 9999.
    match value:
        case bool():
            return value
        case int() if abs(value) > 2**31:
            return 1_700_000_000_000 + value % 1000
        case dict():
            return {name: _within_bounds(inner) for name, inner in value.items()}
        case list():
            return [_within_bounds(inner) for inner in value]
        case _:
            return value


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_batch_of_any_topic_decodes_without_rejects_and_as_the_codec_reads_it(topic: Topic) -> None:
    registry = cast("Registry", OneSchema(topic))
    values = _values(topic, 20)
    batch = ColumnarDecoder(topic, registry).decode(values)
    assert batch.rejects == ()
    one_by_one = [Codec(registry).decode(topic, value) for value in values]
    assert batch.frame[topic.key_field].to_list() == [getattr(event, topic.key_field) for event in one_by_one]
    assert batch.frame[topic.time_field].to_list() == [getattr(event, topic.time_field) for event in one_by_one]


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_an_empty_batch_has_the_columns_of_the_schema(topic: Topic) -> None:
    frame = ColumnarDecoder(topic, cast("Registry", OneSchema(topic))).decode([]).frame
    assert frame.columns == [*(field["name"] for field in topic.schema["fields"]), "_row"]
    assert frame.is_empty()
