"""Texts that reach terminals and reports: what in them would do more than be read, and how it is shown."""

from __future__ import annotations

import unicodedata

_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
"""Control characters, halves of surrogate pairs (bytes that are no UTF-8), and breaks of lines and paragraphs."""

_DIRECTIONS = set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that make a text look like another, by the direction in which it is written."""


def hides_something(text: str) -> bool:
    """Whether ``text`` holds a character that does more than be read; letters of all scripts and spaces do not."""
    return any(_acts(character) for character in text)


def shown(text: str, most: int) -> str:
    """``text`` with such characters written as escapes, and its end left out where it has more than ``most``."""
    kept = "".join(ascii(c)[1:-1] if _acts(c) else c for c in text[:most])
    return kept if len(text) <= most else f"{kept}... ({len(text) - most} characters more)"


def _acts(character: str) -> bool:
    return character in _DIRECTIONS or (character != "\t" and unicodedata.category(character) in _CATEGORIES)
