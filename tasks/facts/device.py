"""Where to simulate when nobody says so, or where there is no GPU."""

from __future__ import annotations

import warnings

import torch


def default_device() -> str:
    """``cuda:0`` where there is one, else ``cpu``."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def usable_device(device: str) -> str:
    """``device``, or ``cpu`` with a warning where it is a CUDA device and there is none.

    ``isaaclab train`` and ``isaaclab play`` ask for ``cuda:0`` unless told otherwise, over the task's own default.
    """
    if not device.startswith("cuda") or torch.cuda.is_available():
        return device
    warnings.warn(f"no CUDA device for {device}: simulating on cpu", stacklevel=2)
    return "cpu"
