"""Simulated fleets, markets, grids and workloads that produce the events real ones would, and obey commands."""
