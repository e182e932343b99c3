"""Prometheus' own checker accepts the configuration, and the alerts fire when they should."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from simulators.exporter import miner_page, server
from simulators.exporter.newest import Newest
from simulators.simulation import ASIC_TOPIC
from tests.running_stack import RunningStack
from tests.simulators_world import a_simulation, slices
from tests.stack_fixture import parts_directory

pytestmark = pytest.mark.integration

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "prometheus"

Promtool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def promtool(stack: RunningStack) -> Promtool:
    """Runs promtool, which comes with the Prometheus that the stack has fetched."""
    assert stack.prometheus_url, "the stack runs without Prometheus"
    found = shutil.which("promtool") or str(next(parts_directory().glob("prometheus-*/usr/bin/promtool")))

    def run(*arguments: str, page: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [found, *arguments], capture_output=True, text=True, check=False, cwd=CONFIGURATION, input=page
        )

    return run


def test_the_configuration_is_valid(promtool: Promtool) -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_fire_when_they_should(promtool: Promtool) -> None:
    done = promtool("test", "rules", "rules_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_rule_is_refused(promtool: Promtool, tmp_path: Path) -> None:
    broken = tmp_path / "rules.yml"
    broken.write_text((CONFIGURATION / "rules.yml").read_text().replace("== 0", "= 0"))
    assert promtool("check", "rules", str(broken)).returncode != 0


def test_the_exporter_s_page_is_valid(promtool: Promtool) -> None:
    newest, simulation = Newest(), a_simulation()
    newest.begin(simulation)
    for part in slices(simulation, 15):
        newest.take(part)
    done = promtool("check", "metrics", page=miner_page.page(newest.frame(ASIC_TOPIC)))
    assert (done.returncode, done.stderr) == (0, "")
    done = promtool("check", "metrics", page=server.page(newest))
    # It reads all, and finds fault with nothing but NVIDIA's own names: 3, where 1 is a page that it can't read.
    assert done.returncode == 3, done.stdout + done.stderr
    complaints = {line.partition(" ")[2] for line in (done.stdout + done.stderr).splitlines() if line}
    assert complaints == {
        "label names should be written in 'snake_case' not 'camelCase'",
        'counter metrics should have "_total" suffix',
    }
    broken = re.sub(r'pod=""', 'pod="', server.page(newest), count=1)
    assert promtool("check", "metrics", page=broken).returncode == 1
