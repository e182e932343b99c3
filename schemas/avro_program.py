"""A writer's schema as the steps that `schemas.avro_kernel` takes through each value, and as the columns they fill.

A step reads one thing of Avro (1.12, "Binary encoding") and puts it into its column, or nowhere, where nobody asked for
the field. Columns belong to a level: 0 has a place a value; each array opens another, with a place an item.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.avro_kernel import Op
from schemas.column_type import UnsupportedTypeError

VARIABLE = frozenset({Op.BYTES, Op.TEXT, Op.SYMBOL})
"""Columns of these have a start and an end of each place, and bytes."""
_PRIMITIVES = {
    "boolean": Op.BOOLEAN, "int": Op.INT, "long": Op.LONG, "float": Op.FLOAT, "double": Op.DOUBLE, "bytes": Op.BYTES,
    "string": Op.TEXT,
}  # fmt: skip
_LEAST_BYTES = {Op.FLOAT: 4, Op.DOUBLE: 8}
"""What each of these takes in a value; all others take one byte or more."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step; see Op. `is_kept` is whether its column is asked for, `is_optional` whether it may be null.

    `limit` is the number of symbols of an enum, or where an array's steps end.
    """

    op: Op
    level: int
    argument: int = 0
    limit: int = 0
    is_kept: bool = False
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column without others in it, filled by that step. Of a decimal there are `precision` and `scale`."""

    step: int
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class ListOf:
    """A column of arrays; `step` is the ARRAY."""

    step: int
    items: "Node"


@dataclass(frozen=True, slots=True)
class StructOf:
    """A column of records."""

    fields: Mapping[str, "Node"]


Node = Leaf | ListOf | StructOf


@dataclass(frozen=True, slots=True)
class Program:
    """`columns` are the fields asked for; `least_bytes` is what an item of each level takes at least, in a value."""

    steps: tuple[Step, ...]
    columns: Mapping[str, Node]
    least_bytes: tuple[int, ...]
    symbols: tuple[str, ...]


@dataclass(slots=True)
class _Compiler:
    steps: list[Step] = field(default_factory=list)
    least_bytes: list[int] = field(default_factory=lambda: [0])
    symbols: list[str] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    level: int = 0

    def compile(self, avro_type: Any, *, is_kept: bool) -> Node:  # noqa: C901, PLR0911 - a case an Avro type
        """Adds the steps of a type and returns its column."""
        match avro_type:
            case str() if avro_type in _PRIMITIVES:
                return self._leaf(_PRIMITIVES[avro_type], is_kept)
            case str() if _short(avro_type) in self.named:
                return self.compile(self.named[_short(avro_type)], is_kept=is_kept)
            case ["null", inner] | [inner, "null"]:
                self.steps.append(Step(Op.OPTION, self.level, avro_type.index("null")))
                node = self.compile(inner, is_kept=is_kept)
                if not isinstance(node, Leaf):
                    raise UnsupportedTypeError("null beside a record or an array")
                self.steps[node.step] = replace(self.steps[node.step], is_optional=True)
                return node
            case {"type": "long", "logicalType": "timestamp-millis"}:
                return self._leaf(Op.TIME_MS, is_kept)
            case {"type": "bytes", "logicalType": "decimal", "precision": precision}:
                leaf = self._leaf(Op.DECIMAL, is_kept)
                return replace(leaf, precision=precision, scale=avro_type.get("scale", 0))
            case {"type": "enum", "name": name, "symbols": symbols}:
                self.named[_short(name)] = avro_type
                self.symbols += symbols
                return self._leaf(Op.SYMBOL, is_kept, len(self.symbols) - len(symbols), len(symbols))
            case {"type": "array", "items": items}:
                return self._array(items, is_kept)
            case {"type": "record", "name": name, "fields": fields}:
                # A record within itself has no end.
                self.named.pop(_short(name), None)
                node = StructOf({each["name"]: self.compile(each["type"], is_kept=is_kept) for each in fields})
                self.named[_short(name)] = avro_type
                return node
            case {"type": str() as inner} if inner in _PRIMITIVES and "logicalType" not in avro_type:
                return self._leaf(_PRIMITIVES[inner], is_kept)
        raise UnsupportedTypeError(f"no step reads the Avro type {avro_type!r}")

    def _leaf(self, op: Op, is_kept: bool, argument: int = 0, limit: int = 0) -> Leaf:
        self.steps.append(Step(op, self.level, argument, limit, is_kept))
        return Leaf(len(self.steps) - 1)

    def _array(self, items: Any, is_kept: bool) -> ListOf:
        outer, inner, at = self.level, len(self.least_bytes), len(self.steps)
        self.steps.append(Step(Op.ARRAY, outer, inner, is_kept=is_kept))
        self.least_bytes.append(0)
        self.level = inner
        node = self.compile(items, is_kept=is_kept)
        # An option takes its branch's byte; what follows it may be absent.
        body = self.steps[at + 1 :]
        skipped = {number + 1 for number, step in enumerate(body) if step.op is Op.OPTION}
        self.least_bytes[inner] = sum(
            _LEAST_BYTES.get(step.op, 1)
            for number, step in enumerate(body)
            if step.level == inner and number not in skipped and step.op is not Op.ITEM
        )
        if not self.least_bytes[inner]:
            raise UnsupportedTypeError("an array of items without bytes, of which a value can hold any number")
        self.steps.append(Step(Op.ITEM, inner, at))
        self.steps[at] = replace(self.steps[at], limit=len(self.steps))
        self.level = outer
        return ListOf(at, node)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def program(writer: Mapping[str, Any], columns: Collection[str]) -> Program:
    """Returns the program of a record's schema that keeps those of its fields.

    Raises UnsupportedTypeError for what it can't read: maps, fixed, and unions of more than null and one that is not a
    record or an array.
    """
    compiler = _Compiler()
    nodes = {each["name"]: compiler.compile(each["type"], is_kept=each["name"] in columns) for each in writer["fields"]}
    kept = {name: node for name, node in nodes.items() if name in columns}
    compiler.steps.append(Step(Op.DONE, 0))
    return Program(tuple(compiler.steps), kept, tuple(compiler.least_bytes), tuple(compiler.symbols))
