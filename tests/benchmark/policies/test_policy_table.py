"""Which variants a table covers, and how its rows read."""

from __future__ import annotations

from pathlib import Path

from flow_rag_vla.benchmark.policies.policy_table import (
    TableRequest,
    Variant,
    success_markdown,
    timing_markdown,
    variants,
)

REQUEST = TableRequest(
    networks={"default": Path("a"), "short": Path("b")},
    tasks=("lift",),
    evaluations=(2, 1),
    executed=(8, 16),
    num_envs=4,
    seed=0,
    batch=1024,
    threads=2,
)


def test_each_axis_is_varied_at_the_first_value_of_the_other_and_within_the_horizon():
    assert variants(REQUEST, {"default": 16, "short": 8}) == [
        Variant("default", 2, 8),
        Variant("default", 1, 8),
        Variant("default", 2, 16),
        Variant("short", 2, 8),
        Variant("short", 1, 8),
    ]


def test_rows_show_successes_with_their_interval_and_milliseconds():
    cell = {"success": {"k": 3, "n": 4, "rate": 0.75, "ci95": (0.301, 0.954)}}
    percentiles = {"p50": 1.24, "p95": 2.26, "p99": 3.0}
    table = {
        "batch": 1024,
        "threads": 2,
        "rows": [{"network": "default", "evaluations": 2, "executed": 8, "success": {"lift": cell}}],
        "timings": [
            {
                "network": "default", "parameters": 1_804_000, "evaluations": 2, "device": "cpu",
                "batch_1_ms": percentiles, "batch_ms": {"p50": 41.7},
            }
        ],
    }  # fmt: skip
    row = success_markdown(table).splitlines()[-1]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["default", "2", "8", "3/4 [30.1, 95.4]"]
    row = timing_markdown(table).splitlines()[-1]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["default", "1.80 M", "2", "cpu", "1.2 / 2.3", "42"]
