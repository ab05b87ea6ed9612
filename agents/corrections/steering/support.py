"""Is a steered chunk still one that the flow could have made?  Looked at beside the decisions, never part of them.

A chunk grown from noise is; a steered one need not be.  Its *misfit* is how far it lies from what the network makes of
it, ``d(a) = |a - E[a | x_t = t a]|^2`` (the flow's one-step estimate ``x + (1 - t) v``).  It is off the flow's support
where its misfit is larger than those of all of the flow's own chunks for the same state, which are grown from the
decision's noise rolled along: of chunks that nothing steered exactly one in ``num_compared`` is, whatever the network,
because noise and its rolls are alike in all but their order.

To integrate the flow backward from the chunk and to ask how likely that noise is would need no comparison, but this
flow squeezes noise together (agents/README.md has the figures): what comes back is not the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from flow_rag_vla.agents.policy.flow_matching import FlowMatching

MOST_COMPARED = 16
"""Chunks that are compared at most, the steered one among them."""

TIME = 0.8
"""``t`` of the misfit: the noise left by then is a quarter of the chunk's size, which tells two grips one step of
x 1.3 apart, 1.0 in the network's units over a chunk, by four standard deviations: a rare mode is one of its own."""

LOOKS_EVERY = 3
"""Decisions from one that is looked at to the next: to look costs as much as a dozen decisions."""

ROWS_AT_ONCE = 256


def num_compared(numbers: int) -> int:
    """Chunks of ``numbers`` numbers that are compared: the most that their noise can be rolled into evenly."""
    return max(count for count in range(1, MOST_COMPARED + 1) if numbers % count == 0)


@dataclass(frozen=True)
class SteeredChunks:
    """What a decision made of where it was steered to; all (num_envs, ...)."""

    state: torch.Tensor
    """(num_envs, state_dim) the embeddings that the flow was shown."""
    noise: torch.Tensor
    """(num_envs, horizon, 7)."""
    chunk: torch.Tensor
    """(num_envs, horizon, 7) in units of the action."""
    rows: torch.Tensor
    """(num_envs,) bool: where anything was steered."""


def misfit(flow: FlowMatching, state: torch.Tensor, chunk: torch.Tensor) -> torch.Tensor:
    """(batch,) squared distance, in the network's units, of chunks to what the network makes of them."""
    a = flow.normalise(chunk)
    t = a.new_full((len(a), 1), TIME)
    made = TIME * a + (1.0 - TIME) * flow.velocity_field(state)(t, TIME * a)
    return ((a - made) ** 2).flatten(1).sum(dim=1)


@torch.no_grad()
def off_support(flow: FlowMatching, state: torch.Tensor, noise: torch.Tensor, chunk: torch.Tensor) -> torch.Tensor:
    """(batch,) bool: where ``chunk`` (batch, horizon, 7) fits worse than all of the flow's own for ``state``.

    Args:
        flow: Says what fits.
        state: (batch, state_dim) embeddings.
        noise: (batch, horizon, 7) of the decision; its rolls are what the flow's own chunks are grown from.
        chunk: (batch, horizon, 7) in units of the action.
    """
    parts = zip(*(tensor.split(ROWS_AT_ONCE) for tensor in (state, noise, chunk)), strict=True)
    return torch.cat([_off_support(flow, *part) for part in parts])


def _off_support(flow: FlowMatching, state: torch.Tensor, noise: torch.Tensor, chunk: torch.Tensor) -> torch.Tensor:
    numbers = noise[0].numel()
    count = num_compared(numbers)
    rolled = [noise.flatten(1).roll(k * numbers // count, dims=1).reshape_as(noise) for k in range(1, count)]
    own = flow.generate(state.repeat(count - 1, 1), torch.cat(rolled))
    misfits = misfit(flow, state.repeat(count, 1), torch.cat([chunk, own])).reshape(count, -1)
    return (misfits[:1] > misfits[1:]).all(dim=0)


class SupportCount:
    """Counts, for each of ``num_envs`` episodes, steered decisions that were looked at and those off support."""

    def __init__(self, num_envs: int, device: str = "cpu") -> None:
        """No decision yet."""
        self._zeros = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.reset()

    def reset(self) -> None:
        """New episodes in all environments."""
        self.steered, self.off_support = self._zeros.clone(), self._zeros.clone()
        self._decision = 0
        self._waiting: tuple[SteeredChunks, torch.Tensor] | None = None

    def decided(self, steered: SteeredChunks | None, running: torch.Tensor) -> None:
        """A decision of the episodes ``running`` (num_envs,) bool; None where it can have steered nobody."""
        due = self._decision % LOOKS_EVERY == 0
        self._waiting = (steered, running) if due and steered is not None else None
        self._decision += 1

    def look(self, flow: FlowMatching) -> None:
        """Look at the last decision, if it is due; waits for the device to say which rows were steered."""
        if self._waiting is None:
            return
        (steered, running), self._waiting = self._waiting, None
        # A chunk that is not finite is on no support and off none: that environment's physics broke.
        sound = steered.chunk.flatten(1).isfinite().all(dim=1)
        rows = (steered.rows & running & sound).nonzero().flatten()
        if len(rows) == 0:
            return
        self.steered[rows] += 1
        self.off_support[rows] += off_support(flow, steered.state[rows], steered.noise[rows], steered.chunk[rows])
