"""Reports of runs of any size, with and without harm, all zero and all one, say the right verdict."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure, Outcome
from flow_rag_vla.reports.build import build_report

FAILED = {
    "outcome": Outcome.FAILURE,
    "failure_type": "drop",
    "failure_phase": "carry",
    "failure_pose_bin": "9,0,4",
}
NOT_SHOWN, EXCEEDED = "that it breaks at most 2 points net is not shown", "it breaks more than 2 points net"
SOLVED = {"outcome": Outcome.SUCCESS, "failure_type": None, "failure_phase": None, "failure_pose_bin": None}


def records_of(template: EpisodeRecord, n: int, ours: float, theirs: float, harm: float) -> list[EpisodeRecord]:
    """``n`` hazards, of which the arms solve their shares, and ``n`` clean scenarios, of which ``harm`` breaks."""
    records = []
    for i in range(n):
        for kind, exposure in (("avoidable", Exposure.NEAR), ("clean", Exposure.CLEAN)):
            hazard = kind == "avoidable"
            name = f"{kind}{i:04}"
            place = {
                "scenario_id": name,
                "base_scenario_id": name,
                "fault": "push" if hazard else "none",
                "fault_class": kind,
                "fault_fired": hazard,
            }
            first = dataclasses.replace(
                template, arm="flow_only", round=0, exposure=Exposure.E1, **place, **(FAILED if hazard else SOLVED)
            )
            records.append(first)
            for arm, share, broken in (("parallel", ours, harm), ("flow_only", theirs, 0.0)):
                solved = i < share * n if hazard else i >= broken * n
                fate = SOLVED if solved else FAILED
                records.append(dataclasses.replace(first, arm=arm, round=1, attempt=1, exposure=exposure, **fate))
    return records


@pytest.mark.parametrize(
    ("n", "ours", "theirs", "harm", "headline", "limit"),
    [
        (0, 0.0, 0.0, 0.0, "Undetermined: nothing could be compared", ""),
        (10, 0.0, 0.0, 0.0, "Undetermined: too few pairs to tell whether memory helps", NOT_SHOWN),
        (10, 1.0, 1.0, 0.0, "Undetermined: too few pairs to tell whether memory helps", NOT_SHOWN),
        (10, 1.0, 0.0, 0.1, "Undetermined: memory gains, but what it breaks is not known", NOT_SHOWN),
        (10, 1.0, 0.0, 0.4, "Undetermined: memory gains, but what it breaks is not known", NOT_SHOWN),
        (20, 1.0, 0.0, 0.25, "Undetermined: memory gains, but what it breaks is not known", NOT_SHOWN),
        (10, 1.0, 0.0, 1.0, "Memory helps but harms", EXCEEDED),
        (100, 0.0, 0.0, 0.0, "Memory makes no difference", NOT_SHOWN),
        (100, 1.0, 1.0, 0.0, "Memory makes no difference", NOT_SHOWN),
        (100, 1.0, 0.0, 0.0, "Memory helps", NOT_SHOWN),
        (100, 0.5, 0.5, 0.1, "Memory harms", EXCEEDED),
        (1000, 1.0, 1.0, 0.0, "Memory makes no difference", ""),
        (1000, 0.6, 0.2, 0.005, "Memory helps", ""),
        (1000, 0.6, 0.2, 0.02, "Memory helps but harms", NOT_SHOWN),
        (1000, 0.0, 1.0, 0.0, "Memory harms", ""),
    ],
)
def test_the_report_says_the_right_verdict(
    n: int,
    ours: float,
    theirs: float,
    harm: float,
    headline: str,
    limit: str,
    make_run: Callable[..., Path],
    make_records: Callable[..., list[EpisodeRecord]],
):
    run = make_run(records=records_of(make_records(num_scenarios=1)[0], n, ours, theirs, harm))
    html = build_report(run).read_text(encoding="utf-8")
    said = f"{headline}; {limit} (n = {n})" if limit else headline
    assert f">{said}</h2>" in html
    assert f"**{said}**" in (run / "report/report.md").read_text()
    assert not [pair for pair in re.findall(r"\[([^\[\],]+), ([^\[\],]+)\]", html) if pair[0] == pair[1]]
    if n:
        first_screen = html.split("Ablation")[0]
        assert first_screen.count(f">{n}</span> pairs") == 2  # gain and harm, each with its own


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (0.5, f"Memory harms; only what it breaks could be compared; {EXCEEDED} (n = 100)"),
        (
            0.0,
            "Undetermined: too few pairs to tell whether memory helps; only what it breaks could be compared; "
            f"{NOT_SHOWN} (n = 100)",
        ),
    ],
)
def test_without_near_what_was_compared_is_said(
    harm: float, words: str, make_run: Callable[..., Path], make_records: Callable[..., list[EpisodeRecord]]
):
    records = records_of(make_records(num_scenarios=1)[0], 100, 1.0, 0.0, harm)
    run = make_run(records=[record for record in records if record.exposure is not Exposure.NEAR])
    assert f">{words}</h2>" in build_report(run).read_text(encoding="utf-8")
