"""A table made again from the log while the old one serves: `projections.rebuild.run` has the protocol."""
