"""Words on the console while stdout goes to a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def say(console: TextIO, text: str) -> None:
    """Write a line now."""
    console.write(text + "\n")
    console.flush()
