"""What a start of the simulation says of itself."""

from __future__ import annotations

import io

import pytest

from flow_rag_vla.benchmark.command.console import say_start


@pytest.mark.parametrize(
    ("device", "gpu", "said"),
    [
        ("cpu", True, "about a minute)"),
        ("auto", False, "about a minute)"),
        ("auto", True, "it took 4 minutes on an H200, later ones seconds)"),
        ("cuda:1", True, "it took 4 minutes on an H200, later ones seconds)"),
    ],
)
def test_a_first_start_is_said_to_take_as_long_as_it_does_on_its_device(monkeypatch, device, gpu, said):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    console = io.StringIO()
    say_start(console, device)
    assert console.getvalue().endswith(f"compiles kernels: {said}\n")
