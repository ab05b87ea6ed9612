"""Measures the truth labels: runs episodes of known label and compares what the simulator says of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.benchmark.certification.constructed_episodes import INVALID, NONE, Family
from flow_rag_vla.benchmark.certification.scripted_mishaps import Situation
from flow_rag_vla.benchmark.episodes.seeds import BLOCK_SIZE, DEVELOPMENT, require_split
from flow_rag_vla.tasks.contract import FAILURE_TYPES, MAX_STEPS, InvalidReason
from flow_rag_vla.tasks.env.make import make_fleet
from flow_rag_vla.tasks.env.play import play
from flow_rag_vla.tasks.expert.scripted_expert import ScriptedExpert

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation, TruthWords
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

LABELS: tuple[str, ...] = (NONE, *FAILURE_TYPES, INVALID)

BREAK_STEP = 30
"""Control step in which the physics of the ``invalid`` families is broken."""

UNDER_TABLE_M, RUNAWAY_M_S = -0.15, 5.0e3


@dataclass(frozen=True)
class AuditedEpisode:
    """One constructed episode and what the simulator made of it."""

    family: str
    task: str
    expected: str
    observed: str
    expected_phase: str | None
    observed_phase: str | None
    """For ``invalid`` episodes the reason, expected and observed."""
    expected_success: bool | None
    observed_success: bool

    @property
    def label_agrees(self) -> bool:
        """The first causal event is the one that was constructed."""
        return self.expected == self.observed

    @property
    def phase_agrees(self) -> bool:
        """Its phase is the constructed one; True where the construction leaves it open."""
        return self.expected_phase in (None, self.observed_phase)

    @property
    def success_agrees(self) -> bool:
        """The episode ends as constructed; True where the construction leaves it open."""
        return self.expected_success in (None, self.observed_success)


@dataclass(frozen=True)
class Audit:
    """All audited episodes."""

    episodes: tuple[AuditedEpisode, ...]

    def counts(self) -> dict[str, dict[str, int]]:
        """The confusion matrix: constructed label to observed label to episodes."""
        pairs = Counter((e.expected, e.observed) for e in self.episodes)
        return {row: {column: pairs[row, column] for column in LABELS} for row in LABELS}

    @property
    def agreement(self) -> float | None:
        """Share of episodes with the constructed label; None without episodes."""
        return _share([e.label_agrees for e in self.episodes])

    @property
    def phase_agreement(self) -> float | None:
        """Share with the constructed phase, of those whose construction determines it and whose label agrees."""
        return _share([e.phase_agrees for e in self.episodes if e.expected_phase is not None and e.label_agrees])

    @property
    def success_agreement(self) -> float | None:
        """Share that ends as constructed, of those whose construction determines it."""
        return _share([e.success_agrees for e in self.episodes if e.expected_success is not None])


def pooled(audits: Iterable[Audit]) -> Audit:
    """All episodes of ``audits`` as one audit."""
    return Audit(tuple(itertools.chain.from_iterable(audit.episodes for audit in audits)))


def _share(agrees: Sequence[bool]) -> float | None:
    return sum(agrees) / len(agrees) if agrees else None


def run_audit(
    families: Iterable[Family],
    seed: int = 0,
    physics: str = "auto",
    device: str = "auto",
    on_task: Callable[[str, int], None] | None = None,
) -> Audit:
    """Run ``families``, one fleet a task.

    Args:
        families: What to construct.
        seed: Names the block of development layouts.
        physics: Preset name or ``auto``.
        device: ``cpu``, ``cuda:N`` or ``auto``.
        on_task: Called before each fleet with the task and its number of episodes.

    Raises:
        ValueError: the seed leaves the development range, or an unknown preset.
    """
    first_layout = DEVELOPMENT.start + seed * BLOCK_SIZE
    require_split(first_layout, "development")
    by_task: dict[str, list[Family]] = {}
    for family in families:
        by_task.setdefault(family.task, []).append(family)
    episodes: list[AuditedEpisode] = []
    for task, members in by_task.items():
        num_envs = sum(family.count for family in members)
        if on_task is not None:
            on_task(task, num_envs)
        env = make_fleet(task, num_envs, physics=physics, device=device, max_steps=MAX_STEPS)
        try:
            episodes += _run(env, members, first_layout)
        finally:
            env.close()
    return Audit(tuple(episodes))


def _run(env: ManipulationEnv, families: Sequence[Family], first_layout: int) -> list[AuditedEpisode]:
    device, num_envs = str(env.device), env.num_envs
    groups = _numbered(families, device)
    expert = ScriptedExpert(num_envs, device)
    scenarios: list[Scenario] = []
    for family, env_ids in groups:
        made = [family.scenario(i, DEVELOPMENT.start, first_layout + n) for i, n in enumerate(env_ids.tolist())]
        expert.reset(env_ids, family.plan_for(made, device))
        scenarios += made
    rest_height_m = env.load(scenarios, [0] * num_envs).object_pos_b[:, 2].clone()
    furthest, restarts = torch.zeros_like(expert.stage), torch.zeros_like(expert.stage)

    def act(observation: Observation, step: int, running: torch.Tensor) -> torch.Tensor:
        stage = expert.stage.clone()
        torch.maximum(furthest, stage, out=furthest)
        action = expert.act(observation)
        restarts.add_(expert.stage < stage)
        for family, env_ids in groups:
            if family.script is not None:
                rows = (column[env_ids] for column in (action, stage, furthest, restarts, rest_height_m))
                action[env_ids] = family.script(Situation(step, observation.select(env_ids), *rows))
            if family.breaks is not None and step == BREAK_STEP:
                break_physics(env, env_ids, family.breaks)
        return action

    play(env, act)
    truth = env.truth.rows()
    return [_audited(family, truth[i]) for family, env_ids in groups for i in env_ids.tolist()]


def _numbered(families: Sequence[Family], device: str) -> list[tuple[Family, torch.Tensor]]:
    """Each family with the environments (count,) that play it."""
    ends = itertools.accumulate(family.count for family in families)
    return [(f, torch.arange(end - f.count, end, device=device)) for f, end in zip(families, ends, strict=True)]


def break_physics(env: ManipulationEnv, env_ids: torch.Tensor, how: InvalidReason) -> None:
    """Spoil the object's state in ``env_ids`` (k,) such that ``how`` is the reason to call it invalid.

    Raises:
        ValueError: that cannot be done to a state.
    """
    body = env.scene["object"]
    ids = env_ids.to(torch.int32)
    pose = body.data.root_pose_w.torch[env_ids].clone()
    velocity = torch.zeros(len(ids), 6, device=pose.device)
    if how is InvalidReason.NON_FINITE_STATE:
        pose[:, 0] = torch.nan
    elif how is InvalidReason.OBJECT_IN_TABLE:
        pose[:, 2] = UNDER_TABLE_M
    elif how is InvalidReason.RUNAWAY_SPEED:
        velocity[:, 2] = RUNAWAY_M_S
    else:
        raise ValueError(f"a state cannot be spoiled into {how}")
    body.write_root_pose_to_sim_index(root_pose=pose, env_ids=ids)
    body.write_root_velocity_to_sim_index(root_velocity=velocity, env_ids=ids)


def _audited(family: Family, words: TruthWords) -> AuditedEpisode:
    return AuditedEpisode(
        family=family.name,
        task=family.task,
        expected=str(family.label),
        observed=INVALID if words.invalid else words.failure_type or NONE,
        expected_phase=family.breaks or family.phase,
        observed_phase=words.invalid_reason if words.invalid else words.failure_phase,
        expected_success=family.succeeds,
        observed_success=words.success,
    )
