"""Corrupt values: an encoder that spoils the bytes of the rows that are marked for it, so that none of them decodes."""

from enum import StrEnum
from typing import assert_never

import polars as pl

from schemas.codec import HEADER_BYTES
from simulators.encoding import Encoder

DAMAGE = "_damage"
"""Column of a frame with corrupt readings: a Damage, null for a good one."""


class Damage(StrEnum):
    """What became of the bytes of a corrupt reading or event; none of it decodes."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    EXTENDED = "extended"
    HEADLESS = "headless"


def damaging(encode: Encoder) -> Encoder:
    """Returns an encoder of frames that may have the column DAMAGE; without it, it is the one given."""

    def damaged(frame: pl.DataFrame) -> list[bytes]:
        if DAMAGE not in frame.columns:
            return encode(frame)
        values = encode(frame.drop(DAMAGE))
        marks = frame[DAMAGE]
        for row in marks.is_not_null().arg_true():
            values[row] = spoiled(values[row], Damage(marks[row]))
        return values

    return damaged


def spoiled(value: bytes, damage: Damage) -> bytes:
    """Returns the value with the damage done to it."""
    match damage:
        case Damage.EMPTY:
            return b""
        case Damage.TRUNCATED:
            return value[: len(value) // 2]
        case Damage.EXTENDED:
            return value + b"\0"
        case Damage.HEADLESS:
            return value[HEADER_BYTES:]
        case _:
            assert_never(damage)
