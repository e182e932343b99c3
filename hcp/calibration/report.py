"""The comparison for people: a table, whether all is within its tolerance, and plots."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from hcp.calibration.error import CalibrationError
from hcp.calibration.figure import Floats
from hcp.calibration.section import Section

_VERDICTS = {True: "pass", False: "FAIL", None: ""}


def table(sections: Sequence[Section]) -> Table:
    """Every figure of every series, simulated and recorded."""
    found = Table("", "figure", "unit")
    for heading in ("simulated", "recorded", ""):
        found.add_column(heading, justify="right")
    for section in sections:
        found.add_section()
        for number, row in enumerate(section.comparisons()):
            recorded = "" if row.recorded is None else _number(row.recorded)
            unit = section.unit if not row.name.startswith(("correlation", "excess", "% ")) else ""
            name = section.name if number == 0 else ""
            found.add_row(name, row.name, unit, _number(row.simulated), recorded, _VERDICTS[row.is_within])
    return found


def summary(sections: Sequence[Section]) -> tuple[str, bool]:
    """How many figures are within their tolerance, and whether all that have a recorded one are."""
    verdicts = [row.is_within for section in sections for row in section.comparisons() if row.is_within is not None]
    return f"{sum(verdicts)} of {len(verdicts)} figures are within their tolerance", all(verdicts)


def plot(section: Section, folder: Path) -> Path:
    """Writes the series' values by rank as a PNG and returns its path.

    Raises CalibrationError where matplotlib is missing or the file can't be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra: only who plots needs it
    except ImportError as error:
        raise CalibrationError("plots need matplotlib: pip install 'mara-hcp[plot]'") from error
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for label, values in (("simulated", section.simulated), ("recorded", section.recorded)):
        if values is not None:
            axes.plot(*_by_rank(values), label=label)
    axes.set(title=section.name, xlabel="% of values below", ylabel=section.unit, yscale="symlog")
    axes.legend()
    file = folder / f"{'-'.join(re.findall('[a-z0-9_]+', section.name.lower()))}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, format="png", dpi=110)
    except OSError as error:
        raise CalibrationError(f"the plot can't be written to {file}") from error
    return file


def _by_rank(values: Floats) -> tuple[Floats, Floats]:
    percent = np.linspace(0, 100, 1001)
    return percent, np.percentile(values, percent)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
