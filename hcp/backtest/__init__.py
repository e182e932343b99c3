"""Decisions on recorded prices: what they would have earned, beside simple rules and perfect foresight."""
