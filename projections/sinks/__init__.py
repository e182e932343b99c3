"""The stores that projections write to, one module each; see `projections.sink`."""
