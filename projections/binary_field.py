"""The values of a column as PostgreSQL's binary fields: src/backend/utils/adt, the functions named `*_send`.

Timestamps are microseconds and dates days since 2000-01-01; text is UTF-8; jsonb is a version byte and its text;
numeric is groups of four decimal digits.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import nanoarrow
import numpy as np
import numpy.typing as npt
import polars as pl

from projections.field_kernel import LENGTH, NONE, VIEW_BYTES

_POSTGRES_EPOCH_US = 946_684_800_000_000
_POSTGRES_EPOCH_DAY = 10_957
_DIGITS = 10_000
_INT64_DIGITS = 18

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
class Fixed:
    """Values one after another in `data`, each in `size` bytes; `widths` are `size` or -1 for null, (n,), if any is."""

    data: npt.NDArray[np.uint8]
    size: int
    widths: npt.NDArray[np.int64] | None

    @property
    def total_bytes(self) -> int:
        """Bytes of all values."""
        return len(self.data) if self.widths is None else int(self.widths.clip(0).sum())


@dataclass(frozen=True, slots=True)
class Texts:
    """Arrow's views of texts, (n, 2), -1 for null, and the addresses of their buffers.

    Before each text come `lead` bytes. `owner` has the buffers.
    """

    views: npt.NDArray[np.int64]
    buffers: npt.NDArray[np.int64]
    lead: int
    owner: Any

    @property
    def total_bytes(self) -> int:
        """Bytes of all texts, and of what comes before each."""
        found = self.views[:, 0]
        found = found[found != NONE]
        return int((found & LENGTH).sum()) + self.lead * len(found)


Field = Fixed | Texts


def oid(sql_type: str) -> int:
    """Returns the object id of a type. Raises UnsupportedColumnError."""
    try:
        return _OIDS[sql_type]
    except KeyError:
        raise UnsupportedColumnError(f"no binary form of {sql_type}") from None


def field(column: pl.Series, sql_type: str) -> Field:  # noqa: PLR0911 - a case a type
    """Returns the fields of a column. Raises UnsupportedColumnError."""
    if column.null_count() == len(column):
        return Fixed(np.zeros(0, np.uint8), 1, np.full(len(column), NONE))
    match sql_type:
        case "text":
            return _texts(column.cast(pl.String))
        case "bytea":
            return _texts(column.cast(pl.Binary))
        case "jsonb":
            return _texts(column.cast(pl.String), lead=1)
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


def _fixed(values: npt.NDArray[Any], column: pl.Series) -> Fixed:
    size = values[:1].nbytes
    data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
    if not column.null_count():
        return Fixed(data, size, None)
    return Fixed(data, size, np.where(column.is_not_null().to_numpy(), size, NONE))


def _texts(column: pl.Series, lead: int = 0) -> Texts:
    """The values of a text or binary column, each behind so many bytes."""
    owner = nanoarrow.c_array_stream(column.rechunk()).get_next()
    _, views_at, *buffers, _ = owner.buffers
    views = np.ctypeslib.as_array(
        (ctypes.c_int64 * (2 * len(column))).from_address(views_at + VIEW_BYTES * owner.offset)
    )
    views = views.reshape(-1, 2)
    if column.null_count():
        views = views.copy()
        views[column.is_null().to_numpy(), 0] = NONE
    return Texts(views, np.array(buffers, np.int64), lead, owner)


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
    return _fixed(np.stack([*head, *groups], axis=1).astype(">u2"), column)
