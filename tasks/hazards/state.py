"""Hazard parameters of all environments side by side, and when passing effects begin and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.tasks.faults.definition.parameters import (
    ANY_PHASE,
    HAZARD_FIELDS,
    NEVER_N,
    HazardParameters,
    default_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flow_rag_vla.tasks.scenarios.scenario import Scenario

CARRIED_HEIGHT_M = 0.04
"""An object this far above its resting height counts as carried."""

_LATENT = (
    "object_mass_kg", "object_friction", "com_offset_m", "grip_scale",
    "object_bias_x_m", "object_bias_y_m", "object_bias_z_m", "goal_bias_x_m", "goal_bias_y_m", "goal_bias_z_m",
)  # fmt: skip
"""Parameters that act without an event of their own."""


def _acts_on_carried(parameters: Mapping[str, float]) -> bool:
    return any(parameters.get(name, 0.0) > 0.0 for name in ("push_steps", "release_steps"))


class HazardState:
    """``value[name]`` is the (num_envs,) tensor of one hazard parameter."""

    def __init__(self, num_envs: int, device: str) -> None:
        """Harmless everywhere."""
        plain = HazardParameters()
        self._device = device
        self.value: dict[str, torch.Tensor] = {
            name: torch.full((num_envs,), getattr(plain, name), device=device) for name in HAZARD_FIELDS
        }
        self.trigger_step = torch.full((num_envs,), -1, dtype=torch.long, device=device)
        """Control step at which the passing effects began; -1 before."""
        self._times = torch.zeros_like(self.trigger_step)
        self.latent = torch.zeros(num_envs, dtype=torch.bool, device=device)
        """A parameter that acts without an event of its own is not harmless."""
        self._pushes, self._crushable = np.zeros(num_envs, dtype=bool), np.zeros(num_envs, dtype=bool)
        self.can_push = self.can_break = False
        """Whether any environment has a push, or an object that may break: known without waiting for the device."""

    def reset(self, env_ids: torch.Tensor, scenarios: Sequence[Scenario], carry_zone_y_m: tuple[float, float]) -> None:
        """Give ``env_ids[i]`` the hazard of ``scenarios[i]``.

        Args:
            env_ids: (k,) int64.
            scenarios: k of them.
            carry_zone_y_m: Where pushes and releases without a region of their own begin; the rest begins anywhere.
        """
        zone = {"trigger_y_low_m": carry_zone_y_m[0], "trigger_y_high_m": carry_zone_y_m[1]}
        defaults = np.array([[default_of(name)] for name in HAZARD_FIELDS])
        table = defaults.repeat(len(scenarios), axis=1)
        row_of = dict(zip(HAZARD_FIELDS, table, strict=True))
        for i, scenario in enumerate(scenarios):
            if scenario.parameters:
                acts = _acts_on_carried(scenario.parameters)
                for name, value in {**(zone if acts else {}), **scenario.parameters}.items():
                    row_of[name][i] = value
        columns = torch.from_numpy(table).float().to(self._device)
        for name, column in zip(HAZARD_FIELDS, columns, strict=True):
            self.value[name][env_ids] = column
        on_host = env_ids.cpu().numpy()
        self._pushes[on_host] = row_of["push_steps"] > 0.0
        self._crushable[on_host] = row_of["crush_force_n"] < NEVER_N
        self.can_push, self.can_break = bool(self._pushes.any()), bool(self._crushable.any())
        self.trigger_step[env_ids] = -1
        self._times[env_ids] = 0
        self.latent = torch.stack([self.value[name] != default_of(name) for name in _LATENT]).any(dim=0)

    def trigger(
        self,
        object_pos_b: torch.Tensor,
        rest_height_m: torch.Tensor,
        held: torch.Tensor,
        phase: torch.Tensor,
        step: torch.Tensor,
    ) -> None:
        """Start passing effects where all their conditions are met.

        Effects on a carried object (push, release) also need an object in the hand and off the table.  A hold
        or slowness begins once an episode; a push, and a release up to its count, comes again whenever the object is
        carried through anew.

        Args:
            object_pos_b: (num_envs, 3) object centre, m.
            rest_height_m: (num_envs,) its height when it lies on the table, m.
            held: (num_envs,) bool, in the hand.
            phase: (num_envs,) index into ``contract.PHASES``.
            step: (num_envs,) control step.
        """
        v = self.value
        height = object_pos_b[:, 2] - rest_height_m
        pushes = v["push_steps"] > 0
        releases = v["release_steps"] > 0
        again = pushes | (releases & (self._times < v["release_count"]))
        back_on_table = ~held & (height < CARRIED_HEIGHT_M / 4) & again
        self.trigger_step = torch.where(back_on_table, -1, self.trigger_step)
        carried = held & (height > CARRIED_HEIGHT_M)
        in_zone = (object_pos_b[:, 1] > v["trigger_y_low_m"]) & (object_pos_b[:, 1] < v["trigger_y_high_m"])
        conditions = in_zone & (carried | ~(pushes | releases))
        conditions &= (v["trigger_phase"] == ANY_PHASE) | (v["trigger_phase"] == phase)
        conditions &= step >= v["trigger_step"]
        conditions &= ~releases | (self._times < v["release_count"])
        begins = conditions & (self.trigger_step < 0)
        self.trigger_step = torch.where(begins, step, self.trigger_step)
        self._times += begins

    def active(self, duration: str, step: torch.Tensor) -> torch.Tensor:
        """(num_envs,) bool: triggered less than ``value[duration]`` control steps ago."""
        return (self.trigger_step >= 0) & (step < self.trigger_step + self.value[duration])
