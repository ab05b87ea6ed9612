"""The learned failure detector: what it sees, its network, its thresholds, and what it is compared with."""

DETECTORS: tuple[str, ...] = ("rules", "learned")
"""Who may notice failures in a fleet."""
