"""Frames to Kafka values without a Python object a field: the writing twin of `schemas.columnar`.

A field's bytes are one or two pieces a row: for example, a string's length and its text. Pieces are copied field by
field into rows of one width, each as wide as the longest of its kind: what is too much of it the next overwrites. What
comes out is, byte for byte, what fastavro writes record by record (Avro 1.12, "Binary encoding").
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.byte_span import spans

Lengths = NDArray[np.int64] | int
"""Bytes of each row, shape (rows,); a number where all are as long."""

_GROUP_BITS = 7
_GROUP = 0x7F
_MORE = 0x80
_WORD_BYTES = 8
_HALF_WORD_BYTES = 4
_FOLLOWED = np.array([sum(_MORE << 8 * byte for byte in range(length - 1)) for length in range(_WORD_BYTES + 1)], "<u8")
"""Bits that say that another byte follows, in the number of so many bytes."""
_MOST_IDLE_BYTES = 2**26
_FIXED = {"boolean": pl.Boolean(), "float": pl.Float32(), "double": pl.Float64()}
_WHOLE = {"int": pl.Int32(), "long": pl.Int64()}
_TIME = (pl.Int64(), pl.Datetime("ms", "UTC"))
_TEXT = (pl.String(), pl.Categorical, pl.Enum)


class UnencodableError(Exception):
    """A field has a type that is not written here, or a frame does not fit the schema; the message names the field."""


class _UnevenError(UnencodableError):
    """Texts of a few rows are so much longer than the others that a buffer as wide for all would fill the memory."""


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Bytes of rows: the first `lengths` of each of `items`, shape (rows,); the rest of an item is zeros."""

    items: NDArray[np.void]
    lengths: Lengths

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray[np.integer[Any]] | slice) -> "EncodedRows":
        """Returns the rows of these numbers."""
        return EncodedRows(self.items[rows], self.lengths if isinstance(self.lengths, int) else self.lengths[rows])

    def values(self) -> list[bytes]:
        """Returns each row's bytes, in order."""
        n, width = len(self), self.items.itemsize
        # As the strings of C, which lose the zeros at their end; rows that end with zeros get theirs back.
        values: list[bytes] = self.items.view(f"S{width}").tolist()
        lengths = np.broadcast_to(self.lengths, n)
        last = self.items.view(np.dtype((np.uint8, (width,))))[np.arange(n), lengths - 1]
        for row in np.flatnonzero(last == 0).tolist():
            values[row] = values[row].ljust(lengths[row], b"\0")
        return values


@dataclass(frozen=True, slots=True)
class _Field:
    """How a field is written: what is asked of its column, of one of `types`, and the pieces that the answers make."""

    name: str
    types: tuple[pl.DataType | type[pl.DataType], ...]
    questions: tuple[pl.Expr | str, ...]
    """A name alone is the column as it stands."""
    pieces: Callable[..., Iterator[EncodedRows]]
    """Answers, a series each, to pieces in the order that they are written."""
    blank: float | bool = 0
    """What a question that is a name alone may find instead of a null."""
    is_nullable: bool = False


class ColumnarEncoder:
    """Encodes frames of one record schema, each value behind `header`.

    Fields may be boolean, int, long, timestamp-millis, float, double, string, an enum, or one of them or null. Raises
    UnencodableError for any other.
    """

    def __init__(self, schema: Mapping[str, Any], header: bytes = b"") -> None:
        self._header = header
        named: dict[str, Any] = {}
        self._fields = [_field(field["name"], field["type"], named) for field in schema["fields"]]
        self._questions = [question for field in self._fields for question in field.questions]
        self._asked = [q.alias(str(number)) for number, q in enumerate(self._questions) if not isinstance(q, str)]

    def values(self, frame: pl.DataFrame, leading: EncodedRows | None = None) -> list[bytes]:
        """Returns the frame's rows as values, in order; see `encode`."""
        try:
            return self.encode(frame, leading).values()
        except _UnevenError:
            half = frame.height // 2
            parts = [slice(half), slice(half, None)]
            found = [self.values(frame[part], leading and leading.take(part)) for part in parts]
            return [*found[0], *found[1]]

    def encode(self, frame: pl.DataFrame, leading: EncodedRows | None = None) -> EncodedRows:
        """Returns the frame's rows, each behind its own of `leading`, too, where that is given.

        A column has its field's type of `schemas.column_type`; times may be Int64 milliseconds, strings and enums
        categorical. Raises UnencodableError where one is missing or of another type, or holds a null or a symbol that
        its field does not have; and, unlike `values`, where a few texts are longer than the others by megabytes.
        """
        n = frame.height
        for field in self._fields:
            _require(field, frame)
        if not n:
            return EncodedRows(np.zeros(0, "V1"), 0)
        pieces = [] if leading is None else [leading]
        if self._header:
            pieces.append(EncodedRows(np.full(n, np.void(self._header)), len(self._header)))
        return _joined(n, list(_grouped(n, [*pieces, *self._pieces(frame)])))

    def _pieces(self, frame: pl.DataFrame) -> Iterator[EncodedRows]:
        # All questions at once, and in this thread: a small frame costs what the calls cost.
        try:
            asked = iter(frame.select_seq(self._asked).get_columns() if self._asked else ())
        except pl.exceptions.InvalidOperationError as error:
            raise UnencodableError(f"not a symbol of its field: {error}") from error
        answers = (frame[question] if isinstance(question, str) else next(asked) for question in self._questions)
        for field in self._fields:
            yield from field.pieces(*islice(answers, len(field.questions)))


def _require(field: _Field, frame: pl.DataFrame) -> None:
    try:
        column = frame[field.name]
    except pl.exceptions.ColumnNotFoundError as error:
        raise UnencodableError(f"{field.name}: the frame has no such column") from error
    if column.dtype not in field.types:
        raise UnencodableError(f"{field.name}: expected {' or '.join(map(str, field.types))}, got {column.dtype}")
    if column.null_count() and not field.is_nullable:
        raise UnencodableError(f"{field.name}: holds nulls, which its field does not allow")


def _grouped(n: int, pieces: Iterable[EncodedRows]) -> Iterator[EncodedRows]:
    """Yields the pieces, those that are equally long in all rows joined with their neighbours of that kind.

    Side by side they are copied faster than each to its place in rows of different lengths.
    """
    for is_even, group in groupby(pieces, key=lambda piece: isinstance(piece.lengths, int)):
        neighbours = list(group)
        yield from [_joined(n, neighbours)] if is_even else neighbours


def _joined(n: int, pieces: list[EncodedRows]) -> EncodedRows:
    """Returns the pieces of each row one after the other."""
    width = sum(piece.items.itemsize for piece in pieces)
    out, starts = np.zeros(n * width, np.uint8), np.arange(0, n * width, width)
    at: Lengths = 0
    for piece in pieces:
        size = piece.items.itemsize
        if isinstance(at, int):
            np.ndarray((n,), f"V{size}", out, at, (width,))[:] = piece.items
        else:
            spans(out, size)[starts + at] = piece.items
        at = at + piece.lengths
    longest = at if isinstance(at, int) else int(at.max())
    return EncodedRows(np.ndarray((n,), f"V{max(longest, 1)}", out, 0, (width,)), at)


def _evened(lengths: NDArray[np.int64]) -> Lengths:
    first = int(lengths[0])
    return first if (lengths == first).all() else lengths


def _varints(values: NDArray[np.integer[Any]]) -> EncodedRows:
    """Returns integers zig-zag, seven bits a byte, low first."""
    signed = values.astype(np.int64, copy=False)
    plain = ((signed << 1) ^ (signed >> 63)).view(np.uint64)
    width = max(-(-int(plain.max()).bit_length() // _GROUP_BITS), 1)
    if width == 1:
        return EncodedRows(plain.astype(np.uint8).view("V1"), 1)
    if width > _WORD_BYTES:
        return _long_varints(plain)
    word = np.uint32 if width <= _HALF_WORD_BYTES else np.uint64
    plain = plain.astype(word, copy=False)
    words, lengths = plain & word(_GROUP), np.ones(len(plain), np.uint8)
    for index in range(1, width):
        words |= (plain << word(index)) & word(_GROUP << 8 * index)
        lengths += plain >= word(1 << _GROUP_BITS * index)
    words |= _FOLLOWED[lengths].astype(word)
    little = words.astype(words.dtype.newbyteorder("<"), copy=False)
    items = np.ndarray((len(little),), f"V{width}", little, 0, little.strides)
    return EncodedRows(items, _evened(lengths.astype(np.int64)))


def _long_varints(plain: NDArray[np.uint64]) -> EncodedRows:
    """The same of numbers of more bytes than a word, from zig-zag on, one by one: readings have none."""
    found = [_varint(number) for number in plain.tolist()]
    items = np.array(found)
    return EncodedRows(items.view(f"V{items.itemsize}"), np.array([len(number) for number in found]))


def _varint(number: int) -> bytes:
    last = max(number.bit_length() - 1, 0) // _GROUP_BITS
    return bytes(number >> _GROUP_BITS * index & _GROUP | _MORE * (index < last) for index in range(last + 1))


def _field(name: str, avro_type: Any, named: dict[str, Any]) -> _Field:  # noqa: PLR0911 - a case an Avro type
    column = pl.col(name)
    match avro_type:
        case [_, _] if "null" in avro_type:
            null_branch = avro_type.index("null")
            inner = _field(name, avro_type[1 - null_branch], named)
            filled = [column.fill_null(inner.blank) if isinstance(q, str) else q for q in inner.questions]
            pieces = partial(_or_null, inner.pieces, null_branch)
            return replace(inner, questions=(column.is_not_null(), *filled), pieces=pieces, is_nullable=True)
        case str() if avro_type in named:
            return _field(name, named[avro_type], named)
        case {"type": "enum", "name": enum, "symbols": symbols}:
            named[enum] = avro_type
            return _Field(name, _TEXT, (column.cast(pl.Enum(symbols)).to_physical().fill_null(0),), _whole)
        case {"type": "long", "logicalType": "timestamp-millis"}:
            return _Field(name, _TIME, (name,), _whole)
        case "string":
            text = column.cast(pl.String).str
            return _Field(name, _TEXT, (text.len_bytes().fill_null(0), text.join()), _text)
        case str() if avro_type in _FIXED:
            return _Field(name, (_FIXED[avro_type],), (name,), _fixed, False if avro_type == "boolean" else 0.0)
        case str() if avro_type in _WHOLE:
            return _Field(name, (_WHOLE[avro_type],), (name,), _whole)
    raise UnencodableError(f"{name}: the type {avro_type!r} is not written columnar")


def _fixed(values: pl.Series) -> Iterator[EncodedRows]:
    items = np.ascontiguousarray(values.to_numpy())
    yield EncodedRows(items.view(f"V{items.itemsize}"), items.itemsize)


def _whole(values: pl.Series) -> Iterator[EncodedRows]:
    yield _varints(values.to_numpy())


def _text(sizes: pl.Series, joined: pl.Series) -> Iterator[EncodedRows]:
    lengths = sizes.to_numpy().astype(np.int64)
    n, width = len(lengths), max(int(lengths.max()), 1)
    if n * width - int(lengths.sum()) > _MOST_IDLE_BYTES:
        raise _UnevenError(f"a text of {width} bytes is too long for a buffer of {n} rows as wide")
    yield _varints(lengths)
    data = np.frombuffer(joined[0].encode() + bytes(width), np.uint8)
    items = spans(data, width)[np.cumsum(lengths) - lengths]
    even = _evened(lengths)
    if not isinstance(even, int):
        items.view(np.uint8).reshape(n, width)[:] *= np.arange(width) < lengths[:, None]
    yield EncodedRows(items, even)


def _or_null(
    inner: Callable[..., Iterator[EncodedRows]], null_branch: int, *answers: pl.Series
) -> Iterator[EncodedRows]:
    is_there = answers[0].to_numpy()
    yield _varints(np.where(is_there, 1 - null_branch, null_branch))
    # Of a null the blank is written, which is zeros, as is what lies behind a row.
    for piece in inner(*answers[1:]):
        yield EncodedRows(piece.items, _evened(np.where(is_there, piece.lengths, 0)))
