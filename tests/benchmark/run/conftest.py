"""A whole run on a fleet without physics, in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flow_rag_vla.benchmark.workers.launch import Launch

PLAIN = (
    "scenarios=16",
    "rounds=1",
    "num_envs=16",
    "max_steps=12",
    "split=development",
    "device=cpu",
    "physics=newton_mujoco",
)


@pytest.fixture
def start_fake(fake_fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Starts and carries out a run whose every other episode times out; ``resume_benchmark`` meets the same fleet.

    Returns its directory.  Stills and the latency probe are left out.
    """
    from flow_rag_vla.benchmark.run import carry_out, decision_times, resume, run_plan, waiting_units
    from flow_rag_vla.benchmark.run.config import compose_settings
    from flow_rag_vla.benchmark.run.start import start_benchmark
    from flow_rag_vla.benchmark.scoring.timing import ArmTiming, Percentiles, Timing

    def made(task: str, num_envs: int, **options: object):
        return fake_fleet(*[5, 99] * (num_envs // 2), max_episode_length=12)

    monkeypatch.setattr(waiting_units, "make_fleet", made)
    timing = Timing({"parallel": ArmTiming(Percentiles(1.0, 2.0, 3.0))})
    monkeypatch.setattr(decision_times.DecisionTimes, "_probe", lambda self: timing)
    monkeypatch.setattr(carry_out, "render_stills", lambda path, console: None)
    monkeypatch.setattr(resume, "render_stills", lambda path, console: None)
    # What checks the preset loads the simulator.
    monkeypatch.setattr(run_plan, "resolve_physics", lambda physics, device: physics)
    monkeypatch.setitem(
        sys.modules,
        "flow_rag_vla.tasks.physics.presets",
        SimpleNamespace(require_physics=lambda physics, device: None),
    )

    def start(*overrides: str, out: Path | None = None, launch: Launch | None = None) -> Path:
        out = tmp_path / "runs" if out is None else out
        before = set(out.glob("*"))
        reporter: Any = SimpleNamespace(build=lambda run_dir: run_dir / "report", table=lambda run_dir: "")
        given = {override.partition("=")[0] for override in overrides}
        plain = [setting for setting in PLAIN if setting.partition("=")[0] not in given]
        start_benchmark(
            compose_settings([*plain, f"out='{out}'", *overrides]), ["--made", "by a test"], reporter, launch
        )
        (path,) = set(out.glob("*")) - before
        return path

    return start
