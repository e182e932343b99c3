"""Values of one schema id as the columns of a frame, record by record: for what `schemas.block_reader` does not read.

That is a map, which becomes its JSON text with sorted keys, and what Avro resolves inside of a record or an array.
"""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import fastavro
import numpy as np
import polars as pl

from schemas.block_reader import Read
from schemas.column_type import column_types, has_map, widened
from schemas.resolution import parsed_reader
from schemas.value_block import ValueBlock


class RecordReader:
    """Reads blocks; frames have those `columns` of the reader's schema, resolved."""

    def __init__(
        self, writer: Mapping[str, Any], schema: dict[str, Any], columns: Sequence[str], header: bytes
    ) -> None:
        types = column_types(schema)
        self._schema = pl.Schema({name: types[name] for name in columns})
        # An int is written like a long: corrupt bytes may hold one that 32 bits don't.
        self._wide = pl.Schema({name: widened(types[name]) for name in columns})
        self._maps = [field["name"] for field in schema["fields"] if has_map(field["type"])]
        self._writer = fastavro.parse_schema(dict(writer))
        self._reader = None if writer == schema else parsed_reader(schema)
        self._header = header

    def read(self, block: ValueBlock) -> Read:
        """Returns what of the block is good."""
        records: dict[int, dict[str, Any]] = {}
        others: list[int] = []
        for row, value in enumerate(block):
            if value is None or not value.startswith(self._header):
                others.append(row)
            elif (record := self._record(value)) is not None:
                records[row] = record
        try:
            frame = self._frame(list(records.values()))
        except pl.exceptions.PolarsError:
            records = {row: record for row, record in records.items() if self._fits(record)}
            frame = self._frame(list(records.values()))
        bad = sorted(set(range(len(block))) - records.keys() - set(others))
        return Read(frame, np.fromiter(records, np.int64, len(records)), others, bad)

    def _record(self, value: bytes) -> dict[str, Any] | None:
        stream = io.BytesIO(value[len(self._header) :])
        try:
            record: Any = fastavro.schemaless_reader(stream, self._writer, self._reader)
        except Exception:  # noqa: BLE001 - corrupt bytes make fastavro raise nearly anything
            return None
        if stream.read(1):
            return None
        for name in self._maps:
            record[name] = json.dumps(record[name], sort_keys=True, ensure_ascii=False)
        return {name: record[name] for name in self._schema}

    def _frame(self, records: list[dict[str, Any]]) -> pl.DataFrame:
        return pl.DataFrame(records, schema=self._wide).cast(self._schema)

    def _fits(self, record: dict[str, Any]) -> bool:
        try:
            self._frame([record])
        except pl.exceptions.PolarsError:
            return False
        return True
