"""Demonstrations, renders and exports."""
