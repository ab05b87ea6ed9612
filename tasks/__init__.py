"""What happens in the world: tasks, sites, faults and truth.  Importing this only registers gym ids."""

import gymnasium as gym

gym.register(
    id="FlowRAG-PickPlace-Franka",
    entry_point=f"{__name__}.pick_place:PickPlaceEnv",
    disable_env_checker=True,
    kwargs={"env_cfg_entry_point": f"{__name__}.pick_place:PickPlaceEnvCfg"},
)
