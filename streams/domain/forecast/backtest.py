"""How good forecasts would have been: the pinball loss of each method by lead, each fitted to its past only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from streams.domain.forecast.history import Floats, PriceHistory
from streams.domain.forecast.pinball import pinball_loss
from streams.domain.forecast.quantile import LEVELS, Horizon, QuantileMethod, samples


@dataclass(slots=True)
class Score:
    """Sums by lead: `loss` in USD/MWh and the `answers` that it is of; both (intervals,)."""

    loss: Floats
    answers: Floats

    @property
    def mean(self) -> Floats:
        """Mean loss of each lead; NaN without answers."""
        return np.where(self.answers > 0, self.loss / np.maximum(self.answers, 1), np.nan)


def scores(
    history: PriceHistory,
    methods: Mapping[str, QuantileMethod],
    horizon: Horizon,
    *,
    start_ms: int,
    end_ms: int,
    refit_ms: int,
) -> Iterator[dict[str, Score]]:
    """Yields the scores so far, after each `refit_ms` of [start, end): methods learn what was known at its start.

    Questions that a method has no answer to count for none of them, so that all are judged by the same.
    """
    total = {name: Score(np.zeros(horizon.intervals), np.zeros(horizon.intervals)) for name in methods}
    for now_ms in range(start_ms, end_ms, refit_ms):
        asked = samples(history, horizon, start_ms=now_ms, end_ms=min(now_ms + refit_ms, end_ms))
        known = history.known(now_ms)
        answers = {
            name: method.fit(known, horizon, now_ms).quantiles(history, asked.asked_ms, asked.delivery_ms)
            for name, method in methods.items()
        }
        there = np.all([~np.isnan(answer).any(axis=1) for answer in answers.values()], axis=0)
        lead = horizon.lead(asked.asked_ms, asked.delivery_ms)[there]
        for name, answer in answers.items():
            loss = pinball_loss(asked.actual[there], answer[there], np.array(LEVELS))
            total[name].loss += np.bincount(lead, loss, horizon.intervals)
            total[name].answers += np.bincount(lead, minlength=horizon.intervals)
        yield total
