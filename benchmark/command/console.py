"""Words on the console while stdout goes to a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def say(console: TextIO, text: str) -> None:
    """Write a line now."""
    console.write(text + "\n")
    console.flush()


def say_start(console: TextIO, device: str) -> None:
    """Say that the simulation starts on ``device`` (or ``auto``), and what to expect of a machine's first start."""
    from flow_rag_vla.tasks.facts.device import default_device

    on_gpu = (default_device() if device == "auto" else device).startswith("cuda")
    # Measured: benchmark/README.md, "Where it ran".
    takes = "it took 4 minutes on an H200, later ones seconds" if on_gpu else "about a minute"
    say(console, f"starting the simulation (the first start on a machine compiles kernels: {takes})")
