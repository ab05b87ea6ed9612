"""The learned detector at work: follows episodes as the rule-based one does, and raises alarms of the same shape.

The networks say whether and what kind of failure; what was felt and seen around it (load, side, tilt), which the
corrections need, is kept by the rules, which run along unheard.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

import torch

from flow_rag_vla.agents.detection.alarm import FailureAlarm
from flow_rag_vla.agents.detection.rules import RuleDetector
from flow_rag_vla.agents.detection.scorer import SCORES
from flow_rag_vla.agents.detection.window import SCORE_EVERY, WindowTracker
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOTHING, PHASES, FailureType, Phase

if TYPE_CHECKING:
    from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
    from flow_rag_vla.tasks.contract import Observation

_GRASP_FAILURE = FAILURE_TYPES.index(FailureType.GRASP_FAILURE)
_COLLISION = FAILURE_TYPES.index(FailureType.COLLISION)
_MISALIGNMENT = FAILURE_TYPES.index(FailureType.MISALIGNMENT)
_GRASP = PHASES.index(Phase.GRASP)


class Monitor(Protocol):
    """Follows episodes and notices failures."""

    first: FailureAlarm
    """The first alarm of each episode."""

    def reset(self, env_ids: torch.Tensor) -> None:
        """Forget the episodes of ``env_ids`` (k,)."""
        ...

    def update(self, observation: Observation, steps: int = 1, running: torch.Tensor | None = None) -> FailureAlarm:
        """Take in what is sensed ``steps`` control steps later; returns what is noticed now."""
        ...


class LearnedDetector:
    """A ``FailureScorer`` over ``num_envs`` episodes, with the limits of the sensed phase.

    Every ``SCORE_EVERY`` control steps its networks judge all windows.  An episode that has ended meanwhile is judged
    by its last window; ``conclude`` judges those that no later update comes for.
    """

    def __init__(
        self, checkpoint: DetectorCheckpoint, num_envs: int, max_steps: int = 200, device: str = "cpu"
    ) -> None:
        """Episodes end after ``max_steps`` control steps."""
        self._scorer = checkpoint.scorer
        self._limits = checkpoint.limits.to(device)
        self._rules = RuleDetector(num_envs, max_steps, device)
        self._tracker = WindowTracker(num_envs, device)
        self._num_envs, self._device = num_envs, device
        self.first = FailureAlarm.none(num_envs, device)
        self._updates = 0
        self._step = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._phase = torch.zeros_like(self._step)
        self._above = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._last: tuple[Observation, FailureAlarm] | None = None
        self.probability = torch.zeros(num_envs, device=device)
        """(num_envs,) probability of a failure that the classifier gave, at the last look."""

    def reset(self, env_ids: torch.Tensor) -> None:
        """Forget the episodes of ``env_ids`` (k,)."""
        self._rules.reset(env_ids)
        self._tracker.reset(env_ids)
        self._step[env_ids], self._phase[env_ids], self._above[env_ids] = 0, 0, False
        self.probability[env_ids] = 0.0
        rows = torch.zeros(self._num_envs, dtype=torch.bool, device=self._device)
        rows[env_ids] = True
        self.first = self.first.where(rows, FailureAlarm.none(self._num_envs, self._device))
        if bool(rows.all()):
            self._updates, self._last = 0, None

    def update(self, observation: Observation, steps: int = 1, running: torch.Tensor | None = None) -> FailureAlarm:
        """Take in what is sensed after one control step; returns what is noticed now.

        Args:
            observation: What is sensed now.
            steps: Control steps since the last update; the windows are made of single steps.
            running: (num_envs,) bool: episodes that have not ended; others keep their state.

        Raises:
            ValueError: ``steps`` is not 1.
        """
        if steps != 1:
            raise ValueError(f"the learned detector is updated after every control step, got {steps} steps")
        running = torch.ones_like(self._above) if running is None else running
        phase = self._rules.phase(observation)
        felt = self._rules.update(observation, 1, running)
        self._tracker.update(observation, running)
        self._phase = torch.where(running, phase, self._phase)
        self._step = torch.where(running, self._step + 1, self._step)
        kept = observation if self._last is None else _kept(self._last[0], observation, running)
        self._last = (kept, felt)
        self._updates += 1
        if self._updates % SCORE_EVERY:
            return FailureAlarm.none(self._num_envs, self._device)
        return self._look(kept, felt)

    def conclude(self) -> FailureAlarm:
        """Judge the last windows: what an episode's end left unjudged."""
        if self._last is None:
            return FailureAlarm.none(self._num_envs, self._device)
        return self._look(*self._last)

    @torch.no_grad()
    def _look(self, o: Observation, felt: FailureAlarm) -> FailureAlarm:
        window = self._tracker.window
        scores, kinds = self._scorer(window.before, window.after, window.action)
        self.probability = torch.sigmoid(scores[:, SCORES.index("classifier")])
        above = self._limits.alarms(scores, self._phase)
        mask = above & ~self._above
        self._above = above
        alarm = self._describe(mask, kinds, o, felt)
        self.first = self.first.where(mask & ~self.first.mask, alarm)
        return alarm

    def _describe(self, mask: torch.Tensor, kind: torch.Tensor, o: Observation, felt: FailureAlarm) -> FailureAlarm:
        missed = mask & (kind == _GRASP_FAILURE) & ~self._tracker.ever_held
        misplaced = mask & (kind == _MISALIGNMENT)
        on_links = o.link_force_b.norm(dim=1) > o.hand_force_b.norm(dim=1)
        return FailureAlarm(
            mask=mask,
            failure_type=torch.where(mask, kind, NOTHING),
            phase=torch.where(mask, torch.where(missed, _GRASP, self._phase), NOTHING),
            link_contact=mask & (kind == _COLLISION) & on_links,
            load_n=felt.load_n,
            step=torch.where(mask, self._step, NOTHING),
            missed=missed,
            side_y=felt.side_y,
            offset_y_m=torch.where(misplaced, (o.object_pos_b - o.goal_pos_b)[:, 1], 0.0),
            tilt=felt.tilt,
        )


def _kept(old: Observation, new: Observation, running: torch.Tensor) -> Observation:
    """``new`` where an episode runs; where it has ended, what was sensed at its end."""
    rows = torch.where(running, 0, len(running)) + torch.arange(len(running), device=running.device)
    both = {
        name: torch.cat([value, getattr(old, name)])[rows]
        for name, value in vars(new).items()
        if isinstance(value, torch.Tensor) and name != "rgb"
    }
    return dataclasses.replace(new, **both)
