"""The audit's arithmetic and text, from hand-made episodes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.certification.confusion_table import (
    BEGIN,
    END,
    confusion_markdown,
    disagreements,
    summary_line,
    write_into_docs,
)
from flow_rag_vla.benchmark.certification.label_audit import Audit, AuditedEpisode, pooled, run_audit

RIGHT = AuditedEpisode("loosened", "pick_place", "drop", "drop", "carry", "carry", True, True)
WRONG_LABEL = dataclasses.replace(RIGHT, observed="grasp_failure", observed_phase="lift")
WRONG_PHASE = dataclasses.replace(RIGHT, observed_phase="lift")
OPEN = dataclasses.replace(RIGHT, expected_phase=None, expected_success=None, observed_success=False)


def test_three_of_four_labels_and_one_of_two_phases():
    audit = Audit((RIGHT, WRONG_LABEL, WRONG_PHASE, OPEN))
    assert audit.agreement == 0.75
    assert audit.phase_agreement == 0.5
    assert audit.success_agreement == 1.0
    assert audit.counts()["drop"] == {
        "none": 0, "grasp_failure": 1, "collision": 0, "drop": 3, "misalignment": 0, "timeout": 0, "invalid": 0,
    }  # fmt: skip
    assert summary_line(audit).startswith("3 of 4 labels agree (75.0 %); phase")


def test_nothing_audited_is_no_agreement():
    assert Audit(()).agreement is None
    assert Audit((OPEN,)).phase_agreement is None


def test_a_row_of_the_table_counts_the_constructed_label():
    line = next(line for line in confusion_markdown(Audit((RIGHT, WRONG_LABEL))).splitlines() if "| drop" in line[:7])
    assert line == "| drop | · | 1 | · | 1 | · | · | · | 50.0 % |"


def test_each_disagreement_is_one_line():
    lines = disagreements(Audit((RIGHT, WRONG_LABEL, WRONG_PHASE, OPEN)))
    assert len(lines) == 2
    assert lines[0].startswith("pick_place loosened: expected drop (carry")


def test_audits_pool_their_episodes():
    assert len(pooled([Audit((RIGHT,)), Audit((OPEN, RIGHT))]).episodes) == 3


def test_the_table_replaces_the_one_before(tmp_path: Path):
    page = tmp_path / "LABELS.md"
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    write_into_docs(page, "new")
    write_into_docs(page, "newer")
    assert page.read_text() == f"above\n{BEGIN}\nnewer\n{END}\nbelow\n"


def test_a_page_without_marks_is_refused(tmp_path: Path):
    page = tmp_path / "LABELS.md"
    page.write_text("above\n")
    with pytest.raises(ValueError, match="no place for the audit"):
        write_into_docs(page, "new")
    assert page.read_text() == "above\n"


@pytest.mark.parametrize("seed", [-1, 500])
def test_layouts_outside_the_development_range_are_refused(seed: int):
    with pytest.raises(ValueError, match="only development seeds are allowed"):
        run_audit([], seed)
