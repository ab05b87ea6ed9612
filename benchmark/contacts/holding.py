"""What a grip holds: objects are lifted with full force, which is then lowered to the force under test.

An object that the scripted expert has lifted hangs between the pads.  With the hand still, the grip falls from 40 N a
finger to ``F`` within a second and stays for two: held is what has not moved by 1 cm in the hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.benchmark.contacts.running import refuse_ended
from flow_rag_vla.benchmark.contacts.threshold import RATIOS, Threshold, find_threshold, holdable_kg
from flow_rag_vla.benchmark.episodes.seeds import DEVELOPMENT
from flow_rag_vla.tasks.catalogue.lift import TASK
from flow_rag_vla.tasks.contract import CONTROL_HZ, MAX_GRIP_FORCE_N, Observation
from flow_rag_vla.tasks.env.play import PlayedStep, play
from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan, ScriptedExpert, Stage
from flow_rag_vla.tasks.facts.layout import LANE_CENTRES_X_M, Layout
from flow_rag_vla.tasks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from flow_rag_vla.tasks.env.fleet import Fleet

APPROACH_STEPS, LIFT_STEPS, RAMP_STEPS, HOLD_STEPS = 66, 45, 30, 60
"""Control steps: to grasp the object, to lift it and come to rest, to lower the grip, to hold."""

RISE_STEPS, BRAKE_STEPS = 35, 10
"""Of the lift: those in which the hand moves up, and the last of them, in which it slows down."""

NUM_STEPS = APPROACH_STEPS + LIFT_STEPS + RAMP_STEPS + HOLD_STEPS
RAISED_M = 0.05
"""An object that is this much higher after the lift was lifted; one that was not has slipped."""

SLIPPED_M = 0.01
SLOW = 0.2
"""Share of full speed at which is lifted: accelerations must not decide what a grip of 40 N holds."""

_LANE = 2
_LAYOUT = Layout(_LANE, (LANE_CENTRES_X_M[_LANE], -0.20), 0.0, (LANE_CENTRES_X_M[_LANE], -0.20), 0.30)
"""The goal is far above where the lift stops: an object that arrived would end its episode, and what has ended may
stand still."""


@dataclass(frozen=True)
class Grip:
    """What is held, and how."""

    object_model: str
    friction: float
    force_n: float
    """Of each finger."""


GRIPS: tuple[Grip, ...] = tuple(
    Grip(model, friction, force_n)
    for model in ("cube", "bar")
    for friction, force_n in (
        (0.2, 5.0), (0.2, 10.0), (0.2, 20.0), (0.2, 40.0), (0.5, 5.0), (0.5, 10.0), (0.5, 20.0), (1.0, 5.0),
        (1.0, 10.0),
    )
)  # fmt: skip
"""A box and a bar that is held by its middle; 0.2 is about the friction of slippery objects.  More force at more
friction would hold what the arm cannot."""


@dataclass(frozen=True)
class Trial:
    """One mass in one grip."""

    grip: Grip
    ratio: float
    """Its mass as a multiple of what statics says that the grip holds."""

    @property
    def mass_kg(self) -> float:
        """Of the object."""
        return self.ratio * holdable_kg(self.grip.friction, self.grip.force_n)

    def scenario(self) -> Scenario:
        """The object on the table, to be lifted by 10 cm towards a goal that it does not reach."""
        parameters = {"object_mass_kg": self.mass_kg, "object_friction": self.grip.friction}
        seed, model = DEVELOPMENT.start, self.grip.object_model
        return Scenario(TASK.name, seed, seed, _LAYOUT, "blue", model, parameters=parameters)


@dataclass(frozen=True)
class Held:
    """What became of a trial; forces are means of the two seconds of holding, over both pads."""

    trial: Trial
    held: bool
    """To the end of a trial that ran to its end: invalid physics ends it."""
    lifted: bool
    valid: bool
    """The physics held up to the end of the trial."""
    moved_mm: float
    """Furthest that the object moved in the hand since the grip was lowered."""
    creep_mm_s: float
    """Downwards in the hand, over the last second."""
    pad_force_n: float
    """With which a pad presses."""
    carried_n: float
    """With which the object pulls both pads down."""
    depth_mm: float
    """Deepest that both pads together sank in."""


@dataclass(frozen=True)
class Holding:
    """All masses in one grip."""

    grip: Grip
    trials: tuple[Held, ...]

    @property
    def threshold(self) -> Threshold:
        """Where holding ends."""
        return find_threshold([t.trial.ratio for t in self.trials], [t.held for t in self.trials])

    def up_to(self, ratio: float) -> list[Held]:
        """The trials that held at this ratio of mass or less."""
        return [t for t in self.trials if t.held and t.trial.ratio <= ratio + 1e-9]


def plan_holding(grips: Iterable[Grip] = GRIPS, ratios: Sequence[float] = RATIOS) -> list[Trial]:
    """One trial for every grip and ratio."""
    return [Trial(grip, ratio) for grip in grips for ratio in ratios]


def measure_holding(
    fleet: Fleet, trials: Sequence[Trial], on_step: Callable[[int], None] | None = None
) -> list[Holding]:
    """Run ``trials``, one for each environment of a fleet of the task ``lift``, side by side; one result a grip.

    ``on_step`` is told how many of ``NUM_STEPS`` are done.

    Raises:
        ValueError: not one trial for each environment.
        RuntimeError: an episode ended before its trial did, other than by invalid physics.
    """
    fleet.load([trial.scenario() for trial in trials], [0] * len(trials))
    hands = _Hands(fleet, trials)

    def after_step(step: PlayedStep) -> None:
        hands.watch(step.observation)
        if on_step is not None:
            on_step(step.index + 1)

    play(fleet, hands.act, after_step=after_step, num_steps=NUM_STEPS)
    results = hands.results(fleet)
    grips = dict.fromkeys(trial.grip for trial in trials)
    return [Holding(grip, tuple(r for r in results if r.trial.grip == grip)) for grip in grips]


class _Hands:
    """Lifts, lowers the grip, and watches the objects in the hands."""

    def __init__(self, fleet: Fleet, trials: Sequence[Trial]) -> None:
        # Loads the simulator, which who only reads results does not need.
        from flow_rag_vla.tasks.physics.contacts import ContactForces

        self._trials = trials
        n, device = len(trials), str(fleet.device)
        self._force_n = torch.tensor([trial.grip.force_n for trial in trials], device=device)
        self._expert = ScriptedExpert(n, device)
        plan = ExpertPlan.nominal(n, device, TASK)
        self._expert.reset(torch.arange(n, device=device), dataclasses.replace(plan, grip=torch.ones_like(plan.grip)))
        self._rest_height_m = fleet.observe().object_pos_b[:, 2].clone()
        self._contacts = ContactForces()
        self._clock = torch.zeros(n, dtype=torch.long, device=device)
        """Control steps since the lift began."""
        self._lifted = torch.zeros(n, dtype=torch.bool, device=device)
        self._start, self._middle = torch.zeros(n, 3, device=device), torch.zeros(n, 3, device=device)
        self._moved_m, self._creep_m, self._depth_m, self._pad_n, self._carried_n = torch.zeros(5, n, device=device)

    def act(self, observation: Observation, step: int, running: torch.Tensor) -> torch.Tensor:
        """The expert's actions until the object is 10 cm up, then nothing but a grip that falls."""
        action = self._expert.act(observation)
        lifting = self._expert.stage >= Stage.LIFT
        begun = (self._clock > 0) | lifting
        self._clock = torch.where(begun, self._clock + 1, 0)
        rising = SLOW * lifting * ((RISE_STEPS - self._clock) / BRAKE_STEPS).clamp(0.0, 1.0)
        action[:, :6] *= torch.where(begun, rising, 1.0).unsqueeze(1)
        share = ((self._clock - LIFT_STEPS) / RAMP_STEPS).clamp(0.0, 1.0)
        force_n = MAX_GRIP_FORCE_N + share * (self._force_n - MAX_GRIP_FORCE_N)
        action[:, 6] = torch.where(begun, -force_n / MAX_GRIP_FORCE_N, action[:, 6])
        return action

    def watch(self, o: Observation) -> None:
        """Take in one control step."""
        in_hand, clock = o.object_pos_b - o.ee_pos_b, self._clock
        rested = (clock == LIFT_STEPS).unsqueeze(1)
        self._start = torch.where(rested, in_hand, self._start)
        raised = o.object_pos_b[:, 2] - self._rest_height_m > RAISED_M
        self._lifted |= rested.squeeze(1) & raised
        holds_from = LIFT_STEPS + RAMP_STEPS
        end = holds_from + HOLD_STEPS
        tested = (clock > LIFT_STEPS) & (clock <= end)
        moved = (in_hand - self._start).norm(dim=1)
        self._moved_m = torch.where(tested, torch.maximum(self._moved_m, moved), self._moved_m)
        self._middle = torch.where((clock == end - int(CONTROL_HZ)).unsqueeze(1), in_hand, self._middle)
        self._creep_m = torch.where(clock == end, (self._middle - in_hand)[:, 2], self._creep_m)
        forces = self._contacts.mean()
        left, right = forces["left_finger"], forces["right_finger"]
        holding = (clock > holds_from) & (clock <= end)
        # The hand points down: what squeezes acts in the plane of the table.
        squeeze = (left[:, :2].norm(dim=1) + right[:, :2].norm(dim=1)) / 2
        self._pad_n += torch.where(holding, squeeze, 0.0) / HOLD_STEPS
        self._carried_n -= torch.where(holding, left[:, 2] + right[:, 2], 0.0) / HOLD_STEPS
        depth = torch.maximum(self._depth_m, self._contacts.depths()["pads"])
        self._depth_m = torch.where(clock <= end, depth, self._depth_m)

    def results(self, fleet: Fleet) -> list[Held]:
        """One for each trial."""
        finished = self._clock >= LIFT_STEPS + RAMP_STEPS + HOLD_STEPS
        invalid = fleet.truth.invalid
        refuse_ended(fleet.done & ~invalid, "holding")
        held = self._lifted & (self._moved_m <= SLIPPED_M) & finished & ~fleet.done
        valid = ~invalid & torch.isfinite(self._moved_m)
        columns = (
            held, self._lifted, valid, 1e3 * self._moved_m, 1e3 * self._creep_m, self._pad_n, self._carried_n,
            1e3 * self._depth_m,
        )  # fmt: skip
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [Held(trial, *row) for trial, row in zip(self._trials, rows, strict=True)]
