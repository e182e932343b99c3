"""`hcp explain` and `hcp whatif` on the log of the system at work."""

import os
import re
import subprocess
import sys

import pytest

from projections.table import Database
from tests.agents_world import ROOT
from tests.demo_world import DemoWorld

pytestmark = pytest.mark.integration
LIMIT_S = 300.0


def hcp(world: DemoWorld, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hcp", *arguments],
        env={**os.environ, **world.environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture(scope="module")
def decision(demo: DemoWorld) -> str:
    """Id of a decision of Texas-1 by which miners run: any, as now may be within the demo's spike of an hour."""
    rows = demo.await_rows(
        Database.TIMESCALE,
        "SELECT decision_id FROM allocation_history WHERE facility_id = 'Texas-1' AND power_mode <> 'OFF' LIMIT 1",
        lambda rows: len(rows) == 1,
    )
    return str(rows[0][0])


def test_explain_shows_what_would_have_flipped_a_decision(demo: DemoWorld, decision: str) -> None:
    found = hcp(demo, "explain", decision)
    assert found.returncode == 0, found.stderr
    assert "the same, bit for bit" in found.stderr
    shown = " ".join(found.stdout.split())
    assert re.search(r"OFF at \d+\.\d\d", shown) or re.search(r"(ECO|NORMAL|TURBO) at \d+\.\d\d", shown), shown
    assert re.search(r"OFF -?\d+\.\d\d", shown), shown
    assert re.search(r"method (PLAN: \d+ intervals|DISPATCH: the interval alone)", shown), shown


def test_explain_all_finds_the_newest_decisions_the_same(demo: DemoWorld) -> None:
    found = hcp(demo, "explain", "--all", "--last", "9")
    assert found.returncode == 0, found.stderr
    counts = re.match(r"(\d+) of (\d+) decisions the same, bit for bit", found.stdout)
    assert counts is not None, found.stdout
    same, checked = map(int, counts.groups())
    # As many as have been made by now.
    assert same == checked > 0


def test_whatif_shows_what_a_price_spike_would_have_changed(demo: DemoWorld, decision: str) -> None:
    # At 20 kW no group can run on, however short it has run.
    found = hcp(demo, "whatif", decision, "--set", "grid.lmp.HB_WEST=4000", "--set", "facility.Texas-1.cap_mw=0.02")
    assert found.returncode == 0, found.stderr
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in found.stdout.splitlines()]
    modes = [row for row in rows if len(row) == 4 and row[1] == "mode"]
    assert modes
    assert all(row[3] == "OFF" for row in modes), found.stdout
    assert any(row[:2] == ["Texas-1", "margin USD/h"] for row in rows), found.stdout


def test_whatif_without_changes_lists_what_can_be_set(demo: DemoWorld, decision: str) -> None:
    found = hcp(demo, "whatif", decision)
    assert found.returncode == 0, found.stderr
    paths = {"grid.lmp.HB_WEST", "facility.Texas-1.transformer.texas-1-t1.cap_mw", "market.BTC-USD"}
    assert paths <= set(found.stdout.split())


def test_whatif_of_an_unknown_path_is_refused_in_one_line(demo: DemoWorld, decision: str) -> None:
    found = hcp(demo, "whatif", decision, "--set", "grid.lmp.MARS=1")
    assert found.returncode == 1
    assert found.stderr.startswith(
        "error: this decision has no grid.lmp.MARS; what can be set: facility.Texas-1.cap_mw"
    )
    assert len(found.stderr.strip().splitlines()) == 1
