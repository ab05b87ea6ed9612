"""Hazards at work: the vectorised functions that turn fault parameters into physics, percepts and commands."""
