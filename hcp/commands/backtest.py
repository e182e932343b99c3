"""`hcp backtest`: what our decisions would have earned on recorded prices, beside rules and perfect foresight."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hcp import console
from hcp.backtest import engine, recording, report
from hcp.backtest.decider import AlwaysOn, BreakEven, FixedHours
from hcp.backtest.error import BacktestError
from hcp.backtest.fleet import Fleet
from hcp.backtest.market import Market
from hcp.backtest.planner import HORIZON_MS, Planner
from hcp.backtest.recording import Files, KnownWhen
from hcp.event_time import parse_time
from hcp.recorded_data import DATA
from schemas.events import Facility, Resource
from simulators.site import operator
from streams.domain.forecast import backtest as forecast_backtest
from streams.domain.forecast import point as point_forecast
from streams.domain.forecast.quantile import Combination, Horizon, QuantileMethod, Spread

REFIT_MS = 7 * 86_400_000
"""How often the forecasts that are judged learn again."""


class Deciding(StrEnum):
    """Whose decisions are tested."""

    PLAN = "plan"
    LIVE = "live"


def backtest(  # noqa: PLR0917 - typer reads options from the parameters
    start: Annotated[str, typer.Option("--from", help="First day, ISO 8601, UTC; whole weeks are run from here.")],
    end: Annotated[str, typer.Option("--to", help="Day after the last one, ISO 8601, UTC.")],
    point: Annotated[
        list[str] | None, typer.Option(help="Settlement point of a facility; may be given again.  [default: HB_WEST]")
    ] = None,
    data: Annotated[Path, typer.Option(envvar="HCP_DATA", help="Folder of recorded files, found by name.")] = DATA,
    prices: Annotated[Path | None, typer.Option(exists=True, help="CSV of real-time prices.")] = None,
    day_ahead: Annotated[Path | None, typer.Option(exists=True, help="CSV of day-ahead prices.")] = None,
    bitcoin: Annotated[Path | None, typer.Option(exists=True, help="CSV of daily price, difficulty, fees.")] = None,
    bitcoin_hourly: Annotated[Path | None, typer.Option(exists=True, help="CSV of hourly prices of Bitcoin.")] = None,
    fx: Annotated[float | None, typer.Option(min=0.01, help="USD for one CAD, for AESO_POOL.")] = None,
    known: Annotated[KnownWhen, typer.Option(help="When an interval's real-time price is known.")] = KnownWhen.AFTER,
    decider: Annotated[
        Deciding, typer.Option(help="Forecast and plan, or the workers' own functions.")
    ] = Deciding.PLAN,
    miners: Annotated[int, typer.Option(min=1, help="ASICs of the operator, spread over its sites.")] = 2000,
    pinball: Annotated[bool, typer.Option("--pinball", help="Also judge the forecasts by their pinball loss.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a plot to this PNG.")] = None,
) -> None:
    """Run our decisions through recorded weeks, each by what was known then; settle them at the prices that came."""
    first, last = parse_time(start, "--from"), parse_time(end, "--to")
    if last - first < timedelta(weeks=1):
        raise typer.BadParameter("--from and --to have to be a week apart, at least")
    files = Files(data, prices, day_ahead, bitcoin, bitcoin_hourly, fx)
    points = point or ["HB_WEST"]
    for number, name in enumerate(points):
        market = recording.read(files, name, first, last, known)
        facility, resources = _facility(name, miners)
        fleet = Fleet(facility, resources, market.interval_ms)
        console.say(
            f"{name}: {facility.facility_id}, cap {facility.cap_mw:.3f} MW, intervals of"
            f" {fleet.interval_ms // 60_000} min, real-time price known {known.value.replace('-', ' ')}"
        )
        if pinball:
            console.out.print(_losses(market, first, last))
        ours = _ours(fleet, resources, decider)
        weeks = _run(market, fleet, {decider.value: ours, **_rules(fleet)}, first, last)
        console.out.print(report.week_table(weeks, decider.value))
        if (leads := report.lead_table(weeks, decider.value)) is not None:
            console.out.print(leads)
        for line in report.summary(weeks, decider.value):
            console.out.print(line, markup=False, soft_wrap=True)
        if plot is not None:
            file = plot if len(points) == 1 else plot.with_stem(f"{plot.stem}-{name}")
            report.plot(weeks, decider.value, name, file)
            console.say(f"plot: {file}")
        if number + 1 < len(points):
            console.out.print()


def _run(
    market: Market, fleet: Fleet, deciders: Mapping[str, engine.NewDecider], first: datetime, last: datetime
) -> list[engine.Week]:
    weeks: list[engine.Week] = []
    starts = engine.weeks(_ms(first), _ms(last))
    with _bar() as bar:
        for start_ms in bar.track(starts, description=f"weeks of {market.point}"):
            week = engine.run_week(market, fleet, deciders, start_ms)
            if week is None:
                console.say(
                    f"the week from {datetime.fromtimestamp(start_ms / 1000, UTC):%Y-%m-%d} lacks a price: left out"
                )
            else:
                weeks.append(week)
    if not weeks:
        raise BacktestError("no week has all of its prices: choose other dates or another file")
    return weeks


def _ours(fleet: Fleet, resources: tuple[Resource, ...], decider: Deciding) -> engine.NewDecider:
    match decider:
        case Deciding.PLAN:
            return lambda: Planner(fleet)
        case Deciding.LIVE:
            # OR-tools and scikit-learn take seconds to import, which every other command would wait for.
            from hcp.backtest.live import LivePath  # noqa: PLC0415

            return lambda: LivePath(fleet, resources)


def _rules(fleet: Fleet) -> dict[str, engine.NewDecider]:
    return {
        "break-even": lambda: BreakEven(fleet),
        "always on": lambda: AlwaysOn(fleet),
        "fixed hours": lambda: FixedHours(fleet),
    }


def _losses(market: Market, first: datetime, last: datetime) -> Table:
    from streams.domain.forecast.boosting import Boosting  # noqa: PLC0415 - as above

    methods: dict[str, QuantileMethod] = {
        "persistence": Spread(point_forecast.persistence),
        "same hour last week": Spread(point_forecast.last_week),
    }
    if len(market.prices.day_ahead.values):
        methods["day-ahead"] = Spread(point_forecast.day_ahead)
        methods["day-ahead and deviation"] = Spread(point_forecast.blend)
    methods["gradient boosting"] = Boosting()
    methods["boosting and persistence"] = Combination((Boosting(), Spread(point_forecast.persistence)))
    horizon = Horizon(market.interval_ms, max(HORIZON_MS // market.interval_ms, 1))
    starts = range(_ms(first), _ms(last), REFIT_MS)
    scored = forecast_backtest.scores(
        market.prices, methods, horizon, start_ms=starts.start, end_ms=starts.stop, refit_ms=REFIT_MS
    )
    with _bar() as bar:
        *_, found = bar.track(scored, total=len(starts), description="forecasts")
    return report.loss_table(found, market.interval_ms)


def _facility(point: str, miners: int) -> tuple[Facility, tuple[Resource, ...]]:
    whole = operator(miners, 0, 0)
    by_point = {facility.settlement_point: facility for facility in whole.facilities}
    if point not in by_point:
        raise typer.BadParameter(f"no facility settles at {point!r}; the points are {', '.join(sorted(by_point))}")
    # Without GPUs nothing has to run all the time; all energy is bought at the real-time price, no charge by
    # coincident peaks and no award is settled.
    facility = replace(by_point[point], min_load_mw=0.0, block_mw=0.0, transmission_usd_kw_year=0.0, capacity_awards=[])
    return facility, tuple(r for r in whole.resources if r.facility_id == facility.facility_id)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console.err, transient=True, disable=not console.err.is_terminal)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
