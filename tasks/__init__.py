"""What happens in the world: tasks, sites, faults and truth.  Importing this only registers gym ids."""

import gymnasium as gym

for _name, _cfg in (
    ("FlowRAG-PickPlace-Franka", "PickPlaceEnvCfg"),
    ("FlowRAG-Stack-Franka", "StackEnvCfg"),
    ("FlowRAG-Lift-Franka", "LiftEnvCfg"),
    ("FlowRAG-BinTransport-Franka", "BinTransportEnvCfg"),
):
    gym.register(
        id=_name,
        entry_point=f"{__name__}.manipulation_env:ManipulationEnv",
        disable_env_checker=True,
        kwargs={"env_cfg_entry_point": f"{__name__}.env_cfg:{_cfg}"},
    )
