"""The newest row of each key of a frame."""

import numpy as np
import numpy.typing as npt
import polars as pl

from projections import field_kernel
from projections.copy_format import fields, layout
from projections.table import Table


def newest(frame: pl.DataFrame, table: Table, row: str) -> pl.DataFrame:
    """Returns the newest row of each key: the greatest `order`, of equals the one that came last (`row`).

    In the order of the frame. Null is less than any value. Raises PolarsError for a key that its column can't hold.
    """
    keys = fields(frame, {name: table.columns[name] for name in table.key})
    order = np.array([_whole(frame.get_column(name)) for name in (*table.order, row)])
    slots = np.full(1 << (2 * len(frame)).bit_length(), field_kernel.EMPTY, np.int32)
    found = np.empty(len(frame), np.int64)
    number = field_kernel.find_newest(layout(keys), order, slots, found)
    return frame[np.sort(found[:number]).astype(np.uint32)]


def _whole(column: pl.Series) -> npt.NDArray[np.int64]:
    """A column of times or whole numbers as numbers (declared so: `projections.table`)."""
    if column.null_count():
        column = column.to_physical().cast(pl.Int64).fill_null(np.iinfo(np.int64).min)
    return column.to_numpy().astype(np.int64)
