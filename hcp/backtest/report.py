"""The backtest for people: a table by week, one of the forecasts' losses, and a plot."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.table import Table

from hcp.backtest.engine import FORESIGHT, Week
from hcp.backtest.error import BacktestError
from streams.domain.forecast.backtest import Score

SPIKE_USD_MWH = 500.0
"""A week has a spike where a settlement price reaches this: several times what mining can pay for power."""

GOAL = 0.97
_CENT = 0.01


def signs(week: Week) -> str:
    """What is special about the prices of a week."""
    spike = ["spike"] if week.price_usd_mwh.max() >= SPIKE_USD_MWH else []
    negative = ["negative"] if week.price_usd_mwh.min() < 0 else []
    return ", ".join(spike + negative)


def rules(week: Week, ours: str) -> list[str]:
    """Names of those that we are compared with."""
    return [name for name in week.margin_usd if name not in {ours, FORESIGHT}]


def best_rule(week: Week, ours: str) -> str:
    """The rule that earned most."""
    return max(rules(week, ours), key=lambda name: week.margin_usd[name])


def lead_usd(week: Week, ours: str) -> float:
    """What the best rule earned more than we did; 0 where that is less than a cent."""
    lead = week.margin_usd[best_rule(week, ours)] - week.margin_usd[ours]
    return lead if lead > _CENT else 0.0


def total_share(weeks: Sequence[Week], name: str) -> float:
    """Margin of all weeks as a share of perfect foresight's."""
    best = sum(week.margin_usd[FORESIGHT] for week in weeks)
    return sum(week.margin_usd[name] for week in weeks) / best if best > 0 else float("nan")


def week_table(weeks: Sequence[Week], ours: str) -> Table:
    """Share of perfect foresight by week, ours first; `<` marks weeks in which a rule earned more."""
    names = [ours, *rules(weeks[0], ours)]
    table = Table("week from")
    for heading in (*names, f"{FORESIGHT}, USD", "USD/MWh"):
        table.add_column(heading, justify="right")
    table.add_column("with")
    for week in weeks:
        table.add_row(
            _day(week.start_ms),
            f"{'< ' if lead_usd(week, ours) else ''}{week.share(ours):.2%}",
            *(f"{week.share(name):.2%}" for name in names[1:]),
            f"{week.margin_usd[FORESIGHT]:,.0f}",
            f"{week.price_usd_mwh.min():.0f} to {week.price_usd_mwh.max():,.0f}",
            signs(week),
        )
    table.add_section()
    total_usd = sum(week.margin_usd[FORESIGHT] for week in weeks)
    table.add_row("all", *(f"{total_share(weeks, name):.2%}" for name in names), f"{total_usd:,.0f}", "", "")
    table.add_row("worst", *(f"{min(week.share(name) for week in weeks):.2%}" for name in names), "", "", "")
    return table


def lead_table(weeks: Sequence[Week], ours: str) -> Table | None:
    """The weeks in which a rule earned more, greatest lead first: which one, its share, and by how much; None without.

    The lead is in USD and as a share of perfect foresight.
    """
    led = sorted((week for week in weeks if lead_usd(week, ours)), key=lambda week: -lead_usd(week, ours))
    if not led:
        return None
    table = Table("week from", "rule")
    for heading in ("its share", "ours", "lead, USD", "lead"):
        table.add_column(heading, justify="right")
    for week in led:
        rule, lead = best_rule(week, ours), lead_usd(week, ours)
        shares = (f"{week.share(name):.2%}" for name in (rule, ours))
        table.add_row(_day(week.start_ms), rule, *shares, f"{lead:,.2f}", f"{lead / week.margin_usd[FORESIGHT]:.3%}")
    return table


def summary(weeks: Sequence[Week], ours: str) -> list[str]:
    """Whether the goal was reached, as lines."""
    reached = sum(week.share(ours) >= GOAL for week in weeks)
    above = sum(not lead_usd(week, ours) for week in weeks)
    most = max(lead_usd(week, ours) / week.margin_usd[FORESIGHT] for week in weeks)
    return [
        f"{total_share(weeks, ours):.2%} of perfect foresight; {GOAL:.0%} or more in {reached} of {len(weeks)} weeks",
        f"no rule earned more in {above} of {len(weeks)} weeks, and by {most:.2%} at most",
    ]


def loss_table(scores: Mapping[str, Score], step_ms: int) -> Table:
    """Pinball loss by lead: of the first interval, and of those that begin 1/2, 1, 2 hours … ahead."""
    intervals = len(next(iter(scores.values())).loss)
    leads = [0, *(lead for k in range(1, intervals) if (lead := 2**k - 1) < intervals)]
    table = Table("pinball loss, USD/MWh")
    for lead in leads:
        table.add_column(f"{(lead + 1) * step_ms // 60_000} min", justify="right")
    table.add_column("all", justify="right")
    for name, score in scores.items():
        mean = score.loss.sum() / max(score.answers.sum(), 1)
        table.add_row(name, *(f"{score.mean[lead]:.2f}" for lead in leads), f"{mean:.2f}")
    return table


def plot(weeks: Sequence[Week], ours: str, point: str, file: Path) -> None:
    """Writes a PNG: shares by week, and prices with our load in the week of the highest price.

    Raises BacktestError where matplotlib is missing or the file can't be written.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra: only who plots needs it
    except ImportError as error:
        raise BacktestError("a plot needs matplotlib: pip install 'mara-hcp[plot]'") from error
    figure = Figure(figsize=(11, 9), layout="constrained")
    shares, prices, loads = figure.subplots(3, 1)
    days = [datetime.fromtimestamp(week.start_ms / 1000, UTC) for week in weeks]
    for name in (ours, *rules(weeks[0], ours)):
        shares.plot(days, [100 * week.share(name) for week in weeks], marker=".", label=name)
    shares.axhline(100 * GOAL, color="grey", linestyle=":", label=f"goal of {GOAL:.0%}")
    shares.set(ylim=(70, 100.5), ylabel="% of perfect foresight", title=f"{point}, margin by week")
    shares.legend(loc="lower left", ncols=3)
    week = max(weeks, key=lambda week: float(week.price_usd_mwh.max()))
    step_ms = (7 * 86_400_000) // len(week.price_usd_mwh)
    times = [datetime.fromtimestamp((week.start_ms + n * step_ms) / 1000, UTC) for n in range(len(week.price_usd_mwh))]
    prices.step(times, week.price_usd_mwh, where="post", color="black")
    prices.set(yscale="symlog", ylabel="USD/MWh", title="the week with the highest price")
    for name in (FORESIGHT, ours):
        loads.step(times, week.load_mw[name], where="post", label=name, alpha=0.8)
    loads.set(ylabel="load, MW", ylim=(0, 1.05 * max(float(np.max(load)) for load in week.load_mw.values())))
    loads.legend(loc="lower left")
    try:
        figure.savefig(file, format="png", dpi=110)
    except OSError as error:
        raise BacktestError(f"the plot can't be written to {file}") from error


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"
