"""Environment configurations of the tasks: which scene, how long, which physics.

Every task has a class of its own, ``PickPlaceEnvCfg`` and so on, made when it is first asked for by name.
"""

from __future__ import annotations

import functools

from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass

from flow_rag_vla.tasks.catalogue.registry import get_task, task_of_class
from flow_rag_vla.tasks.catalogue.task import Task
from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnvCfg
from flow_rag_vla.tasks.env.scene import SCENES
from flow_rag_vla.tasks.facts.contact_parameters import CONTROL_STEP_S
from flow_rag_vla.tasks.facts.declared import Declared, refuse_undeclared
from flow_rag_vla.tasks.facts.device import default_device
from flow_rag_vla.tasks.physics.presets import PhysicsPresetCfg


@configclass
class TaskEnvCfg(Declared, ManipulationEnvCfg):
    """What the tasks share when nothing else is chosen; a setting that nobody has declared is refused."""

    sim: SimulationCfg = SimulationCfg(
        dt=CONTROL_STEP_S,
        render_interval=1,
        device=default_device(),
        physics=PhysicsPresetCfg(),  # pyright: ignore[reportArgumentType] (Isaac Lab resolves presets)
    )

    def validate_config(self) -> None:
        """Look into the parts that are Isaac Lab's own, which take any name; it calls this before it builds anything.

        Raises:
            AttributeError: somebody set what nobody has declared.
        """
        refuse_undeclared(self, "env")


def env_cfg_class(name: str) -> type[TaskEnvCfg]:
    """The configuration class of the task with gym id ``name``.

    Raises:
        KeyError: an unknown task, or a scene that nobody has built.
    """
    return _class_of(get_task(name))


@functools.cache
def _class_of(task: Task) -> type[TaskEnvCfg]:
    if task.scene not in SCENES:
        raise KeyError(f"task {task.name!r}: unknown scene {task.scene!r}; available: {', '.join(SCENES)}")
    fields = {
        "__module__": __name__,
        "__doc__": f"{task.name}.",
        "task_name": task.name,
        "episode_length_s": task.max_steps * CONTROL_STEP_S,
        "scene": SCENES[task.scene](num_envs=64, env_spacing=0.0, replicate_physics=True),
    }
    return configclass(type(f"{task.class_name}EnvCfg", (TaskEnvCfg,), fields))


def __getattr__(name: str) -> type[TaskEnvCfg]:
    return env_cfg_class(task_of_class(name, "EnvCfg").name)
