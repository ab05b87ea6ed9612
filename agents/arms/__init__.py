"""The ablation arms as data: what each of them has of the agent, in one registry that loads no network."""
