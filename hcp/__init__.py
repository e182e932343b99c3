"""The command `hcp` and the one settings object."""
