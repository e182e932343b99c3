"""Bridges: real devices and systems in place of the simulated ones. A source gives lines of JSON, `Intake` checks them
as `hcp produce` does, `Delivery` says when Kafka has them.
"""
