"""Errors that a user can cause and one line can explain."""

from __future__ import annotations


class UsageError(Exception):
    """Bad input: its message names what was got, what was expected and what is available."""
