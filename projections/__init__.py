"""Projections: tables derived from topics, exactly once, and how they are declared, migrated and written."""
