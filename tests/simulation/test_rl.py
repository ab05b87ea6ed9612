"""Reinforcement learning in the simulator: a tiny training goes through the registered entry points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import pytest
import torch

import flow_rag_vla.tasks  # noqa: F401  (registers the gym ids)
from flow_rag_vla.tasks.scenarios.training_scenarios import TrainingScenarios

if TYPE_CHECKING:
    from isaaclab_rl.rsl_rl import RslRlOnPolicyRunnerCfg, RslRlVecEnvWrapper

pytestmark = pytest.mark.sim

TASK = "FlowRAG-Lift-Franka"
NUM_ENVS = 16


@pytest.fixture(scope="module")
def training() -> Iterator[tuple[RslRlVecEnvWrapper, RslRlOnPolicyRunnerCfg]]:
    """Environment and runner configuration as `isaaclab train` makes them, but small."""
    from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper, check_rsl_rl_version, handle_deprecated_rsl_rl_cfg
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    from flow_rag_vla.tasks.physics.presets import physics_cfg

    env_cfg: Any = load_cfg_from_registry(TASK, "env_cfg_entry_point")
    env_cfg.scene.num_envs, env_cfg.sim.device = NUM_ENVS, "cpu"
    env_cfg.sim.physics = physics_cfg("newton_mujoco")
    runner_cfg: Any = load_cfg_from_registry(TASK, "rsl_rl_cfg_entry_point")
    handle_deprecated_rsl_rl_cfg(runner_cfg, check_rsl_rl_version())
    runner_cfg.device, runner_cfg.num_steps_per_env = "cpu", 8
    made: Any = gym.make(TASK, cfg=env_cfg)
    env = RslRlVecEnvWrapper(made, clip_actions=runner_cfg.clip_actions)
    yield env, runner_cfg
    env.close()


def test_the_environment_gives_what_it_declares(training):
    env, _ = training
    observation = env.get_observations()["policy"]
    assert observation.shape == (NUM_ENVS, env.unwrapped.cfg.observation_space)
    assert torch.isfinite(observation).all()


def test_a_full_action_moves_the_hand_by_the_scale_and_keeps_it_upright(training):
    env, _ = training
    scale = env.unwrapped.cfg.action_scale
    env.reset()
    before = env.unwrapped.observe()
    action = torch.zeros(NUM_ENVS, 7)
    action[:, 2], action[:, 3] = 5.0, 1.0
    env.step(action)
    after = env.unwrapped.observe()
    moved = after.ee_target_pos_b - before.ee_target_pos_b
    torch.testing.assert_close(moved, torch.tensor([[0.0, 0.0, scale[2]]]).expand(NUM_ENVS, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.ee_target_quat_b, before.ee_target_quat_b, atol=1e-5, rtol=0)


def test_a_reset_with_a_seed_begins_the_layouts_that_an_environment_of_this_seed_begins_with(training):
    env = training[0].unwrapped
    for seed in (11, 12, 11):
        env.reset(seed=seed)
        expected = TrainingScenarios(TASK, 0, NUM_ENVS).draw(range(NUM_ENVS), seed)
        objects = torch.tensor([scenario.layout.object_xy_m for scenario in expected])
        torch.testing.assert_close(env.observe().object_pos_b[:, :2], objects, atol=1e-5, rtol=0)
    again = env.reset()[0]["policy"]
    assert not torch.equal(again, env.reset(seed=11)[0]["policy"])


def test_an_action_that_is_no_number_ends_its_episode_and_training_goes_on_with_numbers(training):
    env = training[0].unwrapped
    env.reset()
    actions = torch.zeros(NUM_ENVS, 7, dtype=torch.float64)
    actions[3, 0] = math.nan
    observation, reward, terminated, truncated, _ = env.step(actions)
    assert terminated.nonzero().flatten().tolist() == [3]
    assert not truncated.any()
    assert observation["policy"].dtype is torch.float32
    assert torch.isfinite(observation["policy"]).all()
    assert torch.isfinite(reward).all()


def test_two_iterations_of_training_change_the_policy_and_leave_a_checkpoint(training, tmp_path: Path):
    from isaaclab_rl.rsl_rl import create_rsl_rl_runner

    env, runner_cfg = training
    runner = create_rsl_rl_runner(env, runner_cfg, log_dir=str(tmp_path))
    policy = runner.alg.get_policy()
    before = [p.clone() for p in policy.parameters()]
    runner.learn(2, init_at_random_ep_len=True)
    after = list(policy.parameters())
    assert all(bool(torch.isfinite(p).all()) for p in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    for name in ("Loss/value", "Loss/surrogate", "Loss/entropy"):
        losses = scalars(tmp_path, name)
        assert len(losses) == 2
        assert all(math.isfinite(loss) for loss in losses)
    assert (tmp_path / "model_1.pt").stat().st_size > 0


def scalars(folder: Path, name: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder))
    log.Reload()
    return [event.value for event in log.Scalars(name)]
