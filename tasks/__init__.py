"""What happens in the world: tasks, sites, faults and truth.  Importing this only registers gym ids."""

import gymnasium as gym

for _task in ("PickPlace", "Stack", "Lift", "BinTransport"):
    gym.register(
        id=f"FlowRAG-{_task}-Franka",
        entry_point=f"{__name__}.env.manipulation_env:ManipulationEnv",
        disable_env_checker=True,
        kwargs={
            "env_cfg_entry_point": f"{__name__}.env.env_cfg:{_task}EnvCfg",
            "rsl_rl_cfg_entry_point": f"{__name__}.rl.runner_cfg:{_task}RunnerCfg",
            "default_agent": "rsl_rl",
        },
    )
