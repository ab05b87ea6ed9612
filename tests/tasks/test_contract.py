"""The words that all folders share agree with one another."""

from __future__ import annotations

import dataclasses

from flow_rag_vla.tasks.contract import ACTION_DIM, ACTION_LIMITS, OBSERVATION_WIDTHS, Observation


def test_every_sensed_field_has_a_width_in_the_order_of_the_observation():
    sensed = [f.name for f in dataclasses.fields(Observation) if f.name not in ("instruction", "rgb", "workcell")]
    assert list(OBSERVATION_WIDTHS) == sensed


def test_every_entry_of_an_action_has_a_limit():
    assert len(ACTION_LIMITS) == OBSERVATION_WIDTHS["previous_action"] == ACTION_DIM
