"""Scenarios, the sites that hide hazards in them, and files that describe sites."""
