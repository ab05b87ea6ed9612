"""Failure detectors: episodes to learn from, fits, measurements."""
