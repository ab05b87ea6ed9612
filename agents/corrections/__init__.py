"""What can be changed about a chunk or an observation, and how the flow is steered to it."""
