"""The newest row of each key of a frame."""

from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from projections import newest_kernel
from projections.table import Table


def newest(frame: pl.DataFrame, table: Table, row: str) -> pl.DataFrame:
    """Returns the newest row of each key: the greatest `order`, of equals the one that came last (`row`).

    In the order of the frame. Null is less than any value.
    """
    keys = [frame[name] for name in table.key]
    order = np.array([_whole(frame[name]) for name in (*table.order, row)])
    leaders, found = np.empty(len(frame), np.int64), np.empty(len(frame), np.int64)
    for seed in count():
        slots = np.full(1 << (2 * len(frame)).bit_length(), newest_kernel.EMPTY, np.int32)
        number = newest_kernel.find(_hashes(frame, table.key, seed), order, slots, leaders, found)
        # Two keys of one hash show here, and hardly share another.
        if all(key.gather(leaders).eq_missing(key).all() for key in keys):
            break
    return frame[np.sort(found[:number]).astype(np.uint32)]


def _hashes(frame: pl.DataFrame, key: tuple[str, ...], seed: int) -> npt.NDArray[np.int64]:
    whole = pl.struct(key) if len(key) > 1 else pl.col(*key)
    return frame.select(whole.hash(seed)).to_series().to_numpy().view(np.int64)


def _whole(column: pl.Series) -> npt.NDArray[Any]:
    """A column of times or whole numbers as numbers (declared so: `projections.table`)."""
    numbers = column.to_physical().cast(pl.Int64)
    if numbers.null_count():
        numbers = numbers.fill_null(np.iinfo(np.int64).min)
    return numbers.to_numpy()
