"""Columns as Prometheus' text format 0.0.4, without a Python object a sample."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LABELS = "labels"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its name, kind and help, and its value in a row of the frame."""

    name: str
    kind: Literal["gauge", "counter"]
    words: str
    value: pl.Expr


def labels(**values: pl.Expr) -> pl.Expr:
    """Returns the labels of each row as text: a string for each label, which may hold anything."""
    parts: list[pl.Expr] = []
    for name, value in values.items():
        escaped = value.cast(pl.String).fill_null("")
        for character, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
            escaped = escaped.str.replace_all(character, written, literal=True)
        parts += [pl.lit(f',{name}="' if parts else f'{name}="'), escaped, pl.lit('"')]
    return pl.concat_str(parts)


def text(frame: pl.DataFrame, labelled: pl.Expr, families: Iterable[Family]) -> str:
    """Returns the samples of all rows, metric by metric; nothing for a frame without rows."""
    if frame.is_empty():
        return ""
    families = tuple(families)
    samples = frame.with_columns(labelled.alias(_LABELS)).select(
        pl.concat_str(pl.lit(f"{family.name}{{"), _LABELS, pl.lit("} "), family.value.cast(pl.String))
        .str.join("\n")
        .alias(family.name)
        for family in families
    )
    return "".join(
        f"# HELP {family.name} {family.words}\n# TYPE {family.name} {family.kind}\n{samples[family.name][0]}\n"
        for family in families
    )
