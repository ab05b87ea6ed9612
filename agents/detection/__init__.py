"""The learned failure detector: what it sees, its network, its thresholds, and what it is compared with."""
