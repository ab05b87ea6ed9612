"""Records planned episodes, successes and failures alike, as trajectories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.tasks.contract import NOTHING, OBSERVATION_WIDTHS, Observation
from flow_rag_vla.tasks.datasets.trajectory import NO_FAILURE, EpisodeLabels, Trajectory
from flow_rag_vla.tasks.env.batches import padded
from flow_rag_vla.tasks.env.play import PlayedStep, play

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import TruthWords
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

SENSED_FIELDS: tuple[str, ...] = tuple(OBSERVATION_WIDTHS)
"""Everything that a robot senses, in the order of ``Observation``."""


def record_trajectories(
    env: ManipulationEnv, scenarios: Sequence[Scenario], act: Callable[[Observation], torch.Tensor]
) -> list[Trajectory | None]:
    """Let a policy act in ``env`` until every episode has ended.

    Args:
        env: A fleet; environments without a scenario repeat the first one.
        scenarios: One to ``num_envs`` of them.
        act: Observation to actions (num_envs, 7), called once a control step.

    Returns:
        One trajectory per scenario, None where the physics broke.

    Raises:
        ValueError: no scenario, or more than environments.
    """
    instructions = env.load(padded(scenarios, env.num_envs), [0] * env.num_envs).instruction
    initial = scene_state(env)
    seen: list[dict[str, torch.Tensor]] = []
    actions: list[torch.Tensor] = []
    states: list[dict[str, torch.Tensor]] = []

    def act_recorded(observation: Observation, step: int, running: torch.Tensor) -> torch.Tensor:
        action = act(observation)
        seen.append({name: getattr(observation, name).clone() for name in SENSED_FIELDS})
        actions.append(action.clone())
        return action

    def keep_state(played: PlayedStep) -> None:
        states.append(scene_state(env))

    play(env, act_recorded, after_step=keep_state)
    truth = env.truth.rows()
    observations, after = _stacked(seen), _stacked(states)
    commanded = torch.stack(actions, dim=1).float().cpu().numpy()
    start = {name: value.unsqueeze(1).float().cpu().numpy() for name, value in initial.items()}
    trajectories: list[Trajectory | None] = []
    for i, (scenario, words) in enumerate(zip(scenarios, truth, strict=False)):
        if words.invalid:
            trajectories.append(None)
            continue
        steps = words.steps
        trajectories.append(
            Trajectory(
                observations={name: value[i, :steps] for name, value in observations.items()},
                actions=commanded[i, :steps],
                initial_state={name: value[i] for name, value in start.items()},
                states={name: value[i, :steps] for name, value in after.items()},
                instruction=instructions[i],
                labels=episode_labels(scenario, words),
            )
        )
    return trajectories


def scene_state(env: ManipulationEnv) -> dict[str, torch.Tensor]:
    """Isaac Lab's scene state relative to the origins: path to (num_envs, k); a copy."""
    return dict(_leaves(env.scene.get_state(is_relative=True)))


def episode_labels(scenario: Scenario, words: TruthWords) -> EpisodeLabels:
    """What the simulator knows of the episode that met ``scenario``, as files keep it."""
    return EpisodeLabels(
        scenario_id=scenario.id,
        task=scenario.task,
        site=scenario.site,
        layout_seed=scenario.layout_seed,
        fault=scenario.fault,
        fault_class=str(scenario.fault_class),
        severity=float(scenario.severity),
        success=words.success,
        fault_fired=words.fault_fired,
        failure_type=words.failure_type or NO_FAILURE,
        failure_phase=words.failure_phase or NO_FAILURE,
        failure_step=NOTHING if words.failure_step is None else words.failure_step,
    )


def _leaves(state: Mapping[str, object], path: str = "") -> list[tuple[str, torch.Tensor]]:
    """Tensors of nested mappings, each under its keys joined by ``/``."""
    found: list[tuple[str, torch.Tensor]] = []
    for name, value in state.items():
        if isinstance(value, Mapping):
            found += _leaves(value, f"{path}{name}/")
        elif isinstance(value, torch.Tensor):
            found.append((f"{path}{name}", value))
    return found


def _stacked(steps: list[dict[str, torch.Tensor]]) -> dict[str, np.ndarray]:
    """Rows of every step under their names: (num_envs, T, k) float32."""
    return {name: torch.stack([s[name] for s in steps], dim=1).float().cpu().numpy() for name in steps[0]}
