"""A fleet that breaks is closed, by every command that builds one."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flow_rag_vla.agents.arms.catalogue import EXPERT, FLOW_ONLY
from flow_rag_vla.agents.arms.settings import AgentSettings
from flow_rag_vla.benchmark.detectors import collect_failures
from flow_rag_vla.benchmark.engines import compare
from flow_rag_vla.benchmark.episodes.plan import Unit
from flow_rag_vla.benchmark.policies import evaluate, policy_table, throughput
from flow_rag_vla.benchmark.run import waiting_units
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.benchmark.workers.barriers import Barriers
from flow_rag_vla.memory.failure_memory import FailureMemory

TASK = "pick_place"


def evaluated(out: Path) -> None:
    request = evaluate.EvaluationRequest(
        TASK,
        "default",
        2,
        0,
        "development",
        EXPERT.name,
        "none",
        ode_steps=None,
        execute=None,
        physics="auto",
        device="cpu",
    )
    evaluate.evaluate(request, io.StringIO())


def timed(out: Path) -> None:
    throughput.measure_throughput(TASK, "auto", 2, [throughput.RAW], 1, 0, AgentSettings(), lambda row: None)


def tabulated(out: Path) -> None:
    policy_table.measure_table(policy_table.TableRequest({}, (TASK,), (1,), (1,), 2, 0, 1, 1), io.StringIO())


def collected(out: Path) -> None:
    request = collect_failures.CollectionRequest(TASK, EXPERT.name, "default", "development", 0, 8, 2, "auto", "cpu")
    collect_failures.collect_failures(request, out / "set.safetensors", io.StringIO())


def compared(out: Path) -> None:
    request = compare.CompareRequest(
        TASK,
        ("none",),
        (EXPERT.name,),
        2,
        ("newton_mujoco",),
        2,
        seed=1,
        checkpoint="default",
        device="cpu",
        controls=True,
    )
    compare.outcomes(request, io.StringIO(), lambda cells: None)


def benchmarked(out: Path) -> None:
    run: Any = SimpleNamespace(
        settings=BenchmarkSettings(num_envs=2),
        plan=SimpleNamespace(units=(Unit(FLOW_ONLY.name, 0, 2, ()),)),
        directory=SimpleNamespace(
            path=out,
            unit=lambda unit: out / unit.id,
            why_not_done=lambda unit: "it has not run",
            set_aside=lambda unit: None,
            begin=lambda unit: broken(),
        ),
        networks=SimpleNamespace(vision=None, policy=None),
        arm_settings=lambda latency: None,
        barriers=lambda: Barriers(out, (), lambda source: FailureMemory()),
    )
    waiting_units.run_waiting_units(run, io.StringIO(), lambda: None)


def broken(*_: object) -> None:
    raise RuntimeError("the solver broke")


@pytest.mark.parametrize(
    ("module", "command"),
    [
        (evaluate, evaluated),
        (throughput, timed),
        (policy_table, tabulated),
        (collect_failures, collected),
        (compare, compared),
        (waiting_units, benchmarked),
    ],
)
def test_a_fleet_that_breaks_is_closed(
    module: Any, command: Callable[[Path], None], fake_fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    fleet = fake_fleet(5, 5)
    monkeypatch.setattr(fleet, "load", broken)
    monkeypatch.setattr(module, "make_fleet", lambda *args, **kwargs: fleet)
    with pytest.raises(RuntimeError, match="the solver broke"):
        command(tmp_path)
    assert fleet.calls == ["close"]
