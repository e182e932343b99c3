"""Benchmarks: measured and printed, never asserted on time."""
