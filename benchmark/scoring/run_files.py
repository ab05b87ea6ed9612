"""Where a run directory keeps what: names and paths, for whoever writes them and whoever reads them."""

from __future__ import annotations

from pathlib import Path

MANIFEST = "manifest.json"
"""How the run was made."""
MANIFEST_VERSION = 3
"""Runs of this version are resumed, those up to it are scored."""
PLAN = "plan.jsonl"
SCENARIOS = "scenarios.yaml"
"""The run's copy of the user's sites and faults, from which it is resumed."""
LOG = "log.txt"
LOCK = "run.lock"
"""Held by the process that works on the run, and names it; it stays behind."""
STARTS = "starts.json"
"""How long each start of the run went on."""
INCIDENTS = "incidents.json"
"""What went wrong in worker processes."""
GAPS = "gaps.json"
"""Units that were given up, and those that waited for them."""
LATENCY = "latency.json"
"""Median latencies that ``--latency measured`` simulates, ms."""
LATENCY_PROBE = "latency_probe.json"
"""What the batch-1 probe measured."""
MERGED_EPISODES = "merged/episodes.parquet"
SUMMARY = "summary.json"
TIMING = "timing.json"
REPORT_HTML = "report/index.html"
REPORT_MARKDOWN = "report/report.md"
FIGURES = "report/figures"
STILLS = f"{FIGURES}/stills.json"
"""Which stills of its episodes the run has, and what they show; written even where there are none."""

DONE = "DONE.json"
"""Of a unit: written last, so a unit that has one is complete."""
EPISODES = "episodes.jsonl"
"""Of a unit, one record a line."""
LESSONS = "lessons.safetensors"
"""Of a unit: what it teaches its arm's memory, where it has one."""
MEMORIES = "memories"
"""A folder for each arm's round that taught something."""
MEMORY = "failures.sqlite"
"""Of an arm's round: its memory after it."""
MERGED = "MERGED.json"
"""Of an arm's round: what its memory was merged from; written last."""


def unit_folder(run_dir: Path, unit_id: str) -> Path:
    """Folder of the unit called ``unit_id``."""
    return run_dir / "units" / unit_id


def memory_folder(run_dir: Path, arm: str, round_: int) -> Path:
    """Folder of the memory that ``arm`` has after ``round_``."""
    return run_dir / MEMORIES / f"r{round_}-{arm}"
