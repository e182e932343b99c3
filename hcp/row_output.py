"""Rows on stdout: a table for people, JSON lines or CSV for programs."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from hcp import console


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool, as_csv: bool) -> None:
    """Prints the rows; their number goes to stderr."""
    if as_json:
        for row in rows:
            line = json.dumps(dict(zip(columns, row, strict=True)), default=str)
            console.out.print(line, markup=False, soft_wrap=True)
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        table = Table(*columns)
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row))
        console.out.print(table)
    console.say(f"{len(rows)} rows")
