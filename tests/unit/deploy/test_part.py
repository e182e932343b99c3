"""Parts: whole or not there, never fetched twice, damage found and mended."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.local.error import PartUnavailableError
from deploy.local.part import Part, unavailable
from deploy.local.progress import Progress

CONTENT = {"libs/one.jar": b"one", "libs/two.jar": b"two", "start.sh": b"run"}


@dataclass
class Source:
    """Fills a stage as a download would: only what is missing or wrong. Remembers what it was asked for."""

    fails_after: int = 99
    fetched: list[str] = field(default_factory=list)

    def fill(self, stage: Path, _progress: Progress) -> None:
        for name, content in CONTENT.items():
            path = stage / name
            if path.exists() and path.read_bytes() == content:
                continue
            if len(self.fetched) >= self.fails_after:
                raise unavailable("thing", "the line is down")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self.fetched.append(name)

    def part(self, definition: bytes = b"1") -> Part:
        return Part("thing", lambda: definition, self.fill)


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in CONTENT if (folder / name).exists()}


def test_part_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    source = Source()
    first = source.part().provide(tmp_path, Progress())
    second = source.part().provide(tmp_path, Progress())
    assert (first, files(second)) == (second, CONTENT)
    assert source.fetched == list(CONTENT)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b"two and a half"), id="changed"),
        pytest.param(lambda path: path.unlink(), id="missing"),
        pytest.param(lambda path: path.write_bytes(b"tw0"), id="same size"),
    ],
)
def test_damaged_file_is_found_and_only_it_is_fetched_again(tmp_path: Path, damage: object) -> None:
    source = Source()
    place = source.part().provide(tmp_path, Progress())
    assert callable(damage)
    damage(place / "libs/two.jar")
    assert files(source.part().provide(tmp_path, Progress())) == CONTENT
    assert source.fetched == [*CONTENT, "libs/two.jar"]


def test_interrupted_fetch_leaves_no_part_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    broken, mended = Source(fails_after=2), Source()
    with pytest.raises(PartUnavailableError, match=r"the line is down.*hcp up"):
        broken.part().provide(tmp_path, Progress())
    assert not broken.part().directory(tmp_path).exists()
    assert files(mended.part().provide(tmp_path, Progress())) == CONTENT
    assert mended.fetched == ["start.sh"]


def test_changed_definition_is_another_part(tmp_path: Path) -> None:
    source = Source()
    assert source.part(b"1").provide(tmp_path, Progress()) != source.part(b"2").provide(tmp_path, Progress())


def test_part_wanted_twice_at_once_is_fetched_once(tmp_path: Path) -> None:
    source = Source()
    threads = [threading.Thread(target=source.part().provide, args=(tmp_path, Progress())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.fetched == list(CONTENT)
