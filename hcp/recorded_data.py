"""Where recorded prices and traces are looked for, unless a command is told another folder."""

from pathlib import Path

DATA = Path(__file__).parents[2] / "shared" / "data"
