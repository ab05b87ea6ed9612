"""Ways to steer the flow by what was remembered; one file per method, one signature for all.

``steer(flow, state, noise, correction_chunk, strength, base=None) -> chunk``: state embeddings (batch, state_dim),
the decision's noise (batch, horizon, 7), the retrieved chunk (batch, horizon, 7) in units of the action, and how
strongly to follow it (batch,), from 0 to 1 as ``strength_of`` gives it, 0 where there is nothing to follow.  Rows of
strength 0 are bitwise what the policy generates alone.  Every pass runs over the whole batch: the rounding of a matrix
product depends on the number of rows, so that steering a subset would let a row's bits depend on its neighbours.
``base``, if at hand, is ``flow.generate(state, noise)``, and saves that pass.
"""

from flow_rag_vla.agents.corrections.steering.blend import blend
from flow_rag_vla.agents.corrections.steering.method import SteeringMethod, strength_of
from flow_rag_vla.agents.corrections.steering.negative import negative
from flow_rag_vla.agents.corrections.steering.support import SteeredChunks, SupportCount
from flow_rag_vla.agents.corrections.steering.warm_start import warm_start
from flow_rag_vla.tasks.contract import named

STEERING: dict[str, SteeringMethod] = {"warm_start": warm_start, "blend": blend, "negative": negative}
"""Name to method."""


def steering_method(name: str) -> SteeringMethod:
    """The method called ``name``.

    Raises:
        UnknownNameError: naming the methods that exist.
    """
    return named(STEERING, name, "steering")


__all__ = [
    "STEERING", "SteeredChunks", "SteeringMethod", "SupportCount", "blend", "negative", "steering_method",
    "strength_of", "warm_start",
]  # fmt: skip
