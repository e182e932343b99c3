"""Numbered files."""

from pathlib import Path

import pytest

from projections import migration
from projections.error import MigrationError
from projections.table import Database


def test_a_written_migration_is_the_last_one(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "0009_old.sql").write_text("SELECT 1")
    path = migration.write(Database.POSTGRES, "fan_rpm", "SELECT 2;\n", tmp_path)
    assert path.name == "0010_fan_rpm.sql"
    assert migration.migrations(Database.POSTGRES, tmp_path) == [
        migration.Migration("0009_old", "SELECT 1"),
        migration.Migration("0010_fan_rpm", "SELECT 2;\n"),
    ]


@pytest.mark.parametrize("name", ["", "Fan", "../x", "a b", "a-b"])
def test_a_name_that_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="not a name"):
        migration.write(Database.POSTGRES, name, "", tmp_path)


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="can't be written"):
        migration.write(Database.POSTGRES, "fan_rpm", "", tmp_path)


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    for name in ("0001_a.sql", "0001_b.sql"):
        (tmp_path / "postgres" / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match="two migrations have the number 0001"):
        migration.migrations(Database.POSTGRES, tmp_path)
