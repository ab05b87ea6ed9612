"""Friction and mass that are changed after a CUDA graph was captured decide what a grip holds, as they do before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from flow_rag_vla.benchmark.contacts.holding import NUM_STEPS, Grip, measure_holding, plan_holding
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.contacts.holding import Held

DEVELOPMENT_SEED = 10_000_000
RATIOS = (0.85, 1.15)
"""Of the mass that statics says that a grip holds."""

GRIPS = (Grip("cube", 0.2, 10.0), Grip("cube", 0.5, 10.0), Grip("bar", 0.2, 10.0))


@pytest.fixture(scope="module")
def held(device: str, captured, frozen_heap: None) -> Iterator[list[Held]]:
    """Cubes and bars of two masses at two frictions, after other objects were lifted in the same environments."""
    from flow_rag_vla.tasks.env.make import make_fleet

    trials = plan_holding(GRIPS, RATIOS)
    env = make_fleet("lift", len(trials), device=device, max_steps=NUM_STEPS + 1)
    others = [make_site(3, "lift").scenario(DEVELOPMENT_SEED + i) for i in range(len(trials))]
    env.load(others, [0] * len(trials))
    yield [trial for holding in measure_holding(captured(env), trials) for trial in holding.trials]
    env.close()


def test_changed_friction_decides_what_a_grip_holds(held):
    assert [t.held for t in held] == [t.trial.ratio < 1.0 for t in held]
    assert all(t.valid and t.lifted for t in held)


def test_a_changed_mass_is_what_the_pads_carry(held):
    for t in held:
        if t.held:
            assert t.carried_n == pytest.approx(9.81 * t.trial.mass_kg, rel=0.05)
            assert t.pad_force_n == pytest.approx(t.trial.grip.force_n, rel=0.05)
