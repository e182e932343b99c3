"""Frames to Kafka values without a Python object a field: the writing twin of `schemas.columnar`.

A field's bytes are one or two pieces a row: for example, a string's length and its text. The lengths of all pieces give
each row's place in one buffer, into which the pieces are copied field by field. What comes out is, byte for byte, what
fastavro writes record by record (Avro 1.12, "Binary encoding").
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Positions = NDArray[np.int64]

_GROUP_BITS = 7
_MORE = 0x80
_FIXED = {"boolean": pl.Boolean(), "float": pl.Float32(), "double": pl.Float64()}
_WHOLE = {"int": pl.Int32(), "long": pl.Int64()}
_TIME = (pl.Int64(), pl.Datetime("ms", "UTC"))
_TEXT = (pl.String(), pl.Categorical, pl.Enum)


class UnencodableError(Exception):
    """A field has a type that is not written here, or a frame does not fit the schema; the message names the field."""


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Values of a frame's rows in one buffer: row i is buffer[offsets[i]:offsets[i + 1]]."""

    buffer: bytes
    offsets: Positions

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def values(self) -> list[bytes]:
        """Returns each row's bytes, in order."""
        buffer = self.buffer
        return [buffer[start:end] for start, end in pairwise(self.offsets.tolist())]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A piece a row: `lengths[i]` bytes of `data` from `starts[i]`, shape (rows,); a number where all are as long."""

    data: Bytes
    starts: Positions
    lengths: Positions | int


@dataclass(frozen=True, slots=True)
class _Field:
    """How a field is written: what is asked of its column, of one of `types`, and the pieces that the answers make."""

    name: str
    types: tuple[pl.DataType | type[pl.DataType], ...]
    questions: tuple[pl.Expr, ...]
    pieces: Callable[..., Iterator[_Pieces]]
    """Answers, a series each, to pieces in the order that they are written."""
    is_nullable: bool = False


class ColumnarEncoder:
    """Encodes frames of one record schema, each value behind `header`.

    Fields may be boolean, int, long, timestamp-millis, float, double, string, an enum, or one of them or null. Raises
    UnencodableError for any other.
    """

    def __init__(self, schema: Mapping[str, Any], header: bytes = b"") -> None:
        self._header = np.frombuffer(header, dtype=np.uint8)
        named: dict[str, Any] = {}
        self._fields = [_field(field["name"], field["type"], named) for field in schema["fields"]]
        questions = chain.from_iterable(field.questions for field in self._fields)
        self._questions = [question.alias(str(number)) for number, question in enumerate(questions)]

    def encode(self, frame: pl.DataFrame) -> EncodedRows:
        """Returns the frame's rows as values.

        A column has its field's type of `schemas.column_type`; times may be Int64 milliseconds, strings and enums
        categorical. Raises UnencodableError where one is missing or of another type, or holds a null or a symbol that
        its field does not have.
        """
        n = frame.height
        for field in self._fields:
            _require(field, frame)
        if not n:
            return EncodedRows(b"", np.zeros(1, np.int64))
        pieces = [_Pieces(self._header, np.zeros(n, np.int64), len(self._header)), *self._pieces(frame)]
        row_lengths = np.zeros(n, np.int64)
        for piece in pieces:
            row_lengths += piece.lengths
        offsets = np.concatenate([[0], np.cumsum(row_lengths)])
        out = np.empty(offsets[-1], np.uint8)
        at = offsets[:-1].copy()
        for piece in pieces:
            _copy(piece, out, at)
            at += piece.lengths
        return EncodedRows(out.tobytes(), offsets)

    def _pieces(self, frame: pl.DataFrame) -> Iterator[_Pieces]:
        # All questions at once, and in this thread: a small frame costs what the calls cost.
        try:
            answers = iter(frame.select_seq(self._questions).get_columns())
        except pl.exceptions.InvalidOperationError as error:
            raise UnencodableError(f"not a symbol of its field: {error}") from error
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


def _copy(piece: _Pieces, out: Bytes, at: Positions) -> None:
    """Copies a piece a row into `out` at `at`, all pieces of one length at once."""
    lengths, starts = piece.lengths, piece.starts
    if isinstance(lengths, int):
        _spans(out, lengths)[at] = _spans(piece.data, lengths)[starts]
        return
    # Of 8 or 16 bits, lengths are sorted by counting.
    short = lengths.astype(np.min_scalar_type(lengths.max()))
    order = np.argsort(short, kind="stable")
    ordered = short[order]
    bounds = [0, *(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1).tolist(), len(order)]
    for low, high in pairwise(bounds):
        length, rows = int(ordered[low]), order[low:high]
        if length:
            _spans(out, length)[at[rows]] = _spans(piece.data, length)[starts[rows]]


def _spans(data: Bytes, length: int) -> NDArray[np.void]:
    """Returns the `length` bytes from each position on, as one item each; a view."""
    return np.ndarray((len(data) - length + 1,), f"V{length}", data, strides=(1,))


def _matrix(data: Bytes, rows: int) -> _Pieces:
    width = len(data) // rows
    return _Pieces(data, np.arange(rows) * width, width)


def _varints(values: NDArray[np.integer[Any]]) -> _Pieces:
    """Returns integers zig-zag, seven bits a byte, low first."""
    signed = values.astype(np.int64, copy=False)
    left = ((signed << 1) ^ (signed >> 63)).view(np.uint64)
    n, width = len(left), -(-int(left.max()).bit_length() // _GROUP_BITS)
    if width <= 1:
        return _matrix(left.astype(np.uint8), n)
    groups = np.empty((n, width), np.uint8)
    lengths = np.ones(n, np.int64)
    for index in range(width):
        low = left.astype(np.uint8)
        left = left >> np.uint64(_GROUP_BITS)
        more = left != 0
        groups[:, index] = np.where(more, low | _MORE, low)
        lengths += more
    return _Pieces(groups.reshape(-1), np.arange(n) * width, lengths)


def _field(name: str, avro_type: Any, named: dict[str, Any]) -> _Field:  # noqa: PLR0911 - a case an Avro type
    column = pl.col(name)
    match avro_type:
        case [_, _] if "null" in avro_type:
            null_branch = avro_type.index("null")
            inner = _field(name, avro_type[1 - null_branch], named)
            questions = (column.is_not_null(), *inner.questions)
            return replace(
                inner, questions=questions, pieces=partial(_or_null, inner.pieces, null_branch), is_nullable=True
            )
        case str() if avro_type in named:
            return _field(name, named[avro_type], named)
        case {"type": "enum", "name": enum, "symbols": symbols}:
            named[enum] = avro_type
            return _Field(name, _TEXT, (column.cast(pl.Enum(symbols)).to_physical().fill_null(0),), _whole)
        case {"type": "long", "logicalType": "timestamp-millis"}:
            return _Field(name, _TIME, (column.to_physical().fill_null(0),), _whole)
        case "string":
            text = column.cast(pl.String).str
            return _Field(name, _TEXT, (text.len_bytes().fill_null(0), text.join()), _text)
        case str() if avro_type in _FIXED:
            zero = False if avro_type == "boolean" else 0.0
            return _Field(name, (_FIXED[avro_type],), (column.fill_null(zero),), _fixed)
        case str() if avro_type in _WHOLE:
            return _Field(name, (_WHOLE[avro_type],), (column.fill_null(0),), _whole)
    raise UnencodableError(f"{name}: the type {avro_type!r} is not written columnar")


def _fixed(values: pl.Series) -> Iterator[_Pieces]:
    yield _matrix(np.ascontiguousarray(values.to_numpy()).view(np.uint8), len(values))


def _whole(values: pl.Series) -> Iterator[_Pieces]:
    yield _varints(values.to_numpy())


def _text(sizes: pl.Series, joined: pl.Series) -> Iterator[_Pieces]:
    lengths = sizes.to_numpy().astype(np.int64)
    yield _varints(lengths)
    yield _Pieces(np.frombuffer(joined[0].encode(), np.uint8), np.cumsum(lengths) - lengths, lengths)


def _or_null(inner: Callable[..., Iterator[_Pieces]], null_branch: int, *answers: pl.Series) -> Iterator[_Pieces]:
    is_there = answers[0].to_numpy()
    # A branch's number is a varint too: 0 or 1, zig-zag.
    yield _matrix(np.where(is_there, 2 * (1 - null_branch), 2 * null_branch).astype(np.uint8), len(is_there))
    for piece in inner(*answers[1:]):
        yield replace(piece, lengths=np.where(is_there, piece.lengths, 0))
