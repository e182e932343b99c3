"""Frame functions of several tables, and the names of the SQL types."""

import polars as pl

from projections.table import FrameFunction
from schemas.reject import ROW

TEXT, INT, BIGINT, FLOAT, TIME, JSON = "text", "integer", "bigint", "double precision", "timestamptz", "jsonb"


def columns(*names: str, **computed: pl.Expr) -> FrameFunction:
    """Returns a function that takes fields of the event as they are, and computed ones."""

    def rows(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select(*names, ROW, **computed)

    return rows


def one_row_each(frame: pl.DataFrame, field: str) -> pl.DataFrame:
    """Returns a row for each entry of a list of records, its fields beside those of the event.

    Of a name that both have, the entry's field is taken.
    """
    of_entry = frame.select(field).clear().explode(field).unnest(field).columns
    of_event = [name for name in frame.columns if name == field or name not in of_entry]
    return frame.select(of_event).filter(pl.col(field).list.len() > 0).explode(field).unnest(field)


def json_text(column: pl.Series) -> pl.Series:
    """Returns each value (a list, a record, a number, a text) as JSON, null as `null`, NaN too."""
    # Polars encodes records; the value is taken out of one that has nothing else.
    encoded = column.to_frame("v").select(pl.struct("v").struct.json_encode()).to_series()
    return encoded.str.strip_prefix('{"v":').str.strip_suffix("}").alias(column.name)
