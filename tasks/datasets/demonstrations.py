"""Demonstrations: the scripted expert in many styles, with disturbed execution and undisturbed labels.

Most demonstrations carry with the nominal grip and height on a straight path; the rest grip softer or firmer, carry
lower or higher, or go round.  A memory can only select what the policy has seen.  Part of the executed actions is
disturbed in short bursts (after DART, Laskey et al. 2017) and part of the objects is dropped on purpose, so that the
policy learns to come back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import NOMINAL_GRIP
from flow_rag_vla.tasks.env.play import play
from flow_rag_vla.tasks.expert.scripted_expert import DETOUR_M, ExpertPlan, ScriptedExpert
from flow_rag_vla.tasks.facts.colours import PALETTE
from flow_rag_vla.tasks.facts.layout import LANE_CENTRES_X_M, sample_layout
from flow_rag_vla.tasks.facts.randomness import keyed_generator
from flow_rag_vla.tasks.faults.registry import get_fault
from flow_rag_vla.tasks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.fleet import Fleet

NOMINAL_SHARE = 0.75
"""Share of demonstrations that use the nominal grip, and, independently, the nominal height."""

DETOUR_SHARE = 0.06
DROPPED_SHARE = 0.15
"""Share of demonstrations whose object is dropped on purpose and picked up again."""

DISTURBED_SHARE = 0.6
"""Share of demonstrations with disturbances."""

BURST_STEPS = 5
BURST_GAP_STEPS = (30, 60)
"""Disturbances last ``BURST_STEPS`` control steps; this many lie between the starts of two."""

BURST_STD = (0.004, 0.004, 0.004, 0.015, 0.015, 0.03)
"""Standard deviation of a burst's constant push on the executed action: m and rad a control step."""

OBSERVATION_FIELDS: tuple[str, ...] = (
    "ee_pos_b", "ee_quat_b", "ee_target_pos_b", "ee_target_quat_b", "gripper_width_m", "grip_force_n",
    "previous_action", "object_pos_b", "object_quat_b", "object_size_m", "goal_pos_b",
)  # fmt: skip
"""What a demonstration stores of each observation: what a policy may depend on."""


@dataclass(frozen=True)
class Episodes:
    """``T`` control steps of ``num_envs`` demonstrations."""

    observations: dict[str, torch.Tensor]
    """Field of ``OBSERVATION_FIELDS`` to (num_envs, T, k)."""
    actions: torch.Tensor
    """(num_envs, T, 7) the expert's actions, undisturbed."""
    disturbed: torch.Tensor
    """(num_envs, T) bool: the executed action was another one."""
    length: torch.Tensor
    """(num_envs,) int64: steps until the task was done."""
    success: torch.Tensor
    """(num_envs,) bool."""
    instructions: tuple[str, ...]
    """num_envs texts that the demonstrations carry out."""


def demonstration_scenarios(task: str, layout_seeds: Sequence[int]) -> list[Scenario]:
    """Scenarios over all lanes, colours and objects, without hazards but for objects dropped on purpose."""
    spec, colours = get_task(task), list(PALETTE)
    release = get_fault("forced_release")
    scenarios = []
    for seed in layout_seeds:
        rng = keyed_generator("demonstration", seed)
        lane = int(rng.integers(len(LANE_CENTRES_X_M)))
        drops = rng.random() < DROPPED_SHARE
        scenarios.append(
            Scenario(
                task=spec.name,
                site=0,
                layout_seed=seed,
                layout=sample_layout(seed, lane, spec.area),
                object_colour=colours[rng.integers(len(colours))],
                object_model=spec.objects[rng.integers(len(spec.objects))],
                fault=release.name if drops else "none",
                fault_class=release.fault_class if drops else Scenario.fault_class,
                severity=release.default_severity if drops else 0.0,
                parameters=release.parameters(release.default_severity) if drops else {},
            )
        )
    return scenarios


def demonstration_plan(task: str, layout_seeds: Sequence[int], device: str) -> ExpertPlan:
    """The style of each demonstration, named by its seed."""
    spec = get_task(task)
    nominal = spec.nominal_clearance_m
    rows = []
    for seed in layout_seeds:
        rng = keyed_generator("style", seed)
        grip, clearance, detour = NOMINAL_GRIP, nominal, 0.0
        if rng.random() > NOMINAL_SHARE:
            # Log-uniform from 4 N to 40 N a finger.
            grip = float(np.exp(rng.uniform(np.log(0.1), 0.0)))
        if rng.random() > NOMINAL_SHARE:
            clearance = float(rng.choice([spec.low_clearance_m, nominal + 0.05, nominal + 0.10, nominal + 0.15]))
        if rng.random() < DETOUR_SHARE:
            detour = float(rng.choice([-DETOUR_M, DETOUR_M]))
        rows.append((grip, clearance, detour))
    grips, clearances, detours = torch.tensor(rows, device=device).unbind(dim=1)
    plan = ExpertPlan.nominal(len(rows), device, spec)
    return dataclasses.replace(plan, grip=grips, clearance_m=clearances, detour_m=detours)


def record_demonstrations(fleet: Fleet, scenarios: Sequence[Scenario], plan: ExpertPlan) -> Episodes:
    """Let the expert act in ``fleet`` until every episode has ended; one scenario per environment."""
    num_envs, device = fleet.num_envs, str(fleet.device)
    fleet.load(scenarios, [0] * num_envs)
    expert = ScriptedExpert(num_envs, device)
    expert.reset(torch.arange(num_envs, device=device), plan)
    disturbance = _Disturbance([s.layout_seed for s in scenarios], fleet.max_episode_length, device)
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in OBSERVATION_FIELDS}
    actions: list[torch.Tensor] = []

    def act(observation: Observation, step: int, running: torch.Tensor) -> torch.Tensor:
        action = expert.act(observation)
        for name, values in seen.items():
            values.append(getattr(observation, name).clone())
        actions.append(action)
        return disturbance.disturb(action, step)

    play(fleet, act)
    truth = fleet.truth
    return Episodes(
        observations={name: torch.stack(values, dim=1) for name, values in seen.items()},
        actions=torch.stack(actions, dim=1),
        disturbed=disturbance.is_active(len(actions)),
        length=truth.steps,
        success=truth.success,
        instructions=fleet.observe().instruction,
    )


class _Disturbance:
    """Short pushes on the motion part of the executed actions, for a share of the environments.

    Bursts leave the policy's horizon free between them: a chunk that is demonstrated while nothing disturbs shows how
    to come back, one that answers disturbances yet to come would only be noise.
    """

    def __init__(self, seeds: Sequence[int], num_steps: int, device: str) -> None:
        table = np.zeros((len(seeds), num_steps, 6), dtype=np.float32)
        for row, seed in zip(table, seeds, strict=True):
            rng = keyed_generator("disturbance", seed)
            if rng.random() > DISTURBED_SHARE:
                continue
            start = int(rng.integers(BURST_GAP_STEPS[0]))
            while start < num_steps:
                row[start : start + BURST_STEPS] = rng.standard_normal(6) * BURST_STD
                start += int(rng.integers(*BURST_GAP_STEPS))
        self._table = torch.from_numpy(table).to(device)

    def disturb(self, action: torch.Tensor, step: int) -> torch.Tensor:
        moved = action.clone()
        moved[:, :6] += self._table[:, step]
        return moved

    def is_active(self, num_steps: int) -> torch.Tensor:
        """(num_envs, num_steps) bool: steps whose executed action was not the expert's."""
        return (self._table[:, :num_steps] != 0).any(dim=2)
