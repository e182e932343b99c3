"""What the documentation tells people to type exists."""

import re
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from hcp.cli import app
from streams.domain.penalty import ORDER, PENALTY_USD_MWH

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["README.md", "GETTING_STARTED.md"])
def test_every_hcp_command_and_option_named_exists(name: str) -> None:
    group = typer.main.get_command(app)
    text = (ROOT / name).read_text()
    used = re.findall(r"(?:`|^    |\| )hcp ([a-z]+)([^`\n|]*)", text, re.MULTILINE)
    assert used
    for verb, rest in used:
        command = group.get_command(None, verb)  # type: ignore[attr-defined]
        assert command is not None, verb
        inner = re.match(r" ([a-z]+)", rest)
        if isinstance(command, TyperGroup) and inner is not None:
            command = command.get_command(typer.Context(command), inner[1])
            assert command is not None, inner[1]
        options = {option for parameter in command.params for option in parameter.opts}
        for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", rest):
            assert option in options | {"--help"}, f"hcp {verb} {option}"


@pytest.mark.parametrize("name", ["README.md", "GETTING_STARTED.md"])
def test_every_make_target_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"(?:`|^    )make ([a-z-]+)", (ROOT / name).read_text(), re.MULTILINE))
    assert used
    assert used <= targets


@pytest.mark.parametrize("name", ["README.md", "GETTING_STARTED.md"])
def test_every_file_linked_exists(name: str) -> None:
    text = (ROOT / name).read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_penalties_are_told_in_their_order() -> None:
    text = (ROOT / "README.md").read_text()
    rows = re.findall(r"^  \| ([a-z, ]+?)(?: \([a-z ]+\))? \| .*?(?:([\d,]+) USD/MWh.*)? \|$", text, re.MULTILINE)
    told = [(rule, penalty.replace(",", "")) for rules, penalty in rows for rule in rules.split(", ")]
    priced = [(rule, f"{PENALTY_USD_MWH[rule]:.0f}" if rule in PENALTY_USD_MWH else "") for rule in ORDER]
    assert told[-len(priced) :] == priced


def test_the_verbs_that_people_know_are_there() -> None:
    text = (ROOT / "Makefile").read_text()
    described = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    wanted = "setup start stop restart clean logs health db-shell timescale-shell test lint build backup-db demo bench"
    assert set(wanted.split()) <= described
