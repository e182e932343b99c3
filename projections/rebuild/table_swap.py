"""A plain table is replaced by `TABLE__next`, in the caller's transaction, and keeps all that hangs on it.

Protocol (every step is of the catalog, none looks at rows):
 1. What is to survive is read: triggers, privileges, comment, index names, the views that read the table.
 2. The old table moves out of the way and the new one takes its name.
 3. Views are bound to the new table by CREATE OR REPLACE with their own text: so they keep their identity, and with it
    owner, privileges, comments and the views that read them.
 4. Triggers, privileges and comment are made again.
 5. The old table is dropped, without CASCADE: what else depends on it makes the whole swap fail.
 6. Indexes, and with them their constraints, get the names of the old ones.
"""

from typing import Any, cast

from psycopg import sql

from projections.offset_store import Connection
from projections.rebuild import form
from projections.rebuild.form import quoted
from projections.table import Table

_OLD = "__old"

_VIEWS = """
    SELECT DISTINCT pg_class.oid, nspname, relname, pg_get_viewdef(pg_class.oid), reloptions
    FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = objid
    JOIN pg_class ON pg_class.oid = ev_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = %s::regclass
      AND relkind = 'v'
    ORDER BY pg_class.oid
"""
_TRIGGERS = """
    SELECT tgname, pg_get_triggerdef(oid), tgenabled::text, obj_description(oid, 'pg_trigger')
    FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal ORDER BY tgname
"""
_PRIVILEGES = """
    SELECT NULL::text, grantee::regrole::text, privilege_type, is_grantable
    FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) WHERE pg_class.oid = %(table)s::regclass
    UNION ALL
    SELECT attname, grantee::regrole::text, privilege_type, is_grantable
    FROM pg_attribute, aclexplode(attacl) WHERE attrelid = %(table)s::regclass AND NOT attisdropped
"""
_COMMENT = "SELECT obj_description(%s::regclass, 'pg_class')"
_ENABLED = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


def lock(connection: Connection, table: Table) -> None:
    """Locks what `swap` changes, in the order in which a reader comes to it: the views, then the table.

    Raises psycopg.Error.
    """
    views = connection.execute(_VIEWS, (quoted(table.name),)).fetchall()
    names = [sql.Identifier(schema, view) for _oid, schema, view, _text, _options in views]
    names.append(sql.Identifier(table.name))
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(names)))


def swap(connection: Connection, table: Table) -> None:
    """Does what the protocol says. Raises psycopg.Error; nothing is committed here."""
    name, old = sql.Identifier(table.name), sql.Identifier(table.name + _OLD)
    new = form.next_name(table)
    # 1.
    triggers = connection.execute(_TRIGGERS, (quoted(table.name),)).fetchall()
    privileges = connection.execute(_PRIVILEGES, {"table": quoted(table.name)}).fetchall()
    defaults = connection.execute(_PRIVILEGES, {"table": quoted(new)}).fetchall()
    comment = connection.execute(_COMMENT, (quoted(table.name),)).fetchone()
    views = connection.execute(_VIEWS, (quoted(table.name),)).fetchall()
    index_names = [index.name for index in form.indexes(connection, table.name)]
    new_index_names = [index.name for index in form.indexes(connection, new)]
    # 2.
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(name, old))
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(sql.Identifier(new), name))
    # 3.
    for _oid, schema, view, text, options in views:
        _bind_view(connection, sql.Identifier(schema, view), text, options)
    # 4.
    for trigger in triggers:
        _create_trigger(connection, name, trigger)
    _copy_privileges(connection, name, privileges, defaults)
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, sql.Literal(comment and comment[0])))
    # 5.
    form.drop(connection, table.name + _OLD)
    # 6.
    for given, wanted in zip(new_index_names, index_names, strict=True):
        statement = sql.SQL("ALTER INDEX {} RENAME TO {}")
        connection.execute(statement.format(sql.Identifier(given), sql.Identifier(wanted)))


def _bind_view(connection: Connection, name: sql.Identifier, text: str, options: list[str] | None) -> None:
    with_options = sql.SQL("WITH ({})").format(form.options_text(options)) if options else sql.SQL("")
    statement = sql.SQL("CREATE OR REPLACE VIEW {} {} AS {}")
    connection.execute(statement.format(name, with_options, _from_catalog(text)))


def _create_trigger(connection: Connection, table: sql.Identifier, found: tuple[Any, ...]) -> None:
    name, text, enabled, comment = found
    connection.execute(_from_catalog(text))
    trigger = sql.Identifier(name)
    if enabled in _ENABLED:
        statement = sql.SQL("ALTER TABLE {} {} TRIGGER {}")
        connection.execute(statement.format(table, _from_catalog(_ENABLED[enabled]), trigger))
    if comment is not None:
        statement = sql.SQL("COMMENT ON TRIGGER {} ON {} IS {}")
        connection.execute(statement.format(trigger, table, sql.Literal(comment)))


def _copy_privileges(
    connection: Connection, table: sql.Identifier, wanted: list[tuple[Any, ...]], given: list[tuple[Any, ...]]
) -> None:
    for grantee in sorted({grantee for _, grantee, _, _ in given}):
        connection.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(table, _role(grantee)))
    for column, grantee, privilege, is_grantable in wanted:
        statement = sql.SQL("GRANT {privilege} {columns} ON {table} TO {grantee} {option}").format(
            privilege=_from_catalog(privilege),
            columns=sql.SQL("({})").format(sql.Identifier(column)) if column else sql.SQL(""),
            table=table,
            grantee=_role(grantee),
            option=sql.SQL("WITH GRANT OPTION") if is_grantable else sql.SQL(""),
        )
        connection.execute(statement)


def _role(name: str) -> sql.SQL:
    # A regrole's text is quoted where it has to be; the one of everybody is "-".
    return sql.SQL("PUBLIC") if name == "-" else _from_catalog(name)


def _from_catalog(text: str) -> sql.SQL:
    """Text that the database itself wrote as a part of a statement."""
    return sql.SQL(cast("Any", text))
