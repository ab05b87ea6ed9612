"""The truth labels against episodes whose right label is known from how they were made."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from flow_rag_vla.benchmark.certification.confusion_table import disagreements
from flow_rag_vla.benchmark.certification.constructed_episodes import FAMILIES
from flow_rag_vla.benchmark.certification.label_audit import LABELS, Audit, run_audit

pytestmark = pytest.mark.sim

SEED = 6


@pytest.fixture(scope="module", params=[2, pytest.param(1, marks=pytest.mark.slow)], ids=["every_other", "all"])
def audit(request: pytest.FixtureRequest) -> Audit:
    """All families on layouts that neither labels nor constructions were adjusted on; by default half of each."""
    families = [dataclasses.replace(f, count=-(-f.count // request.param)) for f in FAMILIES]
    return run_audit(families, SEED, "newton_mujoco", "cpu")


def test_labels_agree_with_how_episodes_were_made(audit):
    assert audit.agreement >= 0.98, disagreements(audit)


def test_every_label_has_at_least_twenty_episodes():
    counts = Counter()
    for family in FAMILIES:
        counts[str(family.label)] += family.count
    assert {label: counts[label] for label in LABELS if counts[label] < 20} == {}


def test_no_label_is_right_for_less_than_nine_in_ten(audit):
    counts = audit.counts()
    assert {label: counts[label] for label in LABELS if counts[label][label] < 0.9 * sum(counts[label].values())} == {}


def test_phases_and_ends_agree_where_the_construction_determines_them(audit):
    assert audit.phase_agreement >= 0.98, disagreements(audit)
    assert audit.success_agreement >= 0.98, disagreements(audit)


def test_recovered_episodes_keep_their_first_event(audit):
    recovered = [e for e in audit.episodes if e.observed_success and e.observed != "none"]
    assert {"drop", "grasp_failure"} <= {e.observed for e in recovered}
    made = sum(e.family == "dropped_and_placed" for e in audit.episodes)
    assert len([e for e in recovered if e.observed == "drop"]) >= made > 2
