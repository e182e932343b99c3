"""The form of a table as the live database has it: columns, constraints, indexes, made by migrations or by hand.

The table that is being filled is `TABLE__next`, `LIKE` the served one. Its comment has the fingerprint of the form that
it was made after, so that a rebuild which goes on later knows whether that is still the form.
"""

import hashlib
import json
from dataclasses import dataclass

from psycopg import sql

from projections.error import ProjectionError
from projections.offset_store import Connection
from projections.table import Table

_SUFFIX = "__next"

_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
           pg_get_expr(adbin, adrelid)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_CONSTRAINTS = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = %s::regclass AND contype <> 't' ORDER BY conname
"""
_INDEXES = """
    SELECT relname, indisprimary, indisunique,
           -- What follows the names of index and table: method, columns, options, condition.
           substring(pg_get_indexdef(indexrelid) FROM ' USING .*')
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indrelid = %s::regclass ORDER BY 4, 2, 3, 1
"""
_OPTIONS = "SELECT reloptions, pg_get_userbyid(relowner) FROM pg_class WHERE oid = %s::regclass"
_COMMENT = "SELECT obj_description(to_regclass(%s), 'pg_class')"
# What a table of another identity would silently lose, or what would keep pointing at the old one.
_OBSTACLES = """
    WITH served AS (SELECT %s::regclass AS oid)
    SELECT CASE contype WHEN 'f' THEN 'the foreign key ' END || conname
      FROM pg_constraint, served WHERE contype = 'f' AND served.oid IN (conrelid, confrelid)
    UNION SELECT 'the row security policy ' || polname FROM pg_policy, served WHERE polrelid = served.oid
    UNION SELECT 'the rule ' || rulename FROM pg_rewrite, served WHERE ev_class = served.oid
    UNION SELECT 'the publication ' || pubname FROM pg_publication_rel
      JOIN pg_publication ON pg_publication.oid = prpubid, served WHERE prrelid = served.oid
    UNION SELECT 'the inheritance ' || inhrelid::regclass || ' from ' || inhparent::regclass
      FROM pg_inherits, served WHERE served.oid IN (inhrelid, inhparent)
    UNION SELECT 'the materialized view ' || ev_class::regclass
      FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = objid JOIN pg_class ON pg_class.oid = ev_class, served
      WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = served.oid
        AND relkind = 'm'
"""


@dataclass(frozen=True, slots=True)
class Index:
    """An index: its name, and what it is but for its name and table."""

    name: str
    is_primary: bool
    is_unique: bool
    definition: str

    @property
    def kind(self) -> tuple[bool, bool, str]:
        """Equal for indexes that differ only in their name."""
        return self.is_primary, self.is_unique, self.definition


def next_name(table: Table) -> str:
    """Returns the name of the table that is being filled."""
    return table.name + _SUFFIX


def require_replaceable(connection: Connection, table: Table) -> None:
    """Raises ProjectionError, which names what stands against it, where the table can't be replaced by another one."""
    found = sorted(text for (text,) in connection.execute(_OBSTACLES, (quoted(table.name),)).fetchall())
    if found:
        raise ProjectionError(
            f"{table.name} can't be replaced by a rebuilt one: {', '.join(found)} would be lost or point at the old "
            "one; drop that, rebuild, and make it again"
        )


def fingerprint(connection: Connection, table: Table) -> str:
    """Returns what changes when the declaration or the live table's form changes."""
    declared = [table.mode, dict(table.columns), table.key, table.order, sorted(table.sources)]
    live = [connection.execute(query, (quoted(table.name),)).fetchall() for query in (_COLUMNS, _CONSTRAINTS, _INDEXES)]
    return hashlib.sha256(json.dumps([declared, live]).encode()).hexdigest()


def create_next(connection: Connection, table: Table) -> None:
    """Makes the empty `TABLE__next`, in place of one that is there, in the caller's transaction."""
    name = next_name(table)
    drop(connection, name)
    statement = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)")
    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(table.name)))
    served, made = indexes(connection, table.name), indexes(connection, name)
    if [index.kind for index in served] != [index.kind for index in made]:
        raise ProjectionError(
            f"{table.name}: its indexes can't be made again ({', '.join(index.name for index in served)}): is one of "
            "them invalid, or there twice? Drop that one"
        )
    mark = sql.SQL("COMMENT ON TABLE {} IS {}")
    connection.execute(mark.format(sql.Identifier(name), sql.Literal(fingerprint(connection, table))))
    row = connection.execute(_OPTIONS, (quoted(table.name),)).fetchone()
    assert row is not None
    options, owner = row
    if options:
        statement = sql.SQL("ALTER TABLE {} SET ({})")
        connection.execute(statement.format(sql.Identifier(name), options_text(options)))
    statement = sql.SQL("ALTER TABLE {} OWNER TO {}")
    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(owner)))


def is_next_current(connection: Connection, table: Table) -> bool:
    """Returns whether there is a `TABLE__next` that was made after the form that the table has now."""
    mark = connection.execute(_COMMENT, (quoted(next_name(table)),)).fetchone()
    return mark == (fingerprint(connection, table),)


def drop(connection: Connection, name: str) -> None:
    """Drops a table where it is there; raises psycopg.Error where something depends on it."""
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))


def indexes(connection: Connection, name: str) -> list[Index]:
    """Returns the indexes of a table, like ones in the same order for like tables."""
    return [Index(*row) for row in connection.execute(_INDEXES, (quoted(name),)).fetchall()]


def options_text(options: list[str]) -> sql.Composed:
    """Returns storage options as the catalog keeps them (`name=value`) in the form of a statement."""
    pairs = (option.partition("=") for option in options)
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(key), sql.Literal(value)) for key, _, value in pairs
    )


def quoted(name: str) -> str:
    """Returns the name as the text of a regclass."""
    return '"' + name.replace('"', '""') + '"'
