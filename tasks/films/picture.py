"""Stills of the hazards as the nominal expert meets them, rendered without a window by Newton's Warp renderer.

Runs as a program of its own, since a process holds one simulation:
``python -m flow_rag_vla.tasks.films.picture OUT_FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import imageio.v3 as iio
import torch

from flow_rag_vla.tasks.catalogue.pick_place import TASK as DEFAULT_TASK
from flow_rag_vla.tasks.env.play import play
from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan, ScriptedExpert
from flow_rag_vla.tasks.facts.layout import Layout
from flow_rag_vla.tasks.faults.registry import get_fault
from flow_rag_vla.tasks.films.filming import Studio
from flow_rag_vla.tasks.scenarios.scenario import Scenario

STILLS: dict[str, int] = {"post": 60, "beam": 61, "push": 66}
"""Fault to the control step at which its picture is taken."""

_LAYOUT = Layout(lane=2, object_xy_m=(0.53, -0.26), object_yaw_rad=0.3, goal_xy_m=(0.53, 0.22))
_TASK = DEFAULT_TASK.name
_WIDTH, _HEIGHT = 640, 480


def take_stills(folder: Path) -> list[Path]:
    """One PNG for each entry of ``STILLS``, in ``folder``."""
    studio = Studio(_TASK, _WIDTH, _HEIGHT, physics="newton_mujoco")
    env = studio.env
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, when in STILLS.items():
        fault = get_fault(name)
        scenario = Scenario(
            task=_TASK,
            site=0,
            layout_seed=0,
            layout=_LAYOUT,
            object_colour="blue",
            fault=name,
            fault_class=fault.fault_class,
            severity=fault.default_severity,
            parameters=fault.parameters(fault.default_severity),
        )
        env.load([scenario], [0])
        expert = ScriptedExpert(1)
        expert.reset(torch.arange(1), ExpertPlan.nominal(1))
        play(env, lambda observation, step, running, expert=expert: expert.act(observation), num_steps=when)
        path = folder / f"scene-{name}.png"
        iio.imwrite(path, studio.frame())
        paths.append(path)
    studio.close()
    return paths


if __name__ == "__main__":
    take_stills(Path(sys.argv[1]))
