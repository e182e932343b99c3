"""What the page on projections tells people to write is a table."""

import re
import textwrap
from pathlib import Path

from projections import ddl
from projections.table import Database, Mode, Table
from projections.tables.rows import columns

PAGE = Path(__file__).parents[3] / "projections" / "README.md"


def test_the_declaration_on_the_page_is_one_and_has_a_frame_function() -> None:
    (block,) = re.findall(r"^    PROBES = .*?^    \)$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names = {"Table": Table, "Database": Database, "Mode": Mode, "columns": columns}
    exec(textwrap.dedent(block), names)  # noqa: S102 - our own page
    table = names["PROBES"]
    assert isinstance(table, Table)
    assert len(block.splitlines()) <= 10
    assert ddl.create_table(table).startswith('CREATE TABLE IF NOT EXISTS "probes"')


def test_every_file_linked_on_the_page_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE.read_text()) if "://" not in link]
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
