"""What `hcp demo` is told about the simulator reaches it."""

from pathlib import Path

import typer

from hcp.cli import app
from hcp.commands.demo import simulator_arguments


def test_the_simulator_gets_the_options_of_the_demo(tmp_path: Path) -> None:
    prices = tmp_path / "prices.csv"
    prices.touch()
    verb, *arguments = simulator_arguments(40, 16, 30.0, 100.0, prices, "late=0.1")
    command = typer.main.get_command(app).get_command(None, verb)  # type: ignore[attr-defined]
    given = command.make_context(verb, arguments).params
    names = ("miners", "gpus", "speed", "outages", "replay", "faults", "lockstep")
    assert {name: given[name] for name in names} == {
        "miners": 40,
        "gpus": 16,
        "speed": 30.0,
        "outages": 100.0,
        "replay": prices,
        "faults": "late=0.1",
        "lockstep": True,
    }


def test_what_the_demo_is_not_told_is_left_to_the_simulator() -> None:
    arguments = simulator_arguments(2000, 200, 60.0, 1.0, None, None)
    assert not {"--replay", "--faults"} & set(arguments)
