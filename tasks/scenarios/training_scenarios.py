"""Scenarios for environments that reset themselves: clean layouts of the training split, fresh at every reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flow_rag_vla.tasks.scenarios.scenario import Scenario

NUM_LAYOUTS = 1_000_000
"""Layout seeds from 0 to below this, which are all of the training split."""


class TrainingScenarios:
    """Names layouts by (seed, environment, reset count): there is no shared stream to fall out of step."""

    def __init__(self, task: str, site: int, num_envs: int) -> None:
        """Of ``task``, a gym id or short name, at ``site``; no environment has been reset yet."""
        self._site = make_site(site, task)
        self._resets = [0] * num_envs

    def restart(self) -> None:
        """Draw as if no environment had been reset yet."""
        self._resets = [0] * len(self._resets)

    def draw(self, env_ids: Sequence[int], seed: int) -> list[Scenario]:
        """One scenario for each of ``env_ids``, which are being reset."""
        scenarios = []
        for i in env_ids:
            layout_seed = (seed * 7919 + i * 104_729 + self._resets[i]) % NUM_LAYOUTS
            scenarios.append(self._site.scenario(layout_seed))
            self._resets[i] += 1
        return scenarios
