"""The pinball loss, by which quantile forecasts are judged."""

import numpy as np

from streams.domain.forecast.history import Floats


def pinball_loss(actual: Floats, quantiles: Floats, levels: Floats) -> Floats:
    """Loss of each forecast, averaged over the levels; in the unit of the price. Lower is better.

    level * (y - q) where the actual y is at or above the quantile q, else (1 - level) * (q - y) (Koenker and Bassett,
    Regression Quantiles, Econometrica 46, 1978). `actual`: (n,); `quantiles`: (n, levels); returns (n,).
    """
    error = actual[:, None] - quantiles
    loss: Floats = np.maximum(levels * error, (levels - 1) * error).mean(axis=1)
    return loss
