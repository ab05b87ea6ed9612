"""From sightings to the perceived fields of an observation: what is known of the object between and over pictures.

Three sources.  Size and colour do not change: all sightings of an episode are averaged.  An object that lies still is
averaged as well, weighted by how sure the network is; one that is seen elsewhere has moved.  An object in the hand
moves with the hand, which the arm feels exactly; pictures only correct slowly where in the hand it is.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.policy.features import held, rotation_matrix
from flow_rag_vla.agents.vision.networks.sighting import Sighting, quat_of, yaw_rad
from flow_rag_vla.tasks.contract import ELONGATED_RATIO

if TYPE_CHECKING:
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.tasks.contract import Observation

MOVED_M = 0.02
"""An object seen this far from where it was has moved, if that is also more than ``MOVED_SPREADS`` expected errors."""

MOVED_SPREADS = 4.0

MAX_WEIGHT = 6.0 / 0.003**2
"""The past counts at most as much as six sightings with an expected error of 3 mm."""

IN_HAND_GAIN = 0.25
"""How far one picture moves the belief of where in the hand an object is."""

LEFT_HAND_M = 0.06
"""An object in the closed hand that is seen this far from where it should be has been lost."""


FINGER_AXIS = 1
"""Axis of the hand's frame along which the fingers close."""


class VisualPercept:
    """What ``num_envs`` robots believe of their objects."""

    def __init__(self, encoder: VisionEncoder, num_envs: int, device: str = "cpu") -> None:
        """Look through ``encoder``."""
        self._encoder = encoder
        self._num_envs, self._device = num_envs, device
        self.reset()

    def reset(self) -> None:
        """Forget all episodes; the next picture is the first."""

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(self._num_envs, *shape, device=self._device)

        self._pos, self._weight = zeros(3), zeros(1)
        self._in_hand = zeros(3)
        self._held = torch.zeros(self._num_envs, dtype=torch.bool, device=self._device)
        self._yaw_4, self._yaw_2, self._pitch = zeros(2), zeros(2), zeros(1)
        self._yaw_in_hand = zeros()
        self._size, self._rgb, self._sureness = zeros(3), zeros(3), zeros(1)

    def look(self, observation: Observation) -> Observation:
        """Take in the pictures of ``observation``; returns it with what is now believed of the object."""
        seen, _ = self._encoder.look(observation)
        self._take_in(seen, observation, self._pos)
        return self.follow(observation)

    def follow(self, observation: Observation) -> Observation:
        """``observation`` with what is believed of the object, which is carried along where the hand holds it."""
        holds = held(observation)
        grasped = holds & ~self._held
        hand_yaw = _hand_yaw(observation)
        offset = _into_hand(observation, self._pos - observation.ee_pos_b)
        self._in_hand = torch.where(grasped.unsqueeze(1), offset, self._in_hand)
        # Closed fingers feel that what they hold is between them.
        self._in_hand[:, FINGER_AXIS] = 0.0
        own_yaw = yaw_rad(self._yaw_4, self._yaw_2, self._size)
        self._yaw_in_hand = torch.where(grasped, own_yaw - hand_yaw, self._yaw_in_hand)
        self._held = holds
        carried = observation.ee_pos_b + out_of_hand(observation, self._in_hand)
        self._pos = torch.where(holds.unsqueeze(1), carried, self._pos)
        yaw = torch.where(holds, self._yaw_in_hand + hand_yaw, own_yaw)
        for factor, belief in ((4.0, self._yaw_4), (2.0, self._yaw_2)):
            turned = torch.stack([torch.sin(factor * yaw), torch.cos(factor * yaw)], dim=1)
            belief[holds] = turned[holds]
        return dataclasses.replace(
            observation,
            object_pos_b=self._pos.clone(),
            object_quat_b=quat_of(yaw, self._pitch[:, 0]),
            object_size_m=self._size.clone(),
            object_rgb=self._rgb.clone(),
            rgb=None,
        )

    def _take_in(
        self, seen: Sighting, observation: Observation, believed: torch.Tensor, current: torch.Tensor | None = None
    ) -> None:
        """Learn from one sighting.

        Args:
            seen: What the pictures show.
            observation: Of when they were taken.
            believed: (num_envs, 3) where the object was believed to be then.
            current: (num_envs,) bool where pictures still say where the object is; by default everywhere.
        """
        spread = seen.object_spread_m.mean(dim=1, keepdim=True)
        weight = spread**-2
        self._size = _blend(self._size, self._sureness, seen.object_size_m, weight)
        self._rgb = _blend(self._rgb, self._sureness, seen.object_rgb, weight)
        self._sureness = self._sureness + weight
        away = (seen.object_pos_b - believed).norm(dim=1, keepdim=True)
        moved = (away > MOVED_M) & (away > MOVED_SPREADS * spread)
        in_hand = self._held.unsqueeze(1) & ((away < LEFT_HAND_M) | ~moved)
        offset = _into_hand(observation, seen.object_pos_b - observation.ee_pos_b)
        gain = torch.where(in_hand, IN_HAND_GAIN, 1.0)
        learnt_in_hand = torch.where(
            self._held.unsqueeze(1), self._in_hand + gain * (offset - self._in_hand), self._in_hand
        )
        past = torch.where(moved | (self._weight == 0), 0.0, self._weight.clamp(max=MAX_WEIGHT))
        long = self._size[:, :1] > ELONGATED_RATIO * self._size[:, 1:2]
        learnt = (
            learnt_in_hand,
            _blend(self._pos, past, seen.object_pos_b, weight),
            _blend(self._yaw_4, past, seen.yaw_4, weight),
            _blend(self._yaw_2, past, seen.yaw_2, weight),
            torch.where(long, _blend(self._pitch, past, seen.pitch, weight), 0.0),
            past + weight,
        )
        if current is not None:
            known = (self._in_hand, self._pos, self._yaw_4, self._yaw_2, self._pitch, self._weight)
            learnt = tuple(torch.where(current.unsqueeze(1), new, old) for new, old in zip(learnt, known, strict=True))
        self._in_hand, self._pos, self._yaw_4, self._yaw_2, self._pitch, self._weight = learnt


def _blend(old: torch.Tensor, old_weight: torch.Tensor, new: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (old_weight * old + weight * new) / (old_weight + weight)


def _hand_yaw(observation: Observation) -> torch.Tensor:
    hand = rotation_matrix(observation.ee_quat_b)
    return torch.atan2(hand[:, 1, 0], hand[:, 0, 0])


def _into_hand(observation: Observation, vector_b: torch.Tensor) -> torch.Tensor:
    return (rotation_matrix(observation.ee_quat_b).transpose(1, 2) @ vector_b.unsqueeze(2))[:, :, 0]


def out_of_hand(observation: Observation, vector: torch.Tensor) -> torch.Tensor:
    """``vector`` (num_envs, 3) of the hand's frame in the robot's."""
    return (rotation_matrix(observation.ee_quat_b) @ vector.unsqueeze(2))[:, :, 0]
