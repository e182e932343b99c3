"""The rollup: telemetry to windows of each resource group, at the rate of the whole fleet and exactly once."""
