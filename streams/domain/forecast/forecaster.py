"""Forecasts of a settlement point that has no day-ahead market, each from its newest price on.

At the start of each day (UTC) the methods are fitted anew and the best one is chosen: by its pinball loss in the week
before, each fitted to what was known before that week. The fit depends on the prices published by then alone, in
whatever order they came, so a restart finds the same one.

Publications count from the start of the interval that they fall in, as does the moment of asking: a price that comes
seconds into its interval is one known at its start, then and in what is learnt.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from schemas.events import ForecastInterval, ForecastMethod, ForecastScore, GridPrice, PriceForecast
from streams.domain import identity
from streams.domain.forecast import point
from streams.domain.forecast.backtest import Score, scores
from streams.domain.forecast.boosting import FIT_DAYS, Boosting
from streams.domain.forecast.history import Floats, PriceHistory, Published, empty
from streams.domain.forecast.quantile import DAY_MS, Horizon, QuantileMethod, QuantileModel, Spread, means

SPAN_MS = 6 * 3_600_000
"""How far is forecast: the four hours of a plan from any moment until the next price comes, with some to spare."""
LEAST_DAYS = 21
"""Of history: a week to judge the methods by, and two before it that they are fitted to."""
LEAST_INTERVAL_S = 300
"""What is shorter has no forecast: markets dispatch every five minutes, and a spread of all leads would take long."""
METHODS: Mapping[str, QuantileMethod] = {
    ForecastMethod.BOOSTING: Boosting(),
    ForecastMethod.PERSISTENCE: Spread(point.persistence),
    ForecastMethod.SAME_HOUR_LAST_WEEK: Spread(point.last_week),
}
_WEEK_MS = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class _Fit:
    method: ForecastMethod
    model: QuantileModel
    scores: tuple[ForecastScore, ...]


@dataclass(slots=True)
class Forecaster:
    """Takes the real-time prices of a settlement point, in any order, and forecasts from the newest one on.

    All have intervals of one length. Of several prices of an interval the one published first counts; one that claims
    to be known more than an interval ahead is none of a real-time market. Not thread-safe.
    """

    _prices: dict[int, GridPrice] = field(default_factory=dict)
    _newest: GridPrice | None = None
    _fit: _Fit | None = None
    _tried_ms: int | None = None

    @property
    def newest(self) -> GridPrice | None:
        """The price of the latest interval."""
        return self._newest

    def add(self, price: GridPrice) -> None:
        """Takes a price."""
        if price.interval_start > price.observed_at + timedelta(seconds=price.interval_s):
            return
        start_ms = _ms(price.interval_start)
        known = self._prices.get(start_ms)
        if known is not None and _order(known) <= _order(price):
            return
        self._prices[start_ms] = price
        if self._newest is None or price.interval_start >= self._newest.interval_start:
            self._newest = price
        if self._tried_ms is not None and _known_ms(price) < self._tried_ms:
            self._fit, self._tried_ms = None, None

    def forecast(self) -> PriceForecast | None:
        """The forecast from the newest price on; None where too little is known to learn from."""
        price = self._newest
        if price is None or price.interval_s < LEAST_INTERVAL_S:
            return None
        step_ms = price.interval_s * 1000
        horizon = Horizon(step_ms, max(math.ceil(SPAN_MS / step_ms), 2))
        asked_ms = _known_ms(price)
        fitted_ms = asked_ms - asked_ms % DAY_MS
        history = self._history(fitted_ms)
        if self._tried_ms != fitted_ms:
            self._fit, self._tried_ms = _fitted(history, horizon, fitted_ms), fitted_ms
        fit = self._fit
        if fit is None:
            return None
        deliveries = horizon.deliveries(asked_ms)
        quantiles = fit.model.quantiles(history, np.full(len(deliveries), asked_ms), deliveries)
        if not np.isfinite(quantiles).all():
            return None
        return PriceForecast(
            event_id=identity.forecast_event_id(price.event_id),
            settlement_point=price.settlement_point,
            observed_at=price.observed_at,
            price_event_id=price.event_id,
            fitted_at=_time(fitted_ms),
            method=fit.method,
            scores=list(fit.scores),
            interval_s=price.interval_s,
            intervals=_intervals(deliveries.tolist(), quantiles),
        )

    def _history(self, fitted_ms: int) -> PriceHistory:
        # A fit at the start of the held-out week looks back furthest; a week before that is a feature.
        first_ms = fitted_ms - FIT_DAYS * DAY_MS - 2 * _WEEK_MS
        kept = sorted(start_ms for start_ms in self._prices if start_ms >= first_ms)
        self._prices = {start_ms: self._prices[start_ms] for start_ms in kept}
        prices = self._prices.values()
        published_ms = np.maximum.accumulate(np.array([_known_ms(price) for price in prices], np.int64))
        values = np.array([price.price_usd_mwh for price in prices])
        step_ms = next(iter(prices)).interval_s * 1000
        return PriceHistory(Published(step_ms, np.array(kept, np.int64), published_ms, values), empty(step_ms))


def _fitted(history: PriceHistory, horizon: Horizon, fitted_ms: int) -> _Fit | None:
    """The best of the methods; None where history is shorter than LEAST_DAYS or has nothing to judge them by."""
    if history.real_time.start_ms[0] > fitted_ms - LEAST_DAYS * DAY_MS:
        return None
    week_ms = fitted_ms - _WEEK_MS
    try:
        *_, found = scores(history, METHODS, horizon, start_ms=week_ms, end_ms=fitted_ms, refit_ms=_WEEK_MS)
        losses = {ForecastMethod(name): _loss(score) for name, score in found.items()}
        best = min(losses, key=lambda method: losses[method])
        if math.isnan(losses[best]):
            return None
        model = METHODS[best].fit(history, horizon, fitted_ms)
    except ValueError:
        # A lead that no price has ever come of: the history has a hole where the methods look.
        return None
    told = tuple(ForecastScore(method=method, pinball_loss_usd_mwh=round(loss, 2)) for method, loss in losses.items())
    return _Fit(best, model, told)


def _loss(score: Score) -> float:
    """Mean over the intervals after that of the asking, whose own price is known or nearly."""
    answers = float(score.answers[1:].sum())
    return float(score.loss[1:].sum()) / answers if answers else math.nan


def _intervals(deliveries_ms: list[int], quantiles: Floats) -> list[ForecastInterval]:
    # To the cent, as prices are settled: the last bits of a sum differ between processors.
    rows = np.column_stack([means(quantiles), quantiles]).round(2).tolist()
    return [
        ForecastInterval(
            starts_at=_time(at_ms),
            expected_usd_mwh=expected,
            p05_usd_mwh=p05,
            p25_usd_mwh=p25,
            p50_usd_mwh=p50,
            p75_usd_mwh=p75,
            p95_usd_mwh=p95,
        )
        for at_ms, (expected, p05, p25, p50, p75, p95) in zip(deliveries_ms, rows, strict=True)
    ]


def _known_ms(price: GridPrice) -> int:
    """Start of the interval in which a price was published."""
    start_ms, step_ms = _ms(price.interval_start), price.interval_s * 1000
    return start_ms + (_ms(price.observed_at) - start_ms) // step_ms * step_ms


def _order(price: GridPrice) -> tuple[datetime, str]:
    return price.observed_at, price.event_id


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
