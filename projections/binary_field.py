"""The values of a column as PostgreSQL's binary fields: src/backend/utils/adt, the functions named `*_send`.

Timestamps are microseconds and dates days since 2000-01-01; text is UTF-8; jsonb is a version byte and its text;
numeric is groups of four decimal digits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

_POSTGRES_EPOCH_US = 946_684_800_000_000
_POSTGRES_EPOCH_DAY = 10_957
_JSONB_VERSION = 1
_DIGITS = 10_000
_INT64_DIGITS = 18
_FIXED_BYTES = 24
"""No type of fixed width takes more: a numeric of 18 digits has a head of 8 bytes and at most 8 groups of 2."""

Bytes = npt.NDArray[Any]
Lengths = npt.NDArray[np.int64]

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

    `length` is what the format says of each value, -1 for null (shape (n,), or (1,) where all are alike); `cells` is
    (n, size) or (1, size), each value from the left; `used` is true for the bytes of `cells` that belong to a value,
    None where all do.
    """

    length: Lengths
    cells: Bytes
    used: Bytes | None

    @property
    def size(self) -> int:
        """Bytes of the longest value."""
        return int(self.cells.shape[1])


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
    if not len(column):
        return Field(np.array([-1]), np.empty((0, 0), np.uint8), None)
    if column.null_count() == len(column):
        return Field(np.array([-1]), np.empty((1, 0), np.uint8), None)
    match sql_type:
        case "text":
            return _ragged(column.cast(pl.String).cast(pl.Binary))
        case "bytea":
            return _ragged(column.cast(pl.Binary))
        case "jsonb":
            return _versioned(_ragged(column.cast(pl.String).cast(pl.Binary)))
        case "timestamptz":
            micros = column.cast(pl.Datetime("us", "UTC")).to_physical().fill_null(0).to_numpy()
            return _fixed((micros - _POSTGRES_EPOCH_US).astype(">i8"), column)
        case "date":
            days = column.cast(pl.Date).to_physical().fill_null(0).to_numpy()
            return _fixed((days - _POSTGRES_EPOCH_DAY).astype(">i4"), column)
        case "numeric":
            return _numeric(column)
        case _ if sql_type in _NUMBERS:
            wanted, as_bytes = _NUMBERS[sql_type]
            cast = column.cast(wanted)
            zero = False if wanted is pl.Boolean else 0
            return _fixed(cast.fill_null(zero).to_numpy().astype(as_bytes), column)
    raise UnsupportedColumnError(f"{column.name}: no binary form of {sql_type}")


def _fixed(values: npt.NDArray[Any], column: pl.Series) -> Field:
    size = values.dtype.itemsize
    cells = np.ascontiguousarray(values).view(np.uint8).reshape(-1, size)
    if not column.null_count():
        return Field(np.array([size]), cells, None)
    is_set = column.is_not_null().to_numpy()
    return Field(np.where(is_set, size, -1), cells, is_set[:, None])


def _ragged(column: pl.Series) -> Field:
    """The values of a binary column: one after another, then spread to equal width."""
    n, nulls = len(column), column.null_count()
    width = column.bin.size().cast(pl.Int64).fill_null(0).to_numpy()
    size = int(width.max())
    data = np.frombuffer(_joined(column), np.uint8)
    if not nulls and int(width.min()) == size:
        return Field(np.array([size]), data.reshape(n, size), None)
    used = np.arange(size) < width[:, None]
    cells = np.zeros((n, size), np.uint8)
    cells[used] = data
    length = np.where(column.is_not_null().to_numpy(), width, -1) if nulls else width
    return Field(length, cells, used)


def _joined(column: pl.Series) -> bytes:
    # Nulls drop out, and so have no bytes. `str.join` copies the buffers; binary columns have no such operation.
    try:
        return (column.cast(pl.String).str.join("").item() or "").encode()
    except pl.exceptions.PolarsError:  # bytes that are not UTF-8
        return b"".join(value for value in column.to_list() if value is not None)


def _versioned(text: Field) -> Field:
    n = len(text.cells)
    cells = np.empty((n, text.size + 1), np.uint8)
    cells[:, 0] = _JSONB_VERSION
    cells[:, 1:] = text.cells
    length = np.where(text.length < 0, -1, text.length + 1)
    if text.used is None:
        return Field(length, cells, None)
    used = np.empty((n, text.size + 1), np.bool_)
    used[:, 0] = length >= 0
    used[:, 1:] = text.used
    return Field(length, cells, used)


def _numeric(column: pl.Series) -> Field:
    """Decimals of at most 18 digits: sign, and as many groups of four digits as they can have (numeric_send)."""
    dtype = column.dtype
    if not isinstance(dtype, pl.Decimal) or (dtype.precision or 38) > _INT64_DIGITS:
        raise UnsupportedColumnError(
            f"{column.name}: numeric takes Decimal of at most {_INT64_DIGITS} digits, got {dtype}"
        )
    scale = dtype.scale
    unscaled = column.to_physical().cast(pl.Int64).fill_null(0).to_numpy()
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
