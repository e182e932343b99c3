"""The way from what a database has to what is declared: changes that are safe to generate, and drift that isn't.

Generated is what loses nothing and can't fail for the rows that are there but by a condition that they break. All else
is drift: data would be lost, be made up or have to be rewritten, so a person decides it and writes a migration. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from projections import ddl, shape
from projections.aggregate import Aggregate, Refresh
from projections.hypertable import Compression
from projections.shape import AggregateShape, Shape, TableShape, check_name
from projections.table import Column, Table

_NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Change:
    """What differs, and the statements that end it."""

    relation: str
    reason: str
    statement: str


@dataclass(frozen=True, slots=True)
class Drift:
    """A difference that is not generated: where, both sides, and what can be done."""

    relation: str
    what: str
    declared: str
    live: str
    mend: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.relation}: {self.what}: declared {self.declared}, in the database {self.live}: {self.mend}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, in order, and what stands in the way."""

    changes: tuple[Change, ...]
    drifts: tuple[Drift, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the database is as declared."""
        return not self.changes and not self.drifts

    @property
    def text(self) -> str:
        """The changes as SQL, each with its reason; empty where there are none."""
        return "".join(
            f"-- {change.relation}: {' '.join(change.reason.split())}\n{change.statement};\n" for change in self.changes
        )


def plan(tables: Sequence[Table], declared: Shape, live: Shape) -> Plan:
    """Returns the way from `live` to `declared`, both in the spelling of one database."""
    found: list[Change | Drift] = []
    for table in tables:
        found += _of_table(table, declared.tables[table.name], live.tables.get(table.name))
    for table in tables:
        for aggregate in table.aggregates:
            wanted = declared.aggregates[aggregate.name]
            found += _of_aggregate(table, aggregate, wanted, live.aggregates.get(aggregate.name))
    changes = {entry.statement: entry for entry in reversed(found) if isinstance(entry, Change)}
    return Plan(
        # The function of the triggers is wanted by several tables and made before the first.
        tuple(entry for entry in found if isinstance(entry, Change) and changes[entry.statement] is entry),
        tuple(entry for entry in found if isinstance(entry, Drift)),
    )


def _of_table(table: Table, wanted: TableShape, found: TableShape | None) -> Iterator[Change | Drift]:
    if found is None:
        yield Change(table.name, "a new table", ddl.create_table(table))
        bare = {name: replace(column, comment=None) for name, column in wanted.columns.items()}
        found = TableShape(bare, wanted.keys, wanted.checks, fill_percent=wanted.fill_percent)
        if table.hypertable is not None:
            yield Change(table.name, "a hypertable", ddl.create_hypertable(table.name, table.hypertable))
            found = replace(found, hypertable=table.hypertable)
    yield from _of_columns(table, wanted.columns, found.columns)
    yield from _of_keys(table, wanted, found)
    yield from _of_checks(table, wanted.checks, found.checks)
    yield from _of_indexes(table, wanted, found)
    yield from _of_comment_and_trigger(table, wanted, found)
    if wanted.fill_percent is not None and wanted.fill_percent != found.fill_percent:
        reason = f"new pages are filled to {wanted.fill_percent} %, not {found.fill_percent or 100} %"
        yield Change(table.name, reason, ddl.set_fill(table.name, wanted.fill_percent))
    yield from _of_hypertable(table, wanted, found)
    yield from _of_compression(table, wanted, found)
    if wanted.retention != found.retention:
        reason = f"retention is {_duration(wanted.retention)}, not {_duration(found.retention)}"
        yield Change(table.name, reason, ddl.set_retention(table.name, wanted.retention))


def _of_columns(table: Table, wanted: Mapping[str, Column], found: Mapping[str, Column]) -> Iterator[Change | Drift]:
    spelled = {column.name: column for column in table.sql_columns}
    for name, column in wanted.items():
        there = found.get(name)
        if there is None:
            if not column.nullable and column.default is None:
                mend = "declare it nullable or with a default: there is no value for the rows that are there"
                yield Drift(table.name, f"column {name}", _described(column), _NOTHING, mend)
                continue
            yield Change(table.name, f"column {name} is new", ddl.add_column(table.name, spelled[name]))
            there = replace(column, comment=None)
        if (column.sql_type, column.nullable) != (there.sql_type, there.nullable):
            mend = "declare what is there, or change it in a migration that says what becomes of the values"
            yield Drift(table.name, f"column {name}", _described(column), _described(there), mend)
        if column.default != there.default:
            reason = f"the default of {name} is {column.default}, not {there.default}"
            yield Change(table.name, reason, ddl.set_default(table.name, spelled[name]))
        if column.comment != there.comment:
            reason = f"the comment of {name} differs"
            yield Change(table.name, reason, ddl.comment_on_column(table.name, spelled[name]))
    for name, column in found.items():
        if name not in wanted:
            mend = "declare it, or drop it in a migration: its values would be lost"
            yield Drift(table.name, f"column {name}", _NOTHING, _described(column), mend)


def _of_keys(table: Table, wanted: TableShape, found: TableShape) -> Iterator[Drift]:
    if wanted.keys != found.keys:
        mend = "declare the key that is there, or change it in a migration that says what becomes of rows with one key"
        yield Drift(table.name, "the unique key", _keys(wanted.keys), _keys(found.keys), mend)


def _of_checks(table: Table, wanted: Mapping[str, str], found: Mapping[str, str]) -> Iterator[Change | Drift]:
    # By what they say: a table that was rebuilt and swapped in has other names for them.
    there, declared = set(found.values()), set(wanted.values())
    for part in table.checks:
        condition = wanted[check_name(table, part)]
        if condition not in there:
            yield Change(table.name, f"condition {condition} is new", ddl.add_check(table, part))
    replaced = {check_name(table, part) for part in table.checks}
    for name, condition in found.items():
        # A condition of a declared name is dropped with the addition of the one that replaces it.
        if condition not in declared and name not in replaced:
            mend = f"declare it, or drop the constraint {name} in a migration"
            yield Drift(table.name, "a condition", _NOTHING, condition, mend)


def _of_indexes(table: Table, wanted: TableShape, found: TableShape) -> Iterator[Change | Drift]:
    for columns in table.all_indexes:
        if shape.index_text(columns) not in found.indexes:
            reason = f"index on {', '.join(columns)} is new"
            yield Change(table.name, reason, ddl.create_index(table.name, columns))
    for text in sorted(found.indexes - wanted.indexes):
        yield Drift(table.name, "an index", _NOTHING, text, "declare it, or drop it in a migration")


def _of_comment_and_trigger(table: Table, wanted: TableShape, found: TableShape) -> Iterator[Change | Drift]:
    if wanted.comment != found.comment:
        yield Change(table.name, "its comment differs", ddl.comment_on_table(table.name, wanted.comment))
    if wanted.has_touch_trigger and not found.has_touch_trigger:
        yield Change(table.name, "what keeps updated_at", ddl.TOUCH_FUNCTION)
        yield Change(table.name, "updated_at is kept by a trigger", ddl.create_trigger(table.name))
    if found.has_touch_trigger and not wanted.has_touch_trigger:
        mend = "declare the table touched, or drop the trigger in a migration"
        yield Drift(table.name, "the trigger of updated_at", _NOTHING, "one", mend)


def _of_hypertable(table: Table, wanted: TableShape, found: TableShape) -> Iterator[Change | Drift]:
    mine, there = wanted.hypertable, found.hypertable
    if (mine and mine.column) != (there and there.column):
        declared = f"a hypertable by {mine.column}" if mine else "a plain table"
        live = f"a hypertable by {there.column}" if there else "a plain table"
        mend = "declare what is there, or move the rows in a migration (create_hypertable with migrate_data)"
        yield Drift(table.name, "the table", declared, live, mend)
    elif mine is not None and mine != there:
        reason = f"new chunks are of {_duration(mine.chunk)}, not {_duration(there.chunk if there else None)}"
        yield Change(table.name, reason, ddl.set_chunk(table.name, mine))


def _of_compression(table: Table, wanted: TableShape, found: TableShape) -> Iterator[Change | Drift]:
    mine, there = wanted.compression, found.compression
    if mine == there:
        return
    if mine is not None and there is None:
        yield Change(table.name, "old chunks are compressed", ddl.enable_compression(table.name, mine))
        there = replace(mine, after=None)
    if mine is None or there is None or replace(mine, after=None) != replace(there, after=None):
        mend = "declare what is there, or change it in a migration that says what becomes of compressed chunks"
        yield Drift(table.name, "compression", _compression(mine), _compression(there), mend)
    elif mine.after != there.after:
        reason = f"chunks are compressed after {_duration(mine.after)}, not {_duration(there.after)}"
        yield Change(table.name, reason, ddl.set_compress_after(table.name, mine.after))


def _of_aggregate(
    table: Table, aggregate: Aggregate, wanted: AggregateShape, found: AggregateShape | None
) -> Iterator[Change | Drift]:
    name = aggregate.name
    if found is None:
        yield Change(name, "a new aggregate", ddl.create_aggregate(table, aggregate))
        found = AggregateShape(wanted.definition, is_real_time=True, refresh=None, retention=None)
    if wanted.definition != found.definition:
        mend = "drop it, with those made from it, and make it again in a migration: it has to be filled anew"
        yield Drift(name, "the query", wanted.definition, found.definition, mend)
    if not found.is_real_time:
        yield Change(name, "it is not real-time", ddl.make_real_time(name))
    if wanted.refresh != found.refresh:
        yield Change(
            name, f"refresh is {_refresh(wanted.refresh)}, not {_refresh(found.refresh)}", ddl.set_refresh(aggregate)
        )
    if wanted.retention != found.retention:
        reason = f"retention is {_duration(wanted.retention)}, not {_duration(found.retention)}"
        yield Change(name, reason, ddl.set_retention(name, wanted.retention))


def _described(column: Column) -> str:
    return column.sql_type + ("" if column.nullable else " NOT NULL")


def _keys(keys: frozenset[tuple[str, ...]]) -> str:
    return " and ".join(f"({', '.join(key)})" for key in sorted(keys)) or _NOTHING


def _duration(duration: timedelta | None) -> str:
    return "without end" if duration is None else str(duration).removesuffix(", 0:00:00")


def _compression(compression: Compression | None) -> str:
    if compression is None:
        return _NOTHING
    return f"by ({', '.join(compression.segment_by)}), in the order ({', '.join(compression.order_by)})"


def _refresh(refresh: Refresh | None) -> str:
    if refresh is None:
        return "by hand"
    return f"every {refresh.every} from {_duration(refresh.start)} to {_duration(refresh.end)} ago"
