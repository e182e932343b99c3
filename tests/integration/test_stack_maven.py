"""Maven artifacts: from the user's mirror, checked against the lock file. A folder on 127.0.0.1 is the repository."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local import kafka, maven, registry
from deploy.local.error import InterruptedStartError, PartUnavailableError
from deploy.local.maven import Artifact
from deploy.local.progress import Progress

SETTINGS = """<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0"><mirrors>
<mirror><id>near</id><mirrorOf>*</mirrorOf><url>{url}/</url></mirror></mirrors></settings>"""


@dataclass
class Repository:
    """A Maven repository in a folder, its address, and the jars that were asked for."""

    folder: Path
    url: str
    requests: list[str] = field(default_factory=list)

    def publish(self, name: str, content: bytes, *, served: bytes | None = None) -> Artifact:
        """Adds a jar; `served` is what a broken repository hands out instead."""
        path = self.folder / "org" / "example" / name / "1.0" / f"{name}-1.0.jar"
        path.parent.mkdir(parents=True)
        path.write_bytes(content if served is None else served)
        digest = hashlib.sha1(path.read_bytes()).hexdigest()  # noqa: S324 - what repositories publish
        path.with_suffix(".jar.sha1").write_text(digest)
        return Artifact("org.example", name, "1.0", "", "jar", hashlib.sha256(content).hexdigest())


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    folder = tmp_path / "repository"
    folder.mkdir()
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            if self.command == "GET" and self.path.endswith(".jar"):
                asked.append(self.path.rpartition("/")[2])

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    settings = tmp_path / "settings.xml"
    settings.write_text(SETTINGS.format(url=url))
    monkeypatch.setattr(maven, "SETTINGS", settings)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield Repository(folder, url, asked)
    server.shutdown()
    thread.join()
    server.server_close()


def test_mirror_of_the_users_settings_is_read_without_its_trailing_slash(repository: Repository) -> None:
    assert maven.mirrors(maven.SETTINGS) == {"near": repository.url}


def test_no_settings_file_means_no_mirror(tmp_path: Path) -> None:
    assert maven.mirrors(tmp_path / "settings.xml") == {}


def test_artifacts_come_from_the_mirror_and_those_that_are_right_are_left_alone(
    repository: Repository, tmp_path: Path
) -> None:
    one, two = repository.publish("one", b"first jar"), repository.publish("two", b"second jar")
    libs = tmp_path / "libs"
    maven.fetch("thing", (one, two), libs, Progress())
    (libs / "two-1.0.jar").write_bytes(b"rotten jar")
    repository.requests.clear()
    maven.fetch("thing", (one, two), libs, Progress())
    assert {path.name: path.read_bytes() for path in libs.iterdir()} == {
        "one-1.0.jar": b"first jar",
        "two-1.0.jar": b"second jar",
    }
    assert repository.requests == ["two-1.0.jar"]


def test_artifact_that_is_not_the_locked_one_is_refused(repository: Repository, tmp_path: Path) -> None:
    changed = repository.publish("one", b"what was locked", served=b"what somebody put there")
    with pytest.raises(PartUnavailableError, match=rf"one-1.0.jar has SHA-256 \w+, expected {changed.sha256}"):
        maven.fetch("thing", (changed,), tmp_path / "libs", Progress())
    assert list((tmp_path / "libs").iterdir()) == []


@pytest.mark.usefixtures("repository")
def test_repository_without_the_artifact_gives_the_reason_and_the_mend(tmp_path: Path) -> None:
    absent = Artifact("org.example", "absent", "1.0", "", "jar", "0" * 64)
    with pytest.raises(PartUnavailableError, match=r"absent.*not found.*check network, proxy and mirror"):
        maven.fetch("thing", (absent,), tmp_path / "libs", Progress())


def test_interrupted_fetch_stops(repository: Repository, tmp_path: Path) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(InterruptedStartError):
        maven.fetch("thing", (repository.publish("one", b"1"),), tmp_path / "libs", progress)


def test_lock_files_pin_every_artifact_once_with_a_whole_digest() -> None:
    artifacts = (*maven.lock(kafka.LOCK), *maven.lock(registry.LOCK))
    assert len(artifacts) == 93
    assert len({(artifact.group, artifact.name, artifact.classifier) for artifact in artifacts}) == 93
    assert {len(bytes.fromhex(artifact.sha256)) for artifact in artifacts} == {32}
    assert {artifact.version for artifact in artifacts if artifact.group == "org.apache.kafka"} == {"4.3.1"}
