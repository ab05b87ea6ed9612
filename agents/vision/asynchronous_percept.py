"""A percept whose pictures arrive late: each is held against where the hand was when it was taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.vision.percept import VisualPercept, out_of_hand

if TYPE_CHECKING:
    from flow_rag_vla.agents.vision.networks.image_encoder import LateEncoder, VisionEncoder
    from flow_rag_vla.tasks.contract import Observation


class AsynchronousPercept(VisualPercept):
    """A ``VisualPercept`` that takes in each result of a worker once, when it is there.

    In between, the belief moves with the hand alone.  A late picture of what is in the hand says where in the hand it
    was, so it is compared with the hand's pose of then.  A picture from before the fingers closed on the object, or let
    go of it, says nothing of where it is now and is left out.
    """

    def __init__(self, encoder: LateEncoder, num_envs: int, device: str = "cpu") -> None:
        """Look through ``encoder``; closing it is the caller's."""
        self._worker = encoder
        super().__init__(encoder, num_envs, device)

    def reset(self) -> None:
        """Forget all episodes, pictures under way too; the next decision waits for its own picture."""
        super().reset()
        self._worker.reset()
        self._looks = 0
        self._taken_in = 0
        self._let_go_or_closed_after = torch.zeros(self._num_envs, dtype=torch.long, device=self._device)

    def look(self, observation: Observation) -> Observation:
        """Hand in the pictures of ``observation`` if the worker is free; returns it with what is now believed."""
        self._looks += 1
        late = self._worker.latest(observation)
        taken_at = self._looks - late.age_calls
        if taken_at > self._taken_in:
            self._taken_in = taken_at
            then = late.observation
            # What is held was carried along; when the picture was taken, it was where the hand was.
            carried = then.ee_pos_b + out_of_hand(then, self._in_hand)
            believed = torch.where(self._held.unsqueeze(1), carried, self._pos)
            self._take_in(late.sighting, then, believed, self._let_go_or_closed_after < taken_at)
        return self.follow(observation)

    def follow(self, observation: Observation) -> Observation:
        """As without delay; remembers since when the hand holds the object, or does not."""
        before = self._held
        seen = super().follow(observation)
        self._let_go_or_closed_after[before != self._held] = self._looks
        return seen


def make_percept(encoder: VisionEncoder, num_envs: int, device: str = "cpu") -> VisualPercept:
    """What ``num_envs`` robots see through ``encoder``, late if its results are."""
    late = encoder.late
    return VisualPercept(encoder, num_envs, device) if late is None else AsynchronousPercept(late, num_envs, device)
