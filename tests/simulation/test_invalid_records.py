"""Episodes whose physics broke: recorded as invalid, with what to change, and their neighbours untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest
import torch

from flow_rag_vla.benchmark.certification.label_audit import break_physics
from flow_rag_vla.benchmark.episodes.episode_table import write_episodes_parquet
from flow_rag_vla.benchmark.episodes.plan import make_plan
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.benchmark.episodes.told.expert_arm import ExpertAgent
from flow_rag_vla.tasks.contract import InvalidReason
from flow_rag_vla.tasks.facts.contact_parameters import NUM_SUBSTEPS
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

pytestmark = pytest.mark.sim

FLEET = (6, 260)
BROKEN = {0: InvalidReason.NON_FINITE_STATE, 1: InvalidReason.OBJECT_IN_TABLE, 2: InvalidReason.RUNAWAY_SPEED}
OFF_THE_EDGE = 3


class SaboteurAgent(ExpertAgent):
    """At its twentieth decision breaks three environments, and in one lets the object fall beside the table."""

    def __init__(self, env: ManipulationEnv) -> None:
        super().__init__(env.num_envs, "cpu", informed=False)
        self._env, self._count = env, 0

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        self._count += 1
        if self._count == 20:
            for env_id, how in BROKEN.items():
                break_physics(self._env, torch.tensor([env_id]), how)
            drop_beside_the_table(self._env, OFF_THE_EDGE)
        return super().decide(observation, running)


def drop_beside_the_table(env: ManipulationEnv, env_id: int) -> None:
    """Lower than the table top and 4 cm from its edge, from where the object drifts under the table as it falls."""
    body, ids = env.scene["object"], torch.tensor([env_id], dtype=torch.int32)
    pose = body.data.root_pose_w.torch[ids].clone()
    pose[:, 1:3] = torch.tensor([-0.64, -0.2])
    body.write_root_pose_to_sim_index(root_pose=pose, env_ids=ids)
    drift = torch.tensor([[0.0, 0.1, 0.0, 0.0, 0.0, 0.0]])
    body.write_root_velocity_to_sim_index(root_velocity=drift, env_ids=ids)


@pytest.fixture(scope="module")
def records(fleet: ManipulationEnv) -> list[EpisodeRecord]:
    """Six clean scenarios, of which three break and one loses its object."""
    site = make_site(3, "pick_place")
    unit = make_plan([site.scenario(10_000_200 + i) for i in range(6)], ("flow_only",), fleet.num_envs, 1).units[0]
    return run_batch(fleet, SaboteurAgent(fleet), unit, unit.episodes, 0.0).records


def test_broken_physics_is_recorded_as_invalid_with_the_setting_to_change(records):
    for env_id, word in enumerate(("non-finite", "through the table", "faster than")):
        record = records[env_id]
        assert (record.outcome, record.failure_type) == ("invalid", None)
        assert record.invalid_reason is not None
        assert word in record.invalid_reason
        assert f"raise NUM_SUBSTEPS ({NUM_SUBSTEPS}) of tasks/facts/contact_parameters.py" in record.invalid_reason


def test_an_object_that_falls_beside_the_table_and_drifts_under_it_is_a_failure(records, fleet):
    assert (records[OFF_THE_EDGE].outcome, records[OFF_THE_EDGE].invalid_reason) == ("failure", None)
    x, y, z = fleet.scene["object"].data.root_pose_w.torch[OFF_THE_EDGE, :3].tolist()
    assert 0.05 < x < 0.95
    assert abs(y) < 0.5
    assert z < -1.0


def test_the_others_go_on_to_succeed(records):
    assert [(r.outcome, r.invalid_reason) for r in records[4:]] == [("success", None)] * 2


def test_the_reason_is_kept_in_every_file(records, tmp_path):
    assert [EpisodeRecord.from_json(record.to_json()) for record in records] == records
    write_episodes_parquet(tmp_path / "episodes.parquet", records)
    reasons = pd.read_parquet(tmp_path / "episodes.parquet")["invalid_reason"].dropna()
    assert set(reasons) == {record.invalid_reason for record in records[:3]}
