"""What is hidden stays hidden: the first observation of every fault beside that of its harmless twin, bit by bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch

from flow_rag_vla.tasks.catalogue.registry import all_tasks
from flow_rag_vla.tasks.faults.registry import all_faults
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.faults.definition.fault import Fault

pytestmark = pytest.mark.sim

DEVELOPMENT_SEED = 10_000_000


@dataclasses.dataclass(frozen=True)
class FirstLook:
    """Environment 2 i has fault i at its severest, environment 2 i + 1 the same scene without hidden parameters."""

    faults: tuple[Fault, ...]
    observation: Observation

    def changed(self, i: int) -> set[str]:
        """Observation fields that differ between fault ``i`` and its twin."""
        names = [f.name for f in dataclasses.fields(self.observation)]
        fault, twin = (self.observation.select(torch.tensor([row])) for row in (2 * i, 2 * i + 1))
        return {name for name in names if not _same(getattr(fault, name), getattr(twin, name))}


def _same(a: torch.Tensor | tuple[str, ...], b: torch.Tensor | tuple[str, ...]) -> bool:
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and torch.equal(a, b)
    return a == b


@pytest.fixture(scope="module", params=[task.slug for task in all_tasks()])
def first_look(request: pytest.FixtureRequest) -> Iterator[FirstLook]:
    """One batch a task."""
    from flow_rag_vla.tasks.env.make import make_fleet

    faults = all_faults(request.param)
    site = make_site(5, request.param)
    scenarios = []
    for i, fault in enumerate(faults):
        hazard = site.scenario(DEVELOPMENT_SEED + i, fault, severity=fault.ladder[-1])
        scenarios += [hazard, dataclasses.replace(hazard, parameters={})]
    env = make_fleet(request.param, len(scenarios), physics="newton_mujoco", device="cpu")
    # An episode before: nothing of it may be left in the first observation of the next.
    env.load(list(reversed(scenarios)), [0] * len(scenarios))
    for _ in range(5):
        env.step(torch.full((len(scenarios), 7), 0.01))
    yield FirstLook(faults, env.load(scenarios, [0] * len(scenarios)).clone())
    env.close()


def test_a_fault_changes_only_the_percepts_that_it_is_permitted_to(first_look):
    for i, fault in enumerate(first_look.faults):
        assert first_look.changed(i) <= set(fault.permitted_channels), fault.name


def test_a_fault_of_perception_does_change_its_percept(first_look):
    for i, fault in enumerate(first_look.faults):
        assert first_look.changed(i) >= set(fault.permitted_channels), fault.name


def test_different_scenes_do_look_different(first_look):
    rows = first_look.observation.object_pos_b[::2]
    assert len({tuple(row.tolist()) for row in rows}) == len(first_look.faults)
