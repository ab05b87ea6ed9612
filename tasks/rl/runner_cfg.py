"""PPO of rsl_rl for each task: what ``isaaclab train`` and ``isaaclab play`` take by default.

Every task has a class of its own, ``PickPlaceRunnerCfg`` and so on, made when it is first asked for by name.
Sized for CPU: a small network and 256 environments.  ``agent.KEY=VALUE`` on the command line changes any of it.
"""

from __future__ import annotations

import functools
from typing import Literal

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg, RslRlOnPolicyRunnerCfg, RslRlPpoAlgorithmCfg

from flow_rag_vla.tasks.catalogue.registry import get_task, task_of_class
from flow_rag_vla.tasks.catalogue.task import Task
from flow_rag_vla.tasks.facts.device import default_device
from flow_rag_vla.tasks.rl.rsl_rl_texts import ReadByRslRl

GAMMA = 0.98
"""A horizon of 50 control steps (1.7 s): long enough to see a lift from a reach."""

_OBS_GROUPS = {"actor": ["policy"], "critic": ["policy"]}


@configclass
class NoiseCfg(ReadByRslRl, RslRlMLPModelCfg.GaussianDistributionCfg):
    """Of exploration."""


@configclass
class NetworkCfg(ReadByRslRl, RslRlMLPModelCfg):
    """Of actor and critic."""


@configclass
class PpoCfg(ReadByRslRl, RslRlPpoAlgorithmCfg):
    """Proximal policy optimisation."""

    # rsl_rl takes any other word for "fixed", also a mistyped one.
    schedule: Literal["adaptive", "fixed"] = "adaptive"  # pyright: ignore[reportIncompatibleVariableOverride]


@configclass
class ManipulationRunnerCfg(ReadByRslRl, RslRlOnPolicyRunnerCfg):
    """What all tasks share; a setting that nobody has declared is refused."""

    # The other one that there is distils a teacher, which nobody has configured.
    class_name: Literal["OnPolicyRunner"] = "OnPolicyRunner"  # pyright: ignore[reportIncompatibleVariableOverride]
    device = default_device()
    num_steps_per_env = 32
    max_iterations = 1500
    save_interval = 50
    experiment_name = "flow_rag"
    # Actions are normalised (``rl.actions``); what is clipped here the environment would clip anyway.
    clip_actions = 1.0
    obs_groups = _OBS_GROUPS
    # Metres, radians and newtons side by side: the running normalisation brings them to one scale.
    actor = NetworkCfg(
        hidden_dims=[128, 128],
        activation="elu",
        obs_normalization=True,
        distribution_cfg=NoiseCfg(init_std=0.6),
    )
    critic = NetworkCfg(hidden_dims=[128, 128], activation="elu", obs_normalization=True)
    algorithm = PpoCfg(
        value_loss_coef=1.0,
        use_clipped_value_loss=True,
        clip_param=0.2,
        entropy_coef=0.002,
        num_learning_epochs=5,
        num_mini_batches=4,
        learning_rate=1.0e-3,
        gamma=GAMMA,
        lam=0.95,
        desired_kl=0.01,
        max_grad_norm=1.0,
    )


def runner_cfg_class(name: str) -> type[ManipulationRunnerCfg]:
    """The runner of the task with gym id ``name``; raises ``KeyError`` for an unknown one."""
    return _class_of(get_task(name))


@functools.cache
def _class_of(task: Task) -> type[ManipulationRunnerCfg]:
    fields = {"__module__": __name__, "__doc__": f"{task.name}.", "experiment_name": f"flow_rag_{task.slug}"}
    return configclass(type(f"{task.class_name}RunnerCfg", (ManipulationRunnerCfg,), fields))


def __getattr__(name: str) -> type[ManipulationRunnerCfg]:
    return runner_cfg_class(task_of_class(name, "RunnerCfg").name)
