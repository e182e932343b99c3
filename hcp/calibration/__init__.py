"""Simulated years beside the recorded ones: `hcp simulate --check`."""
