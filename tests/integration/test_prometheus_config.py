"""Prometheus' own checker accepts the configuration, and the alerts fire when they should."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running_stack import RunningStack
from tests.stack_fixture import parts_directory

pytestmark = pytest.mark.integration

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "prometheus"

Promtool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def promtool(stack: RunningStack) -> Promtool:
    """Runs promtool, which comes with the Prometheus that the stack has fetched."""
    assert stack.prometheus_url, "the stack runs without Prometheus"
    found = shutil.which("promtool") or str(next(parts_directory().glob("prometheus-*/usr/bin/promtool")))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([found, *arguments], capture_output=True, text=True, check=False, cwd=CONFIGURATION)

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
