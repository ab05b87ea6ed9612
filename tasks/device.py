"""Where to simulate when nobody says so."""

from __future__ import annotations

import torch


def default_device() -> str:
    """``cuda:0`` where there is one, else ``cpu``."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"
