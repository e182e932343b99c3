"""The values of a column as PostgreSQL's binary fields: src/backend/utils/adt, the functions named `*_send`.

Timestamps are microseconds and dates days since 2000-01-01; text is UTF-8; jsonb is a version byte and its text;
numeric is groups of four decimal digits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.byte_span import spans

_POSTGRES_EPOCH_US = 946_684_800_000_000
_POSTGRES_EPOCH_DAY = 10_957
_JSONB_VERSION = "\x01"
_DIGITS = 10_000
_INT64_DIGITS = 18
_FIXED_BYTES = 24
"""No type of fixed width takes more: a numeric of 18 digits has a head of 8 bytes and at most 8 groups of 2."""

Items = npt.NDArray[Any]
"""Items of as many bytes each, (n,), or (1,) where all are alike."""

_OIDS = {
    "boolean": 16,
    "bytea": 17,
    "bigint": 20,
    "smallint": 21,
    "integer": 23,
    "text": 25,
    "real": 700,
    "double precision": 701,
    "date": 1082,
    "timestamptz": 1184,
    "numeric": 1700,
    "jsonb": 3802,
}
"""Object ids of the types, fixed in PostgreSQL's catalog (src/include/catalog/pg_type.dat)."""

_NUMBERS: dict[str, tuple[type[pl.DataType], str]] = {
    "smallint": (pl.Int16, ">i2"),
    "integer": (pl.Int32, ">i4"),
    "bigint": (pl.Int64, ">i8"),
    "real": (pl.Float32, ">f4"),
    "double precision": (pl.Float64, ">f8"),
    "boolean": (pl.Boolean, "u1"),
}


class UnsupportedColumnError(ValueError):
    """The SQL type has no binary form here; the message names the column."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column's fields.

    `length` is what the format says of each value, -1 for null (4 bytes, big endian); `cells` has each value from the
    left in `size` bytes, what follows it being of no meaning. Without any bytes `cells` is None. `widths` are the bytes
    of each value, (n,), or (1,) where all are as long.
    """

    size: int
    length: Items
    cells: Items | None
    widths: npt.NDArray[np.int64]

    @property
    def is_even(self) -> bool:
        """Whether all values are as long."""
        return len(self.length) == 1


def oid(sql_type: str) -> int:
    """Returns the object id of a type. Raises UnsupportedColumnError."""
    try:
        return _OIDS[sql_type]
    except KeyError:
        raise UnsupportedColumnError(f"no binary form of {sql_type}") from None


def widest(column: pl.Series) -> int:
    """Returns at least as many bytes as the longest value of a column takes, without making its fields."""
    match column.dtype:
        case pl.String():
            longest = column.str.len_bytes().max()
        case pl.Binary():
            longest = column.bin.size().max()
        case _:
            return _FIXED_BYTES
    assert longest is None or isinstance(longest, int)
    return 1 + (longest or 0)


def field(column: pl.Series, sql_type: str) -> Field:  # noqa: PLR0911 - a case a type
    """Returns the fields of a column. Raises UnsupportedColumnError."""
    if column.null_count() == len(column):
        return Field(0, _lengths(-1), None, np.zeros(1, np.int64))
    match sql_type:
        case "text":
            return _ragged(column.cast(pl.String))
        case "bytea":
            return _ragged(column.cast(pl.Binary))
        case "jsonb":
            return _ragged(column.cast(pl.String), _JSONB_VERSION)
        case "timestamptz":
            micros = _filled(column.cast(pl.Datetime("us", "UTC")).cast(pl.Int64))
            return _fixed((micros - _POSTGRES_EPOCH_US).astype(">i8"), column)
        case "date":
            days = _filled(column.cast(pl.Date).cast(pl.Int32))
            return _fixed((days - _POSTGRES_EPOCH_DAY).astype(">i4"), column)
        case "numeric":
            return _numeric(column)
        case _ if sql_type in _NUMBERS:
            wanted, as_bytes = _NUMBERS[sql_type]
            return _fixed(_filled(column.cast(wanted)).astype(as_bytes), column)
    raise UnsupportedColumnError(f"{column.name}: no binary form of {sql_type}")


def _filled(column: pl.Series) -> npt.NDArray[Any]:
    if column.null_count():
        column = column.fill_null(False if column.dtype == pl.Boolean else 0)
    return column.to_numpy()


def _lengths(of_each: npt.NDArray[Any] | int) -> Items:
    return np.atleast_1d(np.asarray(of_each, ">i4")).view("V4")


def _fixed(values: npt.NDArray[Any], column: pl.Series) -> Field:
    size = values.dtype.itemsize
    cells = np.ascontiguousarray(values).view(f"V{size}")
    if not column.null_count():
        return Field(size, _lengths(size), cells, np.array([size]))
    is_set = column.is_not_null().to_numpy()
    return Field(size, _lengths(np.where(is_set, size, -1)), cells, is_set * size)


def _ragged(column: pl.Series, prefix: str = "") -> Field:
    """The values of a text or binary column, each behind the prefix."""
    nulls = column.null_count()
    sizes = column.str.len_bytes() if column.dtype == pl.String else column.bin.size()
    width = _filled(sizes).astype(np.int64) + len(prefix)
    is_set = column.is_not_null().to_numpy() if nulls else None
    if is_set is not None:
        width *= is_set
    size = int(width.max())
    length = _lengths(width if is_set is None else np.where(is_set, width, -1))
    if not size:
        return Field(0, length, None, width)
    data = _joined(column, prefix)
    if int(width.min()) == size:
        return Field(size, _lengths(size), np.frombuffer(data, f"V{size}"), width[:1])
    # Every value with what follows it, up to the size of the longest: copying items of one size is several times faster
    # than placing each byte.
    windows = spans(np.frombuffer(data + bytes(size), np.uint8), size)
    return Field(size, length, windows[np.cumsum(width) - width], width)


def _joined(column: pl.Series, prefix: str) -> bytes:
    # Nulls drop out, and so have no bytes. `str.join` copies the buffers; binary columns have no such operation.
    try:
        found: bytes = column.cast(pl.String).str.join(prefix).cast(pl.Binary).item() or b""
        return prefix.encode() + found
    except pl.exceptions.PolarsError:  # bytes that are not UTF-8
        return b"".join(value for value in column.to_list() if value is not None)


def _numeric(column: pl.Series) -> Field:
    """Decimals of at most 18 digits: sign, and as many groups of four digits as they can have (numeric_send)."""
    dtype = column.dtype
    if not isinstance(dtype, pl.Decimal) or (dtype.precision or 38) > _INT64_DIGITS:
        raise UnsupportedColumnError(
            f"{column.name}: numeric takes Decimal of at most {_INT64_DIGITS} digits, got {dtype}"
        )
    scale = dtype.scale
    unscaled = _filled(column.to_physical().cast(pl.Int64))
    # Aligned so that the decimal point falls between two groups. The integer part alone has at most 18 digits.
    fraction_groups = -(-scale // 4)
    whole, fraction = np.divmod(np.abs(unscaled), 10**scale)
    fraction = fraction * 10 ** (fraction_groups * 4 - scale)
    integer_groups = -(-(_INT64_DIGITS - scale) // 4) or 1
    groups = [(whole // _DIGITS**power) % _DIGITS for power in reversed(range(integer_groups))]
    groups += [(fraction // _DIGITS**power) % _DIGITS for power in reversed(range(fraction_groups))]
    head = [
        np.full(len(column), len(groups)),
        np.full(len(column), integer_groups - 1),
        np.where(unscaled < 0, 0x4000, 0),
        np.full(len(column), scale),
    ]
    return _fixed_rows(np.stack([*head, *groups], axis=1).astype(">u2"), column)


def _fixed_rows(values: npt.NDArray[Any], column: pl.Series) -> Field:
    size = values.dtype.itemsize * values.shape[1]
    return _fixed(np.ascontiguousarray(values).view(f"V{size}").reshape(-1), column)
