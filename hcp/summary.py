"""The summary at the end of `hcp demo`: computed from the databases alone, by the files in `queries`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Group, RenderableType
from rich.table import Table

_QUERIES = Path(__file__).with_name("queries")


@dataclass(frozen=True, slots=True)
class Section:
    """One query's answer: its title, its columns and its rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def read(postgres_dsn: str, metrics_dsn: str) -> list[Section]:
    """Runs every `queries/<database>_<name>.sql` file, sorted by name; the first line of a file is its title.

    Raises psycopg.Error where a database does not answer.
    """
    sections: list[Section] = []
    for prefix, dsn in (("postgres", postgres_dsn), ("metrics", metrics_dsn)):
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            for file in sorted(_QUERIES.glob(f"{prefix}_*.sql")):
                text = file.read_text()
                title = text.partition("\n")[0].removeprefix("-- ")
                cursor = connection.execute(text.encode())
                columns = tuple(column.name for column in cursor.description or ())
                sections.append(Section(title, columns, tuple(cursor.fetchall())))
    return sections


def render(sections: list[Section]) -> RenderableType:
    """Returns the sections as tables."""
    tables: list[RenderableType] = []
    for section in sections:
        table = Table(title=section.title, title_justify="left")
        for column in section.columns:
            table.add_column(column)
        for row in section.rows:
            table.add_row(*(_cell(value) for value in row))
        tables.append(table)
    return Group(*tables)


def _cell(value: Any) -> str:
    match value:
        case float():
            return f"{value:,.3f}"
        case int():
            return f"{value:,}"
        case None:
            return "-"
        case _:
            return str(value)
