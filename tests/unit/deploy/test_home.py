"""The home of a stack: what it remembers, and what it refuses."""

from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.local.error import StackBusyError, StackError
from deploy.local.home import Home


def test_ports_once_chosen_stay(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = home.remember_ports(["kafka", "registry"])
    second = home.remember_ports(["kafka", "postgres"])
    assert len(set(second.values())) == 3
    assert {name: second[name] for name in first} == first == {name: home.ports()[name] for name in first}


def test_damaged_memory_is_told_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{")
    with pytest.raises(StackError, match=r"stack\.json is damaged .*: delete it"):
        Home(tmp_path).ports()


def test_second_command_at_the_same_time_is_refused(tmp_path: Path) -> None:
    with (
        Home(tmp_path).locked(),
        pytest.raises(StackBusyError, match=r"another command .* wait for it"),
        Home(tmp_path).locked(),
    ):
        pass


def test_home_that_cannot_be_written_is_told_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="make it writable, or choose another with HCP_HOME"), _locked(tmp_path):
        pass


def test_disk_that_is_full_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=5 << 20))
    with pytest.raises(StackError, match=r"only 5 MiB are free .* HCP_HOME"):
        Home(tmp_path).require_space()


def test_disk_that_fills_up_during_work_is_told_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="is full: free some space"), Home(tmp_path).locked():
        raise OSError(28, "No space left on device")


def test_wipe_refuses_a_folder_that_is_not_a_home(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(StackError, match="nothing was deleted"):
        Home(tmp_path).wipe()
    assert (tmp_path / "thesis.txt").exists()


def test_wipe_refuses_a_folder_that_we_are_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Home(tmp_path).remember_ports(["kafka"])
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    with pytest.raises(StackError, match="nothing was deleted"):
        Home(tmp_path).wipe()


def _locked(folder: Path) -> AbstractContextManager[None]:
    return Home(folder / "file" / "home").locked()
