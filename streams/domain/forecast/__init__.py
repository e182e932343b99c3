"""Forecasts of power prices over the horizon, from what was published by a moment."""
