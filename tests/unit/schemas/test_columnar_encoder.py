"""Frames are encoded byte for byte as fastavro encodes each record alone, or refused by the name of the field."""

import io
import tracemalloc
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columnar_encoder import ColumnarEncoder, UnencodableError
from tests.event_strategy import values_of

MODE = {"type": "enum", "name": "Mode", "symbols": [f"M{number}" for number in range(70)]}
TIME = {"type": "long", "logicalType": "timestamp-millis"}
COLUMNS: dict[str, tuple[Any, pl.DataType]] = {
    "boolean": ("boolean", pl.Boolean()),
    "int": ("int", pl.Int32()),
    "long": ("long", pl.Int64()),
    "time": (TIME, pl.Int64()),
    "float": ("float", pl.Float32()),
    "double": ("double", pl.Float64()),
    "string": ("string", pl.String()),
    "enum": (MODE, pl.String()),
    "enum_by_name": ("Mode", pl.String()),
    "null_or_boolean": (["null", "boolean"], pl.Boolean()),
    "null_or_time": (["null", TIME], pl.Int64()),
    "null_or_double": (["null", "double"], pl.Float64()),
    "null_or_string": (["null", "string"], pl.String()),
    "string_or_null": (["string", "null"], pl.String()),
    "enum_or_null": (["Mode", "null"], pl.String()),
}
LONGS = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=80)
DOUBLES = st.floats()
"""NaN and infinities too."""
EXTREMES = {"time": LONGS, "double": DOUBLES, "string": TEXT, "null_or_time": st.none() | LONGS,
            "null_or_double": st.none() | DOUBLES, "null_or_string": st.none() | TEXT}  # fmt: skip


def a_schema(**fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}


SCHEMA = a_schema(**{name: kind for name, (kind, _) in COLUMNS.items()})
_named: dict[str, Any] = {}
RECORDS = st.fixed_dictionaries({name: values_of(kind, _named) for name, (kind, _) in COLUMNS.items()} | EXTREMES)


def one_by_one(records: list[dict[str, Any]], header: bytes = b"") -> list[bytes]:
    schema, values = fastavro.parse_schema(SCHEMA), []
    for record in records:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, record, strict=True)
        values.append(header + out.getvalue())
    return values


def a_frame(records: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(records, schema={name: dtype for name, (_, dtype) in COLUMNS.items()})


@given(st.lists(RECORDS, max_size=4))
@settings(max_examples=25)
def test_rows_are_encoded_as_fastavro_encodes_each_record(records: list[dict[str, Any]]) -> None:
    assert ColumnarEncoder(SCHEMA, b"head").values(a_frame(records)) == one_by_one(records, b"head")


@given(st.lists(RECORDS, min_size=1, max_size=4), st.data())
@settings(max_examples=25)
def test_rows_encoded_in_two_parts_are_those_encoded_at_once(
    records: list[dict[str, Any]], data: st.DataObject
) -> None:
    # Types that the second part has by their names only are named in the first.
    cut = data.draw(st.integers(1, list(COLUMNS).index("enum")))
    first, second = ({**SCHEMA, "fields": SCHEMA["fields"][part]} for part in (slice(cut), slice(cut, None)))
    frame, rows = a_frame(records), data.draw(st.permutations(range(len(records))))
    leading = ColumnarEncoder(first, b"head").encode(frame).take(np.array(rows))
    found = ColumnarEncoder(second).values(frame[rows], leading)
    assert found == one_by_one([records[row] for row in rows], b"head")


@given(LONGS)
@settings(max_examples=40)
def test_a_long_of_any_size_takes_as_many_bytes_as_it_needs(value: int) -> None:
    schema, out = a_schema(n="long"), io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), {"n": value})
    frame = pl.DataFrame({"n": [0, value, -1]})
    assert ColumnarEncoder(schema).values(frame) == [b"\x00", out.getvalue(), b"\x01"]


def test_a_slice_of_a_frame_in_pieces_is_encoded_as_the_whole() -> None:
    frame = pl.concat([pl.DataFrame({"s": ["a", "bb", "", "zürich"]}), pl.DataFrame({"s": ["c", "dd"]})], rechunk=False)
    encoder = ColumnarEncoder(a_schema(s="string"))
    assert encoder.values(frame[1:5]) == encoder.values(frame)[1:5]


def test_one_text_far_longer_than_the_others_does_not_make_all_rows_as_wide() -> None:
    texts = ["a"] * 2_000 + ["b" * 500_000]
    frame = pl.DataFrame({"s": texts})
    tracemalloc.start()
    try:
        found = ColumnarEncoder(a_schema(s="string")).values(frame)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A length of 500,000 is 1,000,000 in zig-zag: three bytes.
    assert found == [b"\x02a"] * 2_000 + [b"\xc0\x84\x3d" + b"b" * 500_000]
    assert most < 300e6


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["M9", "M1", "M69"])], ids=["categorical", "other enum"])
def test_categories_are_encoded_as_their_text_is(dtype: Any) -> None:
    encoder = ColumnarEncoder(a_schema(mode=MODE, name="string"))
    plain = pl.DataFrame({"mode": ["M1", "M69", "M1"], "name": ["M69", "M1", "M9"]})
    assert encoder.values(plain.cast(dtype)) == encoder.values(plain)


def test_times_may_be_datetimes_of_utc_milliseconds() -> None:
    encoder, frame = ColumnarEncoder(a_schema(at=TIME)), pl.DataFrame({"at": [1_768_478_400_123, -1]})
    as_times = frame.cast(pl.Datetime("ms", "UTC"))
    assert encoder.values(as_times) == encoder.values(frame)


@pytest.mark.parametrize(
    ("avro_type", "words"),
    [
        pytest.param({"type": "array", "items": "int"}, "array", id="array"),
        pytest.param({"type": "map", "values": "int"}, "map", id="map"),
        pytest.param({"type": "long", "logicalType": "timestamp-micros"}, "timestamp-micros", id="other time"),
        pytest.param(["int", "string"], "string", id="union of two"),
        pytest.param(["null", "bytes"], "bytes", id="inside a union"),
    ],
)
def test_a_type_that_is_not_written_is_refused_by_field_and_type(avro_type: Any, words: str) -> None:
    with pytest.raises(UnencodableError, match=rf"^fan: .*{words}"):
        ColumnarEncoder(a_schema(fan=avro_type))


@pytest.mark.parametrize(
    ("avro_type", "column", "words"),
    [
        pytest.param("double", pl.Series("other", [1.0]), "no such column", id="missing"),
        pytest.param("double", pl.Series("fan", [1]), "expected Float64, got Int64", id="another type"),
        pytest.param("int", pl.Series("fan", [2**40]), "expected Int32, got Int64", id="too wide"),
        pytest.param("string", pl.Series("fan", ["a", None]), "nulls", id="null"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_by_field(avro_type: Any, column: pl.Series, words: str) -> None:
    with pytest.raises(UnencodableError, match=rf"^fan: .*{words}"):
        ColumnarEncoder(a_schema(fan=avro_type)).encode(column.to_frame())


def test_a_symbol_that_its_field_does_not_have_is_refused_by_field_and_symbol() -> None:
    with pytest.raises(UnencodableError, match=r"'fan' .*M70"):
        ColumnarEncoder(a_schema(other="int", fan=MODE)).encode(
            pl.DataFrame({"fan": ["M1", "M70"]}).insert_column(0, pl.Series("other", [1, 2], dtype=pl.Int32))
        )
