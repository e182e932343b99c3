"""The columnar COPY encoder writes the bytes that a row by row encoder writes."""

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.binary_field import UnsupportedColumnError
from projections.copy_format import HEADER, TRAILER, binary_copy

COLUMNS = {
    "at": "timestamptz",
    "name": "text",
    "note": "text",
    "power": "double precision",
    "count": "integer",
    "total": "bigint",
    "flag": "boolean",
    "raw": "bytea",
    "document": "jsonb",
}
TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "at": pl.Datetime("ms", "UTC"),
    "name": pl.String,
    "note": pl.String,
    "power": pl.Float64,
    "count": pl.Int32,
    "total": pl.Int64,
    "flag": pl.Boolean,
    "raw": pl.Binary,
    "document": pl.String,
}
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

ROWS = st.lists(
    st.tuples(
        st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - made aware in the next line
            lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000, tzinfo=UTC)
        ),
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12),
        st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12),
        st.none() | st.floats(),
        st.none() | st.integers(-(2**31), 2**31 - 1),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.booleans(),
        st.none() | st.binary(max_size=6),
        st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6),
    ),
    max_size=30,
)


def since_2000(at: datetime) -> int:
    """Microseconds."""
    since = at - POSTGRES_EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


BYTES: dict[str, Callable[[Any], bytes]] = {
    "timestamptz": lambda value: struct.pack(">q", since_2000(value)),
    "text": str.encode,
    "double precision": lambda value: struct.pack(">d", value),
    "integer": lambda value: struct.pack(">i", value),
    "bigint": lambda value: struct.pack(">q", value),
    "boolean": lambda value: struct.pack("?", value),
    "bytea": bytes,
    "jsonb": lambda value: b"\x01" + value.encode(),
}


def row_by_row(rows: list[tuple[Any, ...]], columns: Mapping[str, str]) -> bytes:
    """The readable twin: PostgreSQL's documentation of the format, a field at a time."""
    out = bytearray(HEADER)
    for row in rows:
        out += struct.pack(">h", len(columns))
        for value, sql_type in zip(row, columns.values(), strict=True):
            data = None if value is None else BYTES[sql_type](value)
            out += struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data
    return bytes(out) + TRAILER


@given(ROWS)
def test_columns_and_rows_make_the_same_bytes(rows: list[tuple[Any, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=TYPES, orient="row")
    assert binary_copy(frame, COLUMNS) == row_by_row(rows, COLUMNS)


def test_a_type_without_an_encoding_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedColumnError, match="place: no binary form of point"):
        binary_copy(pl.DataFrame({"place": [1.0]}), {"place": "point"})
