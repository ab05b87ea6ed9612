"""What reinforcement learning adds to the tasks: normalised actions, one flat observation, dense rewards, PPO."""
